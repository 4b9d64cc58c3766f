import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import { f32, type TensorType } from '../graph/ir.ts';
import { outputNamed } from './_outputs.ts';
import { boxAgreement } from './agreement.ts';
import { normalised, type ObjectiveWeights, reweighted } from './auto-weight.ts';
import { createDetectnetDecoder } from './detectnet-decode.ts';
import { createDetectnetEncoder } from './detectnet-encode.ts';
import { addDetectnetDistillation, addDetectnetLoss, partName, targetNames, weightName } from './detectnet-loss.ts';
import { scoreBoxes } from './detectnet-score.ts';
import { type DetectnetClass, type DetectnetInput, type DetectnetSettings, parseDetectnetSettings } from './detectnet-settings.ts';
import type { NamedTensors, Task } from './task.ts';

const stateSchema = z.strictObject({ weights: z.record(z.string(), z.strictObject({ cov: z.number().min(0), bbox: z.number().min(0) })) });

/**
 * DetectNet_v2 as a task (tlt: rasterised ellipses, weighted cross-entropy and L1, auto-weighting, DBSCAN/NMS, AP). Settings as `detectnetSettingsSchema`.
 * Throws `spec-invalid` or `class-unmapped` on settings that make no sense.
 */
export function openDetectnet(input: DetectnetInput): Task {
  const { settings, classes } = parseDetectnetSettings(input);
  const { labels } = settings;
  const weights = createWeights(settings, classes);
  const [gridHeight, gridWidth] = [settings.height / settings.stride, settings.width / settings.stride];
  const grid = (n: number, channels: number): TensorType => ({ dataType: 'float32', dims: [n, channels, gridHeight, gridWidth] });
  return {
    name: 'detectnet_v2',
    labels,
    targets: n => ({
      [targetNames.coverage]: grid(n, labels.length),
      [targetNames.coverageWeight]: grid(n, labels.length),
      [targetNames.boxes]: grid(n, 4 * labels.length),
      [targetNames.boxWeight]: grid(n, 4 * labels.length),
    }),
    encode: createDetectnetEncoder(settings, classes),
    lossWeights: weights.tensors,
    loss: (builder, outputs) => {
      const names = outputs.map(output => output.name);
      return addDetectnetLoss(builder, labels, outputNamed(names, 'cov'), outputNamed(names, 'bbox'));
    },
    distill: (builder, outputs, teacher) => {
      const named = (names: readonly string[]) => ({ coverage: outputNamed(names, 'cov'), boxes: outputNamed(names, 'bbox') });
      return addDetectnetDistillation(builder, labels, named(outputs), named(teacher));
    },
    endEpoch: weights.endEpoch,
    state: weights.state,
    restore: weights.restore,
    decode: createDetectnetDecoder(settings, classes),
    score: (predictions, truth) => scoreBoxes(settings, classes, predictions, truth),
    agreement: (a, b, truth) => boxAgreement(a, b, truth, settings.agreement),
  };
}

/** The auto-weights: what moves at an epoch's end and what a checkpoint carries. */
function createWeights(settings: DetectnetSettings, classes: readonly DetectnetClass[]) {
  const shares = classes.reduce((sum, { cost }) => sum + cost.classWeight, 0);
  const share = (cost: DetectnetClass['cost']) => (shares > 0 ? cost.classWeight / shares : 0);
  const objectives = (cost: DetectnetClass['cost'], of: 'initialWeight' | 'weightTarget'): ObjectiveWeights => ({ cov: cost.objectives.cov[of], bbox: cost.objectives.bbox[of] });
  let present = new Map(classes.map(({ label, cost }) => [label, normalised(objectives(cost, 'initialWeight'))]));
  return {
    tensors: (): NamedTensors =>
      new Map(
        classes.flatMap(({ label, cost }) =>
          (['cov', 'bbox'] as const).map(objective => [weightName(label, objective), f32([], [share(cost) * present.get(label)![objective]])] as const),
        ),
      ),
    endEpoch: (sums: Readonly<Record<string, number>>): void => {
      const { enableAutoweighting, minObjectiveWeight, maxObjectiveWeight } = settings.cost;
      if (!enableAutoweighting) return;
      present = new Map(
        classes.map(({ label, cost }) => {
          const costs = { cov: sums[partName(label, 'cov')] ?? 0, bbox: sums[partName(label, 'bbox')] ?? 0 };
          return [label, reweighted(present.get(label)!, objectives(cost, 'weightTarget'), costs, minObjectiveWeight, maxObjectiveWeight)];
        }),
      );
    },
    state: (): unknown => ({ weights: Object.fromEntries(present) }),
    restore: (state: unknown): void => {
      const parsed = stateSchema.safeParse(state);
      if (!parsed.success || classes.some(({ label }) => !Object.hasOwn(parsed.data.weights, label)))
        throw new EdgeError('store-corrupt', 'The checkpoint holds no auto-weights for these classes.', {
          hint: 'Start the training again: remove its scratch folder with edgeforge gc, then edgeforge run.',
        });
      present = new Map(classes.map(({ label }) => [label, parsed.data.weights[label]!]));
    },
  };
}
