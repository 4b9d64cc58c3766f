import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseCalibrationCache } from '../../src/formats/calibration-cache.ts';
import { encodeEtlt } from '../../src/formats/etlt.ts';
import { parseReport } from '../../src/formats/report.ts';
import { temporary } from '../deploy/harness.ts';
import { replay } from '../deploy/replay/board.ts';
import { replayed } from '../deploy/replay/boards.ts';
import { smallModel } from '../deploy/replay/model.ts';
import { uffBytes } from '../deploy/replay/uff.ts';
import { cli } from '../ui/_cli.ts';

const key = 'never-to-be-seen-17';

/** A folder with an .etlt, its key, a cache and one board named in edgeforge.yaml. */
async function scene({
  uff,
  converter = 'tao-converter',
  wish = '',
  board = replayed.xavierNx,
}: {
  uff: boolean;
  converter?: string;
  wish?: string;
  board?: typeof replayed.xavierNx;
}) {
  const stack = new AsyncDisposableStack();
  const folder = stack.use(temporary());
  const at = (name: string) => join(folder.path, name);
  const there = stack.use(await replay({ ...board, tools: [...board.tools, ...(converter ? [converter] : [])] }));
  process.env.EDGEFORGE_CONFIG = there.config;
  stack.defer(() => void delete process.env.EDGEFORGE_CONFIG);
  const nonce = new Uint8Array(16);
  writeFileSync(at('model.etlt'), encodeEtlt(uff ? { payload: uffBytes(), inputName: 'input_1', key, nonce } : { payload: smallModel(), key, nonce }));
  writeFileSync(at('key'), `${key}\n`, { mode: 0o600 });
  writeFileSync(at('cal.bin'), 'TRT-7103-EntropyCalibration2\ninput_1: 3c010a14\noutput_cov/Sigmoid: 3c010a14\n');
  const { name } = there.settings;
  writeFileSync(
    at('edgeforge.yaml'),
    `task: detectnet_v2\ndata: { kitti: data }\nmodel: { spec: train.txt }\ndevices:\n  ${name}: { ssh: "${there.definition.ssh}", identityFile: "${there.definition.identityFile}"${wish} }\n`,
  );
  const deploy = (...words: string[]) => cli('deploy', name, '--project', folder.path, '--model', at('model.etlt'), '--key-file', at('key'), ...words);
  const written = (root: string): string =>
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile() && entry.name !== 'key')
      .map(entry => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
      .join('\n');
  const report = () => {
    const out = readdirSync(at('.edgeforge/runs'))
      .map(run => at(`.edgeforge/runs/${run}/out/report-${name}/report.json`))
      .find(existsSync);
    return parseReport(JSON.parse(readFileSync(out as string, 'utf8')));
  };
  return { folder, at, there, deploy, written, report, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test('an .etlt that holds UFF goes through the device’s converter, INT8 with the cache that came with it, and the key is seen nowhere', { timeout: 240_000 }, async () => {
  await using each = await scene({ uff: true });
  const plan = await each.deploy('--calibration', each.at('cal.bin'), '--plan');
  expect([plan.code, plan.err, plan.out]).toEqual([
    0,
    '',
    expect.stringMatching(/convert xavier-nx int8 +run[\s\S]*no release \(none is made of a network[\s\S]*push +encrypted model: 312 B[\s\S]*build +fp16: new/),
  ]);
  const dry = await each.deploy('--dry-run');
  expect([dry.code, dry.out]).toEqual([2, '']);
  expect(existsSync(each.at('.edgeforge/runs'))).toBe(false);
  const { code, out, err } = await each.deploy('--calibration', each.at('cal.bin'));
  expect([code, err]).toEqual([0, expect.any(String)]);
  const report = each.report();
  expect(report.results.map(({ precision, evidence }) => `${precision} ${evidence.grade}`)).toEqual(['fp32 emulated', 'fp16 emulated', 'int8 emulated']);
  expect(report.model).toMatchObject({ name: 'model.etlt' });
  expect(report.notes?.join('\n')).toMatch(/converter from UFF[\s\S]*No release was made/);
  // The device got the cache under its own TensorRT's header.
  const caches = readdirSync(each.there.remote('store'))
    .map(name => readFileSync(each.there.remote('store', name), 'latin1'))
    .filter(text => text.startsWith('TRT-'));
  expect(caches.map(text => parseCalibrationCache(text).tensorrt)).toEqual(['8.2.1']);
  expect(`${out}${err}${each.written(each.folder.path)}${each.written(each.there.home)}`).not.toContain(key);
  // Nothing is built twice.
  const again = await each.deploy('--calibration', each.at('cal.bin'), '--json');
  expect([again.code, again.out.match(/"outcome":"(ran|cached)"/g)]).toEqual([0, Array.from({ length: 5 }, () => '"outcome":"cached"')]);
});

test('a dry run prints what trtexec would do with the ONNX in an .etlt, and does nothing', async () => {
  await using each = await scene({ uff: false, wish: ', target: xavier-nx' });
  const { code, out } = await each.deploy('--dry-run');
  expect([code, out]).toEqual([0, expect.stringMatching(/--onnx=[\s\S]*--loadEngine=/)]);
  expect([existsSync(each.at('.edgeforge/runs')), existsSync(each.there.remote('engines'))]).toEqual([false, false]);
});

test('ONNX in an .etlt is for trtexec, unless the device is to use its converter', { timeout: 240_000 }, async () => {
  await using each = await scene({ uff: false, converter: 'tlt-converter', wish: ', converter: true' });
  const { code, err } = await each.deploy();
  expect([code, err]).toEqual([0, expect.any(String)]);
  expect(each.report().notes).toContain('built by the device’s converter from an .etlt');
  const current = JSON.parse(readFileSync(each.there.remote('current/manifest.json'), 'utf8')) as { engines: { passport: { words: string[] } }[] };
  expect(current.engines[0]?.passport.words.slice(0, 3)).toEqual([`${each.there.home}/bin/tlt-converter`, '-d', '3,8,8']);
  writeFileSync(each.at('edgeforge.yaml'), readFileSync(each.at('edgeforge.yaml'), 'utf8').replace(', converter: true', ''));
  const idle = await each.deploy('--calibration', each.at('cal.bin'));
  expect([idle.code, `${idle.out}${idle.err}`]).toEqual([expect.any(Number), expect.stringContaining('--calibration is for an .etlt that a device’s tao-converter builds')]);
  expect((await each.deploy()).code).toBe(0);
});

test.each([
  ['without the tool', { converter: '' }, /neither tao-converter nor tlt-converter.*Either take v3\.21\.11_trt8\.0_aarch64/],
  ['on a TensorRT that none was made for', { board: replayed.orinNano }, /up to 8\.4; this device has 10\.3\.0.*Either export the model as ONNX/],
] as const)('UFF %s is refused with both ways out, and is not pushed', { timeout: 120_000 }, async (_, more, said) => {
  await using each = await scene({ uff: true, ...more });
  const { code, out, err } = await each.deploy();
  expect(code).not.toBe(0);
  expect(`${out}${err}`.replace(/\s+/g, ' ')).toMatch(said);
  expect(each.written(each.there.home)).not.toContain(readFileSync(each.at('model.etlt'), 'latin1'));
});
