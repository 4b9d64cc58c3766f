import { z } from 'zod';
import { asEdgeError } from '../../../core/errors.ts';
import type { KnownDevice, LoadContext } from '../sources.ts';

const listSchema = z.array(z.object({ name: z.string(), way: z.string() }));
const rowsSchema = z.array(z.object({ name: z.string(), state: z.enum(['ok', 'note', 'missing', 'blocked']), value: z.string(), mend: z.string().optional() }));

/** Every device, one after the other: `edgeforge device list --json`, then `edgeforge doctor DEVICE --json`. One that does not answer is a row with its reason. */
export async function loadDoctor({ json }: LoadContext): Promise<readonly KnownDevice[]> {
  const known: KnownDevice[] = [];
  for (const { name, way } of listSchema.parse(await json(['device', 'list']))) {
    if (known.some(device => device.name === name)) continue;
    try {
      const rows = rowsSchema.parse(await json(['doctor', name]));
      known.push({ name, way, rows: rows.map(({ mend, ...row }) => ({ ...row, ...(mend === undefined ? {} : { mend }) })) });
    } catch (error) {
      const { code, message, hint } = asEdgeError(error);
      known.push({ name, way, rows: [], failure: { code, message, hint } });
    }
  }
  return known;
}
