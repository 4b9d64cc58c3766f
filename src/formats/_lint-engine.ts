import type { Rule } from './_lint-rule.ts';
import { deepstreamSince } from './deepstream-version.ts';

// What the config says of the engine: precision, batch, versions.

export const precision: Rule = (config, { deepstream, network, cache, tensorrt, engine }) => {
  const int8 = config.value('network-mode') === '1';
  const built = config.value('onnx-file') !== undefined || config.value('tlt-encoded-model') !== undefined;
  const version = tensorrt ?? engine?.tensorrt;
  const silent = 'FPS as of FP16, and no error: one line "Trying FP16 mode" in the log.';
  return [
    int8 && built && !network?.quantized && config.value('int8-calib-file') === undefined
      ? config.finding('error', 'network-mode', 'network-mode=1 (INT8) without int8-calib-file: nvinfer builds FP16.', silent, 'Name the calibration cache, or set network-mode=2.')
      : undefined,
    int8 && network?.quantized && config.value('onnx-file') !== undefined && !(deepstreamSince(deepstream, '9.0') && config.value('strongly-typed') === '1')
      ? config.finding(
          'error',
          'onnx-file',
          'A Q/DQ ONNX without a cache: nvinfer builds FP16 from it.',
          silent,
          'Build the engine first (edgeforge deploy <device>) and name only model-engine-file.',
        )
      : undefined,
    int8 && cache?.tensorrt !== undefined && version !== undefined && cache.tensorrt !== version
      ? config.finding(
          'error',
          'int8-calib-file',
          `The cache was written for TensorRT ${cache.tensorrt}, the device has ${version}.`,
          'TensorRT ignores the cache: the build fails, or INT8 runs with ranges of its own and loses accuracy.',
          'Write it for the device: edgeforge deploy <device>',
        )
      : undefined,
    config.value('enable-dla') === '1' && config.value('network-mode') === '0'
      ? config.finding('warning', 'network-mode', 'The DLA has no FP32.', 'It runs FP16 in silence.', 'Set network-mode=2 or 1.')
      : undefined,
  ];
};

export const engines: Rule = (config, { engine, deepstream, tensorrt }) => {
  const batch = config.number('batch-size', 1);
  const named = /_b(\d+)_(?:gpu|dla)\d+_(fp32|fp16|int8)\.engine$/.exec(config.value('model-engine-file') ?? '');
  const wanted = { 0: 'fp32', 1: 'int8', 2: 'fp16' }[config.number('network-mode', 0)];
  const minutes = 'Every start takes minutes: nvinfer builds the engine anew.';
  return [
    (engine?.batch ?? Number(named?.[1] ?? batch)) < batch
      ? config.finding(
          'error',
          'batch-size',
          `batch-size is ${batch}, the engine was built for ${engine?.batch ?? named?.[1]}.`,
          `${minutes} "Backend has maxBatchSize ${engine?.batch ?? named?.[1]} whereas ${batch} has been requested".`,
          `Set batch-size=${engine?.batch ?? named?.[1]}, or build the engine for ${batch}.`,
        )
      : undefined,
    named && wanted && (engine?.precision ?? named[2]) !== wanted
      ? config.finding(
          'warning',
          'network-mode',
          `network-mode says ${wanted}, the engine is ${engine?.precision ?? named[2]}.`,
          'The engine’s precision runs, whatever the config says.',
          `Name the ${wanted} engine.`,
        )
      : undefined,
    engine?.tensorrt !== undefined && tensorrt !== undefined && engine.tensorrt !== tensorrt
      ? config.finding(
          'error',
          'model-engine-file',
          `The engine was built by TensorRT ${engine.tensorrt}, the device has ${tensorrt}.`,
          minutes,
          'Build it there: edgeforge deploy <device>',
        )
      : undefined,
    config.value('tlt-encoded-model') !== undefined && deepstreamSince(deepstream, '8.0')
      ? config.finding(
          'error',
          'tlt-encoded-model',
          `DeepStream ${deepstream} builds no engine from an .etlt.`,
          'It ends at once: "failed to build network".',
          'Name the ONNX: edgeforge export writes both.',
        )
      : undefined,
    config.value('tlt-encoded-model') !== undefined && config.value('tlt-model-key') === undefined
      ? config.finding('error', 'tlt-model-key', 'An .etlt without its key.', 'It ends at once: the model cannot be decoded.', 'Set tlt-model-key on the device.')
      : undefined,
  ];
};
