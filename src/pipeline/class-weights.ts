import { EdgeError } from '../core/errors.ts';
import type { ClassMap } from '../data/class-map.ts';
import type { TrainingPlan } from './training-plan.ts';

/** The loss's factor per class in the order of the labels; `balanced` is n/(classes·n of the class) over the training images, so that each class weighs the same. undefined where the plan has none. */
export function classWeightsOf({ classWeights }: Pick<TrainingPlan, 'classWeights'>, { labels, counts }: Pick<ClassMap, 'labels' | 'counts'>): number[] | undefined {
  if (classWeights === undefined) return undefined;
  if (classWeights !== 'balanced') {
    const unknown = Object.keys(classWeights).find(name => !labels.includes(name));
    if (unknown === undefined) return labels.map(label => (Object.hasOwn(classWeights, label) ? (classWeights[label] as number) : 1));
    throw new EdgeError('class-unmapped', `classWeights names the class "${unknown}", which is none of: ${labels.join(', ')}.`, {
      hint: 'Spell it as the folder is called, or remove it.',
      where: { path: `training.classWeights.${unknown}` },
    });
  }
  const images = counts.reduce((sum, count) => sum + count, 0);
  return counts.map(count => images / (labels.length * count));
}
