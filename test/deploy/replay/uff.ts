// A UFF graph as bytes, written field by field: what NVIDIA's old exporters put into an .etlt, as far as a converter needs it.

const varint = (value: number): number[] => {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
};
const message = (number: number, bytes: readonly number[]): number[] => [...varint(number * 8 + 2), ...varint(bytes.length), ...bytes];
const text = (number: number, value: string): number[] => message(number, [...Buffer.from(value)]);
const node = (id: string, operation: string, inputs: readonly string[], fields: readonly (readonly [string, readonly number[]])[] = []): number[] =>
  message(2, [
    ...text(1, id),
    ...inputs.flatMap(input => text(2, input)),
    ...text(3, operation),
    ...fields.flatMap(([name, data]) => message(4, [...text(1, name), ...message(2, data)])),
  ]);

/** A network of one input and these marked outputs; `dims` are C, H, W. */
export function uffBytes({ input = 'input_1', dims = [3, 8, 8], outputs = ['output_cov/Sigmoid', 'output_bbox/BiasAdd'] } = {}): Uint8Array {
  const shape = message(8, message(1, [-1, ...dims].flatMap(varint)));
  const graph = [
    ...text(1, 'main'),
    ...node(
      input,
      'Input',
      [],
      [
        ['dtype', [...varint(101 * 8), ...varint(131_104)]],
        ['shape', shape],
      ],
    ),
    ...outputs.flatMap(name => node(name, 'Activation', [input])),
    ...outputs.flatMap((name, i) => node(`MarkOutput_${i}`, 'MarkOutput', [name])),
  ];
  return Uint8Array.from([...varint(8), 1, ...varint(16), 1, ...message(3, [...text(1, 'tensorflow_extension'), 16, 2]), ...message(4, graph)]);
}
