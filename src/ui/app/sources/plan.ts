import { z } from 'zod';
import type { LoadContext, PlanView } from '../sources.ts';

const planSchema = z.object({
  steps: z.array(z.object({ step: z.string(), status: z.enum(['cached', 'run', 'unknown']), because: z.string() })),
  away: z.array(z.object({ name: z.string(), message: z.string(), since: z.string() })),
});

/** What a run would do now and why: `edgeforge plan --json`. */
export const loadPlan = async ({ json }: LoadContext): Promise<PlanView> => planSchema.parse(await json(['plan']));
