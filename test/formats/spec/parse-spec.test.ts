import fc from 'fast-check';
import textformat from 'protobufjs/ext/textformat.js';
import { describe, expect, it } from 'vitest';
import { EdgeError } from '../../../src/core/errors.ts';
import { messageType } from '../../../src/formats/spec/_schema.ts';
import { textLimits } from '../../../src/formats/spec/_text-format.ts';
import { parseSpec, withDefaults } from '../../../src/formats/spec/parse-spec.ts';
import { rootOf } from '../../../src/formats/spec/tasks.ts';
import { toText } from '../../../src/formats/spec/to-text.ts';
import { failure, refusal } from '../../refusal.ts';
import { hasShared } from '../../shared.ts';
import { detectnetText, realSpecs } from './_specs.ts';

describe.skipIf(!hasShared)('the 295 real specs', () => {
  it('are there', () => expect(realSpecs).toHaveLength(295));
  it.each(realSpecs)('$file is $task', ({ file, task, text }) => {
    expect(parseSpec(text, { file }).task).toBe(task);
  });
  it('need their name only where the fields decide nothing', () => {
    const wrong = realSpecs.filter(({ task, text }) => parseSpec(text).task !== task).map(({ file }) => file);
    expect(wrong).toEqual(['NVIDIA__tao_deploy__multitask_classification-specs-experiment_spec.txt']);
  });
  it('survive printing and reading again', () => {
    for (const { file, text } of realSpecs) {
      const { task, message } = parseSpec(text, { file });
      expect(parseSpec(toText(task, message), { task }).message, file).toEqual(message);
    }
  });
  it('read the same through protobufjs’ own text format, where that reads them', () => {
    let compared = 0;
    for (const { file, text } of realSpecs) {
      const { task, message } = parseSpec(text, { file });
      const root = rootOf(task);
      if (!root) continue;
      const type = messageType(root.type);
      let theirs: { toJSON(): unknown };
      try {
        theirs = textformat.fromText(type, text) as unknown as { toJSON(): unknown };
      } catch (error) {
        // It refuses a field that is set twice, which TLT merges.
        expect(String(error), file).toMatch(/multiple values/);
        continue;
      }
      compared += 1;
      expect(message, file).toEqual(type.toObject(theirs as never, { enums: String, longs: Number, json: true }));
    }
    expect(compared).toBeGreaterThan(260);
  });
});

