import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { inPackage } from '../../src/core/package-root.ts';
import { DevicePool } from '../../src/pipeline/device-pool.ts';
import { openProject, parseProject } from '../../src/pipeline/project.ts';
import { projectRecipe } from '../../src/pipeline/recipe.ts';
import { TinyProject, tinyYaml } from './_tiny-project.ts';

const folders: string[] = [];
const temporary = () => {
  const path = mkdtempSync(join(tmpdir(), 'edge-project-file-'));
  folders.push(path);
  return path;
};
afterAll(() => folders.forEach(path => void rmSync(path, { recursive: true, force: true })));

const swap = (from: string, to: string): string => {
  if (!tinyYaml.includes(from)) throw new Error(`The project has no ${from}.`);
  return tinyYaml.replace(from, to);
};
const lineOf = (text: string, part: string) => text.slice(0, text.indexOf(part)).split('\n').length;

describe('a project file', () => {
  test('is completed with defaults', () => {
    const settings = parseProject('task: detectnet_v2\ndata: {kitti: data}\nmodel: {spec: train.txt}\n');
    expect(settings).toMatchObject({
      data: { kitti: 'data', validation: 0.2, split: 'tlt', seed: 42 },
      export: { precisions: ['fp32', 'fp16', 'int8'], calibration: 'entropy' },
      gate: { dropPoints: 1 },
      devices: {},
    });
    expect(settings.prune).toBeUndefined();
  });

  test.each(['scenes', 'kitti', 'photos', 'classification'])('of the template %s holds', template => {
    expect(parseProject(readFileSync(inPackage('src', 'pipeline', 'templates', template, 'edgeforge.yaml'), 'utf8')).retrain).toBeDefined();
  });

  test.each([
    ['an unknown setting', swap('keepMacs: 0.5', 'keepMacz: 0.5'), 'keepMacz', /unknown setting "keepMacz"/],
    ['an unknown room', swap('gate: {', 'gates: {'), 'gates', /unknown setting "gates"/],
    ['a number out of bounds', swap('keepMacs: 0.5', 'keepMacs: 1.5'), 'keepMacs', /prune\.keepMacs/],
    ['a wrong word', swap('[fp32, int8]', '[fp32, int4]'), 'precisions', /export\.precisions\.1/],
    ['a training setting with a typo', swap('prune:', 'training: { clip: { norm: 1 }, acumulate: 2 }\nprune:'), 'acumulate', /training: unknown setting "acumulate"/],
    ['an optimizer setting that is not its', swap('prune:', 'training: { optimizer: { kind: adam, momentum: 0.9 } }\nprune:'), 'momentum', /training\.optimizer/],
    ['a missing spec', swap('model: { spec: specs/train.txt, ', 'model: { '), 'model', /model\.spec/],
    ['a device reached in no way', swap('bench-a: { target: linux-x64, serve: true }', 'bench-a: { target: linux-x64 }'), 'bench-a', /devices\.bench-a.*exactly one way/],
    ['a device reached in two ways', swap('bench-a: { target: linux-x64,', "bench-a: { ssh: 'a@b',"), 'bench-a', /devices\.bench-a.*exactly one way/],
    ['a device with a typo', swap('serve: true }\n  bench-b', 'server: true }\n  bench-b'), 'server', /unknown setting "server"/],
  ])('names file, line and path of %s', (_, text, at, message) => {
    const line = lineOf(text, at);
    const error = failureOf(() => parseProject(text, 'edgeforge.yaml'));
    expect(error).toMatchObject({ code: 'project-invalid', where: { file: 'edgeforge.yaml', line }, hint: expect.any(String) });
    expect(error.message).toMatch(message);
    expect(error.message).toContain(`edgeforge.yaml:${line}`);
  });

  test.each([
    ['no source', swap('scenes: { train: 16, validation: 8, width: 192, height: 128, seed: 7 }', 'seed: 1'), /no source/],
    ['two sources', swap('data:\n', 'data:\n  kitti: here\n'), /kitti and scenes/],
    ['two goals of pruning', swap('keepMacs: 0.5', 'keepMacs: 0.5, threshold: 0.1'), /more than one goal/],
    ['retrain without prune', swap('prune: { keepMacs: 0.5 }\n', ''), /retrain without prune/],
    ['mixup of boxes', swap('prune:', 'training: { mixup: 0.2 }\nprune:'), /training\.mixup: mixup is for classification/],
    ['class weights of boxes', swap('specs/retrain.txt }', 'specs/retrain.txt, training: { classWeights: balanced } }'), /retrain\.training\.classWeights/],
    ['a temperature for boxes', swap('specs/retrain.txt }', 'specs/retrain.txt, distill: { temperature: 2 } }'), /distill\.temperature/],
    ['boxes for a classifier', swap('task: detectnet_v2', 'task: classification'), /learns from folders/],
  ])('refuses %s', (_, text, message) => {
    const error = failureOf(() => parseProject(text, 'edgeforge.yaml'));
    expect(error).toMatchObject({ code: 'project-invalid', hint: expect.any(String) });
    expect(error.message).toMatch(message);
  });

  test.each([
    ['broken YAML', 'task: [detectnet_v2\ndata: {'],
    ['nothing', ''],
    ['a list', '- a\n- b\n'],
    ['a scalar', '42'],
    ['a prototype', '__proto__: {x: 1}\ntask: detectnet_v2\n'],
    ['aliases in aliases', `a: &a [1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d]\n`],
    ['a merge of the wrong kind', '<<: *nothing\n'],
  ])('%s is an error with a code, never an exception of a library', (_, text) => {
    expect(failureOf(() => parseProject(text))).toMatchObject({ code: 'project-invalid', hint: expect.any(String) });
  });
});

