import type { z } from 'zod';
import { EdgeError } from './errors.ts';
import type { LogLevel } from './events.ts';
import { canonical, type Digest, type Json } from './fingerprint.ts';

/** What an artifact is. A step that wants a `network` cannot be handed a `dataset`. */
export type Kind =
  | 'images'
  | 'dataset'
  | 'tfrecords'
  | 'network'
  | 'onnx'
  | 'etlt'
  | 'ranges'
  | 'calibration-cache'
  | 'tensors'
  | 'passport'
  | 'measurement'
  | 'score'
  | 'deepstream'
  | 'training-log'
  | 'prune-report'
  | 'report'
  | 'release'
  | 'pretrained';
/** An input: one artifact, one that may be absent (`'ranges?'`), or any number of them in order (`'measurement[]'`). */
export type Port = Kind | `${Kind}?` | `${Kind}[]`;
export type Ports = Readonly<Record<string, Port>>;
/** Outputs are always there; each is one file or one folder, as the step writes it. */
export type OutputPorts = Readonly<Record<string, Kind>>;

declare const made: unique symbol;
/** One output of one step of a recipe. Only `Recipe.add` makes them, so a cycle cannot be written. */
export interface Artifact<K extends Kind = Kind> {
  readonly [made]: true;
  readonly kind: K;
  readonly node: RecipeNode;
  readonly output: string;
}

type OptionalName<I extends Ports> = { [Name in keyof I]: I[Name] extends `${Kind}?` ? Name : never }[keyof I];
type KindOf<P extends Port> = P extends `${infer K extends Kind}?` ? K : P extends `${infer K extends Kind}[]` ? K : P extends Kind ? P : never;
type Shaped<P extends Port, One> = P extends `${Kind}[]` ? readonly One[] : One;
/** Inputs as `add` takes them: a handle, a list of handles, or (for `?`) nothing. */
export type Wires<I extends Ports> = { readonly [Name in Exclude<keyof I, OptionalName<I>>]: Shaped<I[Name], Artifact<KindOf<I[Name]>>> } & {
  readonly [Name in OptionalName<I>]?: Artifact<KindOf<I[Name]>> | undefined;
};
/** Inputs as a step sees them, `One` being a path or a digest. */
export type Given<I extends Ports, One> = { readonly [Name in Exclude<keyof I, OptionalName<I>>]: Shaped<I[Name], One> } & { readonly [Name in OptionalName<I>]?: One };

export interface StepContext<Config, I extends Ports, O extends OutputPorts> {
  /** The step's id in its recipe. */
  readonly step: string;
  readonly config: Config;
  /** Where each input lies. Read only. */
  readonly inputs: Given<I, string>;
  /** Content digests of the inputs (a folder's is its tree's). */
  readonly digests: Given<I, Digest>;
  /** Where each output must be written, as a file or a folder. Empty when the step starts. */
  readonly outputs: { readonly [Name in keyof O]: string };
  /** The step's own folder. It outlives a crash, so a killed training finds its checkpoint; it goes when the step succeeds. */
  readonly scratch: string;
  readonly signal: AbortSignal;
  readonly progress: (done: number, total: number, metrics?: Readonly<Record<string, number>>, unit?: string) => void;
  readonly log: (level: LogLevel, message: string) => void;
  /** What this step made the last time, where it is still in the store, and what has changed since. For words only: outputs must not follow from it. */
  readonly previous: () => Promise<{ readonly at: string; readonly outputs: { readonly [Name in keyof O]?: string }; readonly changes: readonly string[] } | undefined>;
  /** An accepted deviation from the wish. Stored with the result and told again when it is recalled. */
  readonly note: (message: string) => void;
}

/** What `recall` may look at: the settings and where the recorded outputs lie. */
export interface RecallContext<Config, O extends OutputPorts> {
  readonly step: string;
  readonly config: Config;
  readonly outputs: { readonly [Name in keyof O]: string };
  readonly signal: AbortSignal;
}

export interface Step<S extends z.ZodType, I extends Ports, O extends OutputPorts> {
  readonly name: string;
  /** Raise it when the same inputs should now give other outputs. */
  readonly version?: number;
  readonly config: S;
  readonly inputs: I;
  readonly outputs: O;
  /** The part of the settings that decides the outputs (default: all). Leave out how a device is reached; keep what it is. */
  identity?(config: z.output<S>): unknown;
  /** Steps that name the same resource never overlap: `device:<id>`, `cpu:<machine>`. */
  exclusive?(config: z.output<S>): readonly string[];
  /** Asked when a record exists and its outputs are here: does what they stand for still exist elsewhere? Throws `device-unreachable` where nobody can tell. */
  recall?(context: RecallContext<z.output<S>, O>): Promise<'valid' | 'gone'>;
  run(context: StepContext<z.output<S>, I, O>): Promise<void>;
}

