import type { RunState, StepState } from './run-state.ts';

/** A step in two runs: how it ended and what it said, where that differs. */
export interface StepDifference {
  readonly step: string;
  readonly before: string;
  readonly after: string;
  /** Metrics whose last values differ; absent on one side: undefined. */
  readonly metrics: readonly { readonly name: string; readonly before: number | undefined; readonly after: number | undefined }[];
}

const wordOf = (step: StepState | undefined): string => {
  if (!step) return 'absent';
  const { status, milliseconds, failure, because } = step;
  return [
    status,
    ...(status === 'ran' ? [`${((milliseconds ?? 0) / 1000).toFixed(1)} s`] : []),
    ...(failure ? [failure.code] : []),
    ...(status !== 'cached' && because ? [`(${because})`] : []),
  ].join(' ');
};

/** What two runs did differently, step by step in the order of the second; steps cached in both are left out. Pure. */
export function diffRuns(before: RunState, after: RunState): readonly StepDifference[] {
  const steps = [...new Set([...after.steps.keys(), ...before.steps.keys()])];
  return steps.flatMap(step => {
    const [a, b] = [before.steps.get(step), after.steps.get(step)];
    const names = [...new Set([...Object.keys(a?.metrics ?? {}), ...Object.keys(b?.metrics ?? {})])];
    const metrics = names.flatMap(name => {
      const [was, is] = [a?.metrics[name], b?.metrics[name]];
      return was === is ? [] : [{ name, before: was, after: is }];
    });
    const [one, other] = [wordOf(a), wordOf(b)];
    return one === other && metrics.length === 0 ? [] : [{ step, before: one, after: other, metrics }];
  });
}
