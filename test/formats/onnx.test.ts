import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readOnnx, writeOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { type DataType, type F64Tensor, f32, type Graph, i64, int, ints, sizeOf, type Tensor } from '../../src/graph/ir.ts';
import { Random } from '../graph/_cases.ts';
import { distance, runOnnxruntime } from '../graph/_onnxruntime.ts';
import { refusal } from '../refusal.ts';
import { hasShared, shared } from '../shared.ts';

const codeOf = (run: () => unknown): string => refusal(run)?.code ?? 'none';
/** A protobuf field with a length. */
const field = (number: number, bytes: Uint8Array | readonly number[]): number[] => {
  const length: number[] = [];
  for (let n = bytes.length; ; n >>>= 7) {
    length.push(n > 127 ? (n & 127) | 128 : n);
    if (n <= 127) break;
  }
  return [(number << 3) | 2, ...length, ...bytes];
};
const varint = (number: number, value: number): number[] => [number << 3, value];
const ascii = (text: string): number[] => [...new TextEncoder().encode(text)];
const modelOf = (graph: readonly number[]): Uint8Array => Uint8Array.from([...varint(1, 3), ...field(8, varint(2, 9)), ...field(7, graph)]);
const valueInfo = (name: string, size: number): number[] => [...field(1, ascii(name)), ...field(2, field(1, [...varint(1, 1), ...field(2, field(1, varint(1, size)))]))];
const floatBytes = (...values: number[]): number[] => [...new Uint8Array(Float32Array.from(values).buffer)];
const addNode = field(1, [...field(1, ascii('x')), ...field(1, ascii('w')), ...field(2, ascii('y')), ...field(4, ascii('Add'))]);
const faces = [...field(11, valueInfo('x', 2)), ...field(12, valueInfo('y', 2))];