/** A step whose settings and ports are no longer known to the compiler: what a recipe holds. */
export interface ErasedStep {
  readonly name: string;
  readonly version?: number;
  readonly inputs: Ports;
  readonly outputs: OutputPorts;
  identity?(config: unknown): unknown;
  exclusive?(config: unknown): readonly string[];
  recall?(context: RecallContext<unknown, OutputPorts>): Promise<'valid' | 'gone'>;
  run(context: StepContext<unknown, Ports, OutputPorts>): Promise<void>;
}
export interface RecipeNode {
  readonly id: string;
  readonly step: ErasedStep;
  readonly config: unknown;
  /** What of the settings enters the fingerprint; plain JSON. */
  readonly identity: Json;
  readonly inputs: Readonly<Record<string, Artifact | readonly Artifact[]>>;
}

/** Types a step; returns it unchanged. */
export const defineStep = <S extends z.ZodType, const I extends Ports, const O extends OutputPorts>(step: Step<S, I, O>): Step<S, I, O> => step;

const isList = (value: Artifact | readonly Artifact[]): value is readonly Artifact[] => Array.isArray(value);
/** The artifacts that a node reads, in the order of its ports. */
export const readsOf = (node: RecipeNode): Artifact[] => Object.values(node.inputs).flatMap(input => (isList(input) ? [...input] : [input]));
/** The same inputs with each artifact replaced. */
export function mapInputs<T>(node: RecipeNode, replace: (artifact: Artifact) => T): Record<string, T | T[]> {
  return Object.fromEntries(Object.entries(node.inputs).map(([name, input]) => [name, isList(input) ? input.map(replace) : replace(input)]));
}

/** What the compiler checks, for callers that have none. */
function checkPort(id: string, name: string, port: Port, input: Artifact | readonly Artifact[] | undefined): void {
  if (input === undefined && port.endsWith('?')) return;
  const artifacts = input === undefined ? [] : isList(input) ? input : [input];
  const fits = (input !== undefined && isList(input)) === port.endsWith('[]') && (input !== undefined || port.endsWith('[]'));
  const kind = port.replace(/\?$|\[\]$/, '');
  const odd = artifacts.find(artifact => artifact.kind !== kind);
  if (fits && !odd) return;
  throw new EdgeError('internal', `"${id}" wants ${port} as "${name}", not ${odd?.kind ?? (input === undefined ? 'nothing' : 'this')}.`, {
    hint: 'Wire it to an output of that kind.',
  });
}

/** A build: steps and what each of them reads. Nodes stand in an order in which they could run. */
export class Recipe {
  readonly #nodes: RecipeNode[] = [];

  get nodes(): readonly RecipeNode[] {
    return this.#nodes;
  }

  /** Adds a step under an id that is its alone (default: the step's name); returns handles to its outputs. Settings that do not fit throw `project-invalid`. */
  add<S extends z.ZodType, I extends Ports, O extends OutputPorts>(
    step: Step<S, I, O>,
    { id = step.name, config, inputs }: { readonly id?: string; readonly config: NoInfer<z.input<S>>; readonly inputs: NoInfer<Wires<I>> },
  ): { readonly [Name in keyof O]: Artifact<O[Name]> } {
    if (this.#nodes.some(node => node.id === id)) {
      throw new EdgeError('project-invalid', `Two steps are called "${id}".`, { hint: 'Give one of them another id.', where: { path: id } });
    }
    const parsed = step.config.safeParse(config);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      const path = [id, ...(issue?.path ?? [])].join('.');
      throw new EdgeError('project-invalid', `${path}: ${issue?.message ?? 'does not fit'}.`, {
        hint: `Correct ${path} and run the same command again.`,
        where: { path },
        cause: parsed.error,
      });
    }
    const wired: Record<string, Artifact | readonly Artifact[]> = {};
    for (const [name, input] of Object.entries(inputs as Readonly<Record<string, Artifact | readonly Artifact[] | undefined>>)) if (input !== undefined) wired[name] = input;
    const erased = step as unknown as ErasedStep;
    const identity = JSON.parse(canonical(erased.identity ? erased.identity(parsed.data) : parsed.data)) as Json;
    const node: RecipeNode = { id, step: erased, config: parsed.data, identity, inputs: wired };
    for (const [name, port] of Object.entries(erased.inputs)) checkPort(id, name, port, wired[name]);
    for (const { node: from, output } of readsOf(node)) {
      if (!this.#nodes.includes(from))
        throw new EdgeError('internal', `"${id}" reads "${output}" of "${from.id}", which belongs to another recipe.`, { hint: 'Add both steps to one recipe.' });
    }
    this.#nodes.push(node);
    const handles = Object.entries(step.outputs).map(([output, kind]) => [output, { kind, node, output }]);
    return Object.fromEntries(handles) as { readonly [Name in keyof O]: Artifact<O[Name]> };
  }
}
