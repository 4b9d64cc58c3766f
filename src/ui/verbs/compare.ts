import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { EdgeError } from '../../core/errors.ts';
import { parseReport, type Report } from '../../formats/report.ts';
import { type Candidate, choose, type Wishes } from '../../formats/report-choose.ts';
import { bottleneckSentences } from '../../formats/report-conditions.ts';
import { diffLines, diffReports } from '../../formats/report-diff.ts';
import { parseAppRun, withAppRuns } from '../../formats/report-ladder.ts';
import { percent, shortNumber } from '../../formats/report-words.ts';
import { writeReport } from '../../pipeline/report-folder.ts';
import type { Cli } from '../cli.ts';
import { table } from '../output.ts';

interface DiffOptions {
  readonly budget: number;
  readonly points: number;
  readonly json?: boolean;
}
interface ChooseOptions {
  readonly fps?: number;
  readonly drop?: number;
  readonly watts?: number;
  readonly p99?: number;
  readonly price: Readonly<Record<string, number>>;
  readonly json?: boolean;
}

/** report diff, ladder and choose: reports against each other and against runs of the application. Returns the report verb. */
export function addCompareVerbs(report: Command, program: Command, cli: Cli): Command {
  report
    .command('diff <before> <after>')
    .description('what changed between two reports (report.json or its folder); exit code 4 where something got worse beyond noise and budget')
    .option('--budget <percent>', 'how much of the median latency may be lost', shareOf, 0.03)
    .option('--points <points>', 'how many points of accuracy may be lost', numberOf, 1)
    .option('--json', 'print JSON')
    .action(
      cli.does(async (before: string, after: string, options: DiffOptions) => {
        // `--json` after `report` and before `diff` is the parent's.
        const json = options.json ?? report.opts<{ json?: boolean }>().json;
        const diff = diffReports(await reportAt(before), await reportAt(after), { latency: options.budget, points: options.points });
        cli.output.out(json ? JSON.stringify(diff, null, 1) : diffLines(diff).join('\n'));
        return diff.regressed ? 4 : 0;
      }),
    );
  addLadderVerb(report, cli);
  program
    .command('choose <reports...>')
    .description('the cheapest device whose measured report meets all wishes; exit code 4 where none does')
    .option('--fps <n>', 'least images/s', numberOf)
    .option('--drop <points>', 'most points lost against FP32', numberOf)
    .option('--watts <w>', 'most mean power', numberOf)
    .option('--p99 <ms>', 'longest p99 latency', numberOf)
    .option('--price <device=price>', 'what a device costs; give it for each to rank by price', priceOf, {})
    .option('--json', 'print JSON')
    .action(
      cli.does(async (paths: string[], options: ChooseOptions) => {
        const wishes: Wishes = {
          ...(options.fps === undefined ? {} : { fps: options.fps }),
          ...(options.drop === undefined ? {} : { dropPoints: options.drop }),
          ...(options.watts === undefined ? {} : { watts: options.watts }),
          ...(options.p99 === undefined ? {} : { p99Ms: options.p99 }),
        };
        const choice = choose(await Promise.all(paths.map(reportAt)), wishes, options.price);
        if (options.json) cli.output.out(JSON.stringify(choice, null, 1));
        else {
          cli.output.out(
            choice.meets.length === 0
              ? 'No device meets all wishes.'
              : `By ${choice.rankedBy}, the cheapest first:\n${table([['device', 'network', 'precision', 'batch', 'images/s', 'p99 ms', 'accuracy', 'price', 'W'], ...choice.meets.map(wordsOf)])}`,
          );
          for (const { candidate, because } of choice.rejected) cli.output.out(`not ${wordsOf(candidate).slice(0, 3).join(' ')}: ${because}`);
        }
        return choice.meets.length === 0 ? 4 : 0;
      }),
    );
  return report;
}

/** report ladder: where the time goes between the engine and the application. */
function addLadderVerb(report: Command, cli: Cli): void {
  report
    .command('ladder <report> [run...]')
    .description('what limits, from the engine alone to the application: joins runs of `deepstream run --json` (fake sink, display) to a report')
    .option('--out <dir>', 'write the report with them there, as JSON, Markdown and HTML')
    .action(
      cli.does(async (path: string, files: string[], { out }: { readonly out?: string }) => {
        const runs = await Promise.all(files.map(async file => parseAppRun(await textOf(file, 'Make it with: edgeforge deepstream run <device> --json > run.json'), file)));
        const joined = withAppRuns(await reportAt(path), runs);
        if (out !== undefined) await writeReport(out, joined);
        const sentences = bottleneckSentences(joined);
        cli.output.out(sentences.length === 0 ? 'This report has no times of engines alone: they come from TensorRT devices.' : sentences.join('\n'));
        return 0;
      }),
    );
}

const wordsOf = ({ device, network, row, price, watts }: Candidate): string[] => [
  device,
  network === 'baseline' ? 'unpruned' : 'pruned',
  row.precision,
  String(row.batch),
  shortNumber(row.throughput.value),
  shortNumber(row.latencyMs.p99),
  row.accuracy === undefined ? '–' : percent(row.accuracy.value),
  price === undefined ? '–' : String(price),
  watts === undefined ? '–' : shortNumber(watts),
];

async function reportAt(path: string): Promise<Report> {
  const file = (await stat(path).catch(() => undefined))?.isDirectory() ? join(path, 'report.json') : path;
  return parseReport(await textOf(file, 'Name a report.json or its folder (.edgeforge/out/report-NAME).'));
}
const textOf = (file: string, hint: string): Promise<string> =>
  readFile(file, 'utf8').catch((cause: unknown) => {
    throw new EdgeError('file-missing', `There is no file ${file}.`, { hint, where: { file }, cause });
  });

function numberOf(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) throw new InvalidArgumentError('It must be a number of at least 0.');
  return value;
}
/** '3%' and '3 %' are 0.03; so is '0.03'. */
function shareOf(text: string): number {
  const percentage = /^(.*?)\s*%$/.exec(text.trim());
  return percentage ? numberOf(percentage[1] ?? '') / 100 : numberOf(text);
}
function priceOf(text: string, before: Readonly<Record<string, number>>): Record<string, number> {
  const at = text.lastIndexOf('=');
  if (at < 1) throw new InvalidArgumentError('Write it as NAME=PRICE.');
  return { ...before, [text.slice(0, at)]: numberOf(text.slice(at + 1)) };
}
