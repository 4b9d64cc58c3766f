import { describe, expect, test } from 'vitest';
import type { Pixels } from '../../src/data/decode.ts';
import { nvinferInput } from '../../src/data/nvinfer-input.ts';
import { type Fit, placementOf } from '../../src/data/placement.ts';
import { parseIni } from '../../src/formats/ini.ts';
import { deepstreamLabels, type NvinferSettings, nvinferConfig, nvinferText } from '../../src/formats/nvinfer.ts';
import { f32, type Tensor } from '../../src/graph/ir.ts';
import type { NetworkInfo } from '../../src/graph/network-info.ts';
import { type EngineStage, findChange, type RunNetwork } from '../../src/pipeline/bisect/find-change.ts';
import { setupOf } from '../../src/pipeline/bisect/suspects.ts';

// A network that can be seen through: a cell of 16 × 16 pixels is covered by class 0 as far as it is redder than blue, by class 1 as far as it is bluer; its box is the cell.
const input = { width: 64, height: 48 };
const [columns, rows] = [4, 3];
const redness = (image: Float32Array, x0: number, y0: number, side: number): number => {
  let sum = 0;
  for (let y = y0; y < y0 + side; y++) for (let x = x0; x < x0 + side; x++) sum += image[y * input.width + x]! - image[2 * input.width * input.height + y * input.width + x]!;
  return sum / side ** 2;
};
const imagesOf = ({ dims, data }: Tensor): Float32Array[] => {
  const size = data.length / dims[0]!;
  return Array.from({ length: dims[0]! }, (_, i) => (data as Float32Array).subarray(i * size, (i + 1) * size));
};
const clip = (value: number, most = 1) => Math.min(most, Math.max(0, value));
const detectorRun =
  (most = 1): RunNetwork =>
  async images => {
    const [coverage, boxes]: [number[], number[]] = [[], []];
    for (const image of imagesOf(images)) {
      const cells = Array.from({ length: rows * columns }, (_, i) => redness(image, (i % columns) * 16, Math.floor(i / columns) * 16, 16));
      coverage.push(...cells.map(value => clip(value, most)), ...cells.map(value => clip(-value, most)));
      for (let c = 0; c < 2; c++) for (const side of [0.5, 0.5, 15.5, 15.5]) boxes.push(...cells.map(() => side / 35));
    }
    const n = images.dims[0]!;
    return new Map([
      ['output_bbox', f32([n, 8, rows, columns], boxes)],
      ['output_cov', f32([n, 2, rows, columns], coverage)],
    ]);
  };
const classifierRun: RunNetwork = async images => {
  const scores = imagesOf(images).flatMap(image => {
    const red = 1 / (1 + Math.exp(-8 * redness(image, 0, 0, 48)));
    return [red, 1 - red];
  });
  return new Map([['predictions', f32([images.dims[0]!, 2], scores)]]);
};

/** Gray frames, 128 × 72, with a red, a blue and a striped patch that move from frame to frame. */
const frames: Pixels[] = Array.from({ length: 4 }, (_, index) => {
  const [width, height] = [128, 72];
  const data = new Uint8Array(width * height * 3).fill(100);
  const paint = (column: number, row: number, colour: readonly number[], every = 1) => {
    for (let y = row * 24; y < row * 24 + 24; y++) for (let x = column * 32; x < column * 32 + 32; x++) if (x % every === 0) data.set(colour, (y * width + x) * 3);
  };
  paint(index, 0, [230, 20, 20]);
  paint(3 - index, 1, [20, 20, 230]);
  paint((index + 1) % 4, 2, [255, 0, 0], index % 2 === 0 ? 1 : 2);
  return { width, height, data };
});
/** One colour in each. */
const plain: Pixels[] = [0, 2, 0, 2].map(channel => {
  const data = new Uint8Array(160 * 96 * 3).fill(60).map((value, i) => (i % 3 === channel ? 190 : value));
  return { width: 160, height: 96, data };
});

