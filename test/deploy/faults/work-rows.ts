import { appendFileSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';
import type { EdgeError } from '../../../src/core/errors.ts';
import type { Passport } from '../../../src/deploy/device.ts';
import { withDeviceLock } from '../../../src/deploy/lock.ts';
import type { Device } from '../../../src/deploy/open-device.ts';
import { ensurePayloads } from '../../../src/deploy/remote-store.ts';
import { enginesThere } from '../../../src/deploy/work.ts';
import { buildSmall } from '../replay/model.ts';
import { type Bench, failing, type Row } from './bench.ts';

const engine = 'engines/small';
/** Builds the small network; the builder stands still while `during` happens. */
async function meanwhile({ device: board, folder }: Bench, device: Device, during: () => unknown): Promise<Passport> {
  const building = buildSmall(device, folder, { engine });
  building.catch(() => {});
  const goOn = await board.hold('node');
  try {
    // Until we have heard that it was started, and follow it.
    await pause(500);
    await during();
  } finally {
    goOn();
  }
  return building;
}
async function builds(bench: Bench): Promise<void> {
  await using device = await bench.open();
  const passport = await buildSmall(device, bench.folder, { engine });
  expect(await enginesThere(device, [passport])).toEqual([true]);
}
const diskRows: readonly Row[] = [
  {
    fault: 'full disk, seen before the upload',
    code: 'device-full',
    async meet(bench) {
      const { path, digest } = bench.file('big.bin', 8 << 20);
      await using transport = await bench.reach();
      bench.device.fill(5);
      const error = await failing(transport.push(path, digest));
      expect(error.message).toMatch(/has [45] MiB free and needs 8 MiB more/);
      await bench.device.calm();
      expect((await transport.push(path, digest)).report.sent).toBe(8 << 20);
      return { error, after: 'with room there, it is sent' };
    },
  },
  {
    fault: 'disk that fills up in the middle of an upload',
    code: 'device-full',
    async meet(bench) {
      const { path, digest } = bench.file('grows.bin', 8 << 20);
      await using transport = await bench.reach();
      bench.device.fill(12);
      bench.device.rate(50);
      const error = await failing(
        transport.push(path, digest, {
          onProgress(sent) {
            if (sent < 3 << 20) return;
            bench.device.rate(0);
            bench.device.fill(1);
          },
        }),
      );
      const kept = statSync(bench.device.remote(`store/${digest}.part`)).size;
      expect(kept).toBeGreaterThan(0);
      await bench.device.calm();
      expect((await transport.push(path, digest)).report.sent).toBe((8 << 20) - kept);
      return { error, after: 'with room there, only the rest is sent' };
    },
  },
  {
    fault: 'disk full when the runtime is unpacked',
    code: 'device-full',
    async meet(bench) {
      await using device = await bench.open();
      const payloads = await device.runtime.payloads(device.facts);
      const runtime = payloads.find(({ name }) => name === 'onnxruntime')!;
      await device.transport.exec(['rm', '-rf', 'payload', 'store', 'engines']);
      await device.transport.push(runtime.local, runtime.digest);
      bench.device.fill(40);
      const error = await failing(ensurePayloads(device.transport, payloads));
      await bench.device.calm();
      const { reports } = await ensurePayloads(device.transport, payloads);
      expect(reports.find(({ digest }) => digest === runtime.digest)?.sent).toBe(0);
      await builds(bench);
      return { error, after: 'with room there, it is unpacked without being sent again' };
    },
  },
  {
    fault: 'disk full when a build starts',
    code: 'device-full',
    async meet(bench) {
      await using device = await bench.open();
      await buildSmall(device, bench.folder, { engine });
      bench.device.fill(0);
      const error = await failing(buildSmall(device, bench.folder, { engine }));
      await bench.device.calm();
      await builds(bench);
      return { error, after: 'with room there, it builds' };
    },
  },
];

const buildRows: readonly Row[] = [
  {
    fault: 'connection cut in the middle of a build',
    async meet(bench) {
      await using device = await bench.open();
      const passport = await meanwhile(bench, device, () => {
        bench.device.dropConnections();
        appendFileSync(bench.device.remote(`${engine}.log`), 'cut here\n');
      });
      // A second start would have begun the log anew.
      expect(readFileSync(bench.device.remote(`${engine}.log`), 'utf8')).toContain('cut here\n');
      expect(await enginesThere(device, [passport])).toEqual([true]);
      return { after: 'it is followed again by itself, started once' };
    },
  },
  {
    fault: 'link away for good in the middle of a build',
    code: 'device-unreachable',
    async meet(bench) {
      await using device = await bench.open();
      const error = await failing(meanwhile(bench, device, () => bench.device.link('down')));
      const built = statSync(bench.device.remote(engine));
      bench.device.link('up');
      const passport = await buildSmall(device, bench.folder, { engine });
      expect(statSync(bench.device.remote(engine))).toMatchObject({ ino: built.ino, mtimeMs: built.mtimeMs });
      expect(await enginesThere(device, [passport])).toEqual([true]);
      return { error, after: 'it went on there; the second run reads its result and builds nothing' };
    },
  },
  {
    fault: 'the kernel kills the build for lack of memory',
    code: 'device-full',
    needs: 'limits',
    async meet(bench) {
      await using device = await bench.open();
      await buildSmall(device, bench.folder, { engine });
      bench.device.memory(8);
      const error = await failing(buildSmall(device, bench.folder, { engine })).finally(() => bench.device.memory(-1));
      await builds(bench);
      return { error, after: 'with memory there, it builds' };
    },
  },
  {
    fault: 'reboot in the middle of a build',
    code: 'command-failed',
    async meet(bench) {
      await using device = await bench.open();
      const error = await failing(meanwhile(bench, device, () => bench.device.reboot()));
      expect(bench.device.has('lock')).toBe(false);
      await builds(bench);
      return { error, after: 'uploads and runtime are kept, the build is started anew' };
    },
  },
  {
    fault: 'a build that hangs past its limit',
    code: 'timeout',
    async meet(bench) {
      await using device = await bench.open();
      const passport = await buildSmall(device, bench.folder, { engine });
      const { paths } = await ensurePayloads(device.transport, await device.runtime.payloads(device.facts));
      const spec = { ...passport, model: `store/${passport.modelDigest}`, engine: 'engines/hangs', threads: 1 };
      bench.device.processor(5);
      const finished = await device.transport.run({ ...device.runtime.build(spec, device.facts, paths), limitMs: 1000 }).finally(() => bench.device.processor(-1));
      const error = await failing(Promise.resolve(device.runtime.built(spec, device.facts, finished, finished.stdout)).then(value => Promise.reject(value)));
      expect(bench.device.has('engines/hangs')).toBe(false);
      await builds(bench);
      return { error, after: 'it is ended there with all that it started; the next one builds' };
    },
  },
];

const hostRows: readonly Row[] = [
  {
    fault: 'a clock six years slow',
    needs: 'faketime',
    async meet(bench) {
      await bench.device.clock('-6y');
      try {
        const { path, digest } = bench.file('old.bin', 1 << 20);
        await using device = await bench.open();
        await device.transport.push(path, digest);
        const passport = await buildSmall(device, bench.folder, { engine });
        expect(await enginesThere(device, [passport])).toEqual([true]);
        await withDeviceLock(device.transport, 'holding', async () => expect(await failing(bench.elsewhere({ engine }))).toMatchObject({ code: 'device-busy' }));
      } finally {
        await bench.device.clock('');
      }
      return { after: 'uploads, builds and the lock do not read it' };
    },
  },
  {
    fault: 'a clock set right while the device is in use: six years at once',
    code: 'device-busy',
    needs: 'faketime',
    async meet(bench) {
      await bench.device.clock('-6y');
      await using transport = await bench.reach();
      const error = await withDeviceLock(transport, 'measuring', async () => {
        await bench.device.clock('');
        return failing(bench.elsewhere({ engine }));
      });
      expect(await bench.elsewhere({ engine })).toMatch(/^[0-9a-f]{64}$/);
      return { error, after: 'the lock of the first host still counts; when it is done, the second one builds' };
    },
  },
  {
    fault: 'two hosts build at once',
    code: 'device-busy',
    async meet(bench) {
      await using device = await bench.open();
      const refused: EdgeError[] = [];
      const passport = await meanwhile(bench, device, async () => refused.push(await failing(bench.elsewhere({ engine: 'engines/second' }))));
      expect(await enginesThere(device, [passport])).toEqual([true]);
      expect(bench.device.has('engines/second')).toBe(false);
      expect(await bench.elsewhere({ engine: 'engines/second' })).toMatch(/^[0-9a-f]{64}$/);
      return { error: refused[0]!, after: 'the first one is not disturbed; when it is done, the second one builds' };
    },
  },
  {
    fault: 'two hosts push the same file at once',
    async meet(bench) {
      const { path, digest, content } = bench.file('both.bin', 6 << 20);
      await using transport = await bench.reach();
      bench.device.rate(20);
      const other = bench.elsewhere({ push: path });
      await pause(700);
      await Promise.all([transport.push(path, digest), other]).finally(() => bench.device.rate(0));
      expect(readFileSync(bench.device.remote(`store/${digest}`)).equals(content)).toBe(true);
      expect((await transport.push(path, digest)).report.sent).toBe(0);
      return { after: 'both end well with one whole file' };
    },
  },
];

export const workRows: readonly Row[] = [...diskRows, ...buildRows, ...hostRows];
