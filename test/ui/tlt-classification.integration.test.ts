import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseCalibrationCache } from '../../src/formats/calibration-cache.ts';
import { readOnnx, writeOnnx } from '../../src/formats/onnx.ts';
import { networkInfoOf } from '../../src/graph/network-info.ts';
import { buildNetwork } from '../../src/zoo/network.ts';
import { cli } from './_cli.ts';

let folder: string;
const at = (...parts: string[]) => join(folder, ...parts);
const colours = { blue: '#2040c0', green: '#20a040', red: '#c02020' } as const;

/** A tiny classification spec of TLT; `pretrained` names the network it starts from. */
const specText = (pretrained: string, more = '', model = '') => `
model_config { arch: "resnet" n_layers: 10 use_batch_norm: true input_image_size: "3,32,32" ${model} }
train_config {
  train_dataset_path: "${at('data', 'train')}" val_dataset_path: "${at('data', 'val')}" pretrained_model_path: "${pretrained}"
  optimizer { sgd { lr: 0.02 decay: 0.0 momentum: 0.9 nesterov: false } }
  batch_size_per_gpu: 8 n_epochs: 2 n_workers: 1 preprocess_mode: "torch" random_seed: 3
  reg_config { type: "None" scope: "Conv2D,Dense" weight_decay: 0.0 }
  lr_config { step { learning_rate: 0.02 step_size: 50 gamma: 0.5 } } ${more}
}
eval_config { top_k: 2 batch_size: 8 model_path: "${at('out', 'weights', 'resnet_002.tlt')}" }
`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'edgeforge-classification-'));
  for (const [part, count] of [
    ['train', 8],
    ['val', 3],
  ] as const)
    for (const [name, background] of Object.entries(colours)) {
      await mkdir(at('data', part, name), { recursive: true });
      for (let i = 0; i < count; i++)
        await sharp({ create: { width: 40 + i, height: 36, channels: 3, background } })
          .png()
          .toFile(at('data', part, name, `${i}.png`));
    }
  // Another classifier, for other classes: its convolutions become the backbone.
  const other = buildNetwork({
    architecture: 'classification_resnet10',
    labels: ['a', 'b'],
    height: 32,
    width: 32,
    widthMultiplier: 0.25,
    preprocess: { scale: 1 / 128, offset: [128, 128, 128] },
  });
  await writeFile(at('other.onnx'), writeOnnx(other.graph));
  await writeFile(at('key'), 'the key\n');
  await writeFile(at('train.txt'), specText(at('other.onnx'), 'mixup_alpha: 0.2 label_smoothing: 0.1', 'dropout: 0.1'));
  await writeFile(at('retrain.txt'), specText(at('pruned.tlt')));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function done(...words: string[]): Promise<string> {
  const { code, out, err } = await cli('classification', ...words, '--key_file', at('key'));
  expect(code, `${words.join(' ')}\n${out}\n${err}`).toBe(0);
  return out;
}

test('classification: an ONNX backbone through train, evaluate, prune, retrain, inference and export', { timeout: 300_000 }, async () => {
  const trained = await done('train', '-e', at('train.txt'), '-r', at('out'));
  expect(trained).toMatch(/\d+ of \d+ tensors from .*other\.onnx as the backbone; predictions\/kernel: new, of the head for 3 classes/);
  expect(trained).not.toContain('is not used');
  expect(await readdir(at('out', 'weights'))).toEqual(expect.arrayContaining(['resnet_001.tlt', 'resnet_002.tlt', 'resnet.tlt', 'resnet.onnx']));
  expect(JSON.parse(await readFile(at('out', 'classmap.json'), 'utf8'))).toEqual({ blue: 0, green: 1, red: 2 });
  expect((await readFile(at('out', 'training.csv'), 'utf8')).split('\n')).toHaveLength(4);
  expect(networkInfoOf(readOnnx(await readFile(at('out', 'weights', 'resnet.onnx'))))).toMatchObject({ labels: ['blue', 'green', 'red'], preprocess: { offset: [128, 128, 128] } });

  // Without -m the spec's own model_path counts, as in TLT.
  const evaluated = await done('evaluate', '-e', at('train.txt'));
  expect(evaluated).toMatch(/Top-1 accuracy \(in %\): \d+\.\d{4} on 9 images\nTop-2 accuracy/);
  expect(await done('evaluate', '-e', at('train.txt'), '-m', at('out', 'weights', 'resnet.onnx'), '-i', at('data', 'train'))).toContain('on 24 images');

  expect(await done('prune', '-m', at('out', 'weights', 'resnet.tlt'), '-o', at('whole.tlt'), '-pth', '0')).toMatch(/Nothing was pruned at -pth 0: .* half under 0\.\d+/);
  expect(await done('prune', '-m', at('out', 'weights', 'resnet.tlt'), '-o', at('pruned.tlt'), '-pth', '0.97', '-nf', '8', '-pg', '8')).toMatch(
    /Pruning ratio \(pruned model \/ original model\): 0\.\d+/,
  );
  expect(await done('train', '-e', at('retrain.txt'), '-r', at('out2'))).toContain('the whole graph of');
  const [before, after] = await Promise.all([at('out', 'weights', 'resnet.onnx'), at('out2', 'weights', 'resnet.onnx')].map(async file => (await readFile(file)).length));
  expect(after).toBeLessThan(before as number);

  await done('inference', '-m', at('out2', 'weights', 'resnet.tlt'), '-e', at('retrain.txt'), '-d', at('data', 'val'), '-cm', at('out2', 'classmap.json'), '-b', '4');
  const rows = (await readFile(at('data', 'val', 'result.csv'), 'utf8')).trimEnd().split('\n');
  expect(rows).toHaveLength(9);
  expect(rows[0]).toMatch(/0\.png,(blue|green|red),[01]\.\d{6}$/);

  const exported = await done(
    'export',
    '-m',
    at('out2', 'weights', 'resnet.tlt'),
    '-o',
    at('final', 'x.etlt'),
    '--data_type',
    'int8',
    '--cal_image_dir',
    at('data', 'train'),
    '--batches',
    '2',
    '--batch_size',
    '4',
    '--cal_cache_file',
    at('final', 'cal.bin'),
    '--gen_ds_config',
    '--tensorrt',
    '10.3.0',
  );
  expect(exported).toContain('8 calibration images are few');
  expect(await readFile(at('final', 'labels.txt'), 'utf8')).toBe('blue;green;red\n');
  expect(parseCalibrationCache(await readFile(at('final', 'cal.bin'), 'utf8')).header).toBe('TRT-100300-EntropyCalibration2');
});

test('INT8 without images is refused with both ways out; a network for other classes is not evaluated', async () => {
  const int8 = await cli('classification', 'export', '-m', at('other.onnx'), '-o', at('y.onnx'), '--data_type', 'int8');
  expect(int8).toMatchObject({ code: 1, err: expect.stringMatching(/--cal_image_dir[\s\S]*--data_type fp16/) });
  const other = await cli('classification', 'evaluate', '-e', at('train.txt'), '-m', at('other.onnx'));
  expect(other).toMatchObject({ code: 1, err: expect.stringContaining('does not know') });
  const mapped = await cli('classification', 'export', '-m', at('other.onnx'), '-o', at('z.etlt'));
  expect(mapped).toMatchObject({ code: 1, err: expect.stringContaining('EDGEFORGE_KEY') });
});
