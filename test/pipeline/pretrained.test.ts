import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readOnnx } from '../../src/formats/onnx.ts';
import { TinyProject } from './_tiny-project.ts';

let project: TinyProject;
beforeAll(() => {
  project = new TinyProject({ devices: false });
});
afterAll(() => project[Symbol.asyncDispose]());

const initialize = async (): Promise<string> => {
  const { exitCode, events } = await project.run({ steps: ['initialize'] });
  expect(exitCode).toBe(0);
  return events.flatMap(event => (event.type === 'step-log' && event.step === 'initialize' ? [event.message] : [])).join('\n');
};

test('a network made here gives its weights by name, the head’s too, and says how many and why not the others', { timeout: 120_000 }, async () => {
  await initialize();
  const before = await project.output('initialize', 'network');
  writeFileSync(project.path('earlier.onnx'), before);
  project.edit('specs/train.txt', text => text.replace('random_seed: 42', 'random_seed: 43').replace('arch: "resnet"', 'arch: "resnet"\n  pretrained_model_file: "earlier.onnx"'));
  expect(await initialize()).toMatch(/^(\d+) of \1 tensors from \S+$/);
  const weights = async () => readOnnx(await project.output('initialize', 'network')).initializers;
  expect(await weights()).toEqual(readOnnx(before).initializers);

  project.edit('edgeforge.yaml', text => text.replace('width: 0.25', 'width: 0.5'));
  expect(await initialize()).toMatch(/^\d+ of \d+ tensors from \S+; .*shape differs/);
});
