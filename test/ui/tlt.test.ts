import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EdgeError } from '../../src/core/errors.ts';
import { inPackage } from '../../src/core/package-root.ts';
import { drawScenes } from '../../src/data/synth.ts';
import { encodeTlt } from '../../src/formats/etlt.ts';
import { readOnnx, writeOnnx } from '../../src/formats/onnx.ts';
import { type TltNetwork, type TltVerb, tltFlags } from '../../src/formats/spec/cli-flags.ts';
import { parseSpec } from '../../src/formats/spec/parse-spec.ts';
import { validateSpec } from '../../src/formats/spec/validate.ts';
import { readCalibrationList } from '../../src/pipeline/tlt/calibration-list.ts';
import { readClassmap } from '../../src/pipeline/tlt/datasets.ts';
import { readModel, writeModel } from '../../src/pipeline/tlt/model-file.ts';
import { flagsOf, readTltWords, tltHelp } from '../../src/ui/verbs/tlt/flags.ts';
import { findKey } from '../../src/ui/verbs/tlt/key.ts';
import { buildNetwork } from '../../src/zoo/network.ts';
import { hasShared, shared } from '../shared.ts';
import { cli } from './_cli.ts';
import { notebookCommands, splitWords } from './_notebook.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'edgeforge-tlt-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** `!tlt-prune …`, `!tlt detectnet_v2 prune …`, `!tao …` as notebooks have them, with the one word changed. */
const words = (text: string, network: TltNetwork, verb: TltVerb) => readTltWords(network, verb, splitWords(text));

