import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { expect, test } from 'vitest';
import { inPackage } from '../../src/core/package-root.ts';
import { deepstreamConfigs } from './deepstream-cases.ts';

const folder = inPackage('deepstream-configs');
const configs = deepstreamConfigs();
// UPDATE_GOLDENS=1 npx vitest run test/formats/deepstream-goldens writes them again; then read the diff.
if (process.env.UPDATE_GOLDENS === '1') {
  for (const [path, text] of configs) {
    mkdirSync(dirname(`${folder}/${path}`), { recursive: true });
    writeFileSync(`${folder}/${path}`, text);
  }
}

test('deepstream-configs holds what the generator writes', () => {
  for (const [path, text] of configs) expect(readFileSync(`${folder}/${path}`, 'utf8'), path).toBe(text);
});
test('and nothing else', () => {
  const found = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => relative(folder, `${entry.parentPath}/${entry.name}`));
  expect(found.filter(path => path !== 'README.md').toSorted()).toEqual([...configs.keys()].toSorted());
});
