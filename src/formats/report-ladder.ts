import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import type { Report, ReportRow } from './report.ts';

const runSchema = z.looseObject({
  device: z.string(),
  grade: z.enum(['measured', 'emulated', 'published']),
  precision: z.enum(['fp32', 'fp16', 'int8']),
  batch: z.int().positive(),
  sink: z.enum(['fake', 'display']),
  /** Frames/s of each stream. */
  streams: z.array(z.looseObject({ mean: z.number().min(0) })).nonempty(),
});
/** What `edgeforge deepstream run --json` prints, of one run or of a search. */
export type AppRun = z.infer<typeof runSchema>;

/** Reads such a file's text. Throws `file-corrupt`. */
export function parseAppRun(text: string, file: string): AppRun {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {}
  const run = runSchema.safeParse(typeof value === 'object' && value !== null && 'app' in value ? value.app : value);
  if (run.success) return run.data;
  throw new EdgeError('file-corrupt', `${file} is no run of deepstream-app: ${run.error.issues[0]!.path.join('.')}: ${run.error.issues[0]!.message}.`, {
    hint: 'Make it with: edgeforge deepstream run <device> --json > run.json',
    where: { file },
  });
}

const stages = { fake: 'deepstream fakesink', display: 'deepstream sink' } as const;

/** The report with the rungs of whole applications on the ladder of the very engine that they ran: same device, precision, batch and grade. Images/s of all streams together; every frame is inferred. Throws `usage` where nothing fits. */
export function withAppRuns(report: Report, runs: readonly AppRun[]): Report {
  const fits = (row: ReportRow, run: AppRun): boolean => row.precision === run.precision && row.batch === run.batch && row.stages !== undefined;
  for (const run of runs) {
    const row = report.results.find(each => fits(each, run));
    const because =
      run.device !== report.device.name
        ? `it ran on "${run.device}", the report is of "${report.device.name}"`
        : row === undefined
          ? `the report has no row of ${run.precision} at batch ${run.batch} that tells its engine's own time`
          : row.evidence.grade !== run.grade
            ? `it is ${run.grade}, the row is ${row.evidence.grade}`
            : undefined;
    if (because !== undefined)
      throw new EdgeError('usage', `This run of deepstream-app stands on no row's ladder: ${because}.`, {
        hint: 'Run the same engine on the same device: edgeforge deepstream run <device> --precision <precision>',
      });
  }
  const rungsOf = (row: ReportRow) =>
    (['fake', 'display'] as const).flatMap(sink => {
      const run = runs.findLast(each => each.sink === sink && fits(row, each));
      const imagesPerSecond = run?.streams.reduce((sum, { mean }) => sum + mean, 0) ?? 0;
      return imagesPerSecond > 0 ? [{ stage: stages[sink], imagesPerSecond }] : [];
    });
  const results = report.results.map(row => {
    const rungs = rungsOf(row);
    if (!row.stages || rungs.length === 0) return row;
    return { ...row, stages: [...row.stages.filter(({ stage }) => !rungs.some(rung => rung.stage === stage)), ...rungs] };
  });
  return { ...report, results };
}
