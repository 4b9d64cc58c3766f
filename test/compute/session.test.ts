import { describe, expect, it } from 'vitest';
import { onnxruntimeVersion, openReference, openSession } from '../../src/compute/session.ts';
import { openStateful, openStatefulThread } from '../../src/compute/stateful-session.ts';
import { writeOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { f32 } from '../../src/graph/ir.ts';

const doubled = () => {
  const b = new Builder();
  b.input('x', 'float32', ['N', 2]);
  b.op('Mul', ['x', b.constant(2)], {}, { output: 'y' });
  b.op('Neg', ['y'], {}, { output: 'z' });
  b.output('y', 'float32', ['N', 2]);
  b.output('z', 'float32', ['N', 2]);
  return b.graph();
};
const feeds = new Map([['x', f32([1, 2], [3, -4])]]);

describe('sessions', () => {
  it('run all outputs or the wanted ones, in onnxruntime and in float64', async () => {
    for (const session of [await openSession(writeOnnx(doubled())), openReference(doubled())]) {
      const all = await session.run(feeds);
      expect([...all.keys()]).toEqual(['y', 'z']);
      expect([...(all.get('z')?.data ?? [])]).toEqual([-6, 8]);
      expect([...(await session.run(feeds, ['y'])).keys()]).toEqual(['y']);
      await session.close();
    }
  });
  it('write into tensors that the caller gives', async () => {
    const session = await openSession(writeOnnx(doubled()));
    const y = f32([1, 2], [0, 0]);
    const results = await session.run(feeds, undefined, new Map([['y', y]]));
    expect([...y.data]).toEqual([6, -8]);
    expect(results.get('y')).toBe(y);
    await session.close();
  });
  it('say what is wrong with a model or a feed', async () => {
    await expect(openSession(new Uint8Array([1, 2, 3]))).rejects.toMatchObject({ code: 'graph-invalid' });
    const session = await openSession(writeOnnx(doubled()));
    await expect(session.run(new Map())).rejects.toMatchObject({ code: 'shape-mismatch' });
    await expect(session.run(new Map([['x', f32([1, 2], [1])]]))).rejects.toMatchObject({ code: 'shape-mismatch' });
    await expect(session.run(new Map([['x', f32([1, 3], [1, 2, 3])]]))).rejects.toMatchObject({ code: 'shape-mismatch' });
    await session.close();
  });
  it('are of the pinned version', () => expect(onnxruntimeVersion()).toBe('1.30.0'));
});

/** count' = count + step. */
const counter = () => {
  const b = new Builder();
  b.input('step', 'float32', [1]);
  b.input('count', 'float32', [1]);
  b.op('Add', ['count', 'step'], {}, { output: 'next' });
  b.op('Neg', ['next'], {}, { output: 'seen' });
  b.output('next', 'float32', [1]);
  b.output('seen', 'float32', [1]);
  return writeOnnx(b.graph());
};
describe('stateful sessions', () => {
  it.each([
    ['here', openStateful],
    ['in a thread', openStatefulThread],
  ] as const)('keep their state, %s', async (_, open) => {
    const session = await open(counter(), { state: [{ input: 'count', output: 'next' }], threads: 1 });
    const start = f32([1], [10]);
    await session.load(new Map([['count', start]]));
    for (const expected of [-12, -14, -16]) expect((await session.run(new Map([['step', f32([1], [2])]]))).get('seen')?.data[0]).toBe(expected);
    const saved = await session.save();
    expect(saved.get('count')?.data[0]).toBe(16);
    expect((await session.save('before')).get('count')?.data[0]).toBe(14);
    await session.run(new Map([['step', f32([1], [1])]]));
    await session.run(new Map([['step', f32([1], [1])]]));
    expect(saved.get('count')?.data[0], 'what was saved stays').toBe(16);
    expect(start.data[0], 'what was loaded stays').toBe(10);
    await expect(session.run(new Map())).rejects.toMatchObject({ code: 'shape-mismatch' });
    await expect(session.load(new Map())).rejects.toMatchObject({ code: 'weights-mismatch' });
    await session.close();
  });
  it('report a model that does not open from the thread', async () => {
    await expect(openStatefulThread(new Uint8Array([9]), { state: [] })).rejects.toMatchObject({ code: 'graph-invalid' });
  });
});
