import { z } from 'zod';
import { pruneSettings } from '../../../compress/prune.ts';
import type { PruningView } from '../../../pipeline/views/pruning.ts';
import type { LoadContext } from '../sources.ts';

const point = z.object({ threshold: z.number(), macs: z.number(), parameters: z.number(), filters: z.array(z.number()) });
const count = { value: z.number(), n: z.number(), decisions: z.number() };
const pruningSchema = z.object({
  curve: z.object({
    macs: z.number(),
    parameters: z.number(),
    layers: z.array(z.object({ layer: z.string(), type: z.string(), kept: z.string().exactOptional(), filters: z.number() })),
    points: z.array(point),
    budgets: z.array(z.object({ keep: z.number(), macs: point.exactOptional(), parameters: point.exactOptional() })),
  }),
  settings: pruneSettings,
  goal: z.union([z.object({ keepMacs: z.number() }), z.object({ keepParameters: z.number() }), z.object({ threshold: z.number() })]).exactOptional(),
  unpruned: z.object({ metric: z.string(), ...count }).exactOptional(),
  measured: z.array(z.object({ stage: z.enum(['pruned', 'retrained']), threshold: z.number(), macs: z.number(), parameters: z.number(), at: z.string(), ...count })),
  dropPoints: z.number(),
});

/** What pruning would leave and what was measured: `edgeforge pruning --json`, for planning takes seconds of a core. */
export const loadPruning = async ({ json }: LoadContext): Promise<PruningView> => pruningSchema.parse(await json(['pruning']));