describe('ONNX files', () => {
  const small = (): Graph => {
    const b = new Builder('small');
    b.input('x', 'float32', ['N', 3]);
    b.weight(
      'w',
      f32(
        [4, 3],
        Array.from({ length: 12 }, (_, i) => i / 7),
      ),
    );
    b.op('Gemm', ['x', 'w'], { transB: int(1) }, { output: 'y' });
    b.output('y', 'float32', ['N', 4]);
    b.metadata = { z: '1', a: 'ü' };
    return b.graph();
  };

  it('reads back what it wrote, and equal graphs give equal bytes', () => {
    const graph = small();
    const bytes = writeOnnx(graph);
    const again = readOnnx(bytes);
    expect(again).toEqual(graph);
    expect(writeOnnx(again)).toEqual(bytes);
    const [first] = graph.nodes;
    const turned = { ...graph, nodes: [{ ...first, attributes: Object.fromEntries(Object.entries(first?.attributes ?? {}).reverse()) }] } as Graph;
    expect(writeOnnx({ ...turned, metadata: { a: 'ü', z: '1' } })).toEqual(bytes);
  });

  it('keeps every element type and attribute kind, subgraphs and numbers at the edge', () => {
    const types: readonly (readonly [DataType, Tensor['data']])[] = [
      ['uint8', Uint8Array.of(0, 255)],
      ['int8', Int8Array.of(-128, 127)],
      ['uint16', Uint16Array.of(0, 65535)],
      ['int16', Int16Array.of(-32768, 5)],
      ['int32', Int32Array.of(-(2 ** 31), 7)],
      ['uint32', Uint32Array.of(2 ** 32 - 1, 7)],
      ['int64', BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n)],
      ['uint64', BigUint64Array.of(0n, 2n ** 64n - 1n)],
      ['bool', Uint8Array.of(0, 1)],
      ['float16', Uint16Array.of(0x3c00, 0x7c00)],
      ['float64', Float64Array.of(Math.PI, -0)],
      ['float32', Float32Array.of(Number.NaN, Number.NEGATIVE_INFINITY)],
    ];
    const b = new Builder('all');
    for (const [dataType, data] of types) b.weight(`w_${dataType}`, { dataType, dims: [2], data });
    const inner = small();
    b.ops(
      'Odd',
      ['w_int8', '', 'w_bool'],
      {
        i: int(-3),
        f: { type: 'float', value: 0.5 },
        s: { type: 'string', value: 'héllo' },
        is: ints([1, -1, 2 ** 40]),
        fs: { type: 'floats', value: [1.5] },
        ss: { type: 'strings', value: ['a', ''] },
        t: { type: 'tensor', value: i64([1, 2]) },
        g: { type: 'graph', value: { ...inner, metadata: {} } },
      },
      { outputs: ['out', ''], name: 'odd', domain: 'com.example' },
    );
    b.output('out', 'float32', [2]);
    expect(readOnnx(writeOnnx(b.graph()))).toEqual({
      ...b.graph(),
      nodes: b.graph().nodes.map(n => ({ ...n, attributes: { ...n.attributes, g: { type: 'graph', value: { ...inner, opsets: b.graph().opsets, metadata: {} } } } })),
    });
  });

  it('reads typed fields, and initializers that are also inputs', () => {
    const w = field(5, [...varint(1, 2), ...varint(2, 1), ...field(4, floatBytes(1.5, -2)), ...field(8, ascii('w'))]);
    const graph = readOnnx(modelOf([...addNode, ...w, ...field(11, valueInfo('w', 2)), ...faces]));
    expect(graph.inputs.map(i => i.name)).toEqual(['x']);
    expect(graph.initializers.get('w')).toEqual(f32([2], [1.5, -2]));
    expect(graph.opsets).toEqual({ '': 9 });
  });

  it('takes unaligned bytes', () => {
    const raw = (pad: number) => field(5, [...varint(1, 2), ...varint(2, 1), ...field(8, ascii('w'.padEnd(1 + pad, '_'))), ...field(9, floatBytes(3, 4))]);
    for (let pad = 0; pad < 4; pad++) {
      const node = field(1, [...field(1, ascii('x')), ...field(1, ascii('w'.padEnd(1 + pad, '_'))), ...field(2, ascii('y')), ...field(4, ascii('Add'))]);
      expect(readOnnx(modelOf([...node, ...raw(pad), ...faces])).initializers.get('w'.padEnd(1 + pad, '_'))?.data).toEqual(Float32Array.of(3, 4));
    }
  });

  it('asks for external data by location and checks its bounds', () => {
    const entry = (key: string, value: string) => field(13, [...field(1, ascii(key)), ...field(2, ascii(value))]);
    const outside = (location: string, offset = '4', length = '8') =>
      modelOf([
        ...addNode,
        ...faces,
        ...field(5, [
          ...varint(1, 2),
          ...varint(2, 1),
          ...field(8, ascii('w')),
          ...entry('location', location),
          ...entry('offset', offset),
          ...entry('length', length),
          ...varint(14, 1),
        ]),
      ]);
    const file = Uint8Array.from(floatBytes(9, 1, 2));
    expect(readOnnx(outside('w.bin'), { externalData: () => file }).initializers.get('w')?.data).toEqual(Float32Array.of(1, 2));
    expect(codeOf(() => readOnnx(outside('w.bin')))).toBe('file-missing');
    expect(codeOf(() => readOnnx(outside('../w.bin'), { externalData: () => file }))).toBe('file-corrupt');
    expect(codeOf(() => readOnnx(outside('/etc/passwd'), { externalData: () => file }))).toBe('file-corrupt');
    expect(codeOf(() => readOnnx(outside('w.bin', '8'), { externalData: () => file }))).toBe('file-corrupt');
    expect(codeOf(() => readOnnx(outside('w.bin', '-4'), { externalData: () => file }))).toBe('file-corrupt');
    expect(codeOf(() => readOnnx(outside('w.bin', '0', '4'), { externalData: () => file }))).toBe('file-corrupt');
  });

  it('sorts nodes, and refuses cycles, unknown values and wrong sizes', () => {
    const node = (from: string, to: string) => field(1, [...field(1, ascii(from)), ...field(2, ascii(to)), ...field(4, ascii('Relu'))]);
    expect(readOnnx(modelOf([...node('a', 'y'), ...node('x', 'a'), ...faces])).nodes.map(n => n.outputs[0])).toEqual(['a', 'y']);
    expect(codeOf(() => readOnnx(modelOf([...node('a', 'y'), ...node('y', 'a'), ...faces])))).toBe('graph-invalid');
    expect(codeOf(() => readOnnx(modelOf([...node('nowhere', 'y'), ...faces])))).toBe('graph-invalid');
    expect(codeOf(() => readOnnx(modelOf([...node('x', 'y'), ...node('x', 'y'), ...faces])))).toBe('graph-invalid');
    const w = (dims: number[], bytes: number[]) => field(5, [...dims.flatMap(d => varint(1, d)), ...varint(2, 1), ...field(8, ascii('w')), ...field(9, bytes)]);
    expect(codeOf(() => readOnnx(modelOf([...addNode, ...faces, ...w([3], floatBytes(1, 2))])))).toBe('file-corrupt');
    expect(
      codeOf(() =>
        readOnnx(
          modelOf([
            ...addNode,
            ...faces,
            ...w(
              Array.from({ length: 20 }, () => 127),
              floatBytes(1),
            ),
          ]),
        ),
      ),
    ).toBe('file-corrupt');
  });

  it('answers damage with an EdgeError, never with a raw exception', () => {
    const bytes = writeOnnx(small());
    expect(codeOf(() => readOnnx(new Uint8Array()))).toBe('file-corrupt');
    fc.assert(
      fc.property(fc.integer(), seed => {
        const r = new Random(seed);
        const broken = bytes.slice(0, r.next() < 0.5 ? bytes.length : r.int(0, bytes.length));
        for (let k = 0; k < r.int(1, 4) && broken.length > 0; k++) broken[r.int(0, broken.length - 1)] = r.int(0, 255);
        codeOf(() => readOnnx(broken));
      }),
      { numRuns: 400, seed: 5 },
    );
    // Graphs inside graphs, deeper than any stack.
    let deep: number[] = [];
    for (let k = 0; k < 400; k++) deep = field(1, [...field(4, ascii('If')), ...field(5, [...field(1, ascii('g')), ...field(6, deep), ...varint(20, 5)])]);
    codeOf(() => readOnnx(modelOf([...deep, ...faces])));
  });
});

