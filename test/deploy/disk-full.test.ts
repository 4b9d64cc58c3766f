import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { digestOf } from '../../src/core/fingerprint.ts';
import { board, temporary } from './harness.ts';

/** A disk of 4 MiB as the board's edgeforge home; undefined where we may not mount. */
const smallDisk = (path: string): (() => void) | undefined => {
  try {
    mkdirSync(path, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'edge-test', path], { stdio: 'ignore' });
    return () => execFileSync('umount', [path]);
  } catch {
    return undefined;
  }
};

it('a full disk is said with numbers, before and during the upload', async ({ skip }) => {
  await using device = await board();
  using folder = temporary();
  const unmount = smallDisk(join(device.home, '.edgeforge'));
  if (!unmount) {
    console.warn('SKIPPED: the full-disk test, because mounting a tmpfs is not allowed here.');
    return skip();
  }
  try {
    await using transport = await device.reach();
    const push = (bytes: number) => {
      const content = randomBytes(bytes);
      writeFileSync(join(folder.path, 'f'), content);
      return transport.push(join(folder.path, 'f'), digestOf(content));
    };
    await push(1 << 20);
    await expect(push(8 << 20)).rejects.toMatchObject({
      code: 'device-full',
      message: expect.stringMatching(/has [23] MiB free and needs 8 MiB/),
      hint: expect.stringContaining('device clean'),
    });
    // Two at once, each of which would fit alone: the check before cannot see it.
    const both = await Promise.allSettled([push(5 << 19), transport.exec(['sh', '-c', 'sleep 0.05; head -c 3000000 /dev/zero > hog'])]);
    if (both[0].status === 'rejected') expect(both[0].reason).toMatchObject({ code: 'device-full' });
    await transport.exec(['rm', '-rf', 'hog', 'store']);
    await push(1 << 20);
  } finally {
    unmount();
  }
});
