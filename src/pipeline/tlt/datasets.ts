import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import { EdgeError } from '../../core/errors.ts';
import { importFolders } from '../../data/import-folders.ts';
import { importKitti } from '../../data/import-kitti.ts';
import { readTfrecordManifest } from '../../data/read-tfrecords.ts';
import type { Manifest } from '../../data/sample.ts';
import { classificationSpec } from '../../formats/spec/classification-spec.ts';
import { detectnetSpec } from '../../formats/spec/detectnet-spec.ts';
import type { SpecPlan } from '../training-plan.ts';

/** The data that a spec names, and the labels in the network's order. */
export interface SpecData {
  readonly train: Manifest;
  readonly validation: Manifest | undefined;
  readonly labels: readonly string[];
  readonly notes: readonly string[];
}

/** Reads the data of a training spec: TFRecords with their images, or class folders. Relative paths start at the working directory, as in TLT. */
export const specData = (plan: SpecPlan, options: { readonly classmap?: string | undefined } = {}): Promise<SpecData> =>
  plan.training.task.name === 'detectnet_v2' ? detectnetData(plan) : classificationData(plan, options.classmap);

async function detectnetData(plan: SpecPlan): Promise<SpecData> {
  const { spec } = detectnetSpec(plan.spec);
  const { sources, validation, imageExtension } = spec.dataset;
  if (sources.length === 0) {
    throw new EdgeError('spec-invalid', 'dataset_config names no data_sources.', {
      hint: 'Add data_sources { tfrecords_path: "…/*" image_directory_path: "…" }.',
      where: { ...(plan.spec.file === undefined ? {} : { file: plan.spec.file }), path: 'dataset_config.data_sources' },
    });
  }
  const notes: string[] = [];
  if (new Set(sources.map(source => source.sourceWeight || 1)).size > 1) notes.push('source_weight is not used: every image is drawn once an epoch.');
  const extension = imageExtension || 'png';
  const train = await readTfrecordManifest(sources, { extension, ...(validation.kind === 'fold' ? { fold: { not: validation.fold } } : {}) });
  const held =
    validation.kind === 'fold'
      ? await readTfrecordManifest(sources, { extension, fold: { only: validation.fold } })
      : validation.kind === 'source'
        ? await readTfrecordManifest([validation.source], { extension })
        : undefined;
  if (!held) notes.push('The spec has neither validation_fold nor validation_data_source: nothing validates, and the last epoch’s network is kept.');
  return { train, validation: held, labels: spec.targetClasses, notes };
}

async function classificationData(plan: SpecPlan, classmap: string | undefined): Promise<SpecData> {
  const { dataset } = classificationSpec(plan.spec).spec;
  const train = await importFolders(resolve(dataset.trainPath));
  const validation = dataset.validationPath === '' ? undefined : await importFolders(resolve(dataset.validationPath));
  const labels = classmap === undefined ? train.classes : await readClassmap(classmap);
  const strange = train.classes.filter(name => !labels.includes(name));
  if (strange.length > 0)
    throw new EdgeError('class-unmapped', `The class map ${classmap} lacks ${strange.join(', ')}.`, {
      hint: 'Give every class folder an index.',
      where: classmap === undefined ? undefined : { file: classmap },
    });
  return { train, validation, labels, notes: validation ? [] : ['val_dataset_path is not set: nothing validates, and the last epoch’s network is kept.'] };
}

/** Labels in the order of a classmap.json: `{class: index}`, indices 0, 1, … without a gap. */
export async function readClassmap(file: string): Promise<readonly string[]> {
  const mend = (message: string, cause?: unknown) =>
    new EdgeError('dataset-invalid', `${file}: ${message}`, { hint: 'A class map is JSON such as {"car": 0, "truck": 1}; train writes one.', where: { file }, cause });
  let map: Record<string, number>;
  try {
    map = z.record(z.string(), z.int().nonnegative()).parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (cause) {
    throw mend('not a class map.', cause);
  }
  const ordered = Object.entries(map).sort(([, a], [, b]) => a - b);
  if (ordered.length === 0 || ordered.some(([, index], at) => index !== at)) throw mend(`the indices are ${ordered.map(([, index]) => index).join(', ')}.`);
  return ordered.map(([name]) => name);
}

/** What a network is evaluated on: `--use_training_set`, images and labels named on the command line, the spec's evaluation set, or its validation set. */
export async function evaluationData(
  plan: SpecPlan,
  labels: readonly string[],
  from: { readonly trainingSet?: boolean | undefined; readonly images?: string | undefined; readonly labels?: string | undefined },
): Promise<Manifest> {
  if (plan.training.task.name === 'classification') {
    const { dataset, evaluation } = classificationSpec(plan.spec).spec;
    const folder = from.images ?? (from.trainingSet ? dataset.trainPath : (evaluation.datasetPath ?? dataset.validationPath));
    if (folder === '') throw noEvaluation('Set eval_config.eval_dataset_path, or name a folder of class folders: -i FOLDER.');
    const manifest = await importFolders(resolve(folder));
    const strange = manifest.classes.filter(name => !labels.includes(name));
    if (strange.length > 0)
      throw new EdgeError('class-unmapped', `${folder} has the class folders ${strange.join(', ')}, which the network does not know; it knows ${labels.join(', ')}.`, {
        hint: 'Evaluate on the classes it was trained for.',
        where: { file: folder },
      });
    return manifest;
  }
  if (from.images !== undefined) {
    if (from.labels === undefined) throw new EdgeError('usage', '-i names images, but no -l names their labels.', { hint: 'Add: -l FOLDER of KITTI label files.' });
    // One manifest root for two folders that may lie anywhere.
    return importKitti('/', { imageDir: resolve(from.images).slice(1), labelDir: resolve(from.labels).slice(1) });
  }
  const data = await detectnetData(plan);
  if (from.trainingSet) return data.train;
  if (!data.validation) throw noEvaluation('Set validation_fold or validation_data_source in dataset_config, or add --use_training_set.');
  return data.validation;
}

const noEvaluation = (hint: string) => new EdgeError('spec-invalid', 'The spec names no data to evaluate on.', { hint });
