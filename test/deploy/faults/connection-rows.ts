import { existsSync, readFileSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Transport } from '../../../src/deploy/device.ts';
import { script } from '../../../src/deploy/quote.ts';
import { type Bench, failing, type Row } from './bench.ts';

const works = async (transport: Transport): Promise<void> => expect(await transport.exec(['echo', 'back'])).toMatchObject({ stdout: 'back\n' });
async function worksAnew({ reach }: Bench): Promise<void> {
  await using transport = await reach();
  await works(transport);
}
const size = 12 << 20;

export const connectionRows: readonly Row[] = [
  {
    fault: 'wrong host key: the device was installed anew',
    code: 'host-key-changed',
    async meet(bench) {
      bench.device.newHostKey();
      await bench.device.reboot();
      const error = await failing(bench.reach());
      await bench.remove();
      await bench.add();
      await worksAnew(bench);
      return { error, after: 'removed and added as the mend says, it works' };
    },
  },
  {
    fault: 'wrong user key',
    code: 'login-refused',
    async meet(bench) {
      bench.device.trust('other');
      const error = await failing(bench.reach());
      bench.device.trust('id');
      await worksAnew(bench);
      return { error, after: 'with the key there, it works' };
    },
  },
  {
    fault: 'nothing listens',
    code: 'device-unreachable',
    async meet(bench) {
      await bench.device.stop();
      const error = await failing(bench.reach());
      await bench.device.start();
      await worksAnew(bench);
      return { error, after: 'with sshd there, it works' };
    },
  },
  {
    fault: 'switched off, or its cable is out',
    code: 'device-unreachable',
    async meet(bench) {
      bench.device.link('down');
      const error = await failing(bench.reach());
      bench.device.link('up');
      await worksAnew(bench);
      return { error, after: 'with the link there, it works' };
    },
  },
  {
    fault: 'connection cut twice in the middle of an upload',
    async meet({ device, file, reach }) {
      const { path, digest, content } = file('cut.bin', size);
      await using transport = await reach();
      device.rate(200);
      let cuts = 0;
      const { report, path: there } = await transport.push(path, digest, {
        onProgress(sent) {
          if (cuts >= 2 || sent < (size * (cuts + 1)) / 3) return;
          cuts++;
          device.dropConnections();
        },
      });
      device.rate(0);
      expect(cuts).toBe(2);
      expect(readFileSync(device.remote(there)).equals(content)).toBe(true);
      // From the start after each cut it would be two sizes: a third, two thirds, all. What lay in the link's queues at a cut is sent again: more of it on a busy machine.
      expect(report.sent).toBeLessThan(size * 1.85);
      expect((await transport.push(path, digest)).report.sent).toBe(0);
      return { after: 'it goes on by itself where it was; pushed again, nothing is sent' };
    },
  },
  {
    fault: 'link away for good in the middle of an upload',
    code: 'device-unreachable',
    async meet({ device, file, reach }) {
      const { path, digest, content } = file('away.bin', size);
      await using transport = await reach();
      device.rate(100);
      const error = await failing(transport.push(path, digest, { onProgress: sent => void (sent > size / 2 && device.link('down')) }));
      const kept = statSync(device.remote(`store/${digest}.part`)).size;
      expect(kept).toBeGreaterThan(size / 8);
      device.rate(0);
      device.link('up');
      const { report, path: there } = await transport.push(path, digest);
      // The old connection's last bytes may still have come when the link did: they lie where they belong.
      expect(report.sent).toBeLessThanOrEqual(size - kept);
      expect(readFileSync(device.remote(there)).equals(content)).toBe(true);
      return { error, after: 'the second run sends only what was missing' };
    },
  },
  {
    fault: 'connection cut in the middle of a download',
    async meet({ device, folder, file, reach }) {
      const { path, digest, content } = file('down.bin', size);
      await using transport = await reach();
      const { path: there } = await transport.push(path, digest);
      const copy = join(folder, 'copy', 'down.bin');
      device.rateBack(100);
      const fetching = transport.fetch(there, copy);
      const half = async (): Promise<boolean> => {
        const names = existsSync(join(folder, 'copy')) ? await readdir(join(folder, 'copy')) : [];
        return names.some(name => statSync(join(folder, 'copy', name)).size > size / 4);
      };
      while (!(await half())) await pause(20);
      expect(existsSync(copy)).toBe(false);
      device.dropConnections();
      device.rateBack(0);
      await fetching;
      expect(readFileSync(copy).equals(content)).toBe(true);
      expect(await readdir(join(folder, 'copy'))).toEqual(['down.bin']);
      return { after: 'it is fetched again by itself; no half file was ever to be seen' };
    },
  },
  {
    fault: 'frozen device: every process stands still, the kernel answers',
    code: 'connection-lost',
    async meet({ device, reach }) {
      await using transport = await reach();
      const pending = failing(transport.exec(['sleep', '30']));
      await pause(300);
      device.freeze();
      const error = await pending;
      const refused = await failing(reach());
      expect(refused).toMatchObject({ code: 'device-unreachable' });
      device.thaw();
      await works(transport);
      return { error, after: 'a new login fails as unreachable meanwhile; thawed, the same transport works' };
    },
  },
  {
    fault: 'silent link: packets vanish in the middle of a command',
    code: 'connection-lost',
    needs: 'nft',
    async meet({ device, reach }) {
      await using transport = await reach();
      const pending = failing(transport.exec(['sleep', '30']));
      await pause(300);
      device.loss(100);
      const error = await pending;
      device.loss(0);
      await works(transport);
      return { error, after: 'with the link there, the same transport works' };
    },
  },
  {
    fault: 'one packet of twenty lost',
    needs: 'nft',
    async meet({ device, file, reach }) {
      const { path, digest, content } = file('lossy.bin', size / 6);
      device.loss(5);
      try {
        await using transport = await reach();
        const { path: there } = await transport.push(path, digest);
        expect(readFileSync(device.remote(there)).equals(content)).toBe(true);
      } finally {
        device.loss(0);
      }
      return { after: 'the upload is whole' };
    },
  },
  {
    fault: 'slow link of 4 Mbit/s',
    async meet({ device, file, reach }) {
      const { path, digest, content } = file('slow.bin', 1 << 20);
      device.rate(4);
      try {
        await using transport = await reach();
        const [{ path: there }] = await Promise.all([transport.push(path, digest), works(transport)]);
        expect(readFileSync(device.remote(there)).equals(content)).toBe(true);
      } finally {
        device.rate(0);
      }
      return { after: 'the upload is whole, and no keepalive took it for dead' };
    },
  },
  {
    fault: 'a command that hangs',
    code: 'timeout',
    async meet({ device, reach }) {
      await using transport = await reach();
      const error = await failing(transport.exec(script('echo $$ > hanging; trap "" TERM; while :; do sleep 1; done'), { limitMs: 1000 }));
      const pid = readFileSync(device.remote('hanging'), 'utf8').trim();
      expect((await transport.exec(script('kill -0 "$1" 2>/dev/null && echo alive || echo dead', pid))).stdout).toBe('dead\n');
      return { error, after: 'it is ended there, deaf to TERM or not' };
    },
  },
];
