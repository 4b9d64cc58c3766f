import { join } from 'node:path';
import type { Command } from 'commander';
import { EdgeError } from '../../core/errors.ts';
import { Store } from '../../core/store.ts';
import { percent, scaled } from '../../formats/report-words.ts';
import { openProject } from '../../pipeline/project.ts';
import type { DatasetView } from '../../pipeline/views/dataset.ts';
import type { PruningView } from '../../pipeline/views/pruning.ts';
import type { StageView } from '../../pipeline/views/training.ts';
import type { Cli } from '../cli.ts';
import { lookOf } from '../look.ts';
import { bytesText, table } from '../output.ts';
import { addDataVerbs } from './data.ts';

interface Common {
  readonly project?: string;
  readonly json?: boolean;
}
const opened = ({ project: folder }: Common) => {
  const project = openProject({ folder });
  return { project, store: new Store(join(project.folder, '.edgeforge')) };
};

/** data, training, pruning, artifacts: what a project's steps found and made, to look at; nothing runs. */
export function addLookVerbs(program: Command, cli: Cli): void {
  const { output } = cli;
  const common = (command: Command) => command.option('--project <dir>', 'the project (default: the nearest edgeforge.yaml upwards)').option('--json', 'print JSON');
  const verb = <T>(name: string, description: string, load: (given: ReturnType<typeof opened>) => Promise<T>, words: (value: T) => string) =>
    common(program.command(name))
      .description(description)
      .action(
        cli.does(async (options: Common) => {
          const value = await load(opened(options));
          output.out(options.json ? JSON.stringify(value) : words(value));
          return 0;
        }),
      );

  const data = verb('data', 'the dataset as training sees it: classes, sizes, problems', async ({ store }) => datasetOf(store), dataWords);
  addShow(common(data.command('show [sample]')), cli);
  addDataVerbs(data, cli);
  verb(
    'training',
    'curves and scores of the last training and retraining',
    async ({ project, store }) => (await import('../../pipeline/views/training.ts')).trainingView(store, project.settings),
    trainingWords,
  );
  verb(
    'pruning',
    'what pruning the trained network would leave at each budget, computed exactly, and every accuracy measured so',
    async ({ project, store }) => (await import('../../pipeline/views/pruning.ts')).pruningView(store, project.settings, AbortSignal.timeout(3_600_000)),
    pruningWords,
  );
  verb(
    'artifacts',
    'what was exported, quantized, packaged and built, with digests',
    async ({ project, store }) => (await import('../../pipeline/views/exported.ts')).exportedView(store, Object.keys(project.settings.devices)),
    ({ artifacts }) =>
      artifacts.length === 0
        ? 'Nothing is exported yet. Make it with: edgeforge run package'
        : table(artifacts.map(({ name, digest, bytes, at }) => [name, bytesText(bytes), at.slice(0, 19).replace('T', ' '), digest])),
  );
}

async function datasetOf(store: Store): Promise<DatasetView> {
  const { datasetView } = await import('../../pipeline/views/dataset.ts');
  const view = await datasetView(store);
  if (!view) throw new EdgeError('file-missing', 'The dataset was not imported yet.', { hint: 'Import it with: edgeforge run dataset' });
  return view;
}

function addShow(command: Command, cli: Cli): void {
  command
    .description('draw a sample with its boxes in the terminal: by its id or its number (default: 1)')

    .action(
      cli.does(async (wanted: string | undefined, _: Common, self: Command) => {
        // --project may stand before or after `show`; the parent takes it.
        const view = await datasetOf(opened(self.optsWithGlobals<Common>()).store);
        const sample = view.samples.find(({ id }) => id === wanted) ?? view.samples[Number(wanted ?? 1) - 1];
        if (!sample)
          throw new EdgeError('usage', `There is no sample "${wanted}".`, { hint: `Name one of ${view.samples.length}: ${view.samples[0]?.id ?? ''} …, or its number.` });
        const { samplePicture } = await import('../pictures/sample-picture.ts');
        const look = { ...lookOf(process.env), ...(cli.output.colour ? {} : { colour: 'none' as const, graphics: 'none' as const }) };
        cli.output.out(
          await samplePicture(sample, { columns: cli.output.columns || 80, rows: (process.stdout.rows || 40) - 3, look, classes: view.classes.map(({ name }) => name) }),
        );
        cli.output.out(`${sample.id} (${sample.part}, ${sample.width}×${sample.height}): ${sample.className ?? `${sample.objects.length} objects`}`);
        return 0;
      }),
    );
}

const dataWords = ({ images, input, classes, counts, problems }: DatasetView): string =>
  [
    `${images.train} training and ${images.validation} validation images, network input ${input.width}×${input.height}`,
    table([
      ['class', 'train', 'validation', 'images', 'small', 'median height'],
      ...classes.map(row => [row.name, row.train, row.validation, row.images, row.small, row.medianHeight === undefined ? '' : `${row.medianHeight.toFixed(0)} px`].map(String)),
    ]),
    ...Object.entries(counts).flatMap(([kind, count]) => (count > 0 ? [`${kind}: ${count}`] : [])),
    ...problems.slice(0, 20).map(({ kind, file, detail }) => `  ${kind} ${file}: ${detail}`),
    ...(problems.length > 20 ? [`  ${problems.length - 20} more`] : []),
  ].join('\n');

const trainingWords = (stages: readonly StageView[]): string =>
  stages
    .map(({ stage, spec, log, score }) =>
      log === undefined
        ? `${stage} (${spec}): never ran. Start it with: edgeforge run ${stage}`
        : [
            `${stage} (${spec}): ${log.history.at(-1)?.epoch ?? 0} epochs${log.best ? `, best after epoch ${log.best.epoch}` : ''}`,
            ...(score
              ? [
                  `  ${score.metric} ${percent(score.value)} (n ${score.n}, ${score.decisions} decisions)`,
                  ...score.perClass.map(row => `    ${row.label} ${percent(row.value)} (n ${row.n})`),
                ]
              : []),
          ].join('\n'),
    )
    .join('\n');

function pruningWords({ curve, unpruned, measured }: PruningView): string {
  const share = (part: number, whole: number) => percent(part / whole);
  const rows = curve.budgets.flatMap(({ macs }) =>
    macs ? [[macs.threshold.toPrecision(4), scaled(macs.macs, 'MACs'), share(macs.macs, curve.macs), scaled(macs.parameters), share(macs.parameters, curve.parameters)]] : [],
  );
  return [
    table([['threshold', 'MACs', 'kept', 'parameters', 'kept'], ['0', scaled(curve.macs, 'MACs'), '100 %', scaled(curve.parameters), '100 %'], ...rows]),
    ...(unpruned ? [`unpruned: ${unpruned.metric} ${percent(unpruned.value)} (n ${unpruned.n})`] : []),
    ...measured.map(point => `measured at ${share(point.macs, curve.macs)} of the MACs, ${point.stage}: ${percent(point.value)} (n ${point.n})`),
    ...(measured.length === 0 ? ['No pruned network was evaluated yet. Do it with: edgeforge run prune'] : []),
  ].join('\n');
}