describe('parseSpec', () => {
  it('keeps presence and TLT’s names', () => {
    const { message, lines } = parseSpec('kitti_config { root_directory_path: "a" val_split: 0 }\nimage_directory_path: "b"');
    expect(message).toEqual({ kitti_config: { root_directory_path: 'a', val_split: 0 }, image_directory_path: 'b' });
    expect(lines.get('image_directory_path')).toBe(2);
  });
  it.each([
    ['angle brackets', 'kitti_config < num_shards: 3 >', 3],
    ['a colon before a brace', 'kitti_config: { num_shards: 3 }', 3],
    ['hexadecimal', 'kitti_config { num_shards: 0x10 }', 16],
    ['octal', 'kitti_config { num_shards: 010 }', 8],
    ['separators, comments, CRLF', '# top\r\nkitti_config {\r\n num_shards: 3, # three\r\n num_partitions: 2;\r\n}\r\n', 3],
  ])('reads %s', (_, text, shards) => {
    expect(parseSpec(text, { task: 'dataset_convert' }).message).toMatchObject({ kitti_config: { num_shards: shards } });
  });
  it('joins strings and decodes escapes', () => {
    const { message } = parseSpec(`kitti_config { root_directory_path: "a\\tb" 'c\\x41\\303\\251"' }`, { task: 'dataset_convert' });
    expect(message).toEqual({ kitti_config: { root_directory_path: 'a\tbcAé"' } });
  });
  it('reads lists, enums by name and number, signs, exponents, infinity', () => {
    const { message } = parseSpec(
      'model_config { freeze_blocks: [0, 1] freeze_blocks: 2 } evaluation_config { average_precision_mode: 1 } bbox_rasterizer_config { deadzone_radius: -1.5e-1f } cost_function_config { max_objective_weight: inf min_objective_weight: .5 }',
      { task: 'detectnet_v2_train' },
    );
    expect(message).toEqual({
      model_config: { freeze_blocks: [0, 1, 2] },
      evaluation_config: { average_precision_mode: 'INTEGRATE' },
      bbox_rasterizer_config: { deadzone_radius: -0.15 },
      cost_function_config: { max_objective_weight: Number.POSITIVE_INFINITY, min_objective_weight: 0.5 },
    });
  });
  it('notes what TLT would merge in silence', () => {
    const { message, notes } = parseSpec(
      'model_config { num_layers: 10 }\nmodel_config { num_layers: 18 arch: "resnet" }\ndataset_config { validation_fold: 0\n validation_data_source { tfrecords_path: "x" } }',
      { task: 'detectnet_v2_train' },
    );
    expect(message).toMatchObject({ model_config: { num_layers: 18, arch: 'resnet' }, dataset_config: { validation_data_source: { tfrecords_path: 'x' } } });
    expect(message.dataset_config).not.toHaveProperty('validation_fold');
    expect(notes.join('\n')).toMatch(/line 2: model_config is opened again[\s\S]*num_layers is set again \(first on line 1\)[\s\S]*replaces validation_fold/);
  });
  it('notes what TAO dropped', () => {
    expect(parseSpec('bbox_handler_config { classwise_bbox_handler_config { key: "car" value { confidence_threshold: 0.9 } } }').notes).toEqual([
      expect.stringMatching(/line 1: .*confidence_threshold: TLT 2\.0/),
    ]);
  });
  it.each([
    ['an unknown field', detectnetText([['num_layers', 'n_layers']]), 'spec-invalid', 2, 'model_config.n_layers', /Did you mean num_layers\?/],
    [
      'a misspelt message',
      detectnetText([['bbox_rasterizer_config', 'bbox_rasteriser_config']]),
      'spec-invalid',
      4,
      'bbox_rasteriser_config',
      /Did you mean bbox_rasterizer_config\?/,
    ],
    ['text without quotes', detectnetText([['"resnet"', 'resnet']]), 'spec-invalid', 2, 'model_config.arch', /Write "resnet"/],
    ['a fraction for a count', detectnetText([['num_epochs: 120', 'num_epochs: 12.5']]), 'spec-invalid', 18, 'training_config.num_epochs', /Write 13/],
    ['a negative count', detectnetText([['num_epochs: 120', 'num_epochs: -1']]), 'spec-invalid', 18, 'training_config.num_epochs', /range/],
    ['a wrong enum', detectnetText([['INTEGRATE', 'INTEGRAL']]), 'spec-invalid', 28, 'evaluation_config.average_precision_mode', /Did you mean INTEGRATE\?/],
    ['a list for one value', detectnetText([['random_seed: 42', 'random_seed: [42]']]), 'spec-invalid', 1, 'random_seed', /without brackets/],
    ['an open brace', 'model_config {\n arch: "resnet"\n', 'spec-syntax', 1, undefined, /Add the missing "}"/],
    ['a brace too many', 'model_config { }\n}\n', 'spec-syntax', 2, undefined, /Remove it/],
    ['an open quote', 'model_config {\n arch: "resnet\n}', 'spec-syntax', 2, undefined, /Close the quote/],
    ['Markdown', '```\ntlt-train -e spec\n```', 'spec-syntax', 1, undefined, /protobuf text/],
    ['nothing', '# empty\n', 'spec-invalid', undefined, undefined, /edgeforge init/],
    ['another format', 'foo: 1', 'spec-invalid', 1, 'foo', /starts with fields/],
    ['bad YAML', '__class_name__: BpNetTrainer\na: [1\nb: 2', 'spec-syntax', 3, undefined, /YAML/],
  ])('refuses %s with place and mend', (_, text, code, line, path, hint) => {
    const error = failure(() => parseSpec(text, { file: 'train.txt' }));
    expect(error.code).toBe(code);
    expect(error.where?.file).toBe('train.txt');
    expect(error.where?.line).toBe(line);
    expect(error.where?.path).toBe(path);
    expect(error.hint).toMatch(hint);
  });
  it('names the other problems by line', () => {
    expect(
      failure(() =>
        parseSpec(
          detectnetText([
            ['num_layers', 'nlayers'],
            ['num_epochs', 'n_epochs'],
          ]),
        ),
      ).message,
    ).toMatch(/nlayers.*1 more: line 18: Unknown field n_epochs/);
  });
  it('keeps its limits', () => {
    expect(failure(() => parseSpec('a { '.repeat(100))).message).toMatch(/64 deep/);
    expect(failure(() => parseSpec('a { '.repeat(200_000))).code).toBe('spec-syntax');
    expect(failure(() => parseSpec(' '.repeat(textLimits.characters + 1))).code).toBe('limit-exceeded');
    expect(failure(() => parseSpec('a:1 '.repeat(textLimits.fields + 1))).message).toMatch(/50000 fields/);
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]', ...Array.from('bcdefghi', (name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[index]}`).join(',')}]`)].join('\n');
    expect(failure(() => parseSpec(`__class_name__: BpNetTrainer\n${bomb}`)).code).toBe('limit-exceeded');
  });
  it.each([
    ['one field again and again', 'random_seed:1 '.repeat(10_000)],
    ['unknown fields', 'model_config{n_layers:1} '.repeat(5_000)],
    ['a oneof back and forth', `dataset_config { ${'validation_fold: 1 validation_data_source {}'.repeat(3_000)}}`],
    ['lines that look like YAML', 'a:\n'.repeat(60_000)],
    ['strings to join', `enc_key: ${'"x"'.repeat(300_000)}`],
    ['deep YAML', `__class_name__: BpNetTrainer\n${'- '.repeat(5_000)}`],
  ])('takes seconds at most for %s', (_, text) => {
    const start = performance.now();
    refusal(() => parseSpec(text));
    expect(performance.now() - start).toBeLessThan(8000);
  });
  it('keeps a map key named __proto__ as data', () => {
    const { message } = parseSpec('dataset_config { target_class_mapping { key: "__proto__" value: "x" } }', { task: 'detectnet_v2_train' });
    expect(Object.keys(message.dataset_config as object)).toEqual(['target_class_mapping']);
    expect(Object.entries((message.dataset_config as Record<string, object>).target_class_mapping!)).toEqual([['__proto__', 'x']]);
  });
});

