import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import net from 'node:net';
import { constants } from 'node:os';
import ssh2, { type Connection, type ServerChannel, type Session } from 'ssh2';
import { EdgeError } from '../core/errors.ts';
import { gatherWrites, hostKeyDigest } from './transports/ssh.ts';

export interface ServedKeys {
  /** Private key of the host and public key of the one client that may log in, OpenSSH text. */
  readonly hostPrivate: string;
  readonly clientPublic: string;
}
export interface RunningServer {
  readonly port: number;
  /** Seconds since the last connection ended; 0 while one is open. */
  idleSeconds(): number;
  /** Cuts every connection without a goodbye, as a broken link does. */
  drop(): void;
  close(): Promise<void>;
}

/** An ed25519 key pair that ssh2 can read again: about one in a few hundred that it makes it refuses itself (a leading zero is lost), and such a pair is thrown away. */
export function newKeyPair(comment = 'edgeforge'): { readonly private: string; readonly public: string } {
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519', { comment });
    if (!(ssh2.utils.parseKey(pair.private) instanceof Error) && !(ssh2.utils.parseKey(pair.public) instanceof Error)) return pair;
  }
}

/** What the server calls itself: the head of its host key's digest, so that a port taken over by another program is seen without a login. */
export const identOf = (hostPrivate: string): string => {
  const key = ssh2.utils.parseKey(hostPrivate);
  if (key instanceof Error)
    throw new EdgeError('file-corrupt', `The served device's host key cannot be read: ${key.message}`, { hint: 'Delete the folder of the served device and start it again.' });
  return `edgeforge_${hostKeyDigest(key.getPublicSSH()).slice(0, 16)}`;
};

const signalName = (name: string): NodeJS.Signals | undefined => {
  const full = name.startsWith('SIG') ? name : `SIG${name}`;
  return full in constants.signals ? (full as NodeJS.Signals) : undefined;
};

/** What every command of one server shares: its home, where its programs are, and those that run. */
interface Served {
  readonly home: string;
  readonly path: string;
  readonly running: Set<ChildProcessWithoutNullStreams>;
}

/** One `exec`: /bin/sh in the device's home, in a process group of its own; the group goes when the channel does, as under sshd. */
function serveExec(text: string, channel: ServerChannel, { home, path, running }: Served): ChildProcessWithoutNullStreams {
  const env = { HOME: home, PATH: path, USER: 'edge', LOGNAME: 'edge', SHELL: '/bin/sh', LANG: 'C.UTF-8', ORT_DISABLE_TELEMETRY: '1' };
  const child = spawn('/bin/sh', ['-c', text], { cwd: home, env, detached: true, stdio: 'pipe' });
  running.add(child);
  channel.on('error', () => {});
  child.stdin.on('error', () => {});
  child.on('error', () => channel.exit(127));
  channel.pipe(child.stdin);
  child.stdout.pipe(channel, { end: false });
  child.stderr.pipe(channel.stderr, { end: false });
  channel.once('close', () => killGroup(child, 'SIGHUP'));
  child.once('close', (code, signal) => {
    running.delete(child);
    // The error stream first: closing the channel would drop what still waits for the client's window.
    channel.stderr.end(() => {
      try {
        if (signal) channel.exit(signal.slice(3), false, '');
        else channel.exit(code ?? 1);
        channel.end();
      } catch {
        // The connection went first: nobody is left to tell.
      }
    });
  });
  return child;
}

function killGroup(child: ChildProcessWithoutNullStreams, signal: NodeJS.Signals): void {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {}
}

function serveSession(session: Session, served: Served): void {
  let child: ChildProcessWithoutNullStreams | undefined;
  session.on('exec', (accept, _reject, info) => {
    child = serveExec(info.command, accept(), served);
  });
  session.on('signal', (accept, _reject, info) => {
    const name = signalName(info.name);
    if (child && name) killGroup(child, name);
    accept?.();
  });
  session.on('pty', (_accept, reject) => reject?.());
  session.on('env', (_accept, reject) => reject?.());
  session.on('shell', accept => {
    const channel = accept();
    channel.stderr.write('This is a served edgeforge device: it runs single commands and has no interactive shell.\r\n');
    channel.exit(1);
    channel.end();
  });
}

/** Is this login attempt the one key that may come in? A request without signature only asks whether the key would do. */
function admits(context: ssh2.AuthContext, allowed: ssh2.ParsedKey): boolean {
  if (context.method !== 'publickey' || !context.key.data.equals(allowed.getPublicSSH())) return false;
  return context.signature === undefined || context.blob === undefined || allowed.verify(context.blob, context.signature, context.hashAlgo) === true;
}

/** An SSH server on 127.0.0.1 that runs commands with /bin/sh in `home`: exec only. `port` 0 takes a free one; `path` is the PATH of its commands, else ours. */
export async function startServer(
  { hostPrivate, clientPublic }: ServedKeys,
  home: string,
  { port = 0, path = process.env.PATH ?? '/usr/bin:/bin' }: { readonly port?: number; readonly path?: string } = {},
): Promise<RunningServer> {
  const parsed = ssh2.utils.parseKey(clientPublic);
  if (parsed instanceof Error)
    throw new EdgeError('file-corrupt', `The served device's client key cannot be read: ${parsed.message}`, { hint: 'Delete the folder of the served device and start it again.' });
  const running = new Set<ChildProcessWithoutNullStreams>();
  const connections = new Set<Connection>();
  const sockets = new Set<net.Socket>();
  let lastSeen = Date.now();
  const server = new ssh2.Server({ hostKeys: [hostPrivate], ident: identOf(hostPrivate) }, connection => {
    connections.add(connection);
    connection.on('error', () => {});
    connection.on('close', () => {
      connections.delete(connection);
      lastSeen = Date.now();
    });
    connection.on('authentication', context => (admits(context, parsed) ? context.accept() : context.reject(['publickey'])));
    connection.on('ready', () => connection.on('session', accept => serveSession(accept(), { home, path, running })));
  });
  // The library's own listener hands sockets over; ours in front lets a test or a stop cut them.
  const front = net.createServer(socket => {
    gatherWrites(socket.setNoDelay(true));
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    server.injectSocket(socket);
  });
  await new Promise<void>((resolve, reject) => front.once('error', reject).listen(port, '127.0.0.1', resolve));
  const drop = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    port: (front.address() as net.AddressInfo).port,
    idleSeconds: () => (connections.size > 0 ? 0 : (Date.now() - lastSeen) / 1000),
    drop,
    async close() {
      for (const child of running) killGroup(child, 'SIGKILL');
      drop();
      await new Promise<void>(resolve => front.close(() => resolve()));
    },
  };
}
