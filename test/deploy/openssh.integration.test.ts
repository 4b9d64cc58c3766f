import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gatherFacts } from '../../src/deploy/facts.ts';
import { script } from '../../src/deploy/quote.ts';
import { addDevice, connectionOf } from '../../src/deploy/registry.ts';
import { sshTransport } from '../../src/deploy/transports/ssh.ts';
import { connectedTo, hasOpenssh, openssh } from './openssh.ts';

describe.skipIf(!hasOpenssh)('real OpenSSH', () => {
  it('adds, logs in, runs, signals, and keeps below its ten sessions', async () => {
    await using server = await openssh();
    await using transport = await connectedTo(server);
    expect(await gatherFacts(transport)).toMatchObject({ home: server.home });
    const many = await Promise.all(Array.from({ length: 20 }, (_, index) => transport.exec(script('sleep 0.05; echo "$1"', `it's ${index}`))));
    expect(many.map(each => each.stdout)).toEqual(Array.from({ length: 20 }, (_, index) => `it's ${index}\n`));
    const start = performance.now();
    await expect(transport.exec(['sleep', '60'], { limitMs: 300 })).rejects.toMatchObject({ code: 'timeout' });
    expect(performance.now() - start).toBeLessThan(5000);
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
