import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { EdgeError } from '../../core/errors.ts';
import { drawScenes } from '../../data/synth.ts';
import { type ExplainRow, explainSpec } from '../../formats/spec/explain.ts';
import { parseSpec } from '../../formats/spec/parse-spec.ts';
import { validateSpec } from '../../formats/spec/validate.ts';
import type { Cli } from '../cli.ts';
import { table } from '../output.ts';
import { inspectFile } from './inspect/inspect-file.ts';
import { inspectionText } from './inspect/inspection.ts';
import { askForKey, findKey } from './tlt/key.ts';

interface InspectOptions {
  readonly json?: boolean;
  readonly keyFile?: string;
}

/** inspect, spec explain, spec check, scenes: verbs over single files, without a project. */
export function addFileVerbs(program: Command, cli: Cli): void {
  const { output } = cli;
  program
    .command('inspect <file>')
    .description('say what a file is and what it holds: networks, .etlt, .tlt, calibration caches, specs, TFRecords, labels, configs, logs, reports')
    .option('--key-file <file>', 'key of an encrypted network (or EDGEFORGE_KEY)')
    .option('--json', 'print JSON')
    .action(
      cli.does(async (file: string, { json, keyFile }: InspectOptions) => {
        const { key } = await findKey({ file: keyFile, environment: process.env.EDGEFORGE_KEY, ask: output.interactive && /\.e?tlt$/i.test(file) ? askForKey : undefined });
        const inspection = await inspectFile(file, key);
        const { kind, notes, mend, data } = inspection;
        output.out(json ? JSON.stringify({ file, kind, ...data, notes, ...(mend === undefined ? {} : { mend }) }, null, 1) : inspectionText(file, inspection));
        return 0;
      }),
    );

  const spec = program.command('spec').description('TLT spec files: explain every field, or check values');
  spec
    .command('explain <file>')
    .description('every field of the spec’s task with its value, its default, the line it stands on and its meaning')
    .option('--json', 'print JSON')
    .option('--set', 'only fields that the file sets')
    .action(
      cli.does(async (file: string, { json, set }: { readonly json?: boolean; readonly set?: boolean }) => {
        const { task, rows, notes } = explainSpec(await readText(file), { file });
        const shown = set ? rows.filter(row => row.from === 'file') : rows;
        if (json) output.out(JSON.stringify({ file, task, rows: shown, notes }, null, 1));
        else {
          output.out(`${file}: ${task}\n${table([['field', 'value', 'from', 'type and meaning'], ...shown.map(explainCells)])}`);
          for (const note of notes) output.out(`note: ${note}`);
        }
        return 0;
      }),
    );
  spec
    .command('check <file>')
    .description('errors (with lines and mends) and notes; exit code 1 where there are errors')
    .option('--json', 'print JSON')
    .action(
      cli.does(async (file: string, { json }: { readonly json?: boolean }) => {
        const parsed = parseSpec(await readText(file), { file });
        const { errors, notes } = validateSpec(parsed);
        if (json) output.out(JSON.stringify({ file, task: parsed.task, errors, notes }, null, 1));
        else {
          for (const { line, message, hint } of errors) output.out(`${file}${line === undefined ? '' : `:${line}`}: ${message}\n  mend: ${hint}`);
          for (const note of notes) output.out(`note: ${note}`);
          output.out(
            `${file}: ${parsed.task}, ${errors.length === 0 ? 'no errors' : `${errors.length} error${errors.length === 1 ? '' : 's'}`}, ${notes.length} note${notes.length === 1 ? '' : 's'}`,
          );
        }
        return errors.length === 0 ? 0 : 1;
      }),
    );
  addScenes(program, cli);
}

function addScenes(program: Command, cli: Cli): void {
  const whole = (name: string) => (text: string) => {
    if (!/^\d{1,9}$/.test(text)) throw new EdgeError('usage', `--${name} ${text} is no whole number.`, { hint: `Write for example --${name} 100.` });
    return Number(text);
  };
  program
    .command('scenes <folder>')
    .description('draw synthetic road scenes as a KITTI folder (images/, labels/): cars, persons, signs; the same seed draws the same scenes')
    .option('--count <n>', 'how many', whole('count'), 200)
    .option('--width <pixels>', 'width', whole('width'), 480)
    .option('--height <pixels>', 'height', whole('height'), 288)
    .option('--seed <n>', 'seed', whole('seed'), 7)
    .action(
      cli.does(async (folder: string, size: { readonly count: number; readonly width: number; readonly height: number; readonly seed: number }) => {
        await drawScenes({ ...size, folder: resolve(folder) });
        cli.output.out(`${size.count} scenes of ${size.width}×${size.height} (seed ${size.seed}): ${folder}`);
        return 0;
      }),
    );
}

/** A field under its message, indented by depth as the spec itself is; long values are cut in the middle so that a line stays readable. */
function explainCells({ path, depth, value, from, line, type, meaning }: ExplainRow): string[] {
  const leaf = path.slice(path.lastIndexOf('.') + 1);
  const shown = value === undefined ? '' : typeof value === 'string' ? JSON.stringify(value) : String(value);
  return [
    `${'  '.repeat(depth)}${leaf}`,
    shown.length > 28 ? `${shown.slice(0, 14)}…${shown.slice(-13)}` : shown,
    from === 'file' && line !== undefined ? `line ${line}` : from,
    meaning ? `${type} — ${meaning}` : type,
  ];
}

const readText = (file: string): Promise<string> =>
  readFile(file, 'utf8').catch((cause: unknown) => {
    throw new EdgeError('file-missing', `${file} cannot be read.`, { hint: 'Check the path.', where: { file }, cause });
  });
