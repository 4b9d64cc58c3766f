import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { EdgeError } from '../../../core/errors.ts';

/** Where a key may come from; the first that is set counts. */
export interface KeySources {
  /** `-k KEY`: visible to every user of the machine while the command runs. */
  readonly word?: string | undefined;
  readonly file?: string | undefined;
  readonly environment?: string | undefined;
  /** Asks a person; absent where nobody can answer or nothing encrypted is named. */
  readonly ask?: (() => Promise<string>) | undefined;
}
export interface Key {
  readonly key: string | undefined;
  readonly notes: readonly string[];
}

/** The key of `.tlt` and `.etlt` files, and what is to be said about how it came. It stays in this process: no child gets it as a word or a message. */
export async function findKey({ word, file, environment, ask }: KeySources): Promise<Key> {
  if (word !== undefined && word !== '') {
    return { key: word, notes: ['-k puts the key into the process list and the shell’s history, where other users can read it. Safer: export EDGEFORGE_KEY, or --key_file FILE.'] };
  }
  if (file !== undefined) return { key: firstLine(await readKeyFile(file), file), notes: [] };
  if (environment !== undefined && environment !== '') return { key: environment, notes: [] };
  const answer = ask && (await ask());
  return { key: answer === '' ? undefined : answer, notes: [] };
}

const readKeyFile = (file: string): Promise<string> =>
  readFile(file, 'utf8').catch((cause: unknown) => {
    throw new EdgeError('key-missing', `The key file ${file} cannot be read.`, { hint: 'Write the key into it (chmod 600), or set EDGEFORGE_KEY.', where: { file }, cause });
  });

function firstLine(text: string, file: string): string {
  const line = text.split(/\r?\n/)[0] ?? '';
  if (line === '') throw new EdgeError('key-missing', `The key file ${file} is empty.`, { hint: 'Write the key into its first line.', where: { file } });
  return line;
}

/** Asks for the key on a terminal without showing what is typed. */
export async function askForKey(): Promise<string> {
  process.stderr.write('Key of the .tlt and .etlt files (empty: none): ');
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    return await lines.question('');
  } finally {
    lines.close();
    process.stderr.write('\n');
  }
}
