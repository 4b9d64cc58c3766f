import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { l4tOfDebianVersion, parseNvTegraRelease } from '../../src/formats/nv-tegra.ts';
import { hasShared, shared } from '../shared.ts';

describe.skipIf(!hasShared)('real files', () => {
  test.each([
    ['nv_tegra_release-r32.7.1.txt', 32, '7.1'],
    ['nv_tegra_release-r35.3.1.txt', 35, '3.1'],
    ['nv_tegra_release-r36.4.3-first-line.txt', 36, '4.3'],
  ])('%s', (file, release, revision) => expect(parseNvTegraRelease(readFileSync(shared('identify', file), 'utf8'))).toEqual({ release, revision }));
});
test('the Debian version is the fallback', () => {
  expect(l4tOfDebianVersion('36.4.7-20250918154033')).toEqual({ release: 36, revision: '4.7' });
  expect(l4tOfDebianVersion('no version')).toBeUndefined();
});
test.each(['', 'R36', 'cat: /etc/nv_tegra_release: No such file or directory', `R36 (release)${', '.repeat(200_000)}`])('%#: refused', text => {
  expect(() => parseNvTegraRelease(text)).toThrow(expect.objectContaining({ code: 'file-corrupt' }));
});
