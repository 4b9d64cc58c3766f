import { cpSync, mkdtempSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RunEvent, UntimedEvent } from '../../src/core/events.ts';
import { removeReadOnly } from '../../src/core/objects.ts';
import { type PlannedStep, planRecipe } from '../../src/core/plan.ts';
import { type RecipeNode, readsOf } from '../../src/core/recipe.ts';
import { runRecipe } from '../../src/core/run.ts';
import { askRun, type StartedRun, startRun, tailRun } from '../../src/core/run-folder.ts';
import { Store } from '../../src/core/store.ts';
import { stopServed } from '../../src/deploy/serve.ts';
import { DevicePool } from '../../src/pipeline/device-pool.ts';
import { openProject } from '../../src/pipeline/project.ts';
import { projectRecipe } from '../../src/pipeline/recipe.ts';

const template = fileURLToPath(new URL('../../src/pipeline/templates/scenes', import.meta.url));
const runMain = fileURLToPath(new URL('../../src/pipeline/run-main.ts', import.meta.url));
// Runs, trainings and served devices are Node processes that load the same files: compiled once, they start in half the time.
process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), 'edge-compile-cache');

/** The scenes template made so small that its whole line takes seconds. */
export const tinyYaml = `task: detectnet_v2
data:
  scenes: { train: 16, validation: 8, width: 192, height: 128, seed: 7 }
model: { spec: specs/train.txt, width: 0.25, coverageBias: -4 }
prune: { keepMacs: 0.5 }
retrain: { spec: specs/retrain.txt }
export: { precisions: [fp32, int8], calibration: calibration.yaml }
benchmark: { warmUpMs: 20, durationMs: 50, minIterations: 3, rounds: 1, threads: 1, images: 8 }
gate: { dropPoints: 100 }
devices:
  bench-a: { target: linux-x64, serve: true }
  bench-b: { target: linux-x64, serve: true }
`;
const withoutDevices = tinyYaml.slice(0, tinyYaml.indexOf('devices:'));

/** Makes a project from the scenes template tiny: its project file, its calibration, its specs. */
export function shrink(folder: string, { yaml, epochs = 1 }: { readonly yaml: string; readonly epochs?: number }): void {
  writeFileSync(join(folder, 'edgeforge.yaml'), yaml);
  writeFileSync(join(folder, 'calibration.yaml'), 'algorithm: minmax\nimages: 6\nselection: stratified\nseed: 1\n');
  for (const name of ['train', 'retrain']) {
    const file = join(folder, 'specs', `${name}.txt`);
    const text = readFileSync(file, 'utf8')
      .replace('output_image_width: 320', 'output_image_width: 96')
      .replace('output_image_height: 192', 'output_image_height: 64')
      .replace(/num_epochs: \d+/, `num_epochs: ${name === 'train' ? epochs : 1}`)
      .replace(/validation_period_during_training: \d+/, 'validation_period_during_training: 1')
      .replace(/first_validation_epoch: \d+/, 'first_validation_epoch: 1');
    writeFileSync(file, text);
  }
}

/** What one run did. */
export interface Ran {
  readonly exitCode: number;
  readonly events: readonly UntimedEvent[];
  /** Steps that ran, in order, with why. */
  readonly ran: ReadonlyMap<string, string>;
  readonly cached: readonly string[];
  readonly failed: ReadonlyMap<string, { readonly code: string; readonly message: string }>;
  readonly skipped: readonly string[];
  readonly steps: readonly string[];
  readonly milliseconds: number;
  /** Bytes sent to each device that was opened, the handshake apart. */
  readonly sent: Readonly<Record<string, number>>;
}

/** A project in a folder of its own; `dispose` stops its devices and removes it. */
export class TinyProject implements AsyncDisposable {
  folder = mkdtempSync(join(tmpdir(), 'edge-project-'));

  constructor({ devices = true, epochs = 1 }: { readonly devices?: boolean; readonly epochs?: number } = {}) {
    cpSync(template, this.folder, { recursive: true });
    shrink(this.folder, { yaml: devices ? tinyYaml : withoutDevices, epochs });
  }

