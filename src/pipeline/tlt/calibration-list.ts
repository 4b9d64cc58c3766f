import { resolve } from 'node:path';
import { z } from 'zod';
import { writeAtomic } from '../../core/atomic-file.ts';
import { EdgeError } from '../../core/errors.ts';
import { looksLike } from '../../formats/payload.ts';
import type { TltNetwork } from '../../formats/spec/cli-flags.ts';
import { specData } from './datasets.ts';
import { chooseFiles } from './images.ts';
import { readNamed } from './model-file.ts';
import { readTrainingSpec } from './spec-file.ts';
import type { Tell } from './tell.ts';

const listSchema = z.strictObject({ kind: z.literal('edgeforge-calibration-images'), spec: z.string(), images: z.array(z.string()).min(1).max(1_000_000) });

export interface TltTensorfile {
  readonly network: TltNetwork;
  readonly spec: string;
  readonly output: string;
  /** Batches of the spec's batch size; −1: all images. */
  readonly maxBatches: number;
  readonly validationSet: boolean;
}

/** What stands for TLT's calibration_tensorfile: a list of seeded, randomly chosen images instead of an HDF5 of their pixels. `export --cal_data_file` reads it. */
export async function tltTensorfile(request: TltTensorfile, tell: Tell): Promise<readonly string[]> {
  const plan = await readTrainingSpec(request.spec, request.network);
  const data = await specData(plan);
  const manifest = request.validationSet ? data.validation : data.train;
  if (!manifest) throw new EdgeError('spec-invalid', 'The spec names no validation data.', { hint: 'Leave out --use_validation_set.' });
  if (request.validationSet) tell.note('Calibrating on the validation images makes INT8 look better than it is on them; training images are the honest choice.');
  const files = manifest.samples.map(sample => resolve(manifest.root, sample.image));
  const images = chooseFiles(files, request.maxBatches < 0 ? files.length : request.maxBatches * plan.training.batch, plan.training.seed);
  await writeAtomic(
    request.output,
    `${JSON.stringify({ kind: 'edgeforge-calibration-images', spec: resolve(request.spec), images: [...images] } satisfies z.infer<typeof listSchema>, null, 1)}\n`,
  );
  tell.note(
    'Edgeforge needs no tensorfile: calibration reads images. This file lists them, and export --cal_data_file takes it; --cal_image_dir DIR, or -e SPEC alone, do the same job.',
  );
  tell.say(`${images.length} images listed in ${request.output}`);
  return images;
}

/** The images of a list that `calibration_tensorfile` wrote here. TLT's HDF5 tensorfiles are refused with the way out. */
export async function readCalibrationList(file: string): Promise<readonly string[]> {
  const bytes = await readNamed(file, 'calibration file');
  const mend = { hint: 'Calibrate on images: --cal_image_dir DIR, or -e SPEC for its training images.', where: { file } };
  if (looksLike(bytes) === 'hdf5') throw new EdgeError('format-unsupported', `${file} is a tensorfile of TLT (HDF5), which is not read here.`, mend);
  try {
    return parseCalibrationList(bytes.toString('utf8')).images;
  } catch (cause) {
    throw new EdgeError('calibration-invalid', `${file} is no list of calibration images.`, { ...mend, cause });
  }
}

/** The text of such a list. Throws `calibration-invalid`. */
export function parseCalibrationList(text: string): { readonly spec: string; readonly images: readonly string[] } {
  try {
    return listSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new EdgeError('calibration-invalid', 'This is no list of calibration images.', {
      hint: 'Make it again: edgeforge detectnet_v2 calibration_tensorfile -e SPEC -o FILE',
      cause,
    });
  }
}
