import type { PlannedStep } from '../../core/plan.ts';
import type { RunSummary } from '../../core/run-folder.ts';
import type { Failure } from '../../core/run-state.ts';
import type { DoctorRow } from '../../deploy/doctor.ts';
import type { ReportRow } from '../../formats/report.ts';
import type { ProjectFile } from '../../pipeline/project.ts';
import type { DatasetView } from '../../pipeline/views/dataset.ts';
import type { ExportedView } from '../../pipeline/views/exported.ts';
import type { PruningView } from '../../pipeline/views/pruning.ts';
import type { ReportView } from '../../pipeline/views/reports.ts';
import type { StageView } from '../../pipeline/views/training.ts';
import { pictureKey } from './samples.ts';
import type { UiState } from './state.ts';

/** What screens show besides the watched run. A new source is a line here and one in `loaders`. */
export interface Sources {
  readonly project: ProjectView;
  readonly plan: PlanView;
  readonly runs: readonly RunSummary[];
  readonly dataset: DatasetView | undefined;
  readonly picture: SamplePicture | undefined;
  readonly training: readonly StageView[];
  readonly pruning: PruningView;
  readonly exported: ExportedView;
  readonly reports: readonly ReportView[];
  readonly figures: readonly DeviceFigures[];
  readonly doctor: readonly KnownDevice[];
}
export type SourceName = keyof Sources;

/** A sample as lines of text, drawn for a space of this terminal. */
export interface SamplePicture {
  readonly id: string;
  readonly lines: readonly string[];
}
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
  /** The state that asked; a loader with a `key` may read of it what its key says. */
  readonly state: UiState;
  readonly signal: AbortSignal;
  /** Runs a verb of edgeforge in a process of its own with --json and gives what it printed, parsed: heavy rooms load there, never in the UI's process. The value is unchecked: put it through a schema. */
  readonly json: (words: readonly string[]) => Promise<unknown>;
}

/** How a source comes in. Loaders are imported when they are first needed. `everyMs`: how often it loads anew while its screen is shown. */
export interface SourceRow<T> {
  readonly load: (context: LoadContext) => Promise<T>;
  readonly everyMs?: number;
  /** For what depends on where a person stands: a value of another key is loaded anew; undefined: there is nothing to load. */
  readonly key?: (state: UiState) => string | undefined;
  /** A finished run does not change it. */
  readonly steady?: boolean;
}

export const loaders: { readonly [N in SourceName]: SourceRow<Sources[N]> } = {
  project: { load: async context => (await import('./sources/project.ts')).loadProject(context) },
  plan: { load: async context => (await import('./sources/plan.ts')).loadPlan(context) },
  figures: { load: async context => (await import('./sources/figures.ts')).loadFigures(context) },
  doctor: { load: async context => (await import('./sources/doctor.ts')).loadDoctor(context), steady: true },
  runs: { load: async context => (await import('./sources/runs.ts')).loadRuns(context) },
  dataset: { load: async context => (await import('./sources/stored.ts')).loadDataset(context) },
  picture: { load: async context => (await import('./sources/picture.ts')).loadPicture(context), key: pictureKey },
  training: { load: async context => (await import('./sources/stored.ts')).loadTraining(context) },
  pruning: { load: async context => (await import('./sources/pruning.ts')).loadPruning(context) },
  exported: { load: async context => (await import('./sources/stored.ts')).loadExported(context) },
  reports: { load: async context => (await import('./sources/stored.ts')).loadReports(context) },
};