  get store(): Store {
    return new Store(join(this.folder, '.edgeforge'));
  }
  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }
  write(name: string, text: string): void {
    writeFileSync(this.path(name), text);
  }
  edit(name: string, change: (text: string) => string): void {
    const before = readFileSync(this.path(name), 'utf8');
    const after = change(before);
    if (after === before) throw new Error(`The edit of ${name} changes nothing.`);
    this.write(name, after);
  }

  /** Renames the project's folder. */
  move(): void {
    renameSync(this.folder, `${this.folder}-moved`);
    this.folder = `${this.folder}-moved`;
  }

  /** Runs in this process. */
  async run({ steps = [], devices, signal = new AbortController().signal }: { steps?: string[]; devices?: string[]; signal?: AbortSignal } = {}): Promise<Ran> {
    const startedAt = performance.now();
    const events: UntimedEvent[] = [];
    const project = openProject({ folder: this.folder });
    await using pool = new DevicePool(project);
    const { store } = this;
    const { recipe, select } = await projectRecipe({ project, pool, store, ...(devices ? { devices } : {}) });
    const emit = (event: UntimedEvent) => void events.push(event);
    const { exitCode } = await runRecipe(recipe, { store, emit, signal, ...(steps.length > 0 ? { only: select(steps) } : {}) });
    const milliseconds = performance.now() - startedAt;
    const sent: Record<string, number> = {};
    for (const name of devices ?? Object.keys(project.settings.devices)) {
      const device = await pool.open(name).catch(() => undefined);
      if (device) sent[name] = device.transport.traffic().sent;
    }
    return { exitCode, events, milliseconds, sent, ...outcomes(events) };
  }

  async plan(steps: string[] = []): Promise<{ readonly steps: readonly PlannedStep[]; readonly away: readonly { name: string; since: string }[] }> {
    const project = openProject({ folder: this.folder });
    await using pool = new DevicePool(project);
    const { store } = this;
    const { recipe, select, away } = await projectRecipe({ project, pool, store });
    return { steps: await planRecipe(recipe, { store, ...(steps.length > 0 ? { only: select(steps) } : {}) }), away };
  }

  /** Ids of all steps, and of those that read (through others) what `from` makes, itself included: from the wires alone. */
  async wires(from?: string): Promise<{ readonly all: readonly string[]; readonly downstream: readonly string[] }> {
    const project = openProject({ folder: this.folder });
    await using pool = new DevicePool(project);
    const { recipe } = await projectRecipe({ project, pool, store: this.store });
    const reached = new Set<RecipeNode>();
    for (const node of recipe.nodes) if (node.id === from || readsOf(node).some(artifact => reached.has(artifact.node))) reached.add(node);
    return { all: recipe.nodes.map(node => node.id), downstream: [...reached].map(node => node.id) };
  }

  /** Starts a run as a process of its own. */
  start(steps: string[] = [], devices?: string[]): Promise<StartedRun> {
    return startRun({
      root: this.path('.edgeforge'),
      moduleFile: runMain,
      args: [JSON.stringify({ project: this.folder, steps, ...(devices ? { devices } : {}) })],
      cwd: this.folder,
      command: 'edgeforge run',
    });
  }

  /** The bytes of what a step made last. */
  async output(step: string, name: string): Promise<Buffer> {
    return readFileSync(await this.outputPath(step, name));
  }
  async outputPath(step: string, name: string): Promise<string> {
    const { store } = this;
    const cause = await store.latest(step);
    const recalled = cause && (await store.recall(cause.fingerprint));
    const digest = recalled?.status === 'present' ? recalled.record.outputs[name] : undefined;
    if (digest === undefined) throw new Error(`${step} has no ${name} in the store.`);
    return store.path(digest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of ['bench-a', 'bench-b']) await stopServed(this.folder, name);
    await removeReadOnly(this.folder);
  }
}

/** Which steps of a run ended how. */
export function outcomes(events: readonly UntimedEvent[]): Pick<Ran, 'ran' | 'cached' | 'failed' | 'skipped' | 'steps'> {
  const of = <T extends UntimedEvent['type']>(type: T) => events.filter(event => event.type === type) as Extract<UntimedEvent, { type: T }>[];
  const because = new Map(of('step-started').map(({ step, because }) => [step, because]));
  const finished = of('step-finished');
  return {
    ran: new Map(finished.filter(({ outcome }) => outcome === 'ran').map(({ step }) => [step, because.get(step) ?? ''])),
    cached: finished.filter(({ outcome }) => outcome === 'cached').map(({ step }) => step),
    failed: new Map(of('step-failed').map(({ step, code, message }) => [step, { code, message }])),
    skipped: of('step-skipped').map(({ step }) => step),
    steps: of('run-started')[0]?.steps ?? [],
  };
}

/** Follows a run to its end. */
export async function follow(folder: string, onEvent?: (event: RunEvent) => void): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const event of tailRun(folder)) {
    events.push(event);
    onEvent?.(event);
  }
  return events;
}
export { askRun };
