import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import { writeAtomic } from '../core/atomic-file.ts';
import { parseProject, projectFileName } from './project.ts';

/** Changes one setting of a project file, comments and order kept; undefined removes it. Throws `project-invalid` and leaves the file alone where the result is no project. */
export async function setProjectValue(folder: string, path: readonly string[], value: string | number | boolean | undefined): Promise<void> {
  const file = join(folder, projectFileName);
  const document = parseDocument(await readFile(file, 'utf8'));
  if (value === undefined) document.deleteIn(path);
  else document.setIn(path, value);
  const text = document.toString({ lineWidth: 0 });
  parseProject(text, file);
  await writeAtomic(file, text);
}
