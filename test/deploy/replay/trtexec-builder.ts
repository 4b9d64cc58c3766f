import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { readOnnx } from '../../../src/formats/onnx.ts';
import type { Graph } from '../../../src/graph/ir.ts';
import { type EngineHead, engineBytes } from './engine-file.ts';
import { since } from './options.ts';
import type { BoardSettings, Fault } from './settings.ts';
import { Failed, type Log, type Options, shapesFrom } from './trtexec-words.ts';

/** Operators and the first release whose parser knows them. */
const newcomers: Readonly<Record<string, string>> = {
  QuantizeLinear: '8.0',
  DequantizeLinear: '8.0',
  Einsum: '8.2',
  GatherND: '8.2',
  ScatterND: '8.0',
  NonMaxSuppression: '8.5',
  GridSample: '8.5',
  LayerNormalization: '8.6',
};

function parse(path: string, log: Log, { tensorrt }: BoardSettings, fault: Fault): { readonly graph: Graph; readonly bytes: Uint8Array } {
  log.say('I', since(tensorrt, '8.6') ? 'Start parsing network model.' : 'Start parsing network model');
  if (!existsSync(path)) {
    log.say('E', `[TRT] Could not open file ${path}`);
    log.say('E', 'Failed to parse onnx file');
    throw new Failed();
  }
  const bytes = readFileSync(path);
  const graph = readOnnx(bytes);
  for (const [index, { name, type }] of graph.nodes.entries()) {
    log.say('V', `[TRT] Parsing node: ${name} [${type}]`);
    const first = newcomers[type];
    if (fault.unsupported !== type && (first === undefined || since(tensorrt, first)) && fault.missingPlugin !== type) continue;
    // The parser of 7.x has no time and level of its own.
    process.stderr.write(`ModelImporter.cpp:720: While parsing node number ${index} [${type} -> "${graph.nodes[index]!.outputs[0]}"]:\n`);
    log.say('I', `[TRT] No importer registered for op: ${type}. Attempting to import as plugin.`);
    log.say('E', `[TRT] 3: getPluginCreator could not find plugin ${fault.missingPlugin === type ? `${type}_TRT` : type} version 1`);
    log.say('E', 'Failed to parse onnx file');
    log.say('E', 'Parsing model failed');
    log.say('E', 'Engine set up failed');
    throw new Failed();
  }
  log.say('I', since(tensorrt, '8.6') ? 'Finished parsing network model. Parse time: 0.0171' : 'Finish parsing network model');
  return { graph, bytes };
}

function shapesFor(graph: Graph, options: Options, log: Log): Record<string, number[]> {
  const wanted = shapesFrom(options.get('--shapes') ?? options.get('--optShapes') ?? '');
  return Object.fromEntries(
    graph.inputs.map(({ name, type: { dims } }) => {
      const shape = wanted[name] ?? dims.map(dim => (typeof dim === 'number' ? dim : 1));
      const fixed = dims.findIndex((dim, axis) => typeof dim === 'number' && dim !== shape[axis]);
      if (fixed >= 0) {
        log.say(
          'E',
          `[TRT] 3: [executionContext.cpp::setInputShape::2068] Error Code 3: API Usage Error (Static dimension mismatch while setting input shape for ${name}. Set dimensions are [${shape}]. Expected dimensions are [${dims}].)`,
        );
        throw new Failed();
      }
      return [name, shape];
    }),
  );
}

/** Ranges for INT8: a cache under this release's header, Q/DQ nodes, or invented ones with which everything runs and nothing is right. */
function checkCalibration(graph: Graph, options: Options, log: Log, { tensorrt, fastInt8 }: BoardSettings): void {
  if (!options.has('--int8')) return;
  if (!fastInt8) log.say('W', '[TRT] Int8 support requested on hardware without native Int8 support, performance will be negatively affected.');
  const file = options.get('--calib');
  if (file === undefined) return;
  if (!existsSync(file)) {
    log.say('I', 'Calibration table does not exist; calibrating with random data.');
    return;
  }
  const [header = '', ...lines] = readFileSync(file, 'utf8').split('\n');
  const [major = 0, minor = 0, patch = 0] = tensorrt.split('.').map(Number);
  const digits = major >= 10 ? major * 10_000 + minor * 100 + patch : major * 1000 + minor * 100 + patch;
  if (header !== `TRT-${digits}-EntropyCalibration2`) {
    log.say('W', '[TRT] Calibration table does not match calibrator algorithm type.');
    log.say('E', `[TRT] 1: Tensor ${graph.inputs[0]!.name} is bound to nullptr`);
    throw new Failed();
  }
  const known = new Set(lines.map(line => line.slice(0, line.lastIndexOf(':'))));
  for (const { outputs } of graph.nodes)
    for (const name of outputs)
      if (!known.has(name))
        log.say('W', `[TRT] Missing scale and zero-point for tensor ${name}, expect fall back to non-int8 implementation for any layer consuming or producing given tensor`);
}

const layersOf = (graph: Graph): string[] => graph.nodes.filter(({ type }) => /Conv|MatMul|Gemm|Pool|Softmax|Sigmoid|Add/.test(type)).map(({ name }) => name);

