import { basename } from 'node:path';
import type { Command } from 'commander';
import { EdgeError } from '../../core/errors.ts';
import { runEventJsonSchema } from '../../core/run-events-schema.ts';
import { findRun, listRuns } from '../../core/run-folder.ts';
import { storeRoot } from '../../core/store-root.ts';
import { openProject } from '../../pipeline/project.ts';
import type { RunRequest } from '../../pipeline/requested.ts';
import type { Cli } from '../cli.ts';
import { table } from '../output.ts';
import { runAndWatch, watch } from '../watch.ts';

interface BuildOptions {
  readonly project?: string;
  readonly json?: boolean;
  readonly detach?: boolean;
}

// The rooms that a plan needs are loaded only for one: a run does its work in a process of its own.
const planning = () => import('./plan.ts');

/** run, benchmark, plan, watch, runs: the verbs over a project's recipe. */
export function addBuildVerbs(program: Command, cli: Cli): void {
  const verb = (name: string, description: string) =>
    program
      .command(name)
      .description(description)
      .option('--project <dir>', 'the project (default: the nearest edgeforge.yaml upwards)')
      .option('--json', 'print events as NDJSON');
  const go = (options: BuildOptions, request: Omit<RunRequest, 'project'>) => {
    const project = openProject({ folder: options.project });
    return runAndWatch({ project, request: { ...request, project: project.folder }, output: cli.output, json: options.json === true, detach: options.detach === true });
  };

  verb('run [step...]', 'bring everything in the project file up to date, devices and report included; or only these steps and what they need')
    .option('--detach', 'start it and come back at once')
    .action(cli.does(async (steps: string[], options: BuildOptions) => go(options, { steps })));

  verb('benchmark [device...]', 'measure on these devices (default: all) whatever is stale')
    .option('--again', 'measure anew what was measured before, with its report')
    .action(
      cli.does(async (devices: string[], options: BuildOptions & { readonly again?: boolean }) =>
        go(options, { steps: options.again ? ['benchmark', 'report'] : ['benchmark'], measureAgain: options.again === true, ...(devices.length > 0 ? { devices } : {}) }),
      ),
    );

  verb('plan [step...]', 'say what would run and why, without running it').action(
    cli.does(async (steps: string[], options: BuildOptions) => (await planning()).plan(openProject({ folder: options.project }), steps, options.json === true, cli)),
  );

  verb('watch [run]', 'follow a run, or replay a finished one (default: the last)').action(
    cli.does(async (name: string | undefined, options: BuildOptions) => {
      const project = openProject({ folder: options.project });
      const run = await findRun(storeRoot(project.folder), name ?? 'last');
      return watch({ folder: run.folder, output: cli.output, json: options.json === true, title: basename(project.folder) });
    }),
  );

  verb('runs', 'list the runs of this project; --schema prints the JSON Schema of the events that --json prints')
    .option('--schema', 'print the events’ JSON Schema')
    .option('--diff <run...>', 'what two runs did differently: --diff OLD NEW')
    .action(cli.does(async (options: RunsOptions) => runs(options, cli)));
}

interface RunsOptions extends BuildOptions {
  readonly schema?: boolean;
  readonly diff?: readonly string[];
}

async function runs(options: RunsOptions, { output }: Cli): Promise<number> {
  if (options.schema) {
    output.out(JSON.stringify(runEventJsonSchema(), null, 1));
    return 0;
  }
  const root = storeRoot(openProject({ folder: options.project }).folder);
  if (options.diff) {
    const [before, after, ...more] = options.diff;
    if (before === undefined || after === undefined || more.length > 0)
      throw new EdgeError('usage', `--diff compares two runs, not ${options.diff.length}.`, { hint: 'Name them: edgeforge runs --diff OLD NEW' });
    return (await import('./compare-runs.ts')).compareRuns(root, [before, after], options.json === true, output);
  }
  const known = await listRuns(root);
  if (options.json) output.out(JSON.stringify(known));
  else output.out(known.length === 0 ? 'No runs yet. Start one with: edgeforge run' : table(known.map(run => [run.id, run.status, run.startedAt, run.command])));
  return 0;
}