describe.skipIf(!hasShared)('the real models', () => {
  const files = hasShared ? readdirSync(shared('models')).filter(name => name.endsWith('.onnx')) : [];
  for (const file of files) {
    it(`${file}: saved, read again and run gives the same`, async () => {
      const original = readFileSync(shared('models', file));
      const graph = readOnnx(original);
      const bytes = writeOnnx(graph);
      const again = readOnnx(bytes);
      expect(again.nodes).toEqual(graph.nodes);
      expect([...again.initializers.keys()]).toEqual([...graph.initializers.keys()]);
      for (const [name, tensor] of graph.initializers)
        expect(
          Buffer.compare(
            Buffer.from(again.initializers.get(name)?.data.buffer as ArrayBuffer, again.initializers.get(name)?.data.byteOffset, tensor.data.byteLength),
            Buffer.from(tensor.data.buffer as ArrayBuffer, tensor.data.byteOffset, tensor.data.byteLength),
          ),
        ).toBe(0);
      const r = new Random(3);
      const feeds = new Map(
        graph.inputs.map(({ name, type }) => [
          name,
          { dims: type.dims as number[], data: Float64Array.from({ length: sizeOf(type.dims as number[]) }, () => Math.fround(r.next() * 2 - 1)) },
        ]),
      );
      // A model that lists its weights as inputs lets onnxruntime optimize less, so exactness is asked of the graph as it stands.
      for (const plain of [true, false]) {
        const before = await runOnnxruntime(original, feeds, graph.inputs, plain);
        const after = await runOnnxruntime(bytes, feeds, graph.inputs, plain);
        expect([...after.keys()]).toEqual([...before.keys()]);
        for (const [name, value] of before) expect(distance(after.get(name) as F64Tensor, value)).toBeLessThanOrEqual(plain ? 0 : 1e-5);
      }
    });
  }
  it('reads 17 MB in well under 100 ms', () => {
    const bytes = readFileSync(shared('models', 'mobilenet_v1_1.0_224_dequantized.onnx'));
    const times = Array.from({ length: 5 }, () => {
      const start = performance.now();
      readOnnx(bytes);
      return performance.now() - start;
    }).sort((a, b) => a - b);
    expect(times[1] as number).toBeLessThan(100);
  });
});
