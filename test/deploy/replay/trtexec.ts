import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { type EngineHead, readEngine } from './engine-file.ts';
import { optionsOf, since } from './options.ts';
import { type BoardSettings, type Fault, readSettings } from './settings.ts';
import { type Query, summaryOf, timesJson } from './trtexec-report.ts';
import { Failed, Log, type Options } from './trtexec-words.ts';

// A stand-in for NVIDIA's trtexec: its words, streams, exit codes and formats by release. argv: board.json, then trtexec's own. All it prints is emulated, and its banner says so.

const [settingsFile = '', ...words] = process.argv.slice(2);
const bannerOf = (word: string, { tensorrt, buildNumber }: BoardSettings, words: readonly string[]): string => {
  const [major = 0, minor = 0, patch = 0] = tensorrt.split('.').map(Number);
  const digits = major >= 10 ? major * 10_000 + minor * 100 + patch : major * 1000 + minor * 100 + patch;
  const version = major >= 8 ? ` [TensorRT v${digits}]` : '';
  return `&&&& ${word} TensorRT.trtexec${version}${buildNumber ? ` [b${buildNumber}]` : ''} [emulated] # trtexec ${words.join(' ')}\n`;
};

function optionsFrom(words: readonly string[]): Options {
  return new Map(
    words.map(word => {
      const equals = word.indexOf('=');
      const name = equals < 0 ? word : word.slice(0, equals);
      return [name === '-h' ? '--help' : name === '-v' ? '--verbose' : name, equals < 0 ? '' : word.slice(equals + 1)];
    }),
  );
}

const helpText = (version: string): string =>
  ['=== Options of the stand-in ===', ...[...optionsOf(version)].sort().map(name => `  --${name.padEnd(26)} see the documentation of TensorRT ${version}`), ''].join('\n');

function queriesFor(head: EngineHead, { gpuMs }: BoardSettings, { throttle }: Fault, count: number): Query[] {
  let seed = Number.parseInt(head.nonce.slice(0, 8), 16) >>> 0;
  const random = (): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed / 2 ** 32;
  };
  const batch = Object.values(head.shapes)[0]?.[0] ?? 1;
  const spread = 1 + (head.spread ?? 0) * (random() - 0.5);
  return Array.from({ length: count }, (_, i) => ({
    h2d: 0.04 + 0.004 * random(),
    compute: gpuMs[head.precision] * batch ** 0.9 * spread * (1 + 0.02 * random()) * (throttle && i > count / 2 ? 1.6 : 1),
    d2h: 0.012 + 0.002 * random(),
    enqueue: 0.2 + 0.02 * random(),
  }));
}

/** Loads as TensorRT does: plans of another release or another GPU are refused in its words. */
function loadEngine(path: string, log: Log, { tensorrt, sm }: BoardSettings): EngineHead {
  if (!existsSync(path)) {
    log.say('E', `Error opening engine file: ${path}`);
    throw new Failed();
  }
  let head: EngineHead;
  try {
    ({ head } = readEngine(path));
  } catch {
    log.say('E', 'Error Code 1: Serialization (Serialization assertion magicTag == rt::kPLAN_MAGIC_TAG failed.)');
    throw new Failed();
  }
  if (head.tensorrt !== tensorrt) {
    if (since(tensorrt, '8.0'))
      log.say('E', `[TRT] 6: The engine plan file is not compatible with this version of TensorRT, expecting library version ${tensorrt} got ${head.tensorrt}, please rebuild.`);
    else log.say('E', '[TRT] coreReadArchive.cpp (41) - Serialization Error in verifyHeader: 0 (Version tag does not match)');
    log.say('E', 'Engine deserialization failed');
    throw new Failed();
  }
  if (head.sm !== sm) {
    log.say('E', `[TRT] 6: The engine plan file is generated on an incompatible device, expecting compute ${sm} got compute ${head.sm}, please rebuild.`);
    log.say('E', 'Engine deserialization failed');
    throw new Failed();
  }
  log.say('I', 'Engine loaded in 0.0423 sec.');
  return head;
}

