/** What a line of a step's log is. `command`: what was run on a device, quoted for a shell. */
export type LogLevel = 'info' | 'note' | 'warning' | 'error' | 'command';
/** Everything that can happen during a run. Plain JSON: one event is one line of events.ndjson. `time` is ISO 8601. */
export type RunEvent = { readonly time: string } & (
  | { readonly type: 'run-started'; readonly run: string; readonly command: string; readonly steps: readonly string[] }
  | { readonly type: 'step-started'; readonly step: string; readonly because: string }
  | {
      readonly type: 'step-progress';
      readonly step: string;
      readonly done: number;
      readonly total: number;
      readonly unit: string;
      readonly metrics: Readonly<Record<string, number>>;
    }
  | { readonly type: 'step-log'; readonly step: string; readonly level: LogLevel; readonly message: string }
  | { readonly type: 'step-finished'; readonly step: string; readonly outcome: 'ran' | 'cached'; readonly milliseconds: number; readonly notes: readonly string[] }
  | { readonly type: 'step-failed'; readonly step: string; readonly code: string; readonly message: string; readonly hint: string }
  | { readonly type: 'step-skipped'; readonly step: string; readonly because: string }
  | {
      readonly type: 'run-finished';
      readonly ok: boolean;
      readonly exitCode: number;
      readonly out?: string | undefined;
      /** What ended the run outside any step. */
      readonly error?: { readonly code: string; readonly message: string; readonly hint: string } | undefined;
    }
);
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
/** An event before the run's clock stamps it. */
export type UntimedEvent = DistributiveOmit<RunEvent, 'time'>;
export type Emit = (event: UntimedEvent) => void;
