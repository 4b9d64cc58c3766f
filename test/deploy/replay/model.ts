import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EngineSpec, Passport } from '../../../src/deploy/device.ts';
import type { Device } from '../../../src/deploy/open-device.ts';
import { buildEngine, pushFile, type WorkOptions } from '../../../src/deploy/work.ts';
import { cacheFor } from '../../../src/formats/calibration-cache.ts';
import { writeOnnx } from '../../../src/formats/onnx.ts';
import { Builder } from '../../../src/graph/builder.ts';
import { f32, ints } from '../../../src/graph/ir.ts';

/** A network of three convolutions over [N, 3, 8, 8], the batch open, or fixed where `batch` says so. */
export function smallModel(batch: number | 'N' = 'N'): Uint8Array {
  const b = new Builder('small');
  const weight = (name: string, dims: readonly number[]): string => {
    const size = dims.reduce((product, dim) => product * dim, 1);
    return b.weight(
      name,
      f32(
        dims,
        Float32Array.from({ length: size }, (_, i) => Math.sin(i * 1.7 + size) / 4),
      ),
    );
  };
  const conv = (input: string, name: string, to: number, from: number): string =>
    b.op(
      'Conv',
      [input, weight(`${name}.w`, [to, from, 3, 3]), weight(`${name}.b`, [to])],
      { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]) },
      { name, output: `${name}/out` },
    );
  b.input('input_1', 'float32', [batch, 3, 8, 8]);
  const first = b.op('Relu', [conv('input_1', 'conv1', 4, 3)], {}, { name: 'relu1', output: 'relu1/out' });
  const second = b.op('Relu', [conv(first, 'conv2', 8, 4)], {}, { name: 'relu2', output: 'relu2/out' });
  b.op('Sigmoid', [conv(second, 'head', 2, 8)], {}, { name: 'sigmoid', output: 'output_cov' });
  b.output('output_cov', 'float32', [batch, 2, 8, 8]);
  return writeOnnx(b.graph());
}
/** Ranges of all its tensors, as a calibration gives them. */
export const smallRanges = Object.fromEntries(['input_1', 'conv1/out', 'relu1/out', 'conv2/out', 'relu2/out', 'head/out', 'output_cov'].map((name, i) => [name, { amax: 1 + i }]));

export interface SmallBuild extends Partial<EngineSpec>, WorkOptions {
  /** Bytes of the model, else `smallModel()`. */
  readonly onnx?: Uint8Array;
  /** The TensorRT in the cache's header, else the device's own. */
  readonly cacheOf?: string;
}
/** Pushes the small model (and for INT8 a cache for that board's TensorRT) and builds one engine of it. */
export async function buildSmall(device: Device, folder: string, { onnx = smallModel(), cacheOf, signal, onProgress, ...more }: SmallBuild = {}): Promise<Passport> {
  const [model, cache] = [join(folder, 'model.onnx'), join(folder, `cache-${device.name}`)];
  const { precision = 'fp32', batch = 1 } = more;
  writeFileSync(model, onnx);
  if (precision === 'int8') writeFileSync(cache, cacheFor(smallRanges, { tensorrt: cacheOf ?? device.facts.tensorrt! }));
  const pushed = await pushFile(device, model);
  const calibration = precision === 'int8' ? await pushFile(device, cache) : undefined;
  const spec: EngineSpec = {
    model: pushed.path,
    modelDigest: pushed.digest,
    precision,
    batch,
    inputs: { input_1: [batch, 3, 8, 8] },
    engine: `engines/small-${precision}-b${batch}`,
    threads: 1,
    ...(calibration ? { calibration } : {}),
    ...more,
  };
  return buildEngine(device, spec, { ...(signal ? { signal } : {}), ...(onProgress ? { onProgress } : {}) });
}