async function timeTactics(layers: readonly string[], log: Log, { board: { tensorrt, pace }, fault }: { board: BoardSettings; fault: Fault }): Promise<void> {
  log.say('V', `[TRT] After final dead-layer removal: ${layers.length} layers`);
  log.say('V', `[TRT] After concat removal: ${layers.length} layers`);
  if (since(tensorrt, '8.0')) log.say('I', '[TRT] Local timing cache in use. Profiling results in this builder pass will not be stored.');
  for (const [index, layer] of layers.entries()) {
    if (since(tensorrt, '8.6')) log.say('V', `[TRT] =============== Computing costs for ${layer}`);
    log.say('V', `[TRT] --------------- Timing Runner: ${layer} (${since(tensorrt, '8.6') ? 'CaskConvolution[0x80000009]' : 'CaskConvolution'})`);
    await pause(200 * pace + ((fault.slowS ?? 0) * 1000) / layers.length);
    if (index * 2 < layers.length) continue;
    if (fault.hang) {
      process.on('SIGTERM', () => {});
      await pause(600_000);
    }
    if (fault.oomKill) process.kill(process.pid, 'SIGKILL');
    if (fault.segfault) process.kill(process.pid, 'SIGSEGV');
    if (fault.noTactic) {
      log.say('E', `[TRT] 10: Could not find any implementation for node {ForeignNode[${layer}]}. Try increasing the workspace size.`);
      throw new Failed();
    }
    if (fault.outOfMemory) {
      log.say('E', '[TRT] 1: [defaultAllocator.cpp::allocate::20] Error Code 1: Cuda Runtime (out of memory)');
      throw new Failed();
    }
  }
}

/** What the engine inspector says: a precision per layer only with detailed verbosity. */
const layerInfo = (
  layers: readonly string[],
  { precision, detailed, missing }: { precision: EngineHead['precision']; detailed: boolean; missing: ReadonlySet<string> },
): string => {
  const names = { fp32: 'Float', fp16: 'Half', int8: 'Int8' } as const;
  const rows = layers.map(name => {
    const format = names[precision === 'int8' && (missing.has(name) || /sigmoid|softmax/i.test(name)) ? 'fp16' : precision];
    return {
      Name: name,
      LayerType: 'CaskConvolution',
      Inputs: [{ Name: 'x', 'Format/Datatype': format }],
      Outputs: [{ Name: 'y', 'Format/Datatype': format }],
      Weights: { Type: format, Count: 1 },
    };
  });
  return JSON.stringify({ Layers: detailed ? rows : layers, Bindings: ['x', 'y'] });
};

/** Builds: parses, checks, times tactics, and writes the engine in one go at the very end. */
export async function buildEngine(options: Options, path: string, log: Log, { board, fault }: { board: BoardSettings; fault: Fault }): Promise<EngineHead> {
  const start = performance.now();
  const { tensorrt } = board;
  const { graph, bytes } = parse(options.get('--onnx') ?? '', log, board, fault);
  const shapes = shapesFor(graph, options, log);
  checkCalibration(graph, options, log, board);
  if (options.has('--useDLACore') && Number(options.get('--useDLACore')) >= board.dla) {
    log.say('E', `Cannot create DLA engine, ${options.get('--useDLACore')} is not available`);
    throw new Failed();
  }
  const layers = layersOf(graph);
  await timeTactics(layers, log, { board, fault });
  log.say('I', `[TRT] Detected ${graph.inputs.length} inputs and ${graph.outputs.length} output network tensors.`);
  if (since(tensorrt, '8.4')) log.say('I', '[TRT] [MemUsageStats] Peak memory usage of TRT CPU/GPU memory allocators: CPU 12 MiB, GPU 84 MiB');
  if (since(tensorrt, '10.0')) log.say('I', '[TRT] Engine generation completed in 1.2 seconds.');
  const quantized = graph.nodes.some(({ type }) => type === 'QuantizeLinear');
  const strong = since(tensorrt, '11.0');
  const precision = options.has('--int8') || (strong && quantized) ? 'int8' : options.has('--fp16') ? 'fp16' : 'fp32';
  const head: EngineHead = {
    standIn: true,
    tensorrt,
    sm: board.sm,
    precision,
    shapes,
    nonce: randomBytes(8).toString('hex'),
    ...(fault.buildSpread ? { spread: fault.buildSpread } : {}),
  };
  if (precision === 'int8' && !board.fastInt8) log.say('W', '[TRT] INT8 layers run slower than FP16 here');
  writeFileSync(path, engineBytes(head, bytes));
  if (since(tensorrt, '10.0')) log.say('I', `Created engine with size: ${(bytes.length / 2 ** 20).toPrecision(4)} MiB`);
  const cache = options.get('--timingCacheFile');
  if (cache) writeFileSync(cache, `timing cache of the stand-in for ${tensorrt}\n`);
  const info = options.get('--exportLayerInfo');
  if (info) writeFileSync(info, layerInfo(layers, { precision, detailed: options.get('--profilingVerbosity') === 'detailed', missing: new Set() }));
  log.say('I', `Engine built in ${((performance.now() - start) / 1000 / Math.max(board.pace, 1e-3)).toPrecision(6)} sec.`);
  return head;
}
