import { Worker } from 'node:worker_threads';
import { EdgeError, type ErrorCode } from '../core/errors.ts';
import { siblingModule } from '../core/package-root.ts';
import type { Tensor } from '../graph/ir.ts';
import { openLooped } from './_looped.ts';
import { openResident } from './_resident.ts';
import { copyOf, inTurn, type Tensors, wantAll } from './_state.ts';
import type { StateSlot } from './lowering.ts';
import { openSession, type SessionOptions } from './session.ts';

export { stateReader } from './_resident.ts';
export type { Tensors } from './_state.ts';

/** A session some of whose outputs become inputs of the next run: the weights and slots of a training step stay with the engine. */
export interface StatefulSession {
  /** Runs once and moves the state on; returns the outputs that are not state. */
  run(feeds: Tensors): Promise<Tensors>;
  /** The same for several feeds, in order; a looped model takes them all in one call, and `before` then is the state ahead of that call. */
  runMany(steps: readonly Tensors[]): Promise<readonly Tensors[]>;
  /** Sets the state, by input name, in the model's own layout; `given`: the buffers become the session's, which writes to them and copies none. */
  load(state: Tensors, given?: boolean): Promise<void>;
  /** The state now, or (`before`) as it was ahead of the latest run. */
  save(when?: 'now' | 'before'): Promise<Tensors>;
  close(): Promise<void>;
}

export interface StatefulOptions extends SessionOptions {
  readonly state: readonly StateSlot[];
  /** The model is one of `loopSteps`: it takes many steps per call. */
  readonly looped?: boolean;
  /** Bytes of `stateReader`'s model: the state stays on the GPU and this reads it. */
  readonly reader?: Uint8Array;
}

/** Opens a stateful session in this thread: its runs block the thread. */
export async function openStateful(model: Uint8Array, options: StatefulOptions): Promise<StatefulSession> {
  if (options.reader !== undefined) return openResident(model, options.reader, options);
  const session = await openHosted(model, options);
  return options.looped ? openLooped(session) : session;
}

/** State in the host's memory. */
async function openHosted(model: Uint8Array, options: StatefulOptions): Promise<StatefulSession> {
  const session = await openSession(model, options);
  let now = new Map<string, Tensor>();
  let before = now;
  // Two sets of buffers take turns: outputs made afresh would be new pages at every step, and page faults cost more than the arithmetic on them.
  let spare: Map<string, Tensor> | undefined;
  const moved = new Set(options.state.map(slot => slot.output));
  const run: StatefulSession['run'] = async feeds => {
    const target = spare ?? new Map(options.state.map(slot => [slot.input, emptyLike(now.get(slot.input) as Tensor)]));
    const into = new Map(options.state.map(slot => [slot.output, target.get(slot.input) as Tensor]));
    const results = await session.run(new Map([...feeds, ...now]), undefined, into);
    before = now;
    spare = now;
    now = new Map(options.state.map(slot => [slot.input, results.get(slot.output) as Tensor]));
    return new Map([...results].filter(([name]) => !moved.has(name)));
  };
  return {
    run,
    runMany: inTurn(run),
    async load(state, given = false) {
      wantAll(options.state, state);
      now = new Map(options.state.map(({ input }) => [input, given ? (state.get(input) as Tensor) : copyOf(state.get(input) as Tensor)]));
      before = now;
      spare = undefined;
    },
    save: async (when = 'now') => new Map([...(when === 'now' ? now : before)].map(([name, tensor]) => [name, copyOf(tensor)])),
    close: () => session.close(),
  };
}

const emptyLike = ({ dataType, dims, data }: Tensor): Tensor => ({ dataType, dims, data: new Float32Array(data.length) });

/** What travels to the worker thread and back. */
export type StatefulRequest =
  | { readonly type: 'open'; readonly model: Uint8Array; readonly options: StatefulOptions }
  | { readonly type: 'run'; readonly steps: readonly Tensors[] }
  | { readonly type: 'load'; readonly tensors: Tensors }
  | { readonly type: 'save'; readonly when: 'now' | 'before' }
  | { readonly type: 'close' };
export type StatefulReply =
  | { readonly type: 'done'; readonly tensors?: readonly Tensors[] }
  | { readonly type: 'failed'; readonly code: ErrorCode; readonly message: string; readonly hint: string };

/** The same in a worker thread of its own, so that this thread prepares the next batch meanwhile. One call at a time. */
export async function openStatefulThread(model: Uint8Array, options: StatefulOptions): Promise<StatefulSession> {
  const worker = new Worker(siblingModule(import.meta.url, '_stateful-worker'));
  // One answer is waited for at a time. A race against a promise of the thread's end would keep every answer, whole states among them, as long as the thread lives.
  let waiting: PromiseWithResolvers<StatefulReply> | undefined;
  let gone: Error | undefined;
  const end = (error: Error) => {
    gone ??= error;
    waiting?.reject(gone);
  };
  worker.on('message', (reply: StatefulReply) => waiting?.resolve(reply));
  worker.once('error', end);
  worker.once('exit', code => end(new EdgeError('internal', `The training thread ended with code ${code}.`, { hint: 'Look into the log of this step.' })));
  const ask = async (request: StatefulRequest): Promise<readonly Tensors[]> => {
    if (gone) throw gone;
    waiting = Promise.withResolvers();
    worker.postMessage(request);
    const reply = await waiting.promise;
    waiting = undefined;
    if (reply.type === 'failed') throw new EdgeError(reply.code, reply.message, { hint: reply.hint });
    return reply.tensors ?? [];
  };
  try {
    await ask({ type: 'open', model, options });
  } catch (error) {
    await worker.terminate();
    throw error;
  }
  return {
    run: async feeds => (await ask({ type: 'run', steps: [feeds] }))[0] ?? new Map(),
    runMany: steps => ask({ type: 'run', steps }),
    load: async state => void (await ask({ type: 'load', tensors: state })),
    save: async (when = 'now') => (await ask({ type: 'save', when }))[0] ?? new Map(),
    async close() {
      await ask({ type: 'close' });
      await worker.terminate();
    },
  };
}
