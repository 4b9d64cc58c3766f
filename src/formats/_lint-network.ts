import type { Rule } from './_lint-rule.ts';
import type { LintFinding } from './deepstream-lint.ts';
import { parseLabels } from './labels.ts';

// What the config says of the network: pixels, classes, outputs.

const near = (a: number, b: number) => Math.abs(a - b) <= 1e-4 * Math.max(Math.abs(a), Math.abs(b));
const numbers = (text: string | undefined) =>
  (text ?? '')
    .split(/[;,]/)
    .filter(part => part.trim() !== '')
    .map(Number);

/** Scale, offsets and order of a pixel. */
export const pixels: Rule = (config, { network }) => {
  if (network === undefined) return [];
  const { preprocess } = network.info;
  const scale = config.number('net-scale-factor', 1);
  const offsets = numbers(config.value('offsets'));
  const order = ['rgb', 'bgr', 'gray'][config.number('model-color-format', 0)];
  const weak = 'Boxes are missing or their scores are low everywhere; classes look random.';
  return [
    near(scale, preprocess.scale)
      ? undefined
      : config.finding(
          'error',
          'net-scale-factor',
          `net-scale-factor is ${scale}, the network was trained with ${preprocess.scale}.`,
          weak,
          `Set net-scale-factor=${preprocess.scale}`,
        ),
    preprocess.offset.slice(0, order === 'gray' ? 1 : 3).every((value, channel) => near(value + 1, (offsets[channel] ?? 0) + 1))
      ? undefined
      : config.finding(
          'error',
          'offsets',
          `offsets are ${offsets.join(';') || 'absent'}, the network wants ${preprocess.offset.join(';')}.`,
          weak,
          `Set offsets=${preprocess.offset.join(';')}`,
        ),
    order === preprocess.order
      ? undefined
      : config.finding(
          'error',
          'model-color-format',
          `model-color-format gives ${order ?? 'no known order'}, the network wants ${preprocess.order}.`,
          'Red and blue are swapped: scores drop most on coloured things (signs, lights), some classes vanish.',
          `Set model-color-format=${['rgb', 'bgr', 'gray'].indexOf(preprocess.order)}`,
        ),
  ];
};

/** Size and shape of the image. */
export const geometry: Rule = (config, { network }) => {
  if (network === undefined) return [];
  const { preprocess } = network.info;
  const dims = numbers(config.value('infer-dims') ?? config.value('input-dims')).slice(0, 3);
  const kept = config.number('maintain-aspect-ratio', 0) === 1;
  const symmetric = config.number('symmetric-padding', 0) === 1;
  return [
    dims.length === 0 || dims.every((value, axis) => value === network.input[axis])
      ? undefined
      : config.finding(
          'error',
          'infer-dims',
          `infer-dims is ${dims.join(';')}, the network has ${network.input.join(';')}.`,
          'The engine is refused or rebuilt at every start; with a dynamic ONNX the boxes are off.',
          `Set infer-dims=${network.input.join(';')}`,
        ),
    kept === (preprocess.resize === 'letterbox')
      ? undefined
      : config.finding(
          'error',
          'maintain-aspect-ratio',
          `maintain-aspect-ratio is ${kept ? 1 : 0}, the network was trained on ${preprocess.resize === 'letterbox' ? 'letterboxed' : 'stretched'} images.`,
          'Things look too wide or too narrow to the network: fewer boxes, and of wrong shape.',
          `Set maintain-aspect-ratio=${kept ? 0 : 1}`,
        ),
    kept && symmetric && preprocess.resize === 'letterbox'
      ? config.finding(
          'warning',
          'symmetric-padding',
          'symmetric-padding is 1, the network was trained with the image at the top left.',
          'Slightly fewer boxes near the frame’s edges.',
          'Set symmetric-padding=0',
        )
      : undefined,
    [0, 6].includes(config.number('scaling-filter', 6))
      ? config.finding(
          'warning',
          'scaling-filter',
          `scaling-filter is ${config.value('scaling-filter') ?? 'absent'}: nvinfer takes the nearest pixel where it scales.`,
          'Small things lose score or come and go where the frame is larger than the network’s input.',
          'Set scaling-filter=1 (bilinear)',
        )
      : undefined,
  ];
};

