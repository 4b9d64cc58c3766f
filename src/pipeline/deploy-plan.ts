import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EdgeError } from '../core/errors.ts';
import type { Precision } from '../core/evidence.ts';
import { type Digest, digestOfFile } from '../core/fingerprint.ts';
import type { PlannedStep } from '../core/plan.ts';
import type { Artifact, Recipe, RecipeNode } from '../core/recipe.ts';
import type { Store } from '../core/store.ts';
import { appConfig, installedService, serviceName } from '../deploy/app-unit.ts';
import type { BuildForecast, EngineSpec } from '../deploy/device.ts';
import type { Device } from '../deploy/open-device.ts';
import { type ReleaseFile, releaseManifestSchema } from '../deploy/release-manifest.ts';
import { type DeviceReleases, listReleases, releaseText } from '../deploy/remote-releases.ts';
import { bytesToSend } from '../deploy/remote-store.ts';
import { forecastOf } from '../deploy/work.ts';
import { configChange } from '../formats/config-change.ts';
import { readOnnx } from '../formats/onnx.ts';
import type { DevicePool } from './device-pool.ts';
import { type BuildConfig, type ConvertConfig, cacheForDevice, convertedSpec, engineSpec, givenCacheForDevice, isQuantized } from './engine-source.ts';
import { latestOutput } from './outputs.ts';
import { type ReleasedEngine, releaseFiles } from './release-content.ts';
import { readTensorIndex } from './tensor-folder.ts';

/** What a deploy would change on one device. Nothing is written there to know it. */
export interface DevicePlan {
  readonly device: string;
  /** Files that must lie there, and how many of their bytes are still to be sent. */
  readonly pushes: readonly { readonly name: string; readonly bytes: number; readonly send: number }[];
  readonly builds: readonly {
    readonly step: string;
    readonly precision: Precision;
    readonly batch: number;
    /** Why, in one sentence. */
    readonly reason: string;
    readonly forecast?: Pick<BuildForecast, 'seconds' | 'basis' | 'peakMB' | 'diskMB'>;
    /** Why the build would not even begin. */
    readonly refused?: { readonly message: string; readonly hint: string };
  }[];
  readonly release: { readonly current?: string /** Known where it lies there already. */; readonly next?: string; readonly changes: boolean; readonly because: string };
  /** Differences of the release's texts to the current one's, a line each. */
  readonly configs: readonly string[];
  readonly services: readonly string[];
  /** What cannot be told before other steps have run. */
  readonly unknown: readonly string[];
}

interface Surroundings {
  readonly recipe: Recipe;
  readonly planned: readonly PlannedStep[];
  readonly pool: DevicePool;
  readonly store: Store;
}

