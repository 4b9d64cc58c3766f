import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseReport, type Report } from '../../formats/report.ts';

/** A report of one device as a run left it. */
export interface ReportView {
  readonly device: string;
  readonly run: string;
  /** When its file was written (ISO 8601). */
  readonly at: string;
  /** Without its pictures. */
  readonly report: Report;
}
/** The reports of a project's runs, newest first; equal ones of one device (nothing was measured anew) once, by the oldest run that has them. At most `most` per device. */
export async function reportsView(folder: string, { most = 12 }: { readonly most?: number } = {}): Promise<readonly ReportView[]> {
  const runs = join(folder, '.edgeforge', 'runs');
  const found = new Map<string, { readonly view: ReportView; readonly text: string }[]>();
  for (const run of (await readdir(runs).catch(() => [] as string[])).sort().reverse()) {
    for (const name of await readdir(join(runs, run, 'out')).catch(() => [] as string[])) {
      const device = /^report-(.+)$/.exec(name)?.[1];
      const before = found.get(device ?? '') ?? [];
      if (device === undefined || before.length >= most) continue;
      const read = await readReport(join(runs, run, 'out', name, 'report.json'), { device, run });
      if (read) found.set(device, before.at(-1)?.text === read.text ? [...before.slice(0, -1), read] : [...before, read]);
    }
  }
  return [...found.values()].flatMap(list => list.map(({ view }) => view)).sort((a, b) => (a.at > b.at ? -1 : 1));
}

/** One report; undefined where the file is gone or no report: a broken old one must not hide the others. */
async function readReport(file: string, where: { readonly device: string; readonly run: string }) {
  try {
    const [text, { mtime }] = await Promise.all([readFile(file, 'utf8'), stat(file)]);
    const { images: _, ...report } = parseReport(text);
    return { text, view: { ...where, at: mtime.toISOString(), report } };
  } catch {
    return undefined;
  }
}
