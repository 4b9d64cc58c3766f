/** The closed set of failures we expect. A code is for scripts and tests; message and hint are for people. */
export type ErrorCode =
  // input files and settings
  | 'usage'
  | 'project-invalid'
  | 'spec-syntax'
  | 'spec-invalid'
  | 'file-missing'
  | 'file-corrupt'
  | 'format-unsupported'
  | 'limit-exceeded'
  // graphs and arithmetic
  | 'graph-invalid'
  | 'operator-unsupported'
  | 'shape-mismatch'
  | 'gradient-missing'
  | 'not-finite'
  | 'engine-missing'
  | 'weights-mismatch'
  // data
  | 'dataset-invalid'
  | 'class-unmapped'
  | 'image-corrupt'
  // compression and export
  | 'prune-refused'
  | 'calibration-missing'
  | 'calibration-invalid'
  | 'key-missing'
  // devices
  | 'device-unknown'
  | 'device-unreachable'
  | 'host-key-unknown'
  | 'host-key-changed'
  | 'login-refused'
  | 'device-busy'
  | 'device-full'
  | 'device-refused'
  | 'connection-lost'
  | 'command-failed'
  | 'transfer-corrupt'
  | 'payload-missing'
  | 'engine-build-failed'
  | 'measurement-void'
  | 'timeout'
  // builds
  | 'output-missing'
  | 'store-corrupt'
  | 'locked'
  | 'run-unknown'
  | 'gate-missed'
  | 'cancelled'
  | 'internal';

/** Where a mistake lies, in a file that the user wrote or a path inside a value. */
export interface Where {
  readonly file?: string;
  readonly line?: number;
  readonly path?: string;
}

export interface ErrorDetails {
  /** What to do about it: one imperative sentence, with the command to run where there is one. */
  readonly hint: string;
  readonly where?: Where | undefined;
  readonly cause?: unknown;
}

/** Every failure the product expects: a code, a message with the values, the mend, and where. */
export class EdgeError extends Error {
  override readonly name = 'EdgeError';
  readonly code: ErrorCode;
  readonly hint: string;
  readonly where: Where | undefined;

  constructor(code: ErrorCode, message: string, { hint, where, cause }: ErrorDetails) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.hint = hint;
    this.where = where;
  }

  toJSON() {
    return { code: this.code, message: this.message, hint: this.hint, ...(this.where ? { where: this.where } : {}) };
  }
}

/** Makes the compiler reject a switch that forgets a case. */
export const unreachable = (value: never): never => {
  throw new Error(`Unhandled case: ${JSON.stringify(value)}`);
};

/** Any thrown value as an EdgeError; what we did not expect becomes `internal`. */
export function asEdgeError(error: unknown): EdgeError {
  if (error instanceof EdgeError) return error;
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new EdgeError('internal', text, { hint: 'This is a bug in edgeforge: please report it with the run folder’s events.ndjson.', cause: error });
}
