import { type Ini, parseIni } from './ini.ts';

/** What changed from one text of a config to the next, as one line; undefined where they are equal. `undefined` stands for a file that is not there. */
export function configChange(file: string, before: string | undefined, after: string | undefined): string | undefined {
  if (before === after) return undefined;
  if (before === undefined) return `${file}: new`;
  if (after === undefined) return `${file}: gone`;
  const changes = file.startsWith('labels') ? listChanges(lines(before), lines(after)) : keyChanges(before, after);
  return `${file}: ${changes.length > 0 ? listed(changes) : 'comments only'}`;
}

const lines = (text: string): string[] => text.split(/[\n;]/).filter(Boolean);
const most = 4;
const listed = (changes: readonly string[]): string => (changes.length <= most ? changes.join(', ') : `${changes.slice(0, most).join(', ')} and ${changes.length - most} more`);

function listChanges(before: readonly string[], after: readonly string[]): string[] {
  const changes = [...after.filter(name => !before.includes(name)).map(name => `+${name}`), ...before.filter(name => !after.includes(name)).map(name => `−${name}`)];
  return changes.length > 0 ? changes : ['another order'];
}

function keyChanges(before: string, after: string): string[] {
  const [old, now] = [valuesOf(before), valuesOf(after)];
  if (!old || !now) return ['another text'];
  return [...new Set([...old.keys(), ...now.keys()])].flatMap(key => {
    const [was, is] = [old.get(key), now.get(key)];
    return was === is ? [] : [`${key} ${was ?? 'absent'} → ${is ?? 'absent'}`];
  });
}

/** Group and key → the value that counts; undefined for what is no config at all. */
function valuesOf(text: string): ReadonlyMap<string, string> | undefined {
  let ini: Ini;
  try {
    ini = parseIni(text);
  } catch {
    return undefined;
  }
  return new Map(ini.groups.flatMap(({ name, entries }) => entries.map(({ key, value }) => [`[${name}] ${key}`, value] as const)));
}