describe('withDefaults', () => {
  it('fills TLT’s defaults, keeps messages absent, and takes 0 for unset where TLT does', () => {
    const filled = withDefaults('detectnet_v2_train', parseSpec('model_config { num_layers: 0 } training_config { }', { task: 'detectnet_v2_train' }).message);
    expect(filled).toMatchObject({
      random_seed: 0,
      model_config: { num_layers: 18, arch: 'resnet', use_pooling: false, freeze_blocks: [] },
      training_config: { checkpoint_interval: 10 },
    });
    expect(filled).not.toHaveProperty('dataset_config');
    expect(filled.model_config).not.toHaveProperty('objective_set');
  });
});

describe('hostile text', () => {
  const words = fc.constantFrom(
    'model_config',
    'train_config',
    'kitti_config',
    'arch',
    'num_layers',
    'key',
    'value',
    '{',
    '}',
    '<',
    '>',
    ':',
    '[',
    ']',
    ',',
    '-',
    '"',
    "'",
    '\\',
    '#',
    '\n',
    '1',
    '0x',
    '1e9',
    '.5',
    'true',
    'INTEGRATE',
    '"x"',
    '__proto__',
    'constructor',
    '\u0000',
    '😀',
  );
  const outcome = (text: string): string => {
    try {
      return parseSpec(text).task;
    } catch (error) {
      if (!(error instanceof EdgeError) || error.code === 'internal') throw error;
      return error.code;
    }
  };
  it('made of spec words gives a spec or an EdgeError', () => {
    fc.assert(
      fc.property(fc.array(words, { maxLength: 60 }), parts => void outcome(parts.join(' '))),
      { numRuns: 400 },
    );
  });
  it('made of anything gives a spec or an EdgeError', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), text => void outcome(text)),
      { numRuns: 400 },
    );
  });
  it('made by cutting and changing a real spec gives a spec or an EdgeError', () => {
    const text = detectnetText();
    fc.assert(
      fc.property(fc.nat(text.length), fc.nat(40), fc.string({ maxLength: 5 }), (at, length, insert) => void outcome(text.slice(0, at) + insert + text.slice(at + length))),
      { numRuns: 100 },
    );
  });
});
