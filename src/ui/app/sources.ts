import type { PlannedStep } from '../../core/plan.ts';
import type { RunSummary } from '../../core/run-folder.ts';
import type { ReportRow } from '../../formats/report.ts';
import type { ProjectFile } from '../../pipeline/project.ts';

/** What screens show besides the watched run. A new source is a line here and one in `loaders`. */
export interface Sources {
  readonly project: ProjectView;
  readonly plan: PlanView;
  readonly runs: readonly RunSummary[];
  readonly figures: readonly DeviceFigures[];
}
export type SourceName = keyof Sources;

export interface ProjectView {
  readonly folder: string;
  readonly file: string;
  readonly settings: ProjectFile;
}
/** What was measured on a device last. */
export interface DeviceFigures {
  readonly device: string;
  readonly at: string | undefined;
  readonly rows: readonly ReportRow[];
}
export interface PlanView {
  readonly steps: readonly PlannedStep[];
  readonly away: readonly { readonly name: string; readonly message: string; readonly since: string }[];
}

/** What a loader is given. */
export interface LoadContext {
  /** The project's folder. */
  readonly folder: string;
  readonly signal: AbortSignal;
  /** Runs a verb of edgeforge in a process of its own with --json and gives what it printed, parsed: heavy rooms load there, never in the UI's process. The value is unchecked: put it through a schema. */
  readonly json: (words: readonly string[]) => Promise<unknown>;
}

/** How a source comes in. Loaders are imported when they are first needed. `everyMs`: how often it loads anew while its screen is shown. */
export interface SourceRow<T> {
  readonly load: (context: LoadContext) => Promise<T>;
  readonly everyMs?: number;
  /** A finished run does not change it. */
  readonly steady?: boolean;
}

export const loaders: { readonly [N in SourceName]: SourceRow<Sources[N]> } = {
  project: { load: async context => (await import('./sources/project.ts')).loadProject(context) },
  plan: { load: async context => (await import('./sources/plan.ts')).loadPlan(context) },
  figures: { load: async context => (await import('./sources/figures.ts')).loadFigures(context) },
  runs: { load: async context => (await import('./sources/runs.ts')).loadRuns(context) },
};
