import { isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import { EdgeError } from '../core/errors.ts';

const largestText = 4 * 1024 * 1024;

export interface IniEntry {
  readonly key: string;
  readonly value: string;
  readonly line?: number;
  /** A sentence that stands above the entry as a comment line. */
  readonly comment?: string;
}
export interface IniGroup {
  /** '' for a key that stands outside all groups (YAML only). */
  readonly name: string;
  readonly entries: readonly IniEntry[];
  readonly line?: number;
  readonly comment?: string;
}
/** A DeepStream config: GKeyFile text or its YAML twin. Groups and keys in order, repeats kept (the last one counts). */
export interface Ini {
  readonly groups: readonly IniGroup[];
  /** Comment lines at the top of the file. */
  readonly comment?: string;
}

/** The value that counts for a key, or undefined. */
export const iniValue = (ini: Ini, group: string, key: string): string | undefined =>
  ini.groups
    .filter(({ name }) => name === group)
    .flatMap(({ entries }) => entries)
    .findLast(entry => entry.key === key)?.value;

const broken = (message: string, line: number) =>
  new EdgeError('file-corrupt', message, { hint: 'A DeepStream config has [groups], key=value lines, and # comments on lines of their own.', where: { line } });

function checkSize(text: string): void {
  if (text.length > largestText)
    throw new EdgeError('limit-exceeded', `This config has ${text.length} characters; the limit is ${largestText}.`, { hint: 'Check that this is a DeepStream config.' });
}

/** Reads GKeyFile text as DeepStream does: `#` only at a line's start (a later one belongs to the value). `headless` names the group of keys before any header (TLT's nvinfer_config.txt). */
export function parseIni(text: string, { headless }: { readonly headless?: string } = {}): Ini {
  checkSize(text);
  const groups: { name: string; line: number; entries: IniEntry[] }[] = [];
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('[')) {
      if (!line.endsWith(']') || line.length < 3) throw broken(`Line ${index + 1} is no group header: ${line.slice(0, 80)}`, index + 1);
      groups.push({ name: line.slice(1, -1), line: index + 1, entries: [] });
      continue;
    }
    const equals = line.indexOf('=');
    if (equals < 1) throw broken(`Line ${index + 1} is neither a group nor key=value: ${line.slice(0, 80)}`, index + 1);
    if (groups.length === 0 && headless !== undefined) groups.push({ name: headless, line: index + 1, entries: [] });
    const group = groups.at(-1);
    if (group === undefined) throw broken(`Line ${index + 1} stands before any [group]: ${line.slice(0, 80)}`, index + 1);
    group.entries.push({ key: line.slice(0, equals).trim(), value: line.slice(equals + 1).trim(), line: index + 1 });
  }
  return { groups };
}

/** Reads DeepStream's YAML form (6.1+): a mapping of mappings; values as they are written. */
export function parseIniYaml(text: string): Ini {
  checkSize(text);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false, schema: 'failsafe', logLevel: 'silent' });
  const lineOf = (offset: number | undefined) => (offset === undefined ? 1 : lines.linePos(offset).line);
  const [fault] = document.errors;
  if (fault !== undefined) throw broken(`Not valid YAML: ${fault.message.split('\n')[0]}`, lineOf(fault.pos[0]));
  const root = document.contents;
  if (!isMap(root)) throw broken('The YAML config is not a mapping of groups.', 1);
  return {
    groups: root.items.map(({ key, value }) => {
      const line = lineOf(isScalar(key) ? key.range?.[0] : undefined);
      // NVIDIA's own samples hold keys that lost their indentation; DeepStream passes over them, so they are kept apart, in a group without a name.
      if (isScalar(key) && isScalar(value) && value.value !== '' && value.value !== null)
        return { name: '', line, entries: [{ key: String(key.value), value: String(value.value), line }] };
      if (!isScalar(key) || (!isMap(value) && !isScalar(value) && value !== null)) throw broken(`Group ${String(key)} is not a mapping of keys.`, line);
      const items = isMap(value) ? value.items : [];
      return {
        name: String(key.value),
        line,
        entries: items.map(item => {
          const at = lineOf(isScalar(item.key) ? item.key.range?.[0] : undefined);
          if (!isScalar(item.key) || (item.value !== null && !isScalar(item.value))) throw broken(`${String(key.value)} holds something that is not key: value.`, at);
          return { key: String(item.key.value), value: item.value === null ? '' : String(item.value.value ?? ''), line: at };
        }),
      };
    }),
  };
}

const comments = (text: string | undefined): string =>
  text === undefined
    ? ''
    : `${text
        .split('\n')
        .map(line => `# ${line}`.trimEnd())
        .join('\n')}\n`;
function checkEntry(group: string, { key, value }: IniEntry): void {
  if (/[\r\n]/.test(`${group}${key}${value}`))
    throw new EdgeError('usage', `The value of ${key} in [${group}] has a line break: ${JSON.stringify(value)}.`, { hint: 'DeepStream configs hold one value a line.' });
}

/** GKeyFile text; comments on lines of their own, as DeepStream knows no others. */
export const formatIni = (ini: Ini): string =>
  comments(ini.comment) +
  ini.groups
    .map(({ name, comment, entries }) => {
      for (const entry of entries) checkEntry(name, entry);
      return `${comments(comment)}[${name}]\n${entries.map(entry => `${comments(entry.comment)}${entry.key}=${entry.value}\n`).join('')}`;
    })
    .map(text => `\n${text}`)
    .join('')
    .replace(/^\n/, ini.comment === undefined ? '' : '\n');

/** The YAML twin (DeepStream 6.1+). */
export const formatIniYaml = (ini: Ini): string =>
  comments(ini.comment) +
  ini.groups
    .map(({ name, comment, entries }) => {
      for (const entry of entries) checkEntry(name, entry);
      const scalar = (value: string) =>
        /^[\w./;+-][\w./:;+ -]*$/.test(value) && !value.includes(': ') && !value.endsWith(' ') && !value.endsWith(':') && !/^-\s|^-$/.test(value) ? value : JSON.stringify(value);
      const indent = (text: string) => text.replace(/^(?=.)/gm, '  ');
      return `\n${comments(comment)}${name}:\n${entries.map(entry => `${indent(comments(entry.comment))}  ${entry.key}: ${scalar(entry.value)}\n`).join('')}`;
    })
    .join('');
