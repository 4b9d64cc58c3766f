import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { knowsPropertyKey, nvinferClassKeys } from '../../src/formats/deepstream-version.ts';
import { formatIni, iniValue, parseIni, parseIniYaml } from '../../src/formats/ini.ts';
import { refusal } from '../refusal.ts';
import { hasShared, shared } from '../shared.ts';

const files = hasShared ? readdirSync(shared('deepstream-configs')).filter(name => name !== 'INDEX.tsv') : [];
describe.skipIf(!hasShared)('real configs', () => {
  test.each(files)('%s', name => {
    const text = readFileSync(shared('deepstream-configs', name), 'utf8');
    const ini = name.endsWith('.yml') ? parseIniYaml(text) : parseIni(text);
    expect(ini.groups.length).toBeGreaterThan(0);
    const grouped = { groups: ini.groups.filter(group => group.name !== '') };
    expect(parseIni(formatIni(grouped)).groups.map(({ name: group, entries }) => [group, entries.length])).toEqual(
      grouped.groups.map(({ name: group, entries }) => [group, entries.length]),
    );
    if (!/app_config/.test(name))
      for (const { key } of ini.groups.filter(group => group.name === 'property').flatMap(group => group.entries)) expect(knowsPropertyKey('9.1', key), key).toBe(true);
    for (const { key } of ini.groups.filter(group => group.name.startsWith('class-attrs')).flatMap(group => group.entries)) expect(nvinferClassKeys.has(key), key).toBe(true);
  });
});
test('GKeyFile’s traps', () => {
  const ini = parseIni('# top\n[property]\r\na = 1 # not a comment\na=2\n');
  expect([ini.groups[0]?.entries[0]?.value, iniValue(ini, 'property', 'a')]).toEqual(['1 # not a comment', '2']);
  expect(iniValue(parseIni('offsets=1;2;3', { headless: 'property' }), 'property', 'offsets')).toBe('1;2;3');
  expect(() => parseIni('a=1')).toThrow(expect.objectContaining({ where: { line: 1 } }));
});
test('any text gives a value or an EdgeError', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(fc.constantFrom('a: ', '&a ', '*a', '[', ']', '\n', '  ', '{', '- ', 'x=y', '!!int ', '? '), { maxLength: 30 }).map(parts => parts.join('')),
      ),
      text => {
        for (const parse of [parseIni, parseIniYaml]) refusal(() => parse(text));
      },
    ),
  );
});
