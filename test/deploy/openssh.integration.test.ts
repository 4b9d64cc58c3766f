import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/core/fingerprint.ts';
import type { Job } from '../../src/deploy/device.ts';
import { gatherFacts } from '../../src/deploy/facts.ts';
import { script } from '../../src/deploy/quote.ts';
import { addDevice, connectionOf } from '../../src/deploy/registry.ts';
import { sshTransport } from '../../src/deploy/transports/ssh.ts';
import { faultProxy } from './fault-proxy.ts';
import { hasOpenssh, openssh } from './openssh.ts';

/** A device over real OpenSSH, added and pinned as a user would; `port` is where we connect (a proxy). */
async function reach(server: Awaited<ReturnType<typeof openssh>>, port = server.port) {
  const config = join(server.folder, 'config');
  const none = join(server.folder, 'none');
  await addDevice('real', `${server.user}@127.0.0.1:${server.port}`, { config, identityFile: server.key, sshConfig: none });
  const options = await connectionOf('real', { ssh: `${server.user}@127.0.0.1:${server.port}`, identityFile: server.key }, { config, sshConfig: none });
  const pinned = options.pinOf('127.0.0.1', server.port);
  return sshTransport({ ...options, address: { ...options.address, port }, pinOf: () => pinned });
}

describe.skipIf(!hasOpenssh)('real OpenSSH', () => {
  it('adds, logs in, runs, signals, and keeps below its ten sessions', async () => {
    await using server = await openssh();
    await using transport = await reach(server);
    expect(await gatherFacts(transport)).toMatchObject({ home: server.home });
    const many = await Promise.all(Array.from({ length: 20 }, (_, index) => transport.exec(script('sleep 0.05; echo "$1"', `it's ${index}`))));
    expect(many.map(each => each.stdout)).toEqual(Array.from({ length: 20 }, (_, index) => `it's ${index}\n`));
    const start = performance.now();
    await expect(transport.exec(['sleep', '60'], { limitMs: 300 })).rejects.toMatchObject({ code: 'timeout' });
    expect(performance.now() - start).toBeLessThan(5000);
  });

  it('pushes through two cuts, verifies, and sends nothing again', async () => {
    await using server = await openssh();
    const size = 24 << 20;
    await using proxy = await faultProxy(server.port, { cutAfter: n => [size * 0.3, size * 0.3][n] });
    await using transport = await reach(server, proxy.port);
    const file = join(server.folder, 'model.bin');
    const content = randomBytes(size);
    writeFileSync(file, content);
    const { path, report } = await transport.push(file, digestOf(content));
    expect(proxy.connections()).toBe(3);
    expect(readFileSync(join(server.home, '.edgeforge', path)).equals(content)).toBe(true);
    expect(report.sent).toBeLessThan(size * 1.6);
    expect((await transport.push(file, digestOf(content))).report.sent).toBe(0);
  });

  it('finds a detached job again after a cut, and settles what was pending', async () => {
    await using server = await openssh();
    await using proxy = await faultProxy(server.port);
    await using transport = await reach(server, proxy.port);
    const job: Job = { words: script('echo one >> runs; sleep 1; echo end'), log: 'jobs/b.log', produces: [], detach: true, limitMs: 20_000 };
    const running = transport.run(job);
    await pause(500);
    const pending = transport.exec(['sleep', '30']).catch(error => error);
    await pause(100);
    proxy.cut();
    expect(await pending).toMatchObject({ code: 'connection-lost' });
    expect(await running).toMatchObject({ exitCode: 0, stdout: 'end\n' });
    expect((await transport.exec(['cat', 'runs'])).stdout).toBe('one\n');
  });

  it('goes through a jump host, whose key is pinned as well', async () => {
    await using gate = await openssh();
    await using target = await openssh();
    const config = join(gate.folder, 'config');
    const sshConfig = join(gate.folder, 'ssh_config');
    writeFileSync(join(gate.folder, 'both'), readFileSync(gate.key), { mode: 0o600 });
    // One key opens both: the target is told the gate's.
    writeFileSync(join(target.folder, 'authorized_keys'), readFileSync(join(gate.folder, 'authorized_keys'), 'utf8').replaceAll(gate.home, target.home));
    writeFileSync(
      sshConfig,
      `Host gate\n HostName 127.0.0.1\n Port ${gate.port}\n User ${gate.user}\nHost inner\n HostName 127.0.0.1\n Port ${target.port}\n User ${target.user}\n ProxyJump gate\n`,
    );
    const added = await addDevice('inner', 'inner', { config, identityFile: gate.key, sshConfig });
    expect(added.login).toBeUndefined();
    await using transport = await sshTransport(await connectionOf('inner', { ssh: 'inner', identityFile: gate.key }, { config, sshConfig }));
    expect((await transport.exec(script('echo "$HOME"'))).stdout).toBe(`${target.home}\n`);
    expect(transport.traffic().sent).toBeGreaterThan(0);
  });

  it('says what to run where only a password works', async () => {
    await using server = await openssh({ settings: ['PubkeyAuthentication no', 'PasswordAuthentication yes'] });
    const added = await addDevice('pw', `${server.user}@127.0.0.1:${server.port}`, {
      config: join(server.folder, 'config'),
      identityFile: server.key,
      sshConfig: join(server.folder, 'none'),
    });
    expect(added.login).toMatchObject({ code: 'login-refused', message: expect.stringContaining('It takes only: password'), hint: expect.stringContaining('ssh-copy-id') });
  });
});
