import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { storeRoot } from '../../../core/store-root.ts';
import { parseReport } from '../../../formats/report.ts';
import type { DeviceFigures, LoadContext } from '../sources.ts';

/** The last figures of each device, from the reports of the last run that made some. */
export async function loadFigures({ folder }: LoadContext): Promise<readonly DeviceFigures[]> {
  const out = join(storeRoot(folder), 'out');
  const names = await readdir(out).catch(() => [] as string[]);
  return Promise.all(
    names
      .filter(name => name.startsWith('report-'))
      .map(async name => {
        const { device, results, createdAt } = parseReport(await readFile(join(out, name, 'report.json'), 'utf8'));
        return { device: device.name, at: createdAt, rows: results };
      }),
  );
}
