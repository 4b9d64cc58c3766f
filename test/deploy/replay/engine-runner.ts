import { InferenceSession, Tensor } from 'onnxruntime-node';
import { readEngine } from './engine-file.ts';

const half = (value: number): number => new Float16Array([value])[0]!;

/** Runs inputs (raw little-endian float32 by name; a missing one is zeros, as trtexec's are random) and gives the outputs; FP16 and INT8 engines lose digits as FP16 does. */
export async function openEngine(path: string) {
  const { head, onnx } = readEngine(path);
  const session = await InferenceSession.create(onnx, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  return {
    head,
    inputs: session.inputNames,
    outputs: session.outputNames,
    async run(given: ReadonlyMap<string, Uint8Array>): Promise<ReadonlyMap<string, { readonly dims: readonly number[]; readonly values: Float32Array }>> {
      const feeds = Object.fromEntries(
        session.inputNames.map(name => {
          const shape = head.shapes[name]!;
          const size = shape.reduce((product, dim) => product * dim, 1);
          const bytes = given.get(name);
          const values = bytes ? new Float32Array(new Uint8Array(bytes).buffer) : new Float32Array(size);
          if (values.length !== size) throw new Error(`The input ${name} has ${values.length} values, the engine wants ${size}.`);
          return [name, new Tensor('float32', values, [...shape])];
        }),
      );
      const results = await session.run(feeds);
      return new Map(
        session.outputNames.map(name => {
          const { data, dims } = results[name]!;
          const values = data as Float32Array;
          return [name, { dims: dims as readonly number[], values: head.precision === 'fp32' ? values : values.map(half) }];
        }),
      );
    },
  };
}
