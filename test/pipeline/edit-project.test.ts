import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { setProjectValues } from '../../src/pipeline/edit-project.ts';

const text = `# my project
task: detectnet_v2
data: { kitti: data/ } # the street
model: { spec: specs/train.txt }
prune: { threshold: 0.1, granularity: 8 } # by hand
`;
let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'edge-edit-'));
  writeFileSync(join(folder, 'edgeforge.yaml'), text);
});
afterEach(() => rmSync(folder, { recursive: true }));
const written = () => readFileSync(join(folder, 'edgeforge.yaml'), 'utf8');

test('settings change together, and nothing else in the file does', async () => {
  await setProjectValues(folder, [
    { path: ['prune', 'keepMacs'], value: 0.4 },
    { path: ['prune', 'threshold'], value: undefined },
    { path: ['retrain', 'spec'], value: 'specs/retrain.txt' },
    { path: ['gate', 'dropPoints'], value: undefined },
  ]);
  expect(written()).toBe(`${text.replace('threshold: 0.1, granularity: 8', 'granularity: 8, keepMacs: 0.4')}retrain:\n  spec: specs/retrain.txt\n`);
});

test('a value that stands there is replaced in place, the rest keeps its spelling', async () => {
  const odd = `${text}export: {precisions: [fp32,   int8], calibration:   'minmax'  } # as I like it\n`;
  writeFileSync(join(folder, 'edgeforge.yaml'), odd);
  await setProjectValues(folder, [
    { path: ['export', 'calibration'], value: 'entropy' },
    { path: ['prune', 'threshold'], value: 0.25 },
    { path: ['prune', 'keepMacs'], value: undefined },
  ]);
  expect(written()).toBe(odd.replace("'minmax'", 'entropy').replace('threshold: 0.1', 'threshold: 0.25'));
});

test('what would be no project is refused and not written', async () => {
  await expect(setProjectValues(folder, [{ path: ['prune', 'keepMacs'], value: 0.4 }])).rejects.toThrow(/more than one goal/);
  await expect(setProjectValues(folder, [{ path: ['prune', 'keepMcas'], value: 0.4 }])).rejects.toThrow(/unknown setting "keepMcas"/);
  expect(written()).toBe(text);
});