describe('flags', () => {
  test('TLT 2 and TAO spell the same wish differently', () => {
    const two = words('-pm a.tlt -o b.tlt -k KEY -pth 0.0000052 -eq union', 'detectnet_v2', 'prune');
    const three = words('--model=a.tlt --output_file b.tlt --key KEY --pruning_threshold 5.2e-6', 'detectnet_v2', 'prune');
    for (const read of [two, three]) {
      expect(read.need('model')).toBe('a.tlt');
      expect(read.need('output_file')).toBe('b.tlt');
      expect(read.number('pruning_threshold')).toBe(5.2e-6);
      expect(read.text('equalization_criterion')).toBe('union');
      expect(read.number('pruning_granularity')).toBe(8);
      expect(read.text('key')).toBe('KEY');
    }
  });
  test('lists, switches, negative numbers, unambiguous beginnings', () => {
    const read = words('-m a -o b -el conv1 block_1a_conv_1 -nf 8 -np -1 -v', 'detectnet_v2', 'prune');
    expect(read.list('excluded_layers')).toEqual(['conv1', 'block_1a_conv_1']);
    expect([read.number('min_num_filters'), read.number('num_processes'), read.on('verbose')]).toEqual([8, -1, true]);
    expect(words('--experiment s.txt --results r', 'classification', 'train').need('experiment_spec_file')).toBe('s.txt');
  });
  test.each([
    // As the notebooks of TLT 2, TLT 3 and TAO have them; only the first words are changed.
    ['detectnet_v2', 'dataset_convert', '-d specs/tfrecords.txt -o data/tfrecords/kitti_trainval/kitti_trainval'],
    ['detectnet_v2', 'dataset_convert', '-d specs/tfrecords.txt -o data/tfrecords/k -r data/tfrecords/'],
    ['detectnet_v2', 'train', '-e specs/train.txt -r exp/unpruned -k tlt_encode -n resnet18_detector --gpus 1'],
    ['detectnet_v2', 'train', '-e specs/train.txt -r exp/unpruned -k tlt_encode -n resnet18_detector --gpus 2 --gpu_index 0 1 --use_amp'],
    ['detectnet_v2', 'evaluate', '-e specs/train.txt -m exp/unpruned/weights/resnet18_detector.tlt -k tlt_encode'],
    ['detectnet_v2', 'prune', '-m a.tlt -o b.tlt -eq union -pth 0.0000052 -k tlt_encode'],
    ['detectnet_v2', 'inference', '-e specs/infer.txt -o exp/tlt_infer_testing -i data/testing/image_2 -k tlt_encode'],
    ['detectnet_v2', 'inference', '-e specs/infer.txt -r exp/tlt_infer_testing -i data/testing/image_2 -m a.tlt -b 4 -k tlt_encode'],
    [
      'detectnet_v2',
      'export',
      '-m a.tlt -o a.etlt -k tlt_encode --cal_data_file c.tensor --data_type int8 --batches 10 --batch_size 4 --max_batch_size 4 --engine_file a.trt.int8 --cal_cache_file c.bin --verbose',
    ],
    [
      'detectnet_v2',
      'export',
      '-m a.tlt -e specs/train.txt -o a.etlt -k tlt_encode --cal_image_dir data/training/image_2 --data_type int8 --batches 20 --batch_size 4 --cal_cache_file c.bin --cal_data_file c.tensor --gen_ds_config',
    ],
    ['detectnet_v2', 'calibration_tensorfile', '-e specs/retrain.txt -m 10 -o exp/final/calibration.tensor'],
    ['classification', 'train', '-e specs/classification_spec.cfg -r exp/output -k tlt_encode'],
    ['classification', 'evaluate', '-e specs/classification_spec.cfg -k tlt_encode'],
    ['classification', 'prune', '-m exp/weights/resnet_080.tlt -o exp/resnet_pruned/resnet18_nopool_bn_pruned.tlt -eq union -pth 0.6 -k tlt_encode'],
    ['classification', 'inference', '-e specs/retrain.cfg -m exp/weights/resnet_080.tlt -k tlt_encode -b 32 -d data/split/test/person -cm exp/classmap.json'],
    ['classification', 'export', '-m exp/weights/resnet_080.tlt -o exp/export/final_model.etlt -k tlt_encode --classmap_json exp/classmap.json --gen_ds_config'],
  ] as [TltNetwork, TltVerb, string][])('a notebook’s %s %s is read', (network, verb, text) => {
    const read = words(text, network, verb);
    if (text.includes('-k ')) expect(read.text('key')).toBe('tlt_encode');
    expect(read.notes.length).toBe(['--gpus', '--gpu_index', '--use_amp', '--engine_file'].filter(flag => text.includes(`${flag} `) || text.endsWith(flag)).length);
  });
  test('what has no effect is accepted and said', () => {
    expect(words('-e s -r r -n x --gpus 2', 'detectnet_v2', 'train').notes).toEqual([expect.stringContaining('--gpus is accepted and has no effect')]);
    expect(words('-e s -r r', 'detectnet_v2', 'train').notes).toEqual([]);
  });
  test.each([
    ['a misspelt flag', '--experiment_spek_file s', 'Did you mean --experiment_spec_file?'],
    ['an empty shell variable', '-e s -r r -k -n model', 'shell variable'],
    ['a word of no flag', '-e my spec.txt', 'quote'],
    ['no number', '-e s --gpus many', 'number of GPUs'],
  ])('%s is a usage error with its mend', (_, text, hint) => {
    expect(() => words(text, 'detectnet_v2', 'train')).toThrow(expect.objectContaining({ code: 'usage', hint: expect.stringContaining(hint) }));
  });
  test('what TLT requires is required, and a choice is one of TLT’s', () => {
    expect(() => words('-m a', 'detectnet_v2', 'prune')).toThrow(/needs -o/);
    expect(() => words('-m a -o b -eq unison', 'detectnet_v2', 'prune')).toThrow(expect.objectContaining({ hint: 'Did you mean union?' }));
    expect(() => flagsOf('classification', 'dataset_convert')).toThrow(expect.objectContaining({ hint: expect.stringContaining('train_dataset_path') }));
    expect(() => flagsOf('detectnet_v2', 'trian')).toThrow(expect.objectContaining({ hint: expect.stringContaining('train') }));
  });
  test('spellings are unambiguous in every verb, and the help names each', () => {
    for (const [network, verbs] of Object.entries(tltFlags) as [TltNetwork, Record<TltVerb, unknown>][])
      for (const verb of Object.keys(verbs) as TltVerb[]) {
        const names = flagsOf(network, verb).flatMap(({ short, long, aliases = [] }) => [long, ...(short ? [short] : []), ...aliases]);
        expect(names.length, `${network} ${verb}`).toBe(new Set(names).size);
        for (const { long } of flagsOf(network, verb)) expect(tltHelp(network, verb)).toContain(long);
      }
  });
  test('any words give values or a usage error', () => {
    const word = fc.oneof(fc.constantFrom('-e', '-r', '-k', '-m', '--gpus', '-pth', '-el', '--', '-', '=', '--=', '-1', '--key=x', ''), fc.string({ maxLength: 8 }));
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), fc.constantFrom<TltVerb>('train', 'prune', 'export'), (given, verb) => {
        try {
          readTltWords('detectnet_v2', verb, given);
        } catch (error) {
          expect(error).toBeInstanceOf(EdgeError);
          expect((error as EdgeError).code).toBe('usage');
        }
      }),
    );
  });
});

