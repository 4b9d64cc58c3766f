import { existsSync, readFileSync } from 'node:fs';

/** What a replayed board is: read by every stand-in from the JSON file it is given first. */
export interface BoardSettings {
  readonly name: string;
  readonly tensorrt: string;
  /** The bracket `[bNN]` of later releases. */
  readonly buildNumber?: string;
  readonly gpu: string;
  readonly sm: string;
  readonly fastInt8: boolean;
  readonly dla: number;
  readonly memoryMB: number;
  /** Milliseconds of one query per precision, as such a board shows them. */
  readonly gpuMs: Readonly<Record<'fp32' | 'fp16' | 'int8', number>>;
  /** Seconds here for one second of the recorded tool. */
  readonly pace: number;
}
/** What goes wrong, put beside the settings as fault.json by a test; read anew by every program. */
export interface Fault {
  /** Dies by SIGKILL while timing tactics, as under the OOM killer. */
  readonly oomKill?: boolean;
  readonly segfault?: boolean;
  /** Times tactics for ever, deaf to SIGTERM. */
  readonly hang?: boolean;
  readonly unsupported?: string;
  readonly missingPlugin?: string;
  readonly noTactic?: boolean;
  readonly outOfMemory?: boolean;
  /** Extra seconds that timing takes, spread over the layers. */
  readonly slowS?: number;
  /** Relative spread between builds of one model, for `--builds`. */
  readonly buildSpread?: number;
  readonly throttle?: boolean;
  /** Somebody else's program computes on the GPU. */
  readonly foreignGpu?: boolean;
  /** jetson_clocks runs and ends well, yet the clocks stay as they were. */
  readonly clocksSlip?: boolean;
  /** nvpmodel asks for a restart of the board, and without an answer leaves the mode. */
  readonly modeNeedsRestart?: boolean;
  /** It says that it restored them, and did not. */
  readonly restoreSlips?: boolean;
}

/** The mark that every stand-in bears in its first bytes and in what it prints: what carries it is emulated. */
export const standInMark = 'edgeforge-stand-in';

export function readSettings(file: string): { readonly board: BoardSettings; readonly fault: Fault } {
  const fault = file.replace(/board\.json$/, 'fault.json');
  return { board: JSON.parse(readFileSync(file, 'utf8')) as BoardSettings, fault: existsSync(fault) ? (JSON.parse(readFileSync(fault, 'utf8')) as Fault) : {} };
}