const info = (task: NetworkInfo['task'], resize: 'stretch' | 'letterbox' = 'stretch'): NetworkInfo => ({
  task,
  architecture: 'x',
  labels: ['red', 'blue'],
  input: 'input_1',
  outputs: task === 'classification' ? ['predictions'] : ['output_bbox', 'output_cov'],
  preprocess: { scale: 1 / 255, offset: [0, 0, 0], order: 'rgb', resize },
});
interface Case {
  readonly task?: NetworkInfo['task'];
  readonly resize?: 'stretch' | 'letterbox';
  readonly fit?: Fit;
  /** What the config says otherwise. */
  readonly change?: (config: string) => string;
  readonly labels?: string;
  readonly engines?: readonly EngineStage[];
}
/** The network under its own exported config, and under a changed one. */
async function bisected({ task = 'detectnet_v2', resize = 'stretch', fit = resize, change = text => text, labels, engines }: Case) {
  const settings: NvinferSettings = {
    info: info(task, resize),
    input: [3, 48, 64],
    files: { onnx: 'm.onnx', labels: 'l.txt' },
    precision: 'fp32',
    batch: 1,
    deepstream: '6.3',
    threshold: 0.3,
  };
  const wanted = setupOf(nvinferConfig(settings), deepstreamLabels(settings.info), '6.3');
  const before = nvinferText(settings);
  const after = change(before);
  if (after === before && labels === undefined && engines === undefined && fit === resize && change.length > 0) expect(after).toBe(before);
  const deployed = setupOf(parseIni(after), labels ?? deepstreamLabels(settings.info), '6.3');
  const pixels = task === 'classification' ? plain : frames;
  const size = 3 * 48 * 64;
  const tensor = f32([4, 3, 48, 64], new Float32Array(4 * size));
  // As training saw them: like DeepStream with everything right, but for another fit.
  pixels.forEach((frame, i) => {
    const cut = fit === 'centre-crop' ? { ...frame, data: frame.data.toReversed() } : frame;
    nvinferInput(cut, input, { ...wanted.reading, filter: 'bilinear' }, (tensor.data as Float32Array).subarray(i * size, (i + 1) * size));
  });
  const run = task === 'classification' ? classifierRun : detectorRun();
  return findChange({
    frames: { pixels, tensor, fit, placements: pixels.map(frame => placementOf(frame, input, resize)) },
    host: run,
    engines: engines ?? [{ precision: 'fp32', grade: 'measured', run }],
    wanted,
    deployed,
    tolerance: { iou: 0.5, score: 0.1, share: 0.05 },
  });
}
const replaced = (from: RegExp, to: string) => (text: string) => {
  expect(text).toMatch(from);
  return text.replace(from, to);
};
const more = (line: string) => (text: string) => text.replace('[property]\n', `[property]\n${line}\n`);

test('a config as exported changes nothing; each stage says how it was known', async () => {
  const { stages, changes } = await bisected({});
  expect(changes).toEqual([]);
  expect(stages.map(({ name, grade, answers }) => [name, grade, answers])).toEqual([
    ['host', 'measured', 12],
    ['engine', 'measured', 12],
    ['deepstream', 'emulated', 12],
  ]);
});

