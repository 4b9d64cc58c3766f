import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { biasErrors, withCorrectedBiases } from '../../src/compress/bias-correction.ts';
import { activationsOf, calibrate, calibrationRecipe, type RangeTable, rangeTableSchema } from '../../src/compress/calibrate.ts';
import { sqnr } from '../../src/compress/compare.ts';
import { toFloat16 } from '../../src/compress/half.ts';
import { addTo, entropyLimit, type Histogram, percentileLimit } from '../../src/compress/histogram.ts';
import { quantize } from '../../src/compress/quantize.ts';
import { quantizedKernel, roundEven } from '../../src/compress/weight-grid.ts';
import { openSession } from '../../src/compute/session.ts';
import { cacheFor, parseCalibrationCache } from '../../src/formats/calibration-cache.ts';
import { readOnnx, writeOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { removeUnused } from '../../src/graph/clean.ts';
import { foldBatchNorm } from '../../src/graph/fold.ts';
import { f32, type Graph, type Tensor } from '../../src/graph/ir.ts';
import { buildNetwork } from '../../src/zoo/network.ts';

const graph = removeUnused(foldBatchNorm(buildNetwork({ architecture: 'detectnet_v2_resnet10', labels: ['a', 'b'], height: 64, width: 96, widthMultiplier: 0.5 }).graph));
const image = (seed: number) =>
  f32(
    [1, 3, 64, 96],
    Float32Array.from({ length: 3 * 64 * 96 }, (_, i) => 0.5 + 0.5 * Math.sin(i / (5 + seed)) * Math.cos(i * seed)),
  );
async function* batches() {
  for (let seed = 1; seed <= 6; seed++) yield new Map([['input_1', image(seed)]]);
}
const recipe = calibrationRecipe.parse({ algorithm: 'entropy', images: 6 });

async function outputsOf(model: Graph): Promise<ReadonlyMap<string, Tensor>> {
  const session = await openSession(writeOnnx(model), { threads: 1 });
  try {
    return await session.run(new Map([['input_1', image(9)]]));
  } finally {
    await session.close();
  }
}
const worst = (a: ReadonlyMap<string, Tensor>, b: ReadonlyMap<string, Tensor>) =>
  Math.min(...[...a].map(([name, tensor]) => sqnr(tensor.data as Float32Array, b.get(name)?.data as Float32Array)));

describe('histograms', () => {
  const histogramOf = (values: readonly number[], limit = Math.max(...values.map(Math.abs))): Histogram => {
    const histogram = { counts: new Float64Array(2048), limit };
    addTo(histogram, Float32Array.from(values));
    return histogram;
  };
  it('count every value once', () => {
    fc.assert(
      fc.property(fc.array(fc.float({ min: -5, max: 5, noNaN: true }), { minLength: 1 }), values => histogramOf(values, 5).counts.reduce((a, b) => a + b, 0) === values.length),
    );
  });
  it('entropy cuts a far outlier off and leaves a uniform distribution whole', () => {
    const bell = Array.from({ length: 20_000 }, (_, i) => Math.sin(i) + Math.sin(i * 1.7) + Math.sin(i * 2.3));
    expect(entropyLimit(histogramOf([...bell, 300]))).toBeLessThan(30);
    const uniform = Array.from({ length: 50_000 }, (_, i) => (i % 2048) / 2048 + 1e-4);
    expect(entropyLimit(histogramOf(uniform))).toBeGreaterThan(0.9);
  });
  it('percentile keeps its share inside', () => {
    const values = Array.from({ length: 10_000 }, (_, i) => (i + 0.5) / 10_000);
    expect(percentileLimit(histogramOf(values, 1), 0.99)).toBeCloseTo(0.99, 2);
    expect(percentileLimit(histogramOf(values, 1), 1)).toBeCloseTo(1, 3);
  });
  it('an all-zero activation keeps its limit', () => {
    expect(entropyLimit({ counts: new Float64Array(2048), limit: 0 })).toBe(0);
  });
});

describe('weights', () => {
  it('round half to even, as QuantizeLinear', () => {
    expect([0.5, 1.5, 2.5, -0.5, -1.5, 2.4999].map(roundEven).map(v => v + 0)).toEqual([0, 2, 2, 0, -2, 2]);
  });
  it('lie within half a step of their grid, per channel', () => {
    fc.assert(
      fc.property(fc.array(fc.float({ min: -3, max: 3, noNaN: true }), { minLength: 12, maxLength: 12 }), values => {
        const { values: q, scales } = quantizedKernel(f32([3, 4], values), 0);
        return values.every(
          (value, i) => Math.abs((q.data[i] as number) * (scales[Math.floor(i / 4)] as number) - Math.fround(value)) <= (scales[Math.floor(i / 4)] as number) * 0.5001,
        );
      }),
    );
  });
  it('coarsen a channel whose integer bias would not fit', () => {
    const { scales } = quantizedKernel(f32([1, 1], [1e-12]), 0, { bias: f32([1], [10]), inputScale: 0.01 });
    expect(10 / ((scales[0] as number) * 0.01)).toBeLessThanOrEqual(2 ** 30 * 1.001);
  });
});

describe('a calibrated network', () => {
  let table: RangeTable;
  beforeAll(async () => {
    table = await calibrate(graph, batches, recipe, { threads: 1 });
  });

  it('has a range for every activation, inputs first, and survives JSON', () => {
    expect(table.ranges.map(range => range.name)).toEqual(activationsOf(graph).map(activation => activation.name));
    expect(table.ranges[0]?.name).toBe('input_1');
    for (const range of table.ranges) expect(range.amax).toBeLessThanOrEqual(Math.max(Math.abs(range.min), Math.abs(range.max)) * 1.001);
    expect(rangeTableSchema.parse(JSON.parse(JSON.stringify(table)))).toEqual(table);
  });

  it('stays within 20 dB of FP32 for both engines, names and shapes unchanged', async () => {
    const reference = await outputsOf(graph);
    for (const engine of ['onnxruntime', 'tensorrt'] as const) {
      const quantized = quantize(graph, table, { engine });
      expect(quantized.inputs).toEqual(graph.inputs);
      expect(quantized.outputs).toEqual(graph.outputs);
      expect(worst(reference, await outputsOf(quantized))).toBeGreaterThan(20);
    }
  });

  it('puts no Q/DQ between a convolution and the ReLU that fuses into it', () => {
    for (const engine of ['onnxruntime', 'tensorrt'] as const) {
      const quantized = quantize(graph, table, { engine });
      const producers = new Map(quantized.nodes.flatMap(node => node.outputs.map(output => [output, node] as const)));
      for (const node of quantized.nodes) if (node.type === 'Relu') expect(producers.get(node.inputs[0] as string)?.type).not.toBe('DequantizeLinear');
    }
  });

  it('is symmetric for TensorRT, and on the same grid with u8 for onnxruntime', () => {
    const scalesOf = (quantized: Graph) =>
      new Map(quantized.nodes.filter(node => node.type === 'QuantizeLinear').map(node => [node.inputs[0], quantized.initializers.get(node.inputs[1] as string)?.data[0]]));
    const [ort, trt] = [quantize(graph, table, { engine: 'onnxruntime' }), quantize(graph, table, { engine: 'tensorrt' })];
    for (const [name, scale] of scalesOf(trt)) expect(scalesOf(ort).get(name)).toBe(scale);
    for (const node of trt.nodes.filter(each => each.type === 'QuantizeLinear'))
      expect(trt.initializers.get(node.inputs[2] as string)).toMatchObject({ dataType: 'int8', data: Int8Array.of(0) });
    const relu = ort.nodes.find(node => node.type === 'QuantizeLinear' && node.inputs[0] === 'activation_1');
    expect(ort.initializers.get(relu?.inputs[2] as string)).toMatchObject({ dataType: 'uint8', data: Uint8Array.of(0) });
  });

  it('leaves the branch that TensorRT fuses into an Add unquantized, and quantizes the other', () => {
    const trt = quantize(graph, table, { engine: 'tensorrt' });
    const producers = new Map(trt.nodes.flatMap(node => node.outputs.map(output => [output, node] as const)));
    for (const add of trt.nodes.filter(node => node.type === 'Add')) expect(add.inputs.map(name => producers.get(name)?.type).sort()).toEqual(['Conv', 'DequantizeLinear']);
  });

  it('sums exactly where every product is as large as it can be, whatever the processor', async () => {
    // 255·127 twice is more than 16 bits hold: x86 kernels without VNNI saturate there unless they are told not to.
    const b = new Builder('saturating');
    b.input('input_1', 'float32', [1, 32, 4, 4]);
    b.initializers.set('w', f32([8, 32, 1, 1], new Float32Array(256).fill(1)));
    b.initializers.set('v', f32([8, 8, 1, 1], new Float32Array(64).fill(1)));
    b.op('Relu', [b.op('Conv', [b.op('Relu', ['input_1'], {}, { output: 'a' }), 'w'], {}, { output: 'c' })], {}, { output: 'r' });
    b.op('Conv', ['r', 'v'], {}, { output: 'y' });
    b.output('y', 'float32', [1, 8, 4, 4]);
    const range = (name: string, max: number) => ({ name, amax: (max * 127) / 255, min: 0, max });
    const full: RangeTable = { schemaVersion: 1, recipe, images: 1, ranges: [range('input_1', 1), range('a', 1), range('c', 32), range('r', 32), range('y', 256)] };
    const session = await openSession(writeOnnx(quantize(b.graph(), full, { engine: 'onnxruntime' })), { threads: 1 });
    const out = await session.run(new Map([['input_1', f32([1, 32, 4, 4], new Float32Array(512).fill(1))]]));
    await session.close();
    for (const value of (out.get('y') as Tensor).data as Float32Array) expect(value).toBeCloseTo(256, 1);
  });

  it('gets back what rounding takes on average, in a float graph of the same names that the cache goes with', async () => {
    // Every weight lies 0.4 steps above its grid, so that each product is rounded down and the errors add up.
    const b = new Builder('leaning');
    b.input('input_1', 'float32', [1, 3, 64, 96]);
    b.initializers.set(
      'w',
      f32(
        [4, 3, 3, 3],
        Float32Array.from({ length: 108 }, (_, i) => (i % 27 === 0 ? 1 : ((i % 27) + 0.4) / 127)),
      ),
    );
    b.initializers.set('v', f32([2, 4, 1, 1], Float32Array.from([1, 5.4 / 127, 9.4 / 127, 3.4 / 127, 1, 2.4 / 127, 7.4 / 127, 8.4 / 127])));
    b.initializers.set('bias', f32([2], [0.25, -0.5]));
    b.op('Relu', [b.op('Conv', ['input_1', 'w'], {}, { name: 'first', output: 'c' })], {}, { output: 'r' });
    b.op('Conv', ['r', 'v', 'bias'], {}, { name: 'second', output: 'y' });
    b.output('y', 'float32', [1, 2, 62, 94]);
    const plain = b.graph();
    const ranges = await calibrate(plain, batches, recipe, { threads: 1 });
    for (const engine of ['onnxruntime', 'tensorrt'] as const) {
      const quantized = quantize(plain, ranges, { engine });
      const errors = await biasErrors(plain, quantized, batches(), { threads: 1 });
      expect([...errors.keys()]).toEqual(['first', 'second']);
      const corrected = withCorrectedBiases(plain, errors);
      expect(corrected.nodes.map(node => node.outputs)).toEqual(plain.nodes.map(node => node.outputs));
      const reference = await outputsOf(plain);
      const gain = worst(reference, await outputsOf(quantize(corrected, ranges, { engine }))) - worst(reference, await outputsOf(quantized));
      expect(gain).toBeGreaterThan(2);
      // The correction is INT8's own: in float it would be an error.
      expect(worst(reference, await outputsOf(corrected))).toBeLessThan(worst(reference, await outputsOf(quantized)) + 3);
    }
  });

  it('leaves excluded layers float', () => {
    const quantized = quantize(graph, table, { engine: 'onnxruntime', excluded: ['conv1'] });
    expect(quantized.nodes.find(node => node.name === 'conv1')?.inputs[0]).toBe('input_1');
  });

  it('names the activation that a table of another graph lacks', () => {
    const stale = { ...table, ranges: table.ranges.filter(range => range.name !== 'activation_1') };
    expect(() => quantize(graph, stale, { engine: 'tensorrt' })).toThrow(/no range for the activation activation_1/);
  });

  it('becomes a TensorRT cache with the same scales', () => {
    const cache = parseCalibrationCache(cacheFor(new Map(table.ranges.map(range => [range.name, range])), { tensorrt: '8.6.1' }));
    expect(cache.header).toBe('TRT-8601-EntropyCalibration2');
    expect(cache.entries.map(entry => entry.name)).toEqual(table.ranges.map(range => range.name));
    expect(cache.entries[0]?.scale).toBeCloseTo((table.ranges[0]?.amax ?? 0) / 127, 7);
  });

  it('refuses fewer images than the recipe asks for, and NaN', async () => {
    await expect(calibrate(graph, batches, { ...recipe, images: 7 }, { threads: 1 })).rejects.toMatchObject({ code: 'calibration-invalid' });
    async function* broken() {
      yield new Map([['input_1', f32([1, 3, 64, 96], new Float32Array(3 * 64 * 96).fill(Number.NaN))]]);
    }
    await expect(calibrate(graph, broken, { ...recipe, images: 1 }, { threads: 1 })).rejects.toMatchObject({ code: 'calibration-invalid' });
  });
});

describe('toFloat16', () => {
  it('keeps inputs and outputs float32 and loses little', async () => {
    const half = readOnnx(writeOnnx(toFloat16(graph)));
    expect(half.inputs).toEqual(graph.inputs);
    expect([...half.initializers.values()].some(tensor => tensor.dataType === 'float32')).toBe(false);
    expect(worst(await outputsOf(graph), await outputsOf(half))).toBeGreaterThan(50);
  });
});
