import { describe, expect, test } from 'vitest';
import { EdgeError } from '../../src/core/errors.ts';
import { classWeightsOf } from '../../src/pipeline/class-weights.ts';
import { planTraining } from '../../src/pipeline/training-plan.ts';
import { detectnetText, realSpecs } from '../formats/spec/_specs.ts';
import { hasShared } from '../shared.ts';

const tasks = { detectnet_v2_train: 'detectnet_v2', classification: 'classification' } as const;
const trainings = realSpecs.filter(({ task }) => task in tasks);

describe.skipIf(!hasShared)('real specs', () => {
  test.each(Object.entries(tasks))('every %s spec is planned, or refused with the mend', (kind, task) => {
    const refusals: string[] = [];
    const specs = trainings.filter(spec => spec.task === kind);
    for (const { file, text } of specs) {
      try {
        const { training, network, notes } = planTraining(text, { file, task });
        expect(training.task.name).toBe(task);
        expect(training.epochs).toBeGreaterThan(0);
        expect(network.architecture).toMatch(new RegExp(`^${task}_[a-z0-9_]+$`));
        expect([training.input.width, training.input.height]).toEqual([network.width, network.height]);
        // It must survive the way into a fingerprint and a child process.
        expect(JSON.parse(JSON.stringify(training))).toEqual(training);
        expect(notes.every(note => note.length > 0)).toBe(true);
      } catch (error) {
        if (!(error instanceof EdgeError)) throw error;
        expect(error.code, `${file}: ${error.message}`).toMatch(/^(spec-invalid|spec-syntax|format-unsupported)$/);
        expect(error.hint.length).toBeGreaterThan(10);
        refusals.push(`${file}: ${error.message}`);
      }
    }
    expect(specs.length).toBeGreaterThan(10);
    // Most of what people really wrote must work.
    expect(refusals.length, refusals.join('\n')).toBeLessThanOrEqual(specs.length / 4);
    console.info(`${kind}: ${specs.length - refusals.length} of ${specs.length} planned`);
  });
});

