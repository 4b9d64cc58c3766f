import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { withCorrectedBiases } from '../../compress/bias-correction.ts';
import { type QuantizedEngine, type RangeTable, rangesMetadata, rangesWords, rangeTableSchema } from '../../compress/calibrate.ts';
import { toFloat16 } from '../../compress/half.ts';
import { quantize } from '../../compress/quantize.ts';
import { defineStep } from '../../core/recipe.ts';
import { cacheFor } from '../../formats/calibration-cache.ts';
import { readOnnx, writeOnnx } from '../../formats/onnx.ts';
import { atLowestCost } from '../../graph/fold.ts';
import { thisCpu } from '../this-machine.ts';

/** The trained network as it leaves the house: norms and constants folded, in FP32 and FP16. */
export const exportStep = defineStep({
  name: 'export',
  version: 1,
  exclusive: () => [thisCpu],
  config: z.strictObject({}),
  inputs: { network: 'network' },
  outputs: { fp32: 'onnx', fp16: 'onnx' },
  async run({ inputs, outputs }) {
    const exported = atLowestCost(readOnnx(await readFile(inputs.network)));
    await writeFile(outputs.fp32, writeOnnx(exported));
    await writeFile(outputs.fp16, writeOnnx(toFloat16(exported)));
  },
});

/**
 * Ranges → what each engine reads: Q/DQ for onnxruntime; for TensorRT Q/DQ, or a cache and the float network it belongs to.
 * That one has the corrected biases, so FP32 and FP16 engines are built from the export instead.
 */
export const quantizeStep = defineStep({
  name: 'quantize',
  version: 3,
  exclusive: () => [thisCpu],
  config: z.strictObject({ tensorrt: z.string().default('8.6.1') }),
  inputs: { onnx: 'onnx', ranges: 'ranges' },
  outputs: { onnxruntime: 'onnx', tensorrt: 'onnx', float: 'onnx', cache: 'calibration-cache' },
  async run({ inputs, outputs, config }) {
    const exported = readOnnx(await readFile(inputs.onnx));
    const ranges: RangeTable = rangeTableSchema.parse(JSON.parse(await readFile(inputs.ranges, 'utf8')));
    const graph = { ...exported, metadata: { ...exported.metadata, [rangesMetadata]: rangesWords(ranges) } };
    const corrected = (engine: QuantizedEngine) => withCorrectedBiases(graph, new Map(Object.entries(ranges.biases?.[engine] ?? {})));
    await writeFile(outputs.onnxruntime, writeOnnx(quantize(corrected('onnxruntime'), ranges, { engine: 'onnxruntime' })));
    await writeFile(outputs.tensorrt, writeOnnx(quantize(corrected('tensorrt'), ranges, { engine: 'tensorrt' })));
    await writeFile(outputs.float, writeOnnx(corrected('tensorrt')));
    // However the ranges were found, the header says EntropyCalibration2: the calibrators of trtexec and nvinfer are of that kind, and refuse a table that names another.
    await writeFile(outputs.cache, cacheFor(new Map(ranges.ranges.map(range => [range.name, range])), { tensorrt: config.tensorrt }));
  },
});
