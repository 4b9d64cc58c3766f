import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { decodeEtlt, looksLike } from '../../../src/formats/etlt.ts';
import { readOnnx } from '../../../src/formats/onnx.ts';
import { readUff } from '../../../src/formats/uff.ts';
import { type EngineHead, engineBytes } from './engine-file.ts';
import { since } from './options.ts';
import { readSettings } from './settings.ts';

// A stand-in for NVIDIA's tao-converter: its words, failures and exit codes as its pages and public logs have them. argv: board.json, then its own. All it makes is emulated.

const [settingsFile = '', ...words] = process.argv.slice(2);
const { board, fault } = readSettings(settingsFile);
const usage = `usage: tao-converter [-h] -k <encryption_key>
                   -d <input_dimensions>
                   -o <comma separated output nodes>
                   [-c <path to calibration cache file>]
                   [-e <path to output engine>]
                   [-b <calibration batch size>]
                   [-m <maximum batch size of the TRT engine>]
                   [-t <engine datatype>]
                   [-w <maximum workspace size of the TRT Engine>]
                   [-i <input dimension ordering>]
                   [-p <optimization_profiles>]
                   [-s]
                   [-u <DLA_core>]
                   input_file\n`;
const say = (level: string, said: string): void => void process.stdout.write(`[${level}] ${said}\n`);

/** Its words by flag, and the file that may stand anywhere; undefined where it would not know them. */
function wordsOf(): { readonly flags: ReadonlyMap<string, string>; readonly file: string } | undefined {
  const flags = new Map<string, string>();
  const files: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string;
    if (word === '-h' || (word.startsWith('-') && !/^-[kdocebmtwipsu]$/.test(word))) return undefined;
    if (word === '-s') flags.set(word, '');
    else if (word.startsWith('-')) flags.set(word, words[++i] ?? '');
    else files.push(word);
  }
  return files.length === 1 && flags.has('-k') ? { flags, file: files[0] as string } : undefined;
}

/** After any failure to parse, the real one goes on and crashes. */
function unparsed(): never {
  say('ERROR', "Failed to parse the model, please check the encoding key to make sure it's correct");
  say('ERROR', 'Network must have at least one output');
  say('ERROR', 'Unable to create engine');
  process.kill(process.pid, 'SIGSEGV');
  throw new Error('not reached');
}

function parse(file: string, flags: ReadonlyMap<string, string>): { readonly payload: Uint8Array; readonly shapes: Record<string, number[]>; readonly tensors: readonly string[] } {
  const { payload, inputName } = decodeEtlt(readFileSync(file), flags.get('-k') ?? '');
  const kind = looksLike(payload);
  if (kind === undefined) unparsed();
  const dims = flags.get('-d')?.split(',').map(Number);
  if (dims === undefined) {
    say('ERROR', 'no input dimension given');
    process.exit(1);
  }
  if (inputName !== '') {
    const { inputs, outputs } = readUff(payload);
    for (const name of (flags.get('-o') ?? '').split(','))
      if (!outputs.includes(name)) {
        say('ERROR', `UffParser: Output error: Output ${name} not found`);
        unparsed();
      }
    if (String(inputs[0]?.dims) !== String(dims)) {
      say('ERROR', `UffParser: Parser error: ${inputs[0]?.name}: Invalid number of input dimensions`);
      unparsed();
    }
    return { payload, shapes: { [inputName]: [Number(flags.get('-m') ?? 16), ...dims] }, tensors: [inputName, ...outputs] };
  }
  const graph = readOnnx(payload);
  if (fault.missingPlugin !== undefined) {
    process.stderr.write(`[ERROR] INVALID_ARGUMENT: getPluginCreator could not find plugin ${fault.missingPlugin} version 1\n`);
    unparsed();
  }
  const [name = '', , optimum] = flags.get('-p')?.split(',') ?? [];
  if (graph.inputs[0]?.type.dims[0] !== 1 && optimum === undefined) {
    say('ERROR', 'Network has dynamic or shape inputs, but no optimization profile has been defined.');
    say('ERROR', 'Unable to create engine');
    process.exit(1);
  }
  return { payload, shapes: { [name || (graph.inputs[0]?.name ?? '')]: optimum?.split('x').map(Number) ?? [1, ...dims] }, tensors: graph.nodes.flatMap(({ outputs }) => outputs) };
}

function checkCache(flags: ReadonlyMap<string, string>, tensors: readonly string[]): void {
  const cache = flags.get('-c') ?? './cal.bin';
  const [header = '', ...lines] = existsSync(cache) ? readFileSync(cache, 'utf8').split('\n') : [];
  const known = new Set(lines.map(line => line.slice(0, line.lastIndexOf(':'))));
  if (/^TRT-\d+-EntropyCalibration2$/.test(header) && tensors.some(name => known.has(name))) return;
  say('ERROR', 'Unexpected exception _Map_base::at');
  say('ERROR', 'Unable to create engine');
  process.exit(1);
}

async function main(): Promise<number> {
  const given = wordsOf();
  if (!given) {
    process.stdout.write(usage);
    return 1;
  }
  const { flags, file } = given;
  // What the tool should never do, and what the mask must catch if it does.
  say('INFO', `[emulated] tao-converter ${words.join(' ')}`);
  if (since(board.tensorrt, '8.5')) throw new Error('there is no such tool for this TensorRT');
  const { payload, shapes, tensors } = parse(file, flags);
  const precision = (flags.get('-t') ?? 'fp32') as EngineHead['precision'];
  if (precision === 'int8') checkCache(flags, tensors);
  await pause(1000 * board.pace + 1000 * (fault.slowS ?? 0));
  if (fault.oomKill) process.kill(process.pid, 'SIGKILL');
  const head: EngineHead = { standIn: true, tensorrt: board.tensorrt, sm: board.sm, precision, shapes, nonce: randomBytes(8).toString('hex') };
  say('INFO', `Detected 1 inputs and ${tensors.length} output network tensors.`);
  writeFileSync(flags.get('-e') ?? 'saved.engine', engineBytes(head, payload));
  return 0;
}

process.exitCode = await main();