describe('a detection spec', () => {
  test('keeps TLT’s numbers', () => {
    const { training, network } = planTraining(detectnetText());
    expect(network).toMatchObject({ architecture: 'detectnet_v2_resnet18', channels: 3, height: 544, width: 960, allProjections: true });
    expect(training).toMatchObject({
      batch: 8,
      epochs: 120,
      fit: 'stretch',
      mapping: { car: 'car', van: 'car' },
      schedule: { kind: 'soft-start-annealing', minimum: 5e-6, maximum: 5e-4, softStart: 0.1, annealing: 0.7 },
      optimizer: { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
      regularizer: { kind: 'l1', weight: 3e-9 },
      validation: { first: 30, period: 10 },
      backboneRate: 1,
      seed: 42,
    });
    expect(training.task).toMatchObject({ name: 'detectnet_v2', settings: { labels: ['car'], stride: 16, bbox: { scale: 35, offset: 0.5 } } });
  });

  test('brings dropout, a frozen backbone and early stopping with it', () => {
    const early = 'early_stopping_annealing_schedule { min_learning_rate: 5e-6 max_learning_rate: 5e-4 soft_start_epochs: 5 annealing_epochs: 20 patience_steps: 10 }';
    const { training, network, notes } = planTraining(
      detectnetText([
        ['use_batch_norm: true', 'use_batch_norm: true dropout_rate: 0.3 freeze_pretrained_layers: true pretrained_model_file: "x.onnx"'],
        ['soft_start_annealing_schedule { min_learning_rate: 5e-6 max_learning_rate: 5e-4 soft_start: 0.1 annealing: 0.7 }', early],
      ]),
    );
    expect(training).toMatchObject({
      dropout: 0.3,
      schedule: { kind: 'early-stopping-annealing', minimum: 5e-6, maximum: 5e-4, softStartEpochs: 5, annealingEpochs: 20, patienceEpochs: 10 },
    });
    expect(network.freezeBackbone).toBe(true);
    expect(notes.some(note => note.includes('validation cost'))).toBe(true);
  });

  test('the project’s training section counts, and a note says where it overrules the spec', () => {
    const plain = planTraining(detectnetText());
    const section = { optimizer: { kind: 'adamw', decay: 0.01 }, clip: { norm: 2 }, average: 0.99, accumulate: 4, keep: 'last' } as const;
    const { training, notes } = planTraining(detectnetText(), { section });
    expect(training).toEqual({ ...plain.training, optimizer: section.optimizer, clip: { kind: 'norm', limit: 2 }, average: 0.99, accumulate: 4, keep: 'last' });
    expect(notes.filter(note => !plain.notes.includes(note))).toEqual(["The optimizer is adamw, as the project says, not the spec's adam."]);
  });

  test('options of the project file stand beside the spec', () => {
    expect(planTraining(detectnetText(), { backboneRate: 0.1, fit: 'letterbox' }).training).toMatchObject({ backboneRate: 0.1, fit: 'letterbox' });
  });

  test('given for the other task: refused with the mend', () => {
    expect(() => planTraining(detectnetText(), { task: 'classification', file: 'train.txt' })).toThrow(expect.objectContaining({ code: 'spec-invalid', hint: expect.any(String) }));
  });
});

describe('a classification spec', () => {
  const text = (train: string, model = '') => `model_config { arch: "resnet" n_layers: 18 input_image_size: "3,224,224" ${model} }
train_config { train_dataset_path: "a" val_dataset_path: "b" batch_size_per_gpu: 8 n_epochs: 4 ${train} lr_config { step { learning_rate: 0.006 step_size: 10 gamma: 0.1 } } }
eval_config { top_k: 3 }
`;
  const sgd = 'optimizer { sgd { momentum: 0.9 decay: 0.001 nesterov: true } }';
  test('brings mixup, dropout, label smoothing and the rate’s decay', () => {
    const { training, notes } = planTraining(text(`${sgd} mixup_alpha: 0.2 label_smoothing: 0.1`, 'dropout: 0.25'));
    expect(training).toMatchObject({
      mixup: 0.2,
      dropout: 0.25,
      optimizer: { kind: 'sgd', momentum: 0.9, nesterov: true },
      task: { settings: { labelSmoothing: expect.closeTo(0.1) } },
    });
    expect(training.optimizer.kind === 'sgd' && training.optimizer.rateDecay).toBeCloseTo(0.001);
    expect(notes.some(note => /mixup|dropout/.test(note))).toBe(false);
  });
  test('says how pixels are mixed: bilinear, or resize_interpolation_method’s bicubic', () => {
    expect(planTraining(text(sgd)).training.filter).toBe('bilinear');
    expect(planTraining(text(sgd, 'resize_interpolation_method: BICUBIC')).training.filter).toBe('bicubic');
  });
  test('gives way to the project’s section', () => {
    const { training } = planTraining(text(`${sgd} mixup_alpha: 0.2 label_smoothing: 0.1`), { section: { mixup: 0, labelSmoothing: 0.05, classWeights: 'balanced' } });
    expect(training).toMatchObject({ mixup: 0, classWeights: 'balanced', task: { settings: { labelSmoothing: 0.05 } } });
  });
});

test('class weights: by name, balanced, and never for a class that is none', () => {
  const classes = { labels: ['a', 'b', 'c'], counts: [10, 20, 30] };
  expect(classWeightsOf({}, classes)).toBeUndefined();
  expect(classWeightsOf({ classWeights: { b: 2.5 } }, classes)).toEqual([1, 2.5, 1]);
  // 60/(3·10), 60/(3·20), 60/(3·30): every class then weighs 20 images.
  expect(classWeightsOf({ classWeights: 'balanced' }, classes)).toEqual([2, 1, 2 / 3]);
  expect(() => classWeightsOf({ classWeights: { d: 2 } }, classes)).toThrow(expect.objectContaining({ code: 'class-unmapped' }));
});
