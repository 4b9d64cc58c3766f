import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import { writeAtomic } from '../core/atomic-file.ts';
import { parseProject, projectFileName } from './project.ts';

/** Changes settings of a project file, comments and order kept; undefined removes one. Throws `project-invalid` and leaves the file alone where the result is no project. */
export async function setProjectValues(
  folder: string,
  changes: readonly { readonly path: readonly string[]; readonly value: string | number | boolean | undefined }[],
): Promise<void> {
  const file = join(folder, projectFileName);
  const document = parseDocument(await readFile(file, 'utf8'));
  for (const { path, value } of changes) {
    if (value !== undefined) document.setIn(path, value);
    else if (document.hasIn(path)) document.deleteIn(path);
  }
  const text = document.toString({ lineWidth: 0 });
  parseProject(text, file);
  await writeAtomic(file, text);
}
