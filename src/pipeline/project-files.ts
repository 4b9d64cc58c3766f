import { readFile } from 'node:fs/promises';
import { parse as parseYaml } from 'yaml';
import { type CalibrationRecipe, calibrationRecipe } from '../compress/calibrate.ts';
import { EdgeError } from '../core/errors.ts';
import { inPackage } from '../core/package-root.ts';
import type { Project } from './project.ts';
import { inProject } from './sources.ts';
import { keyDigest } from './steps/package.ts';
import { planTraining, type SpecPlan } from './training-plan.ts';
import type { TrainingSection } from './training-section.ts';

/** What stays as it is: the spec's blocks and norms, the project's first convolutions and names. */
export const freezeOf = ({ network: { freezeBlocks, freezeBn, freezeBackbone } }: SpecPlan, freezeConvs = 0, section: TrainingSection = {}) => ({
  freezeBlocks: [...freezeBlocks],
  freezeBn,
  freezeBackbone,
  freezeConvs,
  freezeNames: section.freeze ?? [],
});

/** The training that a spec of the project describes, under the project's own settings or those given. Throws `file-missing`, `spec-syntax`, `spec-invalid`. */
export async function readPlan(project: Project, spec: string, own: { readonly backboneRate?: number | undefined; readonly section?: TrainingSection } = {}): Promise<SpecPlan> {
  const file = inProject(project.folder, spec);
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new EdgeError('file-missing', `The spec ${file} cannot be read.`, {
      hint: `Correct model.spec or retrain.spec in ${project.file}.`,
      where: { file: project.file },
      cause,
    });
  });
  const { preprocess } = project.settings.model;
  return planTraining(text, {
    file,
    task: project.settings.task,
    backboneRate: own.backboneRate ?? project.settings.model.backboneRate,
    section: own.section ?? project.settings.training,
    fit: preprocess?.resize === 'letterbox' ? 'letterbox' : undefined,
  });
}

/** A retraining's teacher settings, where the project has them. */
export const distillOf = (task: Project['settings']['task'], distill: NonNullable<Project['settings']['retrain']>['distill']) =>
  distill ? { distill: { weight: distill.weight, temperature: distill.temperature ?? 4, features: distill.features ?? (task === 'classification' ? 3 : 0) } } : {};

/** Where the key lies and which it is; the key itself enters no file of ours. */
export async function keyConfig(project: Project) {
  const { keyFile } = project.settings.export;
  if (keyFile === undefined) return {};
  const path = inProject(project.folder, keyFile);
  return { keyFile: path, keyDigest: await keyDigest(path) };
}

/** The project's calibration recipe: a file of its own, or one that comes with edgeforge, by name. */
export async function readCalibration(project: Project): Promise<CalibrationRecipe> {
  const name = project.settings.export.calibration;
  const file = name.endsWith('.yaml') ? inProject(project.folder, name) : inPackage('calibration', `${name}.yaml`);
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new EdgeError('file-missing', `The calibration recipe ${file} cannot be read.`, {
      hint: 'Name entropy, minmax, percentile, or a .yaml of your own under export.calibration.',
      where: { file: project.file, path: 'export.calibration' },
      cause,
    });
  });
  const parsed = calibrationRecipe.safeParse(parseYaml(text));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new EdgeError('calibration-invalid', `${file}: ${issue?.path.join('.')}: ${issue?.message}`, {
    hint: 'Correct the recipe; calibration/entropy.yaml is an example.',
    where: { file },
  });
}
