import { i64, type Tensor } from '../graph/ir.ts';
import type { Tensors } from './_state.ts';
import { loopCount, loopFeed } from './lowerings/loop.ts';
import type { StatefulSession } from './stateful-session.ts';

/** A session over a looped model, behind the face of the single step. */
export function openLooped(session: StatefulSession): StatefulSession {
  const runMany: StatefulSession['runMany'] = async steps => {
    const [first] = steps;
    if (first === undefined) return [];
    const feeds = [...first.keys()].map((name): [string, Tensor] => [loopFeed(name), stacked(steps.map(step => step.get(name) as Tensor))]);
    const results = await session.run(new Map([...feeds, [loopCount, i64([steps.length], [])]]));
    return steps.map((_, at) => new Map([...results].map(([name, tensor]) => [name, rowOf(tensor, at)])));
  };
  return { ...session, runMany, run: async feeds => (await runMany([feeds]))[0] as Tensors };
}

/** Tensors of one shape, one behind the other along a new first axis. */
function stacked(tensors: readonly Tensor[]): Tensor {
  const { dataType, dims, data } = tensors[0] as Tensor;
  const all = new (data.constructor as new (size: number) => Tensor['data'])(data.length * tensors.length);
  for (const [at, tensor] of tensors.entries()) (all as Float32Array).set(tensor.data as Float32Array, at * data.length);
  return { dataType, dims: [tensors.length, ...dims], data: all };
}
function rowOf({ dataType, dims: [count = 1, ...dims], data }: Tensor, at: number): Tensor {
  const size = data.length / count;
  return { dataType, dims, data: data.slice(at * size, (at + 1) * size) };
}
