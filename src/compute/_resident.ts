import { Builder } from '../graph/builder.ts';
import type { Graph, Tensor } from '../graph/ir.ts';
import { fed, type OrtSession, type OrtTensor, openOrt, runOrt, tensorOf } from './_onnxruntime.ts';
import { copyOf, inTurn, wantAll } from './_state.ts';
import type { StateSlot } from './lowering.ts';
import type { StatefulOptions, StatefulSession } from './stateful-session.ts';

const copied = (name: string): string => `copy/${name}`;
/** A model that hands its inputs back: the only way in onnxruntime-node to read a buffer of the GPU. */
export function stateReader(graph: Graph, state: readonly StateSlot[]): Graph {
  const builder = new Builder('state reader');
  const types = new Map(graph.inputs.map(({ name, type }) => [name, type]));
  for (const { input } of state) {
    const { dims = [] } = types.get(input) ?? {};
    builder.input(input, 'float32', dims);
    builder.op('Identity', [input], {}, { output: copied(input) });
    builder.output(copied(input), 'float32', dims);
  }
  return builder.graph();
}

/** A session whose state never leaves the GPU: what a run leaves in its buffers is fed to the next one as it lies there. `reader`: the bytes of `stateReader`'s model. */
export async function openResident(model: Uint8Array, reader: Uint8Array, options: StatefulOptions): Promise<StatefulSession> {
  const session = await openOrt(
    model,
    options,
    options.state.map(slot => slot.output),
  );
  let reading: OrtSession | undefined;
  let now = new Map<string, OrtTensor>();
  let before = now;
  const moved = new Set(options.state.map(slot => slot.output));
  const run: StatefulSession['run'] = async feeds => {
    const given = Object.fromEntries(session.inputNames.map(name => [name, now.get(name) ?? fed(name, feeds.get(name))]));
    const results = await runOrt(session, given);
    for (const [name, tensor] of before) if (now.get(name) !== tensor) tensor.dispose?.();
    before = now;
    now = new Map(options.state.map(slot => [slot.input, results[slot.output] as OrtTensor]));
    return new Map(session.outputNames.filter(name => !moved.has(name)).map(name => [name, tensorOf(results[name] as OrtTensor)]));
  };
  return {
    run,
    runMany: inTurn(run),
    async load(state, given = false) {
      wantAll(options.state, state);
      const own = (tensor: Tensor | undefined) => (given || tensor === undefined ? tensor : copyOf(tensor));
      now = new Map(options.state.map(({ input }) => [input, fed(input, own(state.get(input)))]));
      before = now;
    },
    async save(when = 'now') {
      reading ??= await openOrt(reader, { provider: options.provider ?? 'webgpu' });
      const results = await runOrt(reading, Object.fromEntries(when === 'now' ? now : before));
      return new Map(options.state.map(({ input }) => [input, tensorOf(results[copied(input)] as OrtTensor)]));
    },
    async close() {
      if (options.profile !== undefined) session.endProfiling();
      await reading?.release();
      await session.release();
    },
  };
}
