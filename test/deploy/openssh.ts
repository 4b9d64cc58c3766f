import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { addDevice, connectionOf } from '../../src/deploy/registry.ts';
import { sshTransport } from '../../src/deploy/transports/ssh.ts';

const sshd = '/usr/sbin/sshd';
/** True where OpenSSH's server and client are installed; says loudly when not. */
export const hasOpenssh = existsSync(sshd) && existsSync('/usr/bin/ssh-keygen');
if (!hasOpenssh) console.warn('SKIPPED: tests against real OpenSSH, because openssh-server is absent (apt-get install openssh-server).');

const freePort = (): Promise<number> =>
  new Promise(resolve => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => resolve(port));
    });
  });

export interface OpensshOptions {
  /** Lines of sshd_config; the first of a keyword counts for sshd. */
  readonly settings?: readonly string[];
}
/** A real sshd of our own on loopback, for our own user, with generated keys. Sessions get `home` as HOME by a forced command, so nothing of the user's is touched. */
export async function openssh({ settings = [] }: OpensshOptions = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'edge-sshd-'));
  const home = join(folder, 'home');
  mkdirSync(home);
  for (const name of ['host', 'id']) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', join(folder, name)]);
  if (userInfo().uid === 0) mkdirSync('/run/sshd', { recursive: true });
  const port = await freePort();
  // The forced command runs what was asked for in the test's home, by the same shell.
  const forced = `export HOME=${home}; cd ${home}; eval "$SSH_ORIGINAL_COMMAND"`;
  writeFileSync(join(folder, 'authorized_keys'), `command="${forced.replaceAll('"', '\\"')}" ${readFileSync(join(folder, 'id.pub'), 'utf8')}`);
  const config = [
    ...settings,
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${join(folder, 'host')}`,
    `PidFile ${join(folder, 'pid')}`,
    `AuthorizedKeysFile ${join(folder, 'authorized_keys')}`,
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PermitRootLogin yes',
    'Subsystem sftp /usr/lib/openssh/sftp-server',
  ];
  writeFileSync(join(folder, 'sshd_config'), `${config.join('\n')}\n`);
  const server = spawn(sshd, ['-D', '-e', '-f', join(folder, 'sshd_config')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  server.stderr.on('data', chunk => {
    log += chunk;
  });
  for (let waited = 0; !log.includes('listening on'); waited += 20) {
    if (waited > 5000 || server.exitCode !== null) throw new Error(`sshd did not start: ${log}`);
    await pause(20);
  }
  return {
    folder,
    home,
    port,
    user: userInfo().username,
    key: join(folder, 'id'),
    log: () => log,
    async [Symbol.asyncDispose]() {
      server.kill();
      if (server.exitCode === null) await new Promise(resolve => server.once('exit', resolve));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A device over real OpenSSH, added and pinned as a user would; `port` is where we connect (a proxy). */
export async function connectedTo(server: Awaited<ReturnType<typeof openssh>>, port = server.port) {
  const config = join(server.folder, 'config');
  const none = join(server.folder, 'none');
  await addDevice('real', `${server.user}@127.0.0.1:${server.port}`, { config, identityFile: server.key, sshConfig: none });
  const options = await connectionOf('real', { ssh: `${server.user}@127.0.0.1:${server.port}`, identityFile: server.key }, { config, sshConfig: none });
  const pinned = options.pinOf('127.0.0.1', server.port);
  return sshTransport({ ...options, address: { ...options.address, port }, pinOf: () => pinned });
}
