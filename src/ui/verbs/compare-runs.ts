import { diffRuns } from '../../core/run-diff.ts';
import { eventsOf, findRun } from '../../core/run-folder.ts';
import { readRunLog } from '../../core/run-log.ts';
import { initialRunState, type RunState, reduceRun } from '../../core/run-state.ts';
import type { Output } from '../output.ts';
import { figure } from '../run-lines.ts';

/** Prints what two runs of a store did differently. */
export async function compareRuns(root: string, names: readonly [string, string], json: boolean, output: Output): Promise<number> {
  const runs = await Promise.all(names.map(name => findRun(root, name)));
  const [before, after] = (await Promise.all(runs.map(({ folder }) => folded(folder)))) as [RunState, RunState];
  const differences = diffRuns(before, after);
  if (json) output.out(JSON.stringify({ before: runs[0]?.id, after: runs[1]?.id, differences }));
  else {
    output.out(`- ${runs[0]?.id}  ${before.command ?? ''}\n+ ${runs[1]?.id}  ${after.command ?? ''}`);
    if (differences.length === 0) output.out('Both did the same.');
    for (const { step, before: was, after: is, metrics } of differences) {
      output.out(`${step}\n  - ${was}\n  + ${is}`);
      for (const metric of metrics)
        output.out(`    ${metric.name}: ${metric.before === undefined ? 'absent' : figure(metric.before)} to ${metric.after === undefined ? 'absent' : figure(metric.after)}`);
    }
  }
  return 0;
}

async function folded(folder: string): Promise<RunState> {
  let state = initialRunState;
  for await (const event of readRunLog(eventsOf(folder))) state = reduceRun(state, event);
  return state;
}