describe('the key', () => {
  test('a word counts first and is warned of; then file, environment, a person', async () => {
    const file = join(folder, 'key');
    await writeFile(file, 'from file\nnot this\n');
    const ask = async () => 'asked';
    expect(await findKey({ word: 'w', file, environment: 'e', ask })).toEqual({ key: 'w', notes: [expect.stringContaining('process list')] });
    expect(await findKey({ file, environment: 'e', ask })).toEqual({ key: 'from file', notes: [] });
    expect(await findKey({ environment: 'e', ask })).toEqual({ key: 'e', notes: [] });
    expect(await findKey({ ask })).toEqual({ key: 'asked', notes: [] });
    expect(await findKey({})).toEqual({ key: undefined, notes: [] });
    await expect(findKey({ file: join(folder, 'none') })).rejects.toMatchObject({ code: 'key-missing' });
  });
});

describe('network files', () => {
  const graph = buildNetwork({ architecture: 'classification_resnet10', labels: ['a', 'b'], height: 32, width: 32, widthMultiplier: 0.125 }).graph;
  test('a .tlt of ours comes back with its key, and a plain .onnx lies beside it', async () => {
    const files = await writeModel(join(folder, 'weights', 'net.tlt'), graph, 'secret');
    expect(files.map(file => file.slice(folder.length))).toEqual(['/weights/net.tlt', '/weights/net.onnx']);
    const whole = writeOnnx(graph);
    for (const file of files) expect(writeOnnx(await readModel(file, 'secret'))).toEqual(whole);
    expect(writeOnnx(readOnnx(await readFile(files[1] as string)))).toEqual(whole);
    await expect(readModel(files[0] as string, 'wrong')).rejects.toMatchObject({ code: 'file-corrupt', where: { file: files[0] } });
    await expect(readModel(files[0] as string, undefined)).rejects.toMatchObject({ code: 'key-missing', hint: expect.stringContaining('EDGEFORGE_KEY') });
  });
  test('without a key a named .tlt is refused, a name without ending becomes .onnx, Keras is refused', async () => {
    await expect(writeModel(join(folder, 'x.tlt'), graph, undefined)).rejects.toMatchObject({ code: 'key-missing', hint: expect.stringContaining('x.onnx') });
    expect(await writeModel(join(folder, 'y'), graph, undefined)).toEqual([join(folder, 'y.onnx')]);
    await expect(writeModel(join(folder, 'z.hdf5'), graph, 'k')).rejects.toMatchObject({ code: 'format-unsupported' });
  });
  test('NVIDIA’s own .tlt is refused with a sentence that says so', async () => {
    const file = join(folder, 'nvidia.tlt');
    const hdf5 = Uint8Array.from([0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a, ...new Array(64).fill(0)]);
    await writeFile(file, encodeTlt({ payload: hdf5, key: 'tlt_encode' }));
    await expect(readModel(file, 'tlt_encode')).rejects.toMatchObject({ code: 'format-unsupported', message: expect.stringContaining('NVIDIA’s own .tlt') });
    await expect(readModel('resnet18.hdf5', 'k')).rejects.toMatchObject({ code: 'format-unsupported' });
  });
});

describe('dataset_convert', () => {
  test('prints TLT’s counts, fold by fold and in total', async () => {
    const root = join(folder, 'kitti');
    await drawScenes({ seed: 3, count: 6, width: 160, height: 96, folder: root });
    const spec = join(folder, 'convert.txt');
    await writeFile(
      spec,
      `kitti_config { root_directory_path: "${root}" image_dir_name: "images" label_dir_name: "labels" image_extension: ".jpg" partition_mode: "random" num_partitions: 2 val_split: 34 num_shards: 2 }\n`,
    );
    const { code, out } = await cli('detectnet_v2', 'dataset_convert', '-d', spec, '-o', join(folder, 'tf', 'kitti'));
    expect(code, out).toBe(0);
    const counted = new Map<string, number>();
    for (const name of await readdir(join(root, 'labels')))
      for (const line of (await readFile(join(root, 'labels', name), 'utf8')).split('\n')) {
        const [className] = line.split(' ');
        if (className) counted.set(className, (counted.get(className) ?? 0) + 1);
      }
    const total = out.slice(out.indexOf('Cumulative object statistics'));
    for (const [name, count] of counted) expect(total).toContain(`b'${name}': ${count}`);
    expect(out).toContain('Fold 0: 2 images, 2 TFRecords');
    expect((await readdir(join(folder, 'tf'))).sort()).toContain('kitti-fold-001-of-002-shard-00001-of-00002');
  });
});

