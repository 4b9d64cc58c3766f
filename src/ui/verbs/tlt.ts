import { appendFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { type TltNetwork, type TltVerb, tltFlags } from '../../formats/spec/cli-flags.ts';
import type { Tell } from '../../pipeline/tlt/tell.ts';
import type { Cli } from '../cli.ts';
import type { Output } from '../output.ts';
import { flagsOf, readTltWords, type TltWords, tltHelp } from './tlt/flags.ts';
import { askForKey, findKey } from './tlt/key.ts';
import { runTltWords } from './tlt/run.ts';

const networks: readonly TltNetwork[] = ['detectnet_v2', 'classification'];

/** The TLT form: `edgeforge detectnet_v2|classification <verb>` with TLT's flags, so that a notebook's commands work with one word changed. */
export function addTltVerbs(program: Command, cli: Cli): void {
  // passThroughOptions needs it.
  program.enablePositionalOptions();
  for (const network of networks) {
    program
      .command(network)
      .description(`TLT’s commands for ${network}: edgeforge ${network} train -e SPEC -r RESULTS …; each with --help`)
      .argument('[verb]', 'dataset_convert, train, evaluate, prune, inference, export, calibration_tensorfile')
      .argument('[words...]', 'TLT’s flags')
      // TLT's short flags have several letters (-pth), which commander cannot read.
      .allowUnknownOption()
      .passThroughOptions()
      .helpOption(false)
      .action(cli.does(async (verb: string | undefined, words: string[]) => tltVerb(network, verb ?? '', words, cli.output)));
  }
}

/** Verbs that TLT 2 spelt otherwise (tlt-infer, tlt-dataset-convert, tlt-int8-tensorfile). */
const oldVerbs: Readonly<Record<string, TltVerb>> = { infer: 'inference', 'dataset-convert': 'dataset_convert', 'int8-tensorfile': 'calibration_tensorfile' };

async function tltVerb(network: TltNetwork, given: string, words: readonly string[], output: Output): Promise<number> {
  if (given === '--help' || given === '-h') {
    output.out(`edgeforge ${network} VERB --help lists the flags of: ${Object.keys(tltFlags[network]).join(', ')}`);
    return 0;
  }
  const name = Object.hasOwn(oldVerbs, given) ? (oldVerbs[given] as TltVerb) : given;
  flagsOf(network, name);
  const verb = name as TltVerb;
  const read = readTltWords(network, verb, words);
  if (read.on('help')) {
    output.out(tltHelp(network, verb));
    return 0;
  }
  const stop = new AbortController();
  const { tell, settled } = speak(read, output, stop.signal);
  const interrupt = () => stop.abort();
  process.once('SIGINT', interrupt);
  try {
    for (const note of read.notes) tell.note(note);
    const { key, notes } = await findKey({
      word: read.text('key'),
      file: read.text('key_file'),
      environment: process.env.EDGEFORGE_KEY,
      ask: output.interactive && namesEncrypted(words) ? askForKey : undefined,
    });
    for (const note of notes) tell.note(note);
    await runTltWords(read, key, tell);
    return 0;
  } finally {
    process.off('SIGINT', interrupt);
    await settled();
  }
}

const namesEncrypted = (words: readonly string[]): boolean => words.some(word => /\.e?tlt$/i.test(word));

/** Lines for people, or status lines for machines; progress at most every five seconds; a copy in --log_file. */
function speak(words: TltWords, output: Output, signal: AbortSignal): { readonly tell: Tell; readonly settled: () => Promise<void> } {
  const json = words.on('json');
  const log = words.text('log_file');
  let last: Promise<void> = Promise.resolve();
  let shown = Date.now();
  const say = (line: string) => {
    if (!json) output.out(line);
    if (log !== undefined) {
      last = last.then(() => appendFile(log, `${line}\n`));
      last.catch(() => undefined);
    }
  };
  const tell: Tell = {
    signal,
    say,
    note: text => (json ? output.out(JSON.stringify({ note: text })) : say(`note: ${text}`)),
    progress: (done, total, unit, more) => {
      if (Date.now() - shown < 5000) return;
      shown = Date.now();
      say(`  ${done}/${total} ${unit}${more ? ` — ${more}` : ''}`);
    },
    status: line => {
      if (json) output.out(JSON.stringify(line));
    },
  };
  return { tell, settled: () => last };
}
