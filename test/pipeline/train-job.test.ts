import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { importKitti } from '../../src/data/import-kitti.ts';
import { drawScenes } from '../../src/data/synth.ts';
import { writeOnnx } from '../../src/formats/onnx.ts';
import { type TrainMessage, type TrainRequest, trainJob } from '../../src/pipeline/jobs/train.ts';
import { trainStep } from '../../src/pipeline/steps/learn.ts';
import { planTraining } from '../../src/pipeline/training-plan.ts';
import { buildNetwork } from '../../src/zoo/network.ts';
import { TinyProject } from './_tiny-project.ts';

const project = new TinyProject({ devices: false, epochs: 2 });
let request: TrainRequest;
beforeAll(async () => {
  await drawScenes({ seed: 9, count: 5, folder: project.path('scenes'), width: 160, height: 96 });
  const manifest = await importKitti(project.path('scenes'));
  const { training: plan, network } = planTraining(await readFile(project.path('specs', 'train.txt'), 'utf8'));
  if (plan.task.name !== 'detectnet_v2') throw new Error('The scenes are boxes.');
  const { labels } = plan.task.settings;
  await mkdir(project.path('scratch'));
  await writeFile(project.path('train.json'), JSON.stringify(manifest));
  await writeFile(project.path('start.onnx'), writeOnnx(buildNetwork({ architecture: network.architecture, labels: [...labels], ...plan.input, widthMultiplier: 0.125 }).graph));
  // The check of the data saw it whole.
  await writeFile(project.path('scenes', manifest.samples[2]!.image), 'this is no jpeg');
  const files = { network: project.path('start.onnx'), train: project.path('train.json'), output: project.path('out.onnx'), scratch: project.path('scratch') };
  request = { plan, ...files, freeze: { freezeBlocks: [0, 7, 9] }, compute: 'onnxruntime-cpu', threads: 1, cacheMiB: 0 };
});
afterAll(() => project[Symbol.asyncDispose]());

async function trained(more: Partial<TrainRequest>) {
  const notes: string[] = [];
  const send = (message: unknown) => {
    const told = message as TrainMessage;
    if (told.kind === 'note') notes.push(told.note);
  };
  return { log: await trainJob({ ...request, ...more }, { send, signal: new AbortController().signal }), notes };
}

test('an image that breaks after the check stops a training, or is skipped with one note where the project says so', { timeout: 120_000 }, async () => {
  await expect(trained({})).rejects.toMatchObject({ code: 'image-corrupt' });
  const { log, notes } = await trained({ corrupt: 'skip' });
  expect(log.history.at(-1)).toMatchObject({ epoch: 2, loss: expect.any(Number) });
  expect(notes.filter(note => note.includes('It was skipped.'))).toHaveLength(1);
  expect(notes.filter(note => note.startsWith('freeze_blocks'))).toEqual([expect.stringContaining('of block 7, 9,')]);
});

test('skipping is another training, refusing is not', () => {
  const config = trainStep.config.parse({ plan: request.plan, freeze: {}, compute: 'onnxruntime-cpu' });
  expect(trainStep.identity!(config)).not.toHaveProperty('corrupt');
  expect(trainStep.identity!({ ...config, corrupt: 'skip' })).toMatchObject({ corrupt: 'skip' });
});