const cases: readonly (readonly [string, Case])[] = [
  ['scale', { change: replaced(/net-scale-factor=.*/, 'net-scale-factor=1') }],
  ['offsets', { change: more('offsets=90;0;0') }],
  ['colour order', { change: replaced(/model-color-format=0/, 'model-color-format=1') }],
  ['aspect ratio', { change: replaced(/maintain-aspect-ratio=0/, 'maintain-aspect-ratio=1') }],
  ['aspect ratio', { resize: 'letterbox', change: replaced(/maintain-aspect-ratio=1/, 'maintain-aspect-ratio=0') }],
  ['symmetric padding', { resize: 'letterbox', change: replaced(/symmetric-padding=0/, 'symmetric-padding=1') }],
  ['scaling filter', { change: replaced(/scaling-filter=1\n/, '') }],
  ['clustering', { change: replaced(/cluster-mode=2/, 'cluster-mode=1\n') }],
  ['threshold', { change: replaced(/pre-cluster-threshold=0.3/, 'pre-cluster-threshold=0.95') }],
  ['size limits of boxes', { change: replaced(/topk/, 'detected-max-w=20\ntopk') }],
  ['number of classes', { change: replaced(/num-detected-classes=2/, 'num-detected-classes=1') }],
  ['number of classes', { change: more('filter-out-class-ids=0') }],
  ['labels', { labels: 'blue\nred\n' }],
  ['labels', { labels: 'red\r\nblue\r\n' }],
];
describe('one setting of a detector’s config is wrong', () => {
  test.each(cases)('%s', async (cause, wrong) => {
    const clustering = cause === 'clustering' ? { ...wrong, change: (text: string) => wrong.change!(text).replace('topk', 'eps=0.2\nminBoxes=3\ntopk') } : wrong;
    const {
      changes: [first],
    } = await bisected(clustering);
    expect(first?.stage).toMatchObject({ name: 'deepstream', grade: 'emulated' });
    expect(first?.causes.map(each => each.cause)).toEqual([cause]);
    expect(first?.causes[0]?.evidence).toMatch(wrong.resize === 'letterbox' ? /with this alone mended \d+ of \d+/ : /with this alone mended 12 of 12/);
  });
});
test('two wrong settings are both named: neither mend restores the boxes alone', async () => {
  const change = (text: string) => cases[0]![1].change!(cases[2]![1].change!(text));
  const {
    changes: [first],
  } = await bisected({ change });
  expect(first?.causes.map(({ cause }) => cause)).toEqual(['scale', 'colour order']);
  expect(first?.causes[0]?.evidence).toContain('all settings mended, 12 of 12');
});
test('images that training cuts out, and DeepStream does not', async () => {
  const {
    changes: [first],
  } = await bisected({ fit: 'centre-crop' });
  expect(first?.causes).toMatchObject([{ cause: 'placement', mend: expect.stringContaining('enable_center_crop') }]);
});
test('INT8 ranges that cut activations off: the engine, before DeepStream; the FP32 engine is the proof', async () => {
  const narrow = { precision: 'int8', grade: 'measured', run: detectorRun(0.35) } as const;
  const {
    changes: [first],
  } = await bisected({ engines: [{ precision: 'fp32', grade: 'measured', run: detectorRun() }, narrow] });
  expect(first?.stage).toMatchObject({ name: 'engine', precision: 'int8' });
  expect(first?.causes).toMatchObject([{ cause: 'precision ranges', evidence: expect.stringContaining('the fp32 engine of the same device says the same') }]);
});

test('another size is no comparison: nvinfer would refuse the engine', async () => {
  await expect(bisected({ change: replaced(/infer-dims=3;48;64/, 'infer-dims=3;64;48') })).rejects.toMatchObject({ code: 'shape-mismatch', hint: 'Set infer-dims=3;48;64' });
});

describe('a classifier', () => {
  test.each([
    ['colour order', { change: replaced(/model-color-format=0/, 'model-color-format=1') }],
    ['threshold', { change: replaced(/classifier-threshold=0.3/, 'classifier-threshold=0.999') }],
    ['size limits of objects', { change: (text: string) => more('process-mode=2\ninput-object-min-width=300')(text.replace('process-mode=1\n', '')) }],
    ['labels', { labels: 'red\nblue\n' }],
    ['labels', { labels: 'blue;red\n' }],
  ] as const)('%s', async (cause, wrong) => {
    const {
      changes: [first],
      stages,
    } = await bisected({ task: 'classification', ...wrong });
    expect(stages[0]?.answers).toBe(4);
    expect(first?.causes.map(each => each.cause)).toEqual([cause]);
  });
});
