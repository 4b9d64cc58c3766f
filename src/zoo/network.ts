import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import { Builder } from '../graph/builder.ts';
import { type NetworkInfo, preprocessSchema, withNetworkInfo } from '../graph/network-info.ts';
import type { Network } from '../tasks/task.ts';
import { addResnet } from './backbones/resnet.ts';
import { rowOf } from './catalogue.ts';
import { freezeSchema, learningOf } from './freeze.ts';
import { addClassificationHead, classificationOutputs } from './heads/classification.ts';
import { addDetectnetHead, detectnetOutputs } from './heads/detectnet.ts';

/** Everything a network of the zoo is built from. Sizes in pixels; TLT's option names in camelCase. */
export const networkSettingsSchema = z.strictObject({
  architecture: z.string(),
  /** Class order of the outputs. */
  labels: z.array(z.string().min(1)).min(1).max(100_000),
  channels: z.union([z.literal(1), z.literal(3)]).default(3),
  height: z.number().int().min(16).max(16384),
  width: z.number().int().min(16).max(16384),
  /** Factor on every backbone filter count (our extension; rounded to multiples of 8). */
  widthMultiplier: z.number().gt(0).max(4).default(1),
  /** Total stride. Default: 16 for detection; 16 without and 32 with pooling for classification. */
  stride: z.union([z.literal(16), z.literal(32)]).optional(),
  allProjections: z.boolean().default(false),
  usePooling: z.boolean().default(false),
  useBatchNorm: z.boolean().default(true),
  /** Biases on backbone convolutions. Default: only without BatchNormalization, which has its own. */
  useBias: z.boolean().optional(),
  /** Keras' defaults in DetectNet_v2 (0.99, 1e-3) and TLT's in classification (0.9, 1e-5) when absent. */
  batchNorm: z.strictObject({ momentum: z.number().min(0).lt(1), epsilon: z.number().positive() }).optional(),
  ...freezeSchema.shape,
  /** Start value of the coverage logits (our extension; 0 is TLT's). */
  coverageBias: z.number().default(0),
  initializer: z.enum(['he_normal', 'glorot_uniform']).default('he_normal'),
  preprocess: preprocessSchema.prefault({ scale: 1 / 255 }),
  seed: z.number().int().min(0).default(42),
});
export type NetworkInput = z.input<typeof networkSettingsSchema>;

/** A network of the catalogue with freshly drawn weights, decided by the settings alone: input `input_1` ['N', C, H, W]. Throws `spec-invalid`. */
export function buildNetwork(input: NetworkInput): Network {
  const parsed = networkSettingsSchema.safeParse(input);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const path = issue?.path.map(String).join('.') ?? '';
    throw new EdgeError('spec-invalid', `Network settings: ${path}: ${issue?.message}`, {
      hint: 'Mend model_config in the spec; edgeforge spec explain FILE shows every default.',
      where: { path },
    });
  }
  const settings = parsed.data;
  const { architecture, labels, channels, height, width, useBatchNorm, usePooling, seed } = settings;
  const { task, layers: depth } = rowOf(architecture);
  const stride = settings.stride ?? (task === 'classification' && usePooling ? 32 : 16);
  if (task === 'detectnet_v2') checkGrid(height, width, stride);
  const builder = new Builder(architecture);
  const value = builder.input('input_1', 'float32', ['N', channels, height, width]);
  const feature = addResnet(
    builder,
    { value, channels },
    {
      ...settings,
      depth,
      stride,
      useBias: settings.useBias ?? !useBatchNorm,
      batchNorm: settings.batchNorm ?? (task === 'detectnet_v2' ? { momentum: 0.99, epsilon: 1e-3 } : { momentum: 0.9, epsilon: 1e-5 }),
    },
  );
  if (task === 'detectnet_v2') addDetectnetHead(builder, feature, { classes: labels.length, grid: [height / stride, width / stride], coverageBias: settings.coverageBias, seed });
  else addClassificationHead(builder, feature, { classes: labels.length, seed });
  const outputs = [...(task === 'detectnet_v2' ? detectnetOutputs : classificationOutputs)];
  const info: NetworkInfo = { task, architecture, labels, input: 'input_1', outputs, preprocess: settings.preprocess };
  const graph = withNetworkInfo(builder.graph(), info);
  return { graph, info, ...learningOf(graph, settings) };
}

/** Throws `spec-invalid` with the near multiples where a detector's size does not fit its grid. */
export function checkGrid(height: number, width: number, stride: number): void {
  for (const [name, size] of Object.entries({ height, width })) {
    const over = size % stride;
    if (over === 0) continue;
    const near = size - over > 0 ? `${size - over} or ${size - over + stride}` : `${stride}`;
    throw new EdgeError('spec-invalid', `A detector's input ${name} must be a multiple of ${stride}; ${size} is not.`, {
      hint: `Set output_image_${name}: ${near}.`,
      where: { path: name },
    });
  }
}
