import ort from 'onnxruntime-node';
import { writeOnnx } from '../../src/formats/onnx.ts';
import { type F64Tensor, type Graph, sizeOf, type TensorType } from '../../src/graph/ir.ts';
import { fromF64, toF64 } from '../../src/graph/numbers.ts';

/** Runs a model in onnxruntime itself (not through compute, whose judge this is). */
export async function runOnnxruntime(
  model: Graph | Uint8Array,
  feeds: ReadonlyMap<string, F64Tensor>,
  inputs: readonly { readonly name: string; readonly type: TensorType }[],
  plain = false,
): Promise<Map<string, F64Tensor>> {
  const bytes = model instanceof Uint8Array ? model : writeOnnx(model);
  const session = await ort.InferenceSession.create(bytes, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    logSeverityLevel: 4,
    ...(plain ? { graphOptimizationLevel: 'disabled' as const } : {}),
  });
  const fed: Record<string, ort.Tensor> = {};
  for (const { name, type } of inputs) {
    const tensor = fromF64(feeds.get(name) as F64Tensor, type.dataType);
    fed[name] = new ort.Tensor(type.dataType as 'float32', tensor.data as Float32Array, tensor.dims as number[]);
  }
  const results = await session.run(fed);
  await session.release();
  return new Map(
    Object.entries(results).map(([name, t]) => {
      const dims = [...t.dims];
      return [name, sizeOf(dims) === 0 ? { dims, data: new Float64Array() } : toF64({ dims, dataType: t.type as 'float32', data: t.data as Float32Array })];
    }),
  );
}

/** The greatest |a − b| / max(1, |b|) of two tensors. */
export function distance(a: F64Tensor, b: F64Tensor): number {
  if (a.dims.join() !== b.dims.join()) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (let i = 0; i < a.data.length; i++) {
    const [x, y] = [a.data[i] as number, b.data[i] as number];
    if (x === y || (Number.isNaN(x) && Number.isNaN(y))) continue;
    worst = Math.max(worst, Math.abs(x - y) / Math.max(1, Math.abs(y)));
  }
  return worst;
}
