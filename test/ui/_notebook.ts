import { readFile } from 'node:fs/promises';
import { inPackage } from '../../src/core/package-root.ts';

interface Notebook {
  readonly cells: readonly { readonly cell_type: string; readonly source: readonly string[] }[];
}

/** Words of a command as a shell splits them: blanks, and double or single quotes. */
export const splitWords = (text: string): string[] => [...text.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, double, single, plain]) => double ?? single ?? plain ?? '');

/** The notebook's `!edgeforge` commands as words after `edgeforge`, with its `%env` variables put in (`change` may replace them). */
export async function notebookCommands(change: (name: string, value: string) => string = (_, value) => value): Promise<string[][]> {
  const notebook = JSON.parse(await readFile(inPackage('src', 'pipeline', 'templates', 'notebooks', 'detectnet_v2.ipynb'), 'utf8')) as Notebook;
  const variables = new Map<string, string>();
  const commands: string[][] = [];
  for (const { cell_type, source } of notebook.cells) {
    if (cell_type !== 'code') continue;
    const lines = source.join('').replace(/\\\n/g, ' ').split('\n');
    for (const line of lines) {
      const [, name, value] = /^%env (\w+)=(.*)$/.exec(line) ?? [];
      if (name !== undefined && value !== undefined) variables.set(name, change(name, value));
      if (!line.startsWith('!')) continue;
      const [program, ...words] = splitWords(line.slice(1).replace(/\$(\w+)/g, (whole, variable: string) => variables.get(variable) ?? whole));
      if (program !== 'edgeforge') throw new Error(`Not a command of ours: ${line}`);
      commands.push(words);
    }
  }
  return commands;
}
