import { z } from 'zod';

/** A figure of somebody else for this kind of device: context, never compared by a program, graded `published` wherever it stands. */
export const publishedSchema = z.strictObject({
  network: z.string(),
  precision: z.enum(['fp32', 'fp16', 'int8']),
  imagesPerS: z.number().positive(),
  grade: z.literal('published'),
  source: z.string(),
  /** Every condition that is not the same here, or that the source leaves out. */
  differs: z.array(z.string()).min(1),
});
export type PublishedFigure = z.infer<typeof publishedSchema>;

/** What is measured here, as far as a published figure can differ from it. */
export interface MeasuredConditions {
  readonly network: string;
  readonly width?: number;
  readonly height?: number;
  readonly batches: readonly number[];
  readonly precisions: readonly string[];
  readonly runtime: string;
  readonly powerMode?: string;
  readonly clocks?: string;
}
/** A published figure as a target's file states it. */
export const publishedRowSchema = z.strictObject({
  network: z.string(),
  input: z.tuple([z.int().positive(), z.int().positive()]),
  precision: z.enum(['fp32', 'fp16', 'int8']),
  imagesPerS: z.number().positive(),
  /** What the figure counts: the engine alone, or a pipeline around it. */
  counts: z.string(),
  software: z.string(),
  source: z.string(),
});

/** The figure with each condition in which it differs from what is measured here, or of which its source is silent. */
export function publishedContext(row: z.infer<typeof publishedRowSchema>, here: MeasuredConditions): PublishedFigure {
  const { network, input, precision, imagesPerS, counts, software, source } = row;
  const size = here.width === undefined || here.height === undefined ? 'unknown' : `${here.width}×${here.height}`;
  return {
    network,
    precision,
    imagesPerS,
    grade: 'published',
    source,
    differs: [
      `network ${network} (here ${here.network})`,
      ...(size === input.join('×') ? [] : [`input ${input.join('×')} (here ${size})`]),
      ...(here.precisions.includes(precision) ? [] : [`${precision.toUpperCase()} (here ${here.precisions.map(each => each.toUpperCase()).join(', ')})`]),
      `counted: ${counts} (here the network alone)`,
      `software ${software} (here ${here.runtime})`,
      `batch not stated (here ${here.batches.join(', ')})`,
      `power mode not stated (here ${here.powerMode ?? 'unknown'})`,
      `clocks not stated (here ${here.clocks ?? 'unknown'})`,
    ],
  };
}

/** A published figure in one sentence for people, its label first. */
export const publishedWords = ({ network, precision, imagesPerS, source, differs }: PublishedFigure): string =>
  `Published by others, not measured here: ${network} ${imagesPerS} images/s in ${precision.toUpperCase()} (${source}). What differs: ${differs.join('; ')}.`;
