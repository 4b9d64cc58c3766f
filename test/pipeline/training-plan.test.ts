import { describe, expect, test } from 'vitest';
import { EdgeError } from '../../src/core/errors.ts';
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

  test('says what it will not do', () => {
    const { notes } = planTraining(detectnetText([['use_batch_norm: true', 'use_batch_norm: true dropout_rate: 0.3']]));
    expect(notes.some(note => note.includes('dropout_rate 0.3'))).toBe(true);
  });

  test('options of the project file stand beside the spec', () => {
    expect(planTraining(detectnetText(), { backboneRate: 0.1, fit: 'letterbox' }).training).toMatchObject({ backboneRate: 0.1, fit: 'letterbox' });
  });

  test('given for the other task: refused with the mend', () => {
    expect(() => planTraining(detectnetText(), { task: 'classification', file: 'train.txt' })).toThrow(expect.objectContaining({ code: 'spec-invalid', hint: expect.any(String) }));
  });
});
