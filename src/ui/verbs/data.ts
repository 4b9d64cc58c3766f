import { writeFile } from 'node:fs/promises';
import { relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { EdgeError } from '../../core/errors.ts';
import { openProject } from '../../pipeline/project.ts';
import type { Cli } from '../cli.ts';
import { table } from '../output.ts';

interface Common {
  readonly project?: string;
  readonly json?: boolean;
}
interface PreviewOptions extends Common {
  readonly out: string;
  readonly count: number;
  readonly epoch: number;
  readonly seed?: number;
  readonly validation?: boolean;
  readonly plain?: boolean;
}

// Loaded for its verbs only: a look at what is there already should not wait for the image library.
const loadData = () => import('../../pipeline/project-data.ts');

/** check and preview below `data`: a project's dataset before anything learns from it. Common options may stand before or after the verb; the parent takes them. */
export function addDataVerbs(data: Command, cli: Cli): void {
  const verb = (name: string, description: string) =>
    data.command(name).description(description).option('--project <dir>', 'the project (default: the nearest edgeforge.yaml upwards)').option('--json', 'print JSON');

  verb('check', 'decode every image, look at every box and count what each class has to learn from; exit code 1 where something stands in the way of training').action(
    cli.does(async (_: Common, self: Command) => check(self.optsWithGlobals<Common>(), cli)),
  );

  const whole = (name: string, least: number, most: number) => (text: string) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most)
      throw new EdgeError('usage', `--${name} ${text} is no whole number from ${least} to ${most}.`, { hint: `Write for example --${name} 12.` });
    return value;
  };
  verb('preview', 'a contact sheet of training images as the network sees them: resized, augmented, with their boxes')
    .option('--out <file>', 'where the JPEG goes', 'preview.jpg')
    .option('--count <n>', 'how many images', whole('count', 1, 64), 16)
    .option('--epoch <n>', 'of which epoch', whole('epoch', 0, 1e6), 1)
    .option('--seed <n>', 'another seed than the spec’s', whole('seed', 0, 2 ** 31))
    .option('--validation', 'validation images (they are never augmented)')
    .option('--plain', 'without augmentation')
    .action(cli.does(async (_: PreviewOptions, self: Command) => preview(self.optsWithGlobals<PreviewOptions>(), cli)));
}

async function check(options: Common, { output }: Cli): Promise<number> {
  const [{ checkProjectData }, { corruptText }, { validationRows }] = await Promise.all([loadData(), import('../../pipeline/checked-data.ts'), import('../../data/validate.ts')]);
  const { reports, corrupt, classes } = await checkProjectData(openProject({ folder: options.project }));
  const map = (): { readonly labels?: Readonly<Record<string, number>>; readonly notes: readonly string[]; readonly error?: EdgeError } => {
    try {
      const { labels, counts, notes } = classes();
      return { labels: Object.fromEntries(labels.map((label, index) => [label, counts[index] ?? 0])), notes };
    } catch (error) {
      if (error instanceof EdgeError) return { notes: [], error };
      throw error;
    }
  };
  const { labels, notes, error } = map();
  const ok = reports.train.ok && reports.validation.ok && corrupt.length === 0 && error === undefined;
  if (options.json) output.out(JSON.stringify({ ok, ...reports, corrupt, labels, notes, ...(error ? { error } : {}) }, null, 1));
  else {
    for (const part of ['train', 'validation'] as const) output.out(`${part}\n${table(validationRows(reports[part]), '  ')}`);
    if (labels)
      output.out(
        `what the network learns from\n${table(
          Object.entries(labels).map(([label, count]) => [`label ${label}`, String(count)]),
          '  ',
        )}`,
      );
    if (corrupt.length > 0) output.out(corruptText(corrupt));
    for (const note of notes) output.out(`note: ${note}`);
    if (error) output.out(`${error.message}\n  mend: ${error.hint}`);
    output.out(ok ? 'nothing stands in the way of training' : 'mend this before training');
  }
  return ok ? 0 : 1;
}

async function preview(options: PreviewOptions, { output }: Cli): Promise<number> {
  const { count, epoch, seed, validation, plain = false } = options;
  const { previewProjectData } = await loadData();
  const { jpeg, ids, boxes, caption } = await previewProjectData(openProject({ folder: options.project }), {
    count,
    epoch,
    seed,
    part: validation ? 'validation' : 'train',
    plain,
  });
  const file = resolve(options.out);
  await writeFile(file, jpeg);
  if (options.json) output.out(JSON.stringify({ file, ids, boxes, caption }));
  else output.out(`${relative(process.cwd(), file)}: ${caption}${boxes > 0 ? `, ${boxes} boxes` : ''}`);
  return 0;
}
