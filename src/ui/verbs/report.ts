import { cp, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { EdgeError } from '../../core/errors.ts';
import { collectGarbage } from '../../core/gc.ts';
import { Store } from '../../core/store.ts';
import { storeRoot } from '../../core/store-root.ts';
import { parseReport } from '../../formats/report.ts';
import { reportTerminal } from '../../formats/report-terminal.ts';
import { openProject } from '../../pipeline/project.ts';
import type { Cli } from '../cli.ts';
import { bytesText, table } from '../output.ts';
import { addCompareVerbs } from './compare.ts';

interface Common {
  readonly project?: string;
  readonly json?: boolean;
}

/** report, export, gc: what lies in a project already. */
export function addReportVerbs(program: Command, cli: Cli): void {
  const verb = (name: string, description: string) =>
    program.command(name).description(description).option('--project <dir>', 'the project (default: the nearest edgeforge.yaml upwards)').option('--json', 'print JSON');

  addCompareVerbs(verb('report [device]', 'show what was measured; --json prints it for machines'), program, cli).action(
    cli.does(async (device: string | undefined, options: Common) => {
      const { folder, settings } = openProject({ folder: options.project });
      const names = device ? [device] : Object.keys(settings.devices);
      const found = await Promise.all(names.map(async name => ({ name, path: join(storeRoot(folder), 'out', `report-${name}`) })));
      const reports = await Promise.all(
        found.map(async ({ path }) => parseReport(await readFile(join(path, 'report.json'), 'utf8').catch((cause: unknown) => missing(path, cause)))),
      );
      if (options.json) cli.output.out(JSON.stringify(reports.length === 1 ? reports[0] : reports, null, 1));
      else
        reports.forEach((report, i) => {
          cli.output.out(reportTerminal(report, { color: cli.output.colour, width: cli.output.columns }));
          cli.output.out(`pictures: ${join(found[i]?.path ?? '', 'report.html')}\n`);
        });
      return reports.some(report => report.results.some(row => row.gate === 'fail')) ? 4 : 0;
    }),
  );

  verb('export', 'copy what the last run made (models, caches, configs, reports) into a folder')
    .requiredOption('--out <dir>', 'the folder')
    .action(
      cli.does(async (options: Common & { readonly out: string }) => {
        const { folder } = openProject({ folder: options.project });
        const from = join(storeRoot(folder), 'out');
        const to = resolve(options.out);
        await cp(from, to, { recursive: true, dereference: true }).catch((cause: unknown) => missing(from, cause));
        if (options.json) cli.output.out(JSON.stringify({ out: to }));
        else cli.output.out(`Copied to ${to}`);
        return 0;
      }),
    );

  verb('gc', 'remove what no recent run needs from the project’s store')
    .option('--keep-runs <n>', 'runs that stay with all they used', Number, 10)
    .option('--keep-days <n>', 'days that stay', Number, 30)
    .option('--dry-run', 'only say what would go')
    .action(
      cli.does(async (options: Common & { readonly keepRuns: number; readonly keepDays: number; readonly dryRun?: boolean }) => {
        const { folder } = openProject({ folder: options.project });
        const { items, bytes } = await collectGarbage(new Store(storeRoot(folder)), {
          keepRuns: options.keepRuns,
          keepDays: options.keepDays,
          dryRun: options.dryRun === true,
        });
        if (options.json) cli.output.out(JSON.stringify({ items, bytes }));
        else {
          if (items.length > 0) cli.output.out(table(items.map(item => [item.kind, bytesText(item.bytes), item.path])));
          cli.output.out(`${options.dryRun ? 'would free' : 'freed'} ${bytesText(bytes)} in ${items.length} places`);
        }
        return 0;
      }),
    );
}

function missing(path: string, cause: unknown): never {
  throw new EdgeError('file-missing', `There is no finished run yet: ${path} is missing.`, { hint: 'Make one with: edgeforge run', where: { file: path }, cause });
}
