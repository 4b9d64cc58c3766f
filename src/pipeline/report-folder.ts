import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Report, reportJsonSchema } from '../formats/report.ts';
import { reportMarkdown } from '../formats/report-markdown.ts';

/** A report as all that its readers open: report.json and its schema, report.md, report.html. */
export async function writeReport(folder: string, report: Report): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'report.json'), JSON.stringify(report, null, 1));
  await writeFile(join(folder, 'report.schema.json'), JSON.stringify(reportJsonSchema, null, 1));
  await writeFile(join(folder, 'report.md'), reportMarkdown(report));
  // Loaded here: charts are slow to load, and most runs find their reports made.
  const { reportHtml } = await import('../formats/report-html.ts');
  await writeFile(join(folder, 'report.html'), await reportHtml(report));
}
