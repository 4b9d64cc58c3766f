import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { EdgeError } from './errors.ts';

// sockaddr_un has 108 bytes with the final NUL on Linux, 104 elsewhere.
const pathLimitBytes = process.platform === 'linux' ? 107 : 103;
const askSchema = z.object({ ask: z.enum(['cancel', 'detach']) });
export type Ask = z.infer<typeof askSchema>['ask'];
const lineLimit = 4096;

const pointerOf = (folder: string): string => join(folder, 'control.path');

/** Listens in the run's folder for one-line requests. A folder too deep for a socket's name gets one in the temporary folder and a file that says where. */
export async function openControl(folder: string, onAsk: (ask: Ask) => void): Promise<AsyncDisposable> {
  let path = join(folder, 'control');
  if (Buffer.byteLength(path) > pathLimitBytes) {
    path = join(await mkdtemp(join(tmpdir(), 'edgeforge-')), 'control');
    await writeFile(pointerOf(folder), path);
  } else await rm(path, { force: true });
  const server = createServer(socket => {
    let text = '';
    socket.setEncoding('utf8');
    socket.on('error', () => socket.destroy());
    socket.on('data', (piece: string) => {
      text += piece;
      const end = text.indexOf('\n');
      if (end < 0) {
        if (text.length > lineLimit) socket.destroy();
        return;
      }
      const ask = parseAsk(text.slice(0, end));
      socket.end(`${JSON.stringify(ask ? { ok: true } : { ok: false, message: 'Ask for "cancel" or "detach".' })}\n`);
      if (ask) onAsk(ask);
    });
  });
  await new Promise<void>((done, failed) => {
    server.once('error', failed);
    server.listen(path, done);
  });
  server.unref();
  return {
    [Symbol.asyncDispose]: async () => {
      await new Promise<void>(done => void server.close(() => done()));
      await rm(path, { force: true });
      if (dirname(path) !== folder) await rm(dirname(path), { recursive: true, force: true });
      await rm(pointerOf(folder), { force: true });
    },
  };
}

function parseAsk(line: string): Ask | undefined {
  try {
    return askSchema.parse(JSON.parse(line)).ask;
  } catch {
    return undefined;
  }
}

/** Sends one request to the process that owns the run and waits for its answer. Throws `run-unknown` where none listens. */
export async function askControl(folder: string, ask: Ask): Promise<void> {
  const path = await readFile(pointerOf(folder), 'utf8').catch(() => join(folder, 'control'));
  const refused = (cause: unknown) =>
    new EdgeError('run-unknown', `No run listens in ${folder}.`, { hint: 'It has ended. List the runs with: edgeforge watch', where: { file: folder }, cause });
  await new Promise<void>((done, failed) => {
    const socket = createConnection(path);
    let answer = '';
    socket.setEncoding('utf8');
    socket.setTimeout(5000, () => socket.destroy(new Error('No answer within 5 s.')));
    socket.on('connect', () => socket.write(`${JSON.stringify({ ask })}\n`));
    socket.on('data', (piece: string) => {
      answer += piece;
    });
    socket.on('error', error => failed(refused(error)));
    socket.on('close', () => (answer.includes('"ok":true') ? done() : failed(refused(answer))));
  });
}