describe('finding a project', () => {
  test('the nearest one upwards', () => {
    const root = temporary();
    writeFileSync(join(root, 'edgeforge.yaml'), tinyYaml);
    mkdirSync(join(root, 'a', 'b'), { recursive: true });
    expect(openProject({ cwd: join(root, 'a', 'b') }).folder).toBe(root);
    expect(openProject({ folder: '..', cwd: join(root, 'a') }).folder).toBe(root);
  });
  test('none, with the command that makes one', () => {
    expect(failureOf(() => openProject({ folder: temporary() }))).toMatchObject({ code: 'file-missing', hint: expect.stringContaining('edgeforge init') });
  });
});

describe('files that a project names', () => {
  const planOf = async (change: (project: TinyProject) => void) => {
    await using project = new TinyProject({ devices: false });
    change(project);
    const opened = openProject({ folder: project.folder });
    await using pool = new DevicePool(opened);
    // Awaited here: the project goes when this returns.
    return await projectRecipe({ project: opened, pool, store: project.store });
  };
  test.each<[string, (project: TinyProject) => void, string]>([
    ['a spec', project => project.edit('edgeforge.yaml', text => text.replace('specs/train.txt', 'specs/gone.txt')), 'file-missing'],
    ['a retraining spec', project => project.edit('edgeforge.yaml', text => text.replace('specs/retrain.txt', 'specs/gone.txt')), 'file-missing'],
    ['a calibration recipe', project => project.edit('edgeforge.yaml', text => text.replace('calibration.yaml', 'gone.yaml')), 'file-missing'],
    ['a recipe with a typo', project => project.write('calibration.yaml', 'algorithm: entropie\nimages: 3\n'), 'calibration-invalid'],
    ['a spec with a typo', project => project.edit('specs/train.txt', text => text.replace('random_seed', 'random_sed')), 'spec-invalid'],
    ['a spec of a size that no grid fits', project => project.edit('specs/train.txt', text => text.replace('output_image_width: 96', 'output_image_width: 97')), 'spec-invalid'],
    ['a folder of images', project => project.edit('edgeforge.yaml', text => text.replace(/scenes: \{.*\}/, 'kitti: gone')), 'file-missing'],
    ['a key file', project => project.edit('edgeforge.yaml', text => text.replace('calibration: calibration.yaml', 'keyFile: gone')), 'key-missing'],
    ['a backbone', project => project.edit('edgeforge.yaml', text => text.replace('width: 0.25', 'onnx: gone.onnx')), 'file-missing'],
  ])('%s that is not there or wrong is said before anything runs', async (_, change, code) => {
    await expect(planOf(change)).rejects.toMatchObject({ code, hint: expect.any(String) });
  });
  test('a device that no target is like', async () => {
    await using project = new TinyProject({ devices: false });
    project.edit('edgeforge.yaml', text => `${text}devices: { odd: { target: toaster, serve: true } }\n`);
    const opened = openProject({ folder: project.folder });
    await using pool = new DevicePool(opened);
    await expect(projectRecipe({ project: opened, pool, store: project.store })).rejects.toMatchObject({ hint: expect.any(String), message: expect.stringContaining('toaster') });
  });
  test('no line of devices: the recipe ends with the package', async () => {
    const { recipe, select } = await planOf(() => {});
    expect(recipe.nodes.map(node => node.id)).not.toContain('report bench-a');
    expect(select(['export'])).toEqual(['export']);
    expect(select(['evaluate', 'nothing'])).toEqual(['evaluate', 'nothing']);
  });
});

function failureOf(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  throw new Error('It did not fail.');
}
