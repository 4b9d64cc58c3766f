import { expect, test } from 'vitest';
import { batchesOf, benchmarkModes, benchmarkSchema, protocolOf, wishesOf } from '../../src/pipeline/benchmark-section.ts';

test('a mode is a protocol as data; what the project says itself goes before it, and the name tells', () => {
  const { warmUpMs, durationMs, rounds, steadyMs } = benchmarkModes.standard;
  const settings = benchmarkSchema.parse({ mode: 'standard', rounds: 3 });
  expect(protocolOf(settings)).toEqual({ warmUpMs, durationMs, minIterations: 100, rounds: 3, threads: 2, steadyMs });
  expect(settings.name).toBe('standard, with its own rounds');
  expect(benchmarkSchema.parse({}).name).toBe('quick (indicative)');
  expect(rounds).toBeGreaterThan(3);
  expect(benchmarkSchema.safeParse({ mode: 'fast' }).success).toBe(false);
});

test('scenarios choose the batches: one sample, a query of 8, and every batch offline', () => {
  const of = (section: object) => wishesOf(benchmarkSchema.parse(section));
  expect(of({ batch: [1, 16] })).toEqual([{ batch: 1 }, { batch: 16 }]);
  const section = { batch: [8, 16], scenarios: ['single_stream', 'offline', 'multi_stream', 'offline'] };
  expect(of(section)).toEqual([
    { batch: 1, scenario: 'single_stream' },
    { batch: 8, scenario: 'offline' },
    { batch: 16, scenario: 'offline' },
    { batch: 8, scenario: 'multi_stream' },
  ]);
  expect(batchesOf(benchmarkSchema.parse(section))).toEqual([1, 8, 16]);
  expect(benchmarkSchema.safeParse({ scenarios: ['server'] }).success).toBe(false);
});
