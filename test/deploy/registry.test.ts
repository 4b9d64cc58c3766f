import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { addDevice, connectionOf, deviceDefinitionSchema, deviceNamed, listDevices, removeDevice } from '../../src/deploy/registry.ts';
import { hostMatches, parseDestination, parseSshConfig, resolveAddress } from '../../src/deploy/ssh-config.ts';
import { sshTransport } from '../../src/deploy/transports/ssh.ts';
import { board, temporary } from './harness.ts';

describe('ssh_config', () => {
  const blocks = parseSshConfig(
    `# boards
Include extra
Host nano orin-*
  HostName=10.0.0.7
  User nvidia
  IdentityFile "~/.ssh/board key"
Host orin-? !orin-x
    Port 2222
    ProxyJump gate.example:22022
Match exec "touch /tmp/never"
  User root
Host *
  User everyone
  Port 22
`,
    pattern => (pattern === 'extra' ? ['Host gate*\n  User keeper\n'] : []),
  );
  it('takes the first value of each key, wildcards, negation, quotes and includes', () => {
    expect(resolveAddress('nano', blocks, { home: '/h' })).toEqual({ host: '10.0.0.7', port: 22, user: 'nvidia', identityFiles: ['/h/.ssh/board key'], jumps: [] });
    const orin = resolveAddress('orin-1', blocks, { home: '/h' });
    expect(orin).toMatchObject({ port: 2222, user: 'nvidia', jumps: [{ host: 'gate.example', port: 22022, user: 'keeper' }] });
    expect(resolveAddress('orin-x', blocks)).toMatchObject({ port: 22, jumps: [] });
    expect(resolveAddress('me@other:2200', blocks)).toMatchObject({ host: 'other', port: 2200, user: 'me' });
    expect(hostMatches(['*.lan', '!bad.lan'], 'bad.lan')).toBe(false);
  });
  it('refuses circles, ProxyCommand and nonsense', () => {
    expect(() => resolveAddress('a', parseSshConfig('Host a\nProxyJump b\nHost b\nProxyJump a'))).toThrowError(/circle/);
    expect(() => resolveAddress('a', parseSshConfig('Host a\nProxyCommand nc %h %p'))).toThrowError(/ProxyCommand/);
    for (const text of ['', 'a b', 'u@', '-oProxyCommand=x', 'h:0', 'h:99999']) expect(() => parseDestination(text)).toThrowError(expect.objectContaining({ code: 'usage' }));
    expect(parseDestination('ssh://u@[fe80::1]:22')).toEqual({ user: 'u', host: 'fe80::1', port: 22 });
  });
});

describe('device add, list, remove', () => {
  it('shows and pins the key once, connects with the pin, and refuses another key at the same place', async () => {
    using folder = temporary();
    await using device = await board();
    const config = folder.path;
    const key = join(folder.path, 'id');
    writeFileSync(key, device.client.private);
    const sshConfig = join(folder.path, 'ssh_config');
    writeFileSync(sshConfig, `Host bench\n HostName 127.0.0.1\n Port ${device.server.port}\n User edge\n`);
    const definition = { ssh: 'bench', identityFile: key };
    await expect(connectionOf('bench', definition, { config, sshConfig }).then(sshTransport)).rejects.toMatchObject({ code: 'host-key-unknown' });
    await expect(addDevice('bench', 'bench', { config, identityFile: key, sshConfig, confirm: async () => false })).rejects.toMatchObject({ code: 'cancelled' });
    const shown: string[] = [];
    const added = await addDevice('bench', 'bench', { config, identityFile: key, sshConfig, confirm: async (_, print) => shown.push(print) > 0 });
    expect(shown).toEqual([added.fingerprint]);
    expect(added.fingerprint).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
    expect(added.login).toBeUndefined();
    await using transport = await sshTransport(await connectionOf('bench', definition, { config, sshConfig }));
    expect((await transport.exec(['echo', 'in'])).stdout).toBe('in\n');
    expect(listDevices(config).map(({ name }) => name)).toEqual(['bench']);
    expect(deviceNamed('bench', {}, config)).toMatchObject({ ssh: 'bench' });
    await removeDevice('bench', config);
    await expect(removeDevice('bench', config)).rejects.toMatchObject({ code: 'device-unknown' });
    expect(() => deviceNamed('bench', {}, config)).toThrowError(/edgeforge device add|bench/);
  });
  it('says what to run where no key is accepted', async () => {
    using folder = temporary();
    await using device = await board();
    await using other = await board();
    const key = join(folder.path, 'id');
    writeFileSync(key, other.client.private);
    const added = await addDevice('b', `edge@127.0.0.1:${device.server.port}`, { config: folder.path, identityFile: key, sshConfig: join(folder.path, 'none') });
    expect(added.login?.hint).toContain(`ssh-copy-id -i ${key}.pub -p ${device.server.port} edge@127.0.0.1`);
  });
  it('refuses a broken list and a device reached in two ways', () => {
    using folder = temporary();
    writeFileSync(join(folder.path, 'devices.json'), '{');
    expect(() => listDevices(folder.path)).toThrowError(expect.objectContaining({ code: 'file-corrupt' }));
    expect(deviceDefinitionSchema.safeParse({ ssh: 'a', serve: true }).success).toBe(false);
    expect(deviceDefinitionSchema.safeParse({}).success).toBe(false);
  });
});
