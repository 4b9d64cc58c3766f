import { since } from './options.ts';

export type Options = ReadonlyMap<string, string>;

/** Where the stand-in writes: INFO and VERBOSE to stdout, the rest to stderr; up to 8.0 the time of an error still goes to stdout. */
export class Log {
  readonly version: string;
  verbose = false;
  errors = 0;
  constructor(version: string) {
    this.version = version;
  }
  say(level: 'V' | 'I' | 'W' | 'E' | 'F', text: string): void {
    if (level === 'V' && !this.verbose) return;
    const now = new Date();
    const two = (value: number): string => String(value).padStart(2, '0');
    const stamp = `[${two(now.getMonth() + 1)}/${two(now.getDate())}/${now.getFullYear()}-${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}] `;
    if (level === 'I' || level === 'V') process.stdout.write(`${stamp}[${level}] ${text}\n`);
    else if (since(this.version, '8.2')) process.stderr.write(`${stamp}[${level}] ${text}\n`);
    else {
      process.stdout.write(stamp);
      process.stderr.write(`[${level}] ${text}\n`);
    }
  }
}
/** Ends the run as failed after its error lines. */
export class Failed extends Error {}

/** `name:1x3x2[,…]`, split at the last colon; names may stand in quotes. */
export function shapesFrom(text: string): Record<string, number[]> {
  const shapes: Record<string, number[]> = {};
  for (const [, quoted, plain, dims] of text.matchAll(/(?:'([^']+)'|([^,']+?)):(\d+(?:x\d+)*)(?=,|$)/g)) shapes[(quoted ?? plain)!] = dims!.split('x').map(Number);
  return shapes;
}
