import { EdgeError } from '../core/errors.ts';
import type { Command } from './device.ts';

const plain = /^[A-Za-z0-9_/.,@%+:-][A-Za-z0-9_/.,@%+:=-]*$/;

/** One word as POSIX shell text: whatever the word holds, sh gives exactly it back. A NUL cannot be a word of any program: `usage`. */
export function quote(word: string): string {
  if (word.includes('\0'))
    throw new EdgeError('usage', `A word for a remote command holds a NUL byte: ${JSON.stringify(word.slice(0, 60))}.`, { hint: 'Rename the file or setting it comes from.' });
  return plain.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A command as one line of shell text. */
export const commandText = (command: Command): string => command.map(quote).join(' ');

/** Environment settings as shell text, each exported before the command. */
const exports = (env: Readonly<Record<string, string>>): string =>
  Object.entries(env)
    .map(([name, value]) => {
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
        throw new EdgeError('usage', `${JSON.stringify(name)} is no name of an environment variable.`, { hint: 'Use letters, digits and underscores.' });
      return `export ${name}=${quote(value)}; `;
    })
    .join('');

/**
 * What a device's login shell is given: make and enter the edgeforge home (then `cwd` below it), set the environment, become the command.
 * Programs speak English (`LC_ALL=C`), or parsers would depend on the board's language.
 */
export function remoteText(command: Command, { cwd, env = {} }: { readonly cwd?: string | undefined; readonly env?: Readonly<Record<string, string>> | undefined } = {}): string {
  const enter = cwd === undefined ? '' : `mkdir -p -- ${quote(cwd)} && cd -- ${quote(cwd)} && `;
  return `export LC_ALL=C; ${exports(env)}mkdir -p ~/.edgeforge && cd ~/.edgeforge && ${enter}exec ${commandText(command)}`;
}

/** A script with its arguments as words: `$1`… inside the script, so that no value is ever pasted into shell text. */
export const script = (text: string, ...args: readonly string[]): Command => ['sh', '-c', text, 'sh', ...args];
