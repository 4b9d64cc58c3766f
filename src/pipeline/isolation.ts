export interface IsolationOptions {
  readonly signal: AbortSignal;
  readonly onMessage?: (message: unknown) => void;
  readonly env?: Readonly<Record<string, string>>;
  /** How long the child may take to end after the signal before it is killed (default 5000). */
  readonly graceMs?: number;
}
/** What the called export gets as its second argument. */
export interface IsolatedContext {
  readonly send: (message: unknown) => void;
  readonly signal: AbortSignal;
}
/** Calls `export(argument, {send, signal})` of the module `file` in a child process of its own and gives its result. */
export function isolated<T>(_file: string, _exportName: string, _argument: unknown, _options: IsolationOptions): Promise<T> {
  throw new Error('not yet');
}
