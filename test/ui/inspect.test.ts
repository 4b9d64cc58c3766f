import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EdgeError } from '../../src/core/errors.ts';
import { inPackage } from '../../src/core/package-root.ts';
import { encodeEtlt, encodeTlt } from '../../src/formats/etlt.ts';
import { writeOnnx } from '../../src/formats/onnx.ts';
import { writeTfrecords } from '../../src/formats/tfrecord.ts';
import { inspectBytes } from '../../src/ui/verbs/inspect/inspect-file.ts';
import { inspectionText } from '../../src/ui/verbs/inspect/inspection.ts';
import { buildNetwork } from '../../src/zoo/network.ts';
import { fixture } from '../formats/report-fixture.ts';
import { hasShared, shared } from '../shared.ts';
import { cli } from './_cli.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (content: Uint8Array | string, file: string, key?: string): string =>
  inspectionText(file, inspectBytes(typeof content === 'string' ? bytes(content) : content, file, key));
const network = buildNetwork({ architecture: 'detectnet_v2_resnet10', labels: ['car', 'person'], height: 64, width: 96, widthMultiplier: 0.125 });
const onnx = writeOnnx(network.graph);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'edgeforge-inspect-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('networks', () => {
  test('an ONNX file: inputs, outputs, opset, operators, cost, biggest layers, what it says of itself', () => {
    const text = textOf(onnx, 'net.onnx');
    for (const part of [
      'ONNX network',
      'float32[N, 3, 64, 96]',
      'output_bbox',
      'output_cov',
      'ai.onnx',
      'BatchNormalization',
      'MACs',
      'Biggest layers',
      'detectnet_v2_resnet10',
      'car, person',
      'rgb',
    ])
      expect(text).toContain(part);
    const { data } = inspectBytes(onnx, 'net.onnx', undefined);
    expect(data.network).toEqual(network.info);
    expect((data.operators as Record<string, number>).Conv).toBe(network.graph.nodes.filter(node => node.type === 'Conv').length);
  });
  test('.etlt: the frame without a key, the payload with it, and that a wrong key cannot be seen', () => {
    const sealed = encodeEtlt({ payload: onnx, key: 'right' });
    expect(textOf(sealed, 'net.etlt')).toMatch(/header says +ONNX[\s\S]*EDGEFORGE_KEY/);
    expect(textOf(sealed, 'net.etlt', 'right')).toMatch(/payload looks like +ONNX[\s\S]*Biggest layers/);
    expect(textOf(sealed, 'net.etlt', 'wrong')).toContain('the key is wrong or the file is damaged');
    expect(textOf(encodeEtlt({ payload: onnx, key: 'k', inputName: 'input_1' }), 'net.etlt')).toMatch(/input name +input_1[\s\S]*UFF/);
  });
  test('.tlt: ours opens, NVIDIA’s own is named', () => {
    expect(textOf(encodeTlt({ payload: onnx, key: 'k' }), 'net.tlt', 'k')).toContain('of edgeforge (ONNX inside)');
    const hdf5 = Uint8Array.from([0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a, 1, 2, 3]);
    expect(textOf(encodeTlt({ payload: hdf5, key: 'k' }), 'net.tlt', 'k')).toMatch(/NVIDIA’s own \.tlt[\s\S]*mend:/);
  });
  test('an engine plan is recognised and refused with the way out', () => {
    const plan = Uint8Array.from([0x70, 0x74, 0x72, 0x74, ...new Array(32).fill(7)]);
    expect(textOf(plan, 'model.engine')).toMatch(/TensorRT engine plan[\s\S]*edgeforge deploy/);
  });
});

