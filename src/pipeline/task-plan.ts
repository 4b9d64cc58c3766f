import { z } from 'zod';
import { classificationSettingsSchema, openClassification } from '../tasks/classification.ts';
import { openDetectnet } from '../tasks/detectnet.ts';
import { detectnetSettingsSchema } from '../tasks/detectnet-settings.ts';
import type { Task } from '../tasks/task.ts';

/** A task and its settings as plain JSON, so that they can enter fingerprints and child processes. A classifier's labels come from its data. */
export const taskPlanSchema = z.discriminatedUnion('name', [
  z.strictObject({ name: z.literal('detectnet_v2'), settings: detectnetSettingsSchema }),
  z.strictObject({ name: z.literal('classification'), settings: classificationSettingsSchema.omit({ labels: true, classWeights: true }) }),
]);
export type TaskPlan = z.output<typeof taskPlanSchema>;

/** The task that a plan describes, for a network with these labels; classWeights in their order, for classification. */
export const openTask = (plan: TaskPlan, labels: readonly string[], classWeights?: readonly number[]): Task =>
  plan.name === 'detectnet_v2'
    ? openDetectnet(plan.settings)
    : openClassification({ ...plan.settings, labels: [...labels], ...(classWeights === undefined ? {} : { classWeights: [...classWeights] }) });
