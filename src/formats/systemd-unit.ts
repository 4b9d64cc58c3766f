import { EdgeError } from '../core/errors.ts';

/** One word of a systemd command line (systemd.service(5), "Command lines"): `%` and `$` stand for themselves, and what has spaces or quotes is quoted. A line break or NUL cannot be a word: `usage`. */
export function systemdWord(word: string): string {
  if (/[\0\r\n]/.test(word))
    throw new EdgeError('usage', `A word of a service holds a line break or NUL: ${JSON.stringify(word.slice(0, 60))}.`, { hint: 'Rename the file or setting it comes from.' });
  const escaped = word
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('%', '%%')
    .replaceAll('$', () => '$$');
  return /^[A-Za-z0-9_/.,@:+=%-]+$/.test(escaped) && word !== '' ? escaped : `"${escaped}"`;
}

/** The program of a command line: an absolute path, of which systemd refuses quotes and backslashes and expands `%`, but not `$`. Throws `usage` where it cannot be one. */
function systemdProgram(path: string): string {
  if (!path.startsWith('/') || /["'\\\p{C}]/u.test(path))
    throw new EdgeError('usage', `systemd starts no program of the path ${JSON.stringify(path.slice(0, 80))}.`, {
      hint: 'It takes an absolute path without quotes, backslashes and control characters.',
    });
  const escaped = path.replaceAll('%', '%%');
  return /\s/.test(escaped) ? `"${escaped}"` : escaped;
}

/** A service that keeps one program running. */
export interface ServiceUnit {
  readonly description: string;
  /** Absolute, or with systemd's own `%h` for the home of a user's unit. */
  readonly workingDirectory: string;
  readonly words: readonly [string, ...string[]];
  /** The user of a system unit; absent: a user's own unit. */
  readonly user?: string;
  readonly restartSec: number;
  /** So many starts within so many seconds, then it is left failed. */
  readonly starts: { readonly most: number; readonly withinSec: number };
}

/** The unit as text (systemd.unit(5), systemd.service(5)). */
export const unitText = ({ description, workingDirectory, words: [program, ...words], user, restartSec, starts }: ServiceUnit): string => `# Written by edgeforge.
[Unit]
Description=${description.replaceAll('%', '%%').replace(/\s+/g, ' ')}
StartLimitIntervalSec=${starts.withinSec}
StartLimitBurst=${starts.most}

[Service]
Type=simple
${user === undefined ? '' : `User=${user}\n`}WorkingDirectory=${workingDirectory}
ExecStart=${[systemdProgram(program), ...words.map(systemdWord)].join(' ')}
Restart=on-failure
RestartSec=${restartSec}

[Install]
WantedBy=${user === undefined ? 'default.target' : 'multi-user.target'}
`;