async function infer(path: string, head: EngineHead, options: Options, log: Log, { board, fault }: { board: BoardSettings; fault: Fault }): Promise<void> {
  const { tensorrt: version } = board;
  const number = (name: string, otherwise: number): number => Number(options.get(name) ?? otherwise);
  const [durationS, iterations, warmUpMs] = [number('--duration', 3), number('--iterations', 10), number('--warmUp', 200)];
  const count = Math.max(iterations, 1, Math.floor((durationS * 1000) / board.gpuMs[head.precision]));
  log.say('I', 'Starting inference');
  // While this is there, the board's GPU is busy.
  const running = settingsFile.replace(/board\.json$/, 'running');
  writeFileSync(running, String(process.pid));
  await pause((durationS * 1000 + warmUpMs) * board.pace);
  rmSync(running, { force: true });
  const queries = queriesFor(head, board, fault, Math.min(count, 20_000));
  const walltimeS = queries.reduce((sum, { h2d, compute, d2h }) => sum + h2d + compute + d2h, 0) / 1000;
  if (!since(version, '8.0')) log.say('I', `Timing trace has 0 queries over ${walltimeS.toPrecision(6)} s`);
  for (const text of summaryOf(version, queries, walltimeS)) log.say('I', text);
  if (fault.throttle && since(version, '8.4')) log.say('W', '* GPU compute time is unstable, with coefficient of variance = 23.1%.');
  const times = options.get('--exportTimes');
  if (times) writeFileSync(times, timesJson(version, queries));
  const output = options.get('--exportOutput');
  if (output) await writeOutput(path, options, output);
}

async function writeOutput(path: string, options: Options, file: string): Promise<void> {
  const { openEngine } = await import('./engine-runner.ts');
  const engine = await openEngine(path);
  const given = new Map(
    [...(options.get('--loadInputs') ?? '').matchAll(/(?:'([^']+)'|([^,':]+)):([^,]+)/g)].map(([, quoted, plain, input]) => [(quoted ?? plain)!, readFileSync(input!)]),
  );
  const outputs = await engine.run(given);
  const rows = [...outputs].map(
    ([name, { dims, values }]) =>
      `  { "name" : "${name}"\n  , "dimensions" : "${dims.join('x')}"\n  , "values" : [ ${Array.from(values, value => Number(value.toPrecision(6))).join(', ')} ]\n  }`,
  );
  writeFileSync(file, `[\n${rows.join(',\n')}\n]\n`);
}

async function main(): Promise<number> {
  const { board, fault } = readSettings(settingsFile);
  const version = board.tensorrt;
  const log = new Log(version);
  const options = optionsFrom(words);
  process.stdout.write(bannerOf('RUNNING', board, words));
  const failed = (): number => {
    process.stdout.write(bannerOf('FAILED', board, words));
    return 1;
  };
  if (options.has('--help') || words.length === 0) {
    process.stdout.write(helpText(version));
    return words.length === 0 ? failed() : 0;
  }
  const known = optionsOf(version);
  const unknown = [...options].filter(([name]) => !known.has(name.replace(/^--/, '')));
  if (unknown.length > 0) {
    for (const [name, value] of unknown) log.say('E', `Unknown option: ${name} ${value}`);
    process.stdout.write(helpText(version));
    return failed();
  }
  log.verbose = options.has('--verbose');
  try {
    await work(options, log, { board, fault });
  } catch (error) {
    if (!(error instanceof Failed)) log.say('E', String(error));
    return failed();
  }
  process.stdout.write(bannerOf('PASSED', board, words));
  return 0;
}

async function work(options: Options, log: Log, { board, fault }: { board: BoardSettings; fault: Fault }): Promise<void> {
  const [load, save] = [options.get('--loadEngine'), options.get('--saveEngine')];
  if (load && save) {
    log.say('E', '--loadEngine and --saveEngine cannot be specified together.');
    throw new Failed();
  }
  log.say('I', `Selected Device: ${board.gpu}`);
  log.say('I', `Compute Capability: ${board.sm}`);
  if (since(board.tensorrt, '8.0'))
    log.say(
      'I',
      `TensorRT version: ${since(board.tensorrt, '8.2') ? board.tensorrt : board.tensorrt.split('.').reduce((sum, part, i) => sum + Number(part) * [1000, 100, 1][i]!, 0)}`,
    );
  if (load) return infer(load, loadEngine(load, log, board), options, log, { board, fault });
  const path = save ?? '/dev/null';
  // Loaded here: --help must be quick.
  const { buildEngine } = await import('./trtexec-builder.ts');
  const head = await buildEngine(options, path, log, { board, fault });
  if (!options.has('--buildOnly') && !options.has('--skipInference')) await infer(path, head, options, log, { board, fault });
}

// Flushed before the end: stdout may be a pipe.
process.exitCode = await main();