test.skipIf(!hasShared)('kitti101 as TLT divides it: 26 images validate', async () => {
  const spec = join(folder, 'kitti101.txt');
  await writeFile(
    spec,
    `kitti_config { root_directory_path: "${shared('datasets', 'kitti101')}" image_dir_name: "image_2" label_dir_name: "label_2" image_extension: ".jpg" partition_mode: "random" num_partitions: 2 val_split: 26 num_shards: 10 }`,
  );
  const { code, out } = await cli('detectnet_v2', 'dataset_convert', '-d', spec, '-o', join(folder, 'k101', 'k'));
  expect(code, out).toBe(0);
  expect(out).toMatch(/Fold 0: 26 images, 10 TFRecords[\s\S]*Fold 1: 75 images/);
  expect(out.slice(out.indexOf('Cumulative'))).toMatch(/b'car': 303\nb'cyclist': 18\nb'dontcare': 237/);
});

test('class maps and calibration lists are checked', async () => {
  const map = join(folder, 'classmap.json');
  await writeFile(map, '{"b": 1, "a": 0}');
  expect(await readClassmap(map)).toEqual(['a', 'b']);
  await writeFile(map, '{"b": 2, "a": 0}');
  await expect(readClassmap(map)).rejects.toMatchObject({ code: 'dataset-invalid' });
  await writeFile(map, '\x89HDF\r\n\x1a\n', 'latin1');
  await expect(readCalibrationList(map)).rejects.toMatchObject({ code: 'format-unsupported', hint: expect.stringContaining('--cal_image_dir') });
  await writeFile(map, '{}');
  await expect(readCalibrationList(map)).rejects.toMatchObject({ code: 'calibration-invalid' });
});

test('usage errors end with 2 and name the mend', async () => {
  const refused = await cli('detectnet_v2', 'train', '-r', folder);
  expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('mend:')]);
  expect((await cli('detectnet_v2', 'evaluate', '-e', 'a', '-m', 'b', '-f', 'tensorrt')).err).toContain('edgeforge deploy');
  expect((await cli('detectnet_v2', 'infer', '-e', 'spec.txt')).err).toMatch(/needs -i/); // tlt-infer
  expect(await cli('detectnet_v2', '--help')).toMatchObject({ code: 0, out: expect.stringContaining('calibration_tensorfile') });
  expect(await cli('detectnet_v2')).toMatchObject({ code: 2 });
  expect((await cli('detectnet_v2', 'prune', '--help')).out).toContain('-pth, --pruning_threshold');
});

describe('the notebook', () => {
  test('every command parses, and every spec it names is there and valid', async () => {
    const commands = await notebookCommands();
    expect(commands.map(([, verb]) => verb)).toEqual(expect.arrayContaining(['dataset_convert', 'train', 'evaluate', 'prune', 'inference', 'export']));
    for (const [verb, ...rest] of commands) {
      if (verb !== 'detectnet_v2') {
        expect(['scenes', 'spec', 'inspect']).toContain(verb);
        continue;
      }
      const read = readTltWords('detectnet_v2', rest[0] as TltVerb, rest.slice(1));
      const spec = read.text('experiment_spec_file') ?? read.text('experiment_spec') ?? read.text('dataset_export_spec');
      if (spec === undefined) continue;
      const parsed = parseSpec(await readFile(inPackage('src', 'pipeline', 'templates', 'notebooks', spec), 'utf8'), { file: spec });
      expect(validateSpec(parsed).errors, spec).toEqual([]);
    }
  });
  test('the specs of the templates hold', async () => {
    for (const template of ['kitti', 'photos', 'classification'])
      for (const name of ['train', 'retrain']) {
        const file = inPackage('src', 'pipeline', 'templates', template, 'specs', `${name}.txt`);
        const parsed = parseSpec(await readFile(file, 'utf8'), { file });
        expect(parsed.task).toBe(template === 'classification' ? 'classification' : 'detectnet_v2_train');
        expect(validateSpec(parsed).errors, file).toEqual([]);
      }
  });
});
