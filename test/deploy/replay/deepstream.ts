import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { giesOf } from '../../../src/formats/deepstream-lint-app.ts';
import { deepstreamVersionOf, knowsPropertyKey } from '../../../src/formats/deepstream-version.ts';
import { iniValue, parseIni } from '../../../src/formats/ini.ts';
import { knowsAppKey } from './deepstream-keys.ts';
import { readSettings, standInMark } from './settings.ts';

// deepstream-app as it behaves: it complains of keys that its version does not know, opens the engine or fails as nvinfer does, prints **PERF at its interval until its files end or
// it is interrupted. argv: board.json and its own words.

const [settingsFile = '', ...words] = process.argv.slice(2);
const { board, fault } = readSettings(settingsFile);
const version = deepstreamVersionOf(readFileSync(join(settingsFile, '..', 'deepstream.txt'), 'utf8').trim());
const out = (text: string): void => void process.stdout.write(`${text}\n`);
const fail = (...lines: string[]): never => {
  for (const line of lines) out(line);
  out('App run failed');
  process.exit(255);
};

if (words.includes('--version')) {
  out(`deepstream-app version ${version}\n${standInMark}`);
  process.exit(0);
}
const file = words[words.indexOf('-c') + 1] ?? '';
if (!existsSync(file)) fail(`** ERROR: <main:658>: Failed to parse config file '${file}'`);
const app = parseIni(readFileSync(file, 'utf8'));
for (const { name, entries } of app.groups)
  for (const { key } of entries) if (!knowsAppKey(version, name, key)) out(`** WARN: <parse_config_file:1>: Unknown key '${key}' for group [${name}]`);

/** Milliseconds of one image in a config's engine, or nvinfer's way of ending. */
function openEngine(config: string): number {
  const path = resolve(dirname(file), config);
  const nvinfer = parseIni(readFileSync(path, 'utf8'));
  const property = (key: string) => iniValue(nvinfer, 'property', key);
  for (const { key } of nvinfer.groups.find(({ name }) => name === 'property')?.entries ?? [])
    if (!knowsPropertyKey(version, key)) out(`Unknown or legacy key specified '${key}' for group [property]`);
  const labels = property('labelfile-path');
  if (labels !== undefined && !existsSync(resolve(dirname(path), labels))) fail('Error: Could not parse labels file path', 'Failed to parse group property');
  const parser = property('parse-bbox-func-name');
  if (parser !== undefined && property('custom-lib-path') === undefined)
    fail(`ERROR: <nvdsinfer_context_impl>: DetectPostprocessor::allocateResource(): Could not find parse func '${parser}' in custom library`);
  const engine = resolve(dirname(path), property('model-engine-file') ?? 'none.engine');
  if (!existsSync(engine)) {
    out(`WARNING: Deserialize engine failed because file path: ${engine} open error`);
    out(`0:00:02.1 ERROR nvinfer NvDsInferContextImpl::deserializeEngineAndBackend(): deserialize engine from file :${engine} failed, try rebuild`);
    if (property('onnx-file') === undefined)
      fail(
        'ERROR: failed to build network since there is no model file matched.',
        'ERROR: failed to build network.',
        '** ERROR: <main:716>: Failed to set pipeline to PAUSED',
        'ERROR from primary_gie: Failed to create NvDsInferContext instance',
      );
  }
  const modes = ['fp32', 'int8', 'fp16'] as const;
  return board.gpuMs[modes[Number(property('network-mode') ?? 0)] ?? 'fp32'];
}

const millisecondsPerFrame = giesOf(app).reduce((sum, { config }) => sum + (config === undefined ? 0 : openEngine(config)), 0);
const sinks = app.groups.filter(({ name }) => /^sink\d+$/.test(name)).map(({ name }) => iniValue(app, name, 'type'));
if (sinks.includes('2') && (process.env.DISPLAY === undefined || !existsSync(join(settingsFile, '..', 'display'))))
  fail('nvbufsurftransform: Could not get EGL display connection', 'ERROR from sink_sub_bin_sink1: Could not initialise EGL display');
const sources = app.groups
  .filter(({ name }) => /^source\d+$/.test(name))
  .flatMap(({ name }) => Array<string>(Number(iniValue(app, name, 'num-sources') ?? 1)).fill(iniValue(app, name, 'uri') ?? ''));
for (const [i, uri] of sources.entries()) if (uri.startsWith('file:///nowhere')) fail(`ERROR from src_elem${i}: Resource not found.`);

/** A camera that never connects keeps the app running at 0 FPS. */
const lives = sources.map(uri => !uri.startsWith('rtsp://nowhere'));
let ended = false;
process.on('SIGINT', () => {
  ended = true;
});
const every = Number(iniValue(app, 'application', 'perf-measurement-interval-sec') ?? 5);
const header = `**PERF:  ${sources.map((_, i) => `FPS ${i} (Avg)`).join('\t')}\t`;
const print = (rate: (stream: number) => number, mean: number) =>
  out(`**PERF:  ${lives.map((live, i) => (live ? `${rate(i).toFixed(2)} (${mean.toFixed(2)})` : '0.00 (0.00)')).join('\t')}\t`);
const rate = (1000 / millisecondsPerFrame / Math.max(1, lives.filter(Boolean).length)) * (fault.throttle ? 0.5 : 1);
for (let i = 0; !ended && (i < 8 || iniValue(app, 'tests', 'file-loop') === '1') && i < 2000; i++) {
  if (i % 20 === 0) out(header);
  if (i < 2) print(() => 0, 0);
  else print(stream => rate * (1 + 0.01 * ((i + stream) % 3)), rate);
  if (i === 1) out('** INFO: <bus_callback:194>: Pipeline ready\n\n** INFO: <bus_callback:180>: Pipeline running\n');
  await pause(1000 * every * board.pace * 10);
}
out('Quitting\nApp run successful');
process.exit(0);
