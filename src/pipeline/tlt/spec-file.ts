import { readFile } from 'node:fs/promises';
import { EdgeError } from '../../core/errors.ts';
import type { TltNetwork } from '../../formats/spec/cli-flags.ts';
import { planTraining, type SpecPlan } from '../training-plan.ts';

/** The text of a spec file. */
export async function readSpecText(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: unknown) => {
    throw new EdgeError('file-missing', `The spec ${file} cannot be read.`, { hint: 'Check the path after -e or -d.', where: { file }, cause });
  });
}

/** A training spec of one of the two networks. */
export const readTrainingSpec = async (file: string, network: TltNetwork): Promise<SpecPlan> => planTraining(await readSpecText(file), { file, task: network });
