import { z } from 'zod';
import type { RunEvent } from './events.ts';

const time = z.string().describe('When it happened, ISO 8601.');
const step = z.string().describe('The step’s id.');
const metrics = z.record(z.string(), z.number());
const failure = z.object({ code: z.string(), message: z.string(), hint: z.string() });

/** One line of events.ndjson. Members that a newer version adds are left out, not refused. */
export const runEventSchema = z.discriminatedUnion('type', [
  z.object({ time, type: z.literal('run-started'), run: z.string(), command: z.string(), steps: z.array(z.string()) }),
  z.object({ time, type: z.literal('step-started'), step, because: z.string().describe('Why it runs.') }),
  z.object({ time, type: z.literal('step-progress'), step, done: z.number(), total: z.number(), unit: z.string(), metrics }),
  z.object({ time, type: z.literal('step-log'), step, level: z.enum(['info', 'note', 'warning', 'error', 'command']), message: z.string() }),
  z.object({ time, type: z.literal('step-finished'), step, outcome: z.enum(['ran', 'cached']), milliseconds: z.number(), notes: z.array(z.string()) }),
  z.object({ time, type: z.literal('step-failed'), step, ...failure.shape }),
  z.object({ time, type: z.literal('step-skipped'), step, because: z.string().describe('Which step it needed, and how that ended.') }),
  z.object({ time, type: z.literal('run-finished'), ok: z.boolean(), exitCode: z.number().int(), out: z.string().optional(), error: failure.optional() }),
]) satisfies z.ZodType<RunEvent>;

/** The published JSON Schema (2020-12) of one line of events.ndjson. */
export const runEventJsonSchema = () => ({ title: 'Edgeforge run event', ...z.toJSONSchema(runEventSchema, { io: 'input' }) });