describe('other files', () => {
  test('a calibration cache, and what is wrong with one', () => {
    const text = textOf('TRT-8601-EntropyCalibration2\ninput_1: 3c010a14\nbad: bf800000\n', 'cal.bin');
    expect(text).toMatch(/TensorRT +8\.6\.1/);
    expect(text).toMatch(/input_1 +0\.00787\d* +1\b/);
    expect(text).toContain('The scale of "bad" is negative');
    expect(() => textOf('TRT-8601-EntropyCalibration2\nno digits\n', 'cal.bin')).toThrow(expect.objectContaining({ code: 'calibration-invalid' }));
  });
  test('TFRecords: classes, features, first frames', () => {
    const example = (id: string, classes: string[]) =>
      new Map([
        ['frame/id', { kind: 'bytes' as const, values: [bytes(id)] }],
        ['target/object_class', { kind: 'bytes' as const, values: classes.map(bytes) }],
      ]);
    const text = textOf(writeTfrecords([example('images/1', ['car', 'car']), example('images/2', ['person'])]), 'kitti-fold-000');
    expect(text).toMatch(/records +2/);
    expect(text).toMatch(/car +2/);
    expect(text).toContain('images/1, images/2');
  });
  test('a report, and JSON that is none', () => {
    expect(textOf(JSON.stringify(fixture()), 'report.json')).toMatch(/report of edgeforge[\s\S]*INT8/);
    expect(textOf('{"schemaVersion": 1, "samples": []}', 'x.json')).toContain('of no format known here');
  });
  test('the list that stands for a tensorfile', () => {
    expect(textOf('{"kind": "edgeforge-calibration-images", "spec": "/s.txt", "images": ["/a.jpg"]}', 'calibration.tensor')).toMatch(/images +1[\s\S]*\/a\.jpg/);
  });
  test.each([
    ['KITTI label file', 'car 0.00 0 0.00 1.00 2.00 30.00 40.00 0.00 0.00 0.00 0.00 0.00 0.00 0.00\n', '000001.txt'],
    ['labels for DeepStream, detector', 'car\nperson\n', 'labels.txt'],
    ['DeepStream config', '[property]\nonnx-file=x.onnx\nnetwork-mode=2\n', 'pgie.txt'],
    ['tegrastats output', 'RAM 2448/7772MB (lfb 1x4MB) CPU [3%@729,1%@729] EMC_FREQ 0% GR3D_FREQ 0% VDD_IN 4000mW/4000mW', 't.log'],
    ['L4T release of a Jetson', '# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic\n', 'nv_tegra_release'],
    ['trtexec log', '&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # trtexec\n&&&& PASSED TensorRT.trtexec [TensorRT v8601] # trtexec\n', 'log.txt'],
    ['a text of no format known here', 'hello\nworld\n', 'readme'],
    ['a JPEG image', '', 'x.jpg'],
  ])('%s', (kind, content, file) => {
    const given = file === 'x.jpg' ? Uint8Array.from([0xff, 0xd8, 0xff, 0xe0, 0, 1, 2]) : content;
    const text = textOf(given, file);
    expect(text).toContain(kind);
    if (kind.startsWith('a ')) expect(text).toContain('mend:');
  });
  test('whatever the bytes, there is an answer or an EdgeError, and soon', () => {
    const started = performance.now();
    const name = fc.constantFrom('a', 'a.onnx', 'a.etlt', 'a.tlt', 'labels.txt', 'a.txt', 'a.json');
    const head = fc.constantFrom('', 'TRT-8601-', '{"schemaVersion"', '[property]\n', 'model_config {', '&&&& RUNNING TensorRT', '\x08\x07', 'RAM 1/2MB CPU [');
    fc.assert(
      fc.property(name, head, fc.uint8Array({ maxLength: 200 }), (file, start, rest) => {
        try {
          inspectionText(file, inspectBytes(Uint8Array.from([...bytes(start), ...rest]), file, undefined));
        } catch (error) {
          expect(error, String(error)).toBeInstanceOf(EdgeError);
        }
      }),
      { numRuns: 300 },
    );
    for (const filler of ['\n', ' ', 'a', '1 ', '{', '.']) {
      try {
        inspectBytes(bytes(filler.repeat(2_000_000)), 'a.txt', undefined);
      } catch (error) {
        expect(error).toBeInstanceOf(EdgeError);
      }
    }
    expect(performance.now() - started).toBeLessThan(60_000);
  });
});

describe('the verbs', () => {
  test('inspect --json is JSON with the kind; a missing file and a folder are refused', async () => {
    const file = join(folder, 'net.onnx');
    await writeFile(file, onnx);
    expect(JSON.parse((await cli('inspect', file, '--json')).out)).toMatchObject({ kind: 'ONNX network', network: { task: 'detectnet_v2' } });
    expect(await cli('inspect', join(folder, 'none'))).toMatchObject({ code: 1, err: expect.stringContaining('mend:') });
    expect(await cli('inspect', folder)).toMatchObject({ code: 2 });
  });
  test('spec explain shows values with their lines and every default', async () => {
    const file = inPackage('src', 'pipeline', 'templates', 'kitti', 'specs', 'train.txt');
    const { code, out } = await cli('spec', 'explain', file);
    expect(code).toBe(0);
    // Indented by depth, as the spec itself is.
    expect(out).toMatch(/^ {4}output_image_width +640 +line \d+/m);
    expect(out).toMatch(/^ {2}all_projections +\S+ +default/m);

    const set = await cli('spec', 'explain', file, '--set', '--json');
    expect((JSON.parse(set.out) as { rows: { from: string }[] }).rows.every(row => row.from === 'file')).toBe(true);
  });
  test('spec check: errors with line and near miss, exit code 1; notes alone are 0', async () => {
    const good = readFileSync(inPackage('src', 'pipeline', 'templates', 'kitti', 'specs', 'train.txt'), 'utf8');
    const file = join(folder, 'spec.txt');
    await writeFile(file, good.replace('output_image_width: 640', 'output_image_width: 641'));
    const bad = await cli('spec', 'check', file);
    expect(bad.code).toBe(1);
    expect(bad.out).toMatch(/spec\.txt:\d+: .*641[\s\S]*mend: .*(640|656)/);
    await writeFile(file, good.replace('num_epochs', 'num_epoch'));
    expect(await cli('spec', 'check', file)).toMatchObject({ code: 1, err: expect.stringContaining('num_epochs') });
    await writeFile(file, good);
    expect(await cli('spec', 'check', file)).toMatchObject({ code: 0, out: expect.stringContaining('no errors') });
  });
});

describe.skipIf(!hasShared)('real files', () => {
  test.each([
    ['models', /\.onnx$/, /ONNX network/],
    ['calib', /\.(txt|bin|cache|table|int8cache)$/, /calibration cache/],
    ['trtexec', /\.(txt|log)$/, /trtexec log/],
    ['deepstream-configs', /\.txt$/, /DeepStream config/],
  ])('%s', async (name, ending, kind) => {
    for (const file of await readdir(shared(name))) {
      if (!ending.test(file) || /labels?\.txt$/.test(file)) continue;
      expect(textOf(new Uint8Array(readFileSync(shared(name, file))), file), file).toMatch(kind);
    }
  });
  test('specs', async () => {
    for (const file of (await readdir(shared('specs'))).filter(name => name.endsWith('.txt')).slice(0, 60)) {
      expect(textOf(new Uint8Array(readFileSync(shared('specs', file))), file), file).toMatch(/TLT spec/);
    }
  });
});