export const labelling: Rule = (config, { labels, network }) => {
  const kind = config.number('network-type', 0) === 1 ? 'classifier' : 'detector';
  const classes = network?.info.labels;
  const count = config.number('num-detected-classes', 0);
  const findings: (LintFinding | undefined)[] = [];
  if (kind === 'detector' && classes && count !== classes.length)
    findings.push(
      config.finding(
        'error',
        'num-detected-classes',
        `num-detected-classes is ${count}, the network has ${classes.length}.`,
        count < classes.length ? `No box ever of: ${classes.slice(count).join(', ')}.` : 'Errors at start, or boxes of classes that do not exist.',
        `Set num-detected-classes=${classes.length}`,
      ),
    );
  if (labels === undefined) return findings;
  const parsed = parseLabels(labels, kind);
  for (const note of parsed.notes)
    findings.push(
      config.finding('error', 'labelfile-path', `The labels file: ${note}.`, 'Boxes carry the wrong name, or all the same one.', 'Write it anew: edgeforge export --out DIR'),
    );
  const said = parsed.outputs[0] ?? [];
  if (classes && said.join('\n') !== classes.join('\n')) {
    const same = said.toSorted().join('\n') === classes.toSorted().join('\n');
    findings.push(
      config.finding(
        'error',
        'labelfile-path',
        same
          ? `The labels file has the classes in another order: ${said.join(', ')}; the network: ${classes.join(', ')}.`
          : `The labels file says ${said.join(', ')}; the network has ${classes.join(', ')}.`,
        'Boxes stand where they should and carry the wrong name.',
        `One ${kind === 'detector' ? 'class a line' : 'line'}, in the network’s order: ${classes.join(kind === 'detector' ? ', ' : ';')}`,
      ),
    );
  }
  return findings;
};

export const outputs: Rule = (config, { network }) => {
  const type = config.number('network-type', 0);
  const secondary = config.number('process-mode', 1) === 2;
  const custom = config.hasOwnParser;
  const blobs = (config.value('output-blob-names') ?? '').split(';').filter(name => name !== '');
  const expected = network && (network.info.task === 'classification' ? 1 : 0);
  return [
    expected !== undefined && expected !== type
      ? config.finding(
          'error',
          'network-type',
          `network-type is ${type}, the network is a ${expected === 1 ? 'classifier (1)' : 'detector (0)'}.`,
          type === 0 ? '"Could not find output coverage layer for parsing objects"; no boxes.' : 'No boxes; labels that mean nothing.',
          `Set network-type=${expected}`,
        )
      : undefined,
    type === 0 && !custom && blobs.length > 0 && !['bbox', 'cov'].every(part => blobs.some(name => name.includes(part)))
      ? config.finding(
          'error',
          'output-blob-names',
          `nvinfer’s own parser finds outputs by "bbox" and "cov" in their names; these are ${blobs.join(', ')}.`,
          '"Could not find output coverage layer for parsing objects"; no boxes.',
          'Name the right outputs, or a parser (parse-bbox-func-name, custom-lib-path).',
        )
      : undefined,
    network && blobs.some(name => !network.info.outputs.includes(name) && !network.info.outputs.some(output => name.startsWith(`${output}/`)))
      ? config.finding(
          'error',
          'output-blob-names',
          `The network’s outputs are ${network.info.outputs.join(', ')}, not ${blobs.join(', ')}.`,
          '"Could not find output layer"; it ends or shows nothing.',
          `Set output-blob-names=${network.info.outputs.join(';')}`,
        )
      : undefined,
    secondary && config.value('operate-on-gie-id') === undefined
      ? config.finding(
          'error',
          'operate-on-gie-id',
          'A secondary inference that names no primary.',
          'It never runs: no second label on any object.',
          'Set operate-on-gie-id to the primary’s gie-unique-id.',
        )
      : undefined,
    type === 1 && secondary && config.value('classifier-async-mode') === '1'
      ? config.finding(
          'warning',
          'classifier-async-mode',
          'Asynchronous classification needs a tracker.',
          'Without a tracker no label ever appears.',
          'Enable the tracker, or set classifier-async-mode=0.',
        )
      : undefined,
  ];
};
