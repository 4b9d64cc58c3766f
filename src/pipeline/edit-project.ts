import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isScalar, parseDocument, stringify } from 'yaml';
import { writeAtomic } from '../core/atomic-file.ts';
import { parseProject, projectFileName } from './project.ts';

/** Changes settings of a project file, comments and order kept; undefined removes one. Throws `project-invalid` and leaves the file alone where the result is no project. */
export async function setProjectValues(
  folder: string,
  changes: readonly { readonly path: readonly string[]; readonly value: string | number | boolean | undefined }[],
): Promise<void> {
  const file = join(folder, projectFileName);
  const text = changes.reduce((so, change) => changed(so, change), await readFile(file, 'utf8'));
  parseProject(text, file);
  await writeAtomic(file, text);
}

/** A value that stands there already is replaced in place, so that the rest keeps its very spelling; otherwise the file is written anew from its syntax tree. */
function changed(text: string, { path, value }: { readonly path: readonly string[]; readonly value: string | number | boolean | undefined }): string {
  const document = parseDocument(text);
  const found = document.getIn(path, true);
  if (value !== undefined && isScalar(found) && found.range && /^[\w./-]+$/.test(String(value))) {
    const [from, to] = found.range;
    return text.slice(0, from) + stringify(value).trimEnd() + text.slice(to);
  }
  if (value !== undefined) document.setIn(path, value);
  else if (document.hasIn(path)) document.deleteIn(path);
  else return text;
  return document.toString({ lineWidth: 0 });
}
