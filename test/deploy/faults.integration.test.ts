import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Bench, openBench, type Row } from './faults/bench.ts';
import { connectionRows } from './faults/connection-rows.ts';
import { able, noNamespaces } from './faults/namespace-device.ts';
import { workRows } from './faults/work-rows.ts';

if (noNamespaces) console.warn(`SKIPPED: the table of faults, because ${noNamespaces}.`);
const rows: readonly Row[] = [...connectionRows, ...workRows];

describe.skipIf(noNamespaces)('a device of real OpenSSH in a network of its own: nothing finished is lost, and each message names the mend', () => {
  let bench: Bench;
  const table: string[] = [];
  beforeAll(async () => {
    bench = await openBench();
  });
  afterAll(() => bench?.[Symbol.asyncDispose]());

  afterEach(() => bench.device.calm());

  it.each(rows)(
    '$fault',
    async ({ fault, code, needs, meet }) => {
      if (needs && !able[needs]) {
        console.warn(`SKIPPED: ${fault}, because this machine cannot do it (${needs}).`);
        return;
      }
      const { error, after } = await meet(bench);
      expect(error?.code).toBe(code);
      const lines = error ? [`code     ${error.code}`, `message  ${bench.plain(error.message)}`, `mend     ${bench.plain(error.hint)}`] : ['code     none'];
      table.push([fault, ...lines, `then     ${after}`].join('\n  '));
    },
    240_000,
  );

  it('the table: a changed message is seen', async () => {
    const text = `${table.join('\n\n')}\n`;
    console.log(text);
    if (table.length === rows.length) await expect(text).toMatchFileSnapshot('goldens/faults.txt');
    else console.warn(`SKIPPED: the table of faults has ${table.length} of ${rows.length} rows.`);
  });
});
