import type { PlannedStep } from '../../core/plan.ts';
import type { RunSummary } from '../../core/run-folder.ts';
import type { Failure } from '../../core/run-state.ts';
import type { DoctorRow } from '../../deploy/doctor.ts';
import type { ReportRow } from '../../formats/report.ts';
import type { ProjectFile } from '../../pipeline/project.ts';

/** What screens show besides the watched run. A new source is a line here and one in `loaders`. */
export interface Sources {
  readonly project: ProjectView;
  readonly plan: PlanView;
  readonly runs: readonly RunSummary[];
  readonly figures: readonly DeviceFigures[];
  readonly doctor: readonly KnownDevice[];
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
/** A device of the project or of the user's list, and what the doctor says of it; `failure` where it does not answer. */
export interface KnownDevice {
  readonly name: string;
  readonly way: string;
  readonly rows: readonly DoctorRow[];
  readonly failure?: Failure;
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
  doctor: { load: async context => (await import('./sources/doctor.ts')).loadDoctor(context), steady: true },
  runs: { load: async context => (await import('./sources/runs.ts')).loadRuns(context) },
};
