import { EdgeError } from '../../core/errors.ts';
import type { Precision } from '../../core/evidence.ts';
import { digestOf } from '../../core/fingerprint.ts';
import { type PlannedStep, planRecipe } from '../../core/plan.ts';
import { Store } from '../../core/store.ts';
import { storeRoot } from '../../core/store-root.ts';
import type { EngineSpec, RemotePath } from '../../deploy/device.ts';
import { deviceNamed } from '../../deploy/registry.ts';
import { rehearse } from '../../deploy/work.ts';
import { type BenchmarkSettings, batchesOf, defaultBenchmark, protocolOf } from '../../pipeline/benchmark-section.ts';
import { type DevicePlan, planDevice } from '../../pipeline/deploy-plan.ts';
import { DevicePool, type DevicesOf } from '../../pipeline/device-pool.ts';
import { type GivenModel, openModel } from '../../pipeline/given-model.ts';
import { converts, precisionsOf } from '../../pipeline/model-recipe.ts';
import type { Project } from '../../pipeline/project.ts';
import { type ProjectRecipe, projectRecipe } from '../../pipeline/recipe.ts';
import { projectOf, type RunRequest, requestedRecipe } from '../../pipeline/requested.ts';
import type { Cli } from '../cli.ts';
import { bytesText, durationText, type Output, table } from '../output.ts';

/** Prints, quoted as the transport would send it, every command of a deploy, of the project's network or of a given one; nothing is reached and nothing runs. */
export async function rehearseDeploy(request: RunRequest, output: Output): Promise<number> {
  const project = projectOf(request);
  await using pool = new DevicePool(project, { print: output.out });
  const { precisions, batch, inputs, benchmark } = request.model
    ? await givenWishes(request.model, request.devices ?? [], project.settings.devices)
    : projectWishes(project as Project);
  const protocol = protocolOf(benchmark);
  for (const name of request.devices ?? []) {
    const device = await pool.open(name);
    const specs = precisions.map(precision => ({
      model: 'store/MODEL' as RemotePath,
      modelDigest: digestOf('model'),
      precision,
      batch,
      inputs,
      engine: `${name}-${precision}` as RemotePath,
      threads: protocol.threads,
      ...(precision === 'int8' ? { calibration: { path: 'store/CACHE' as RemotePath, digest: digestOf('cache') } } : {}),
    }));
    await rehearse(device, specs, { ...protocol, batch });
  }
  return 0;
}

interface Wishes {
  readonly precisions: readonly Precision[];
  readonly batch: number;
  readonly inputs: EngineSpec['inputs'];
  readonly benchmark: BenchmarkSettings;
}
function projectWishes({ settings }: Project): Wishes {
  const [batch = 1] = batchesOf(settings.benchmark);
  return { precisions: settings.export.precisions, batch, inputs: { input_1: [batch, 3, 0, 0] }, benchmark: settings.benchmark };
}
async function givenWishes(model: GivenModel, names: readonly string[], known: DevicesOf['settings']['devices']): Promise<Wishes> {
  const opened = await openModel(model);
  if (!opened.graph || names.some(name => converts(opened, { definition: deviceNamed(name, known) })))
    throw new EdgeError('usage', 'The device’s own converter builds this .etlt: its words depend on what lies there.', {
      hint: 'See what would be done with: edgeforge deploy DEVICE --model FILE --plan',
    });
  const inputs = Object.fromEntries(opened.graph.inputs.map(({ name, type }) => [name, type.dims.map((dim, axis) => (axis === 0 ? 1 : Number(dim)))]));
  return { precisions: precisionsOf(opened, model.calibration !== undefined), batch: 1, inputs, benchmark: defaultBenchmark };
}

/** Says what a run would do and why, and which devices do not answer. */
export async function plan(project: Project, steps: readonly string[], json: boolean, { output }: Cli): Promise<number> {
  const store = new Store(storeRoot(project.folder));
  await using pool = new DevicePool(project);
  const { recipe, select, away } = await projectRecipe({ project, pool, store });
  const planned = await planRecipe(recipe, { store, ...(steps.length > 0 ? { only: select(steps) } : {}) });
  if (json) {
    output.out(JSON.stringify({ steps: planned, away }));
    return 0;
  }
  printSteps(planned, away, output);
  return 0;
}

function printSteps(planned: readonly PlannedStep[], away: ProjectRecipe['away'], output: Output): void {
  const marks = { cached: '=', run: '▸', unknown: '?' } as const;
  output.out(table(planned.map(({ step, status, because }) => [marks[status], step, status, because])));
  for (const { name, message, since } of away) output.out(`device ${name} does not answer (${message}); planned with its facts of ${since}`);
  const count = (status: string) => planned.filter(step => step.status === status).length;
  output.out(`${count('run')} to run, ${count('cached')} up to date${count('unknown') > 0 ? `, ${count('unknown')} unknown until the device answers` : ''}`);
}

/** Says what a deploy would run and why, and what it would change on each device that answers. Nothing is written there. */
export async function planDeploy(request: RunRequest, json: boolean, output: Output): Promise<number> {
  const project = projectOf(request);
  const store = new Store(storeRoot(project.folder));
  await using pool = new DevicePool(project);
  const { recipe, away, only } = await requestedRecipe(request, { project, pool, store });
  const planned = await planRecipe(recipe, { store, only });
  const silent = new Set([...away.map(({ name }) => name), ...recipe.nodes.flatMap(({ id, step }) => (step.name === 'reach' ? [id.slice('reach '.length)] : []))]);
  const devices = await Promise.all((request.devices ?? []).filter(name => !silent.has(name)).map(name => planDevice(name, { recipe, planned, pool, store })));
  if (json) {
    output.out(JSON.stringify({ steps: planned, away, devices }));
    return 0;
  }
  printSteps(planned, away, output);
  for (const device of devices) for (const line of deviceLines(device)) output.out(line);
  return 0;
}

/** What changes on one device, a line each. */
function deviceLines({ device, pushes, builds, release, configs, services, unknown }: DevicePlan): readonly string[] {
  const { current, next, changes, because } = release;
  const bytes = pushes.reduce((sum, { send }) => sum + send, 0);
  return [
    '',
    `${device}: ${changes ? `release ${current ?? 'none'} → ${next ?? 'a new one'} (${because})` : `${current === undefined ? 'no release' : `release ${current} stays`} (${because})`}`,
    ...pushes
      .filter(({ send }) => send > 0)
      .map(({ name, bytes, send }) => `  push     ${name}: ${bytesText(send)}${send < bytes ? ` of ${bytesText(bytes)}, the rest is there` : ''}`),
    ...(pushes.length > 0 && bytes === 0 ? ['  push     nothing: all files lie there'] : []),
    ...builds.map(
      ({ step, reason, forecast, refused }) =>
        `  build    ${step.split(' ').slice(2).join(' ')}: ${reason}${forecast ? `; ${forecastText(forecast)}` : ''}${refused ? `; refused: ${refused.message}` : ''}`,
    ),
    ...configs.map(line => `  config   ${line}`),
    ...services.map(line => `  service  ${line}`),
    ...unknown.map(line => `  unknown  ${line}`),
    ...(!changes && pushes.length === 0 && builds.length === 0 ? ['  nothing changes there'] : []),
  ];
}

const forecastText = ({ seconds, basis, peakMB, diskMB }: NonNullable<DevicePlan['builds'][number]['forecast']>): string =>
  `${seconds === undefined ? 'no earlier build tells how long' : `about ${durationText(1000 * seconds)} (${basis})`}, ${peakMB} MB of memory, ${diskMB} MB of disk`;
