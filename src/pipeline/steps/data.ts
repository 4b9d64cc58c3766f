import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { defineStep } from '../../core/recipe.ts';
import type { StatCache } from '../../core/stat-cache.ts';
import { convertKitti } from '../../data/convert.ts';
import { kittiFolders } from '../../data/import-kitti.ts';
import { drawScenes } from '../../data/synth.ts';
import { validationRows } from '../../data/validate.ts';
import { checkedSplit, corruptText } from '../checked-data.ts';
import { writeManifest } from '../manifest-file.ts';
import { thisCpu } from '../this-machine.ts';

const sceneSchema = z.strictObject({ train: z.int(), validation: z.int(), width: z.int(), height: z.int(), seed: z.int() });
const corruptSchema = z.enum(['refuse', 'skip']);
const foldersSchema = z.strictObject({ train: z.string(), val: z.string() });

/** Synthetic road scenes as two KITTI folders, train/ and val/, drawn from different seeds. */
export const scenesStep = defineStep({
  name: 'scenes',
  version: 1,
  exclusive: () => [thisCpu],
  config: sceneSchema,
  inputs: {},
  outputs: { images: 'images' },
  async run({ config: { train, validation, seed, ...size }, outputs, signal, progress }) {
    const total = train + validation;
    await drawScenes({ ...size, seed, count: train, folder: join(outputs.images, 'train'), signal, onProgress: done => progress(done, total, {}, 'scenes') });
    // Another seed, so that no scene of training can come back in validation.
    await drawScenes({
      ...size,
      seed: seed + 1_000_003,
      count: validation,
      folder: join(outputs.images, 'val'),
      signal,
      onProgress: done => progress(train + done, total, {}, 'scenes'),
    });
  },
});

/** Import, split and validation, reading images where they lie; digests come from the project's stat cache. */
export const datasetStep = (cache: StatCache) =>
  defineStep({
    name: 'dataset',
    version: 2,
    exclusive: () => [thisCpu],
    config: z.strictObject({
      format: z.enum(['kitti', 'voc', 'coco', 'folders']),
      path: z.string().optional(),
      /** Content of the folder: what makes the step run again. */
      content: z.string().optional(),
      validation: z.union([z.number(), foldersSchema]),
      split: z.enum(['tlt', 'stratified']),
      seed: z.int(),
      corrupt: corruptSchema,
      input: z.strictObject({ width: z.int(), height: z.int() }),
    }),
    inputs: { images: 'images?' },
    outputs: { train: 'dataset', validation: 'dataset', report: 'report' },
    identity: ({ path: _, ...rest }) => rest,
    async run({ config, inputs, outputs, log, note, progress, signal }) {
      const root = inputs.images ?? (config.path as string);
      const { split, corrupt, reports } = await checkedSplit(root, config, { cache, signal, progress: (done, total) => progress(done, total, {}, 'images') });
      for (const part of ['train', 'validation'] as const)
        for (const [what, count, more] of validationRows(reports[part])) log('info', `${part}: ${what}: ${count} ${more}`.trim());
      if (corrupt.length > 0) note(`${corruptText(corrupt)} Left out, as data.corrupt says.`);
      for (const kind of ['degenerate-box', 'outside-box'] as const)
        if (reports.train.counts[kind] > 0)
          note(`${reports.train.counts[kind]} boxes are ${kind === 'degenerate-box' ? 'without area and left out' : 'partly outside their image and clipped'}.`);
      await writeManifest(outputs.train, split.train, root);
      await writeManifest(outputs.validation, split.validation, root);
      await writeFile(outputs.report, JSON.stringify(reports));
    },
  });

/** The KITTI tree as TFRecords, as TLT itself would read them. */
export const convertStep = defineStep({
  name: 'convert',
  version: 1,
  exclusive: () => [thisCpu],
  config: z.strictObject({
    path: z.string().optional(),
    content: z.string().optional(),
    validation: z.union([z.number(), foldersSchema]),
    corrupt: corruptSchema,
    extension: z.string(),
  }),
  inputs: { images: 'images?' },
  outputs: { records: 'tfrecords' },
  identity: ({ path: _, ...rest }) => rest,
  async run({ config, inputs, outputs, signal, progress, log, note }) {
    const root = inputs.images ?? (config.path as string);
    await mkdir(outputs.records, { recursive: true });
    const parts =
      typeof config.validation === 'number'
        ? [{ folder: root, name: 'kitti', valSplit: 100 * config.validation }]
        : Object.entries(config.validation).map(([name, folder]) => ({ folder: join(root, folder), name, valSplit: 0 }));
    for (const { folder, name, valSplit } of parts) {
      const dirs = await kittiFolders(folder);
      const report = await convertKitti(
        { root: folder, imageDirName: dirs.images, labelDirName: dirs.labels, imageExtension: config.extension, numShards: 10, partitionMode: 'random', valSplit },
        join(outputs.records, name),
        {
          signal,
          onProgress: (done, total) => progress(done, total, {}, 'images'),
          ...(config.corrupt === 'skip' ? { onCorrupt: ({ message }) => note(`${message} Left out of the records.`) } : {}),
        },
      );
      for (const fold of report.folds) log('info', `${name}: fold ${fold.fold}, ${fold.images} images`);
    }
  },
});