/** What a deploy of this recipe would change on the device. Throws what keeps the device from being asked. */
export async function planDevice(name: string, { recipe, planned, pool, store }: Surroundings): Promise<DevicePlan> {
  const device = await pool.open(name);
  const scratch = await mkdtemp(join(tmpdir(), 'edgeforge-plan-'));
  try {
    return await new Planner({ name, device, recipe, planned, store, scratch }).plan();
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

interface Wanted {
  readonly name: string;
  readonly digest: Digest;
  readonly bytes: number;
  readonly archive: boolean;
}

class Planner {
  readonly #name: string;
  readonly #device: Device;
  readonly #recipe: Recipe;
  readonly #status: ReadonlyMap<string, PlannedStep>;
  readonly #store: Store;
  readonly #scratch: string;
  readonly #wanted = new Map<Digest, Wanted>();
  readonly #unknown = new Set<string>();

  constructor(given: {
    readonly name: string;
    readonly device: Device;
    readonly recipe: Recipe;
    readonly planned: readonly PlannedStep[];
    readonly store: Store;
    readonly scratch: string;
  }) {
    this.#name = given.name;
    this.#device = given.device;
    this.#recipe = given.recipe;
    this.#status = new Map(given.planned.map(step => [step.step, step]));
    this.#store = given.store;
    this.#scratch = given.scratch;
  }

  async plan(): Promise<DevicePlan> {
    const { transport, runtime, facts } = this.#device;
    const builds: DevicePlan['builds'][number][] = [];
    for (const node of this.#nodes('build')) if (this.#runs(node)) builds.push(await this.#build(node));
    for (const node of this.#nodes('convert')) if (this.#runs(node)) builds.push(await this.#convert(node));
    for (const node of this.#nodes('infer')) if (this.#runs(node)) await this.#tensors(node);
    const works = ['build', 'convert', 'benchmark', 'infer'].some(step => this.#nodes(step).some(node => this.#runs(node)));
    if (works)
      for (const { name, local, digest, archive } of await runtime.payloads(facts)) this.#want({ name: `runtime (${name})`, digest, bytes: (await stat(local)).size, archive });
    const known = await listReleases(transport);
    const files = await this.#files();
    const release = await this.#release(known);
    const configs = files && release.changes ? await this.#configs(files, known) : [];
    const wanted = [...this.#wanted.values()];
    const send = await bytesToSend(transport, wanted);
    const service = await installedService(transport);
    const asked = this.#nodes('switch').some(({ config }) => (config as { service?: boolean }).service === true);
    return {
      device: this.#name,
      pushes: wanted.map(({ name, bytes }, index) => ({ name, bytes, send: send[index] as number })),
      builds,
      release,
      configs,
      services: service ? (release.changes ? [`${serviceName} restarts`] : []) : asked ? ['a service for deepstream-app is installed and started'] : [],
      unknown: [...this.#unknown],
    };
  }

  #nodes(step: string): readonly RecipeNode[] {
    return this.#recipe.nodes.filter(node => node.step.name === step && (node.config as { identity?: { name: string } }).identity?.name === this.#name);
  }
  #runs(node: RecipeNode): boolean {
    return this.#status.get(node.id)?.status === 'run';
  }
  #want(file: Wanted): void {
    this.#wanted.set(file.digest, file);
  }

  /** Where an artifact lies here, once its step is up to date; else what must run first is noted. */
  async #path(artifact: Artifact, what: string): Promise<{ readonly path: string; readonly digest: Digest } | undefined> {
    const digest = this.#status.get(artifact.node.id)?.status === 'cached' ? await latestOutput(this.#store, artifact) : undefined;
    if (digest !== undefined) return { path: this.#store.path(digest), digest };
    this.#unknown.add(`${what}, before ${artifact.node.id} has run`);
    return undefined;
  }

  async #build(node: RecipeNode): Promise<DevicePlan['builds'][number]> {
    const config = node.config as BuildConfig;
    const source = await this.#source(node);
    if (!source) return this.#line(node);
    const { graph, model, cache } = source;
    for (const file of cache ? [model, cache] : [model]) this.#want(file);
    const spec = engineSpec(config, graph, { model: model.digest, ...(cache ? { calibration: { path: `store/${cache.digest}`, digest: cache.digest } } : {}) });
    return this.#forecast(node, spec, model.bytes);
  }

  async #convert(node: RecipeNode): Promise<DevicePlan['builds'][number]> {
    const config = node.config as ConvertConfig;
    const model = await this.#described('encrypted model', config.model.path);
    const copy = config.calibration && (await givenCacheForDevice(config.calibration.path, join(this.#scratch, 'cache'), this.#device.facts.tensorrt));
    const cache = copy && (await this.#described('calibration cache', copy));
    for (const file of cache ? [model, cache] : [model]) this.#want(file);
    return this.#forecast(node, convertedSpec(config, model.digest, cache ? { path: `store/${cache.digest}`, digest: cache.digest } : undefined), model.bytes);
  }

  #line({ id, config }: RecipeNode) {
    const { precision, batch } = config as BuildConfig | ConvertConfig;
    return { step: id, precision, batch, reason: reasonOf(this.#status.get(id)?.because ?? '') };
  }

  async #forecast(node: RecipeNode, spec: EngineSpec, bytes: number): Promise<DevicePlan['builds'][number]> {
    const line = this.#line(node);
    const forecast = await forecastOf(this.#device, spec, bytes);
    if (forecast instanceof EdgeError) return { ...line, refused: { message: forecast.message, hint: forecast.hint } };
    if (!forecast) return line;
    const { seconds, basis, peakMB, diskMB } = forecast;
    return { ...line, forecast: { peakMB, diskMB, ...(seconds === undefined ? {} : { seconds }), ...(basis === undefined ? {} : { basis }) } };
  }

  /** What an engine is built from, as it would be pushed. */
  async #source(node: RecipeNode, from = node.inputs.onnx as Artifact) {
    const { precision } = node.config as BuildConfig | ConvertConfig;
    const onnx = await this.#path(from, 'the models and what they change');
    if (!onnx) return undefined;
    const graph = readOnnx(await readFile(onnx.path));
    const model = await this.#described(`model for ${precision}`, onnx.path);
    const calibration = node.inputs.cache as Artifact | undefined;
    const ranges = calibration && (await this.#path(calibration, 'the calibration cache'));
    if (calibration && !ranges) return undefined;
    const copy = ranges && (await cacheForDevice(ranges.path, join(this.#scratch, 'cache'), this.#device.facts.tensorrt, graph));
    return { graph, model, ...(copy ? { cache: await this.#described('calibration cache', copy) } : {}) };
  }

  async #described(name: string, path: string): Promise<Wanted> {
    return { name, digest: await digestOfFile(path), bytes: (await stat(path)).size, archive: false };
  }

  async #tensors(node: RecipeNode): Promise<void> {
    const folder = await this.#path(node.inputs.tensors as Artifact, 'the validation tensors');
    if (!folder) return;
    const [input] = Object.values((await readTensorIndex(folder.path)).tensors);
    if (input) this.#want(await this.#described('validation tensors', join(folder.path, input.file)));
  }

  /** The files of the release as they would be, where all that they follow from is known. */
  async #files(): Promise<readonly ReleaseFile[] | undefined> {
    const [release] = this.#nodes('release');
    if (!release) return undefined;
    const engines: ReleasedEngine[] = [];
    for (const [index, { node }] of (release.inputs.passports as readonly Artifact[]).entries()) {
      // A converter's engine has no ONNX of its own: the release names one.
      const source = await this.#source(node, (release.inputs.models as readonly Artifact[])[index]);
      if (!source) return undefined;
      // The release's own step brings what is not there any more.
      if (this.#runs(release)) for (const file of source.cache ? [source.model, source.cache] : [source.model]) this.#want(file);
      const { precision, batch } = node.config as BuildConfig | ConvertConfig;
      engines.push({ precision, batch, quantized: isQuantized(source.graph), model: source.model, ...(source.cache ? { calibration: source.cache } : {}) });
    }
    const network = await this.#path(release.inputs.network as Artifact, 'the labels and configs');
    if (!network) return undefined;
    const { name, deepstream } = release.config as { readonly name: string; readonly deepstream: Parameters<typeof releaseFiles>[0]['deepstream'] };
    return releaseFiles({ name, deepstream, graph: readOnnx(await readFile(network.path)), runtime: this.#device.runtime.name, engines });
  }

  async #release({ current, releases }: DeviceReleases): Promise<DevicePlan['release']> {
    const [release] = this.#nodes('release');
    const [place] = this.#nodes('switch');
    const now = current === undefined ? {} : { current };
    if (!release) return { ...now, changes: false, because: 'none is made of a network that cannot be read here' };
    const state = (node: RecipeNode | undefined) => node && this.#status.get(node.id);
    const made = release && state(release)?.status === 'cached' ? await latestOutput(this.#store, { kind: 'release', node: release, output: 'release' } as Artifact) : undefined;
    const next = made && releaseManifestSchema.parse(JSON.parse(await readFile(this.#store.path(made), 'utf8'))).id;
    if (next !== undefined && next === current) return { ...now, next, changes: false, because: 'the current release has just this content' };
    if (next !== undefined && releases.some(({ id }) => id === next)) return { ...now, next, changes: true, because: `it is there already; ${state(place)?.because ?? ''}` };
    return { ...now, changes: true, because: current === undefined ? 'the first release' : `a new one, if the gate passes: ${state(release)?.because ?? ''}` };
  }

  async #configs(files: readonly ReleaseFile[], { current, releases }: DeviceReleases): Promise<readonly string[]> {
    // A YAML twin says what its text says.
    const texts = new Map(files.flatMap(each => ('text' in each && !each.file.endsWith('.yml') ? [[each.file, each.text]] : [])));
    const linked = new Set(files.map(({ file }) => file));
    const before =
      releases.find(({ id }) => id === current)?.files.filter(({ file }) => texts.has(file) || !(linked.has(file) || file === appConfig || file.endsWith('.yml'))) ?? [];
    const changes: (string | undefined)[] = [];
    for (const file of new Set([...texts.keys(), ...before.map(({ file }) => file)])) {
      const old = current !== undefined && before.some(each => each.file === file) ? await releaseText(this.#device.transport, current, file) : undefined;
      changes.push(configChange(file, old, texts.get(file)));
    }
    return changes.filter(line => line !== undefined);
  }
}

/** A step's reason in the words of engines. */
export function reasonOf(because: string): string {
  if (because === 'never ran') return 'new on this device';
  if (/\bthe engine is gone\b/.test(because)) return 'it is gone from the device';
  const [, before, after] = /identity\.runtime tensorrt (\S+) → tensorrt ([^\s,]+)/.exec(because) ?? [];
  if (before !== undefined) return `TensorRT changed: ${before} → ${after}`;
  if (/\binput onnx (changed|may change)/.test(because)) return because.includes('may') ? `the model may change: ${because}` : 'the model changed';
  if (/\binput cache\b/.test(because)) return 'the calibration changed';
  if (/identity\.(l4t|sm|device)\b/.test(because)) return `the device changed: ${because}`;
  return because;
}
