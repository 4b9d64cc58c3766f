import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeAtomic } from '../core/atomic-file.ts';
import { startServer } from './_serve-server.ts';

// The served device's own process: argv is its folder and its idle limit in seconds. It ends by itself, by SIGTERM, or when its folder goes.
const [folder, idleLimit = '600'] = process.argv.slice(2) as [string, string?];
const state = join(folder, 'state.json');
const read = (name: string): string => readFileSync(join(folder, name), 'utf8');

const server = await startServer({ hostPrivate: read('host_ed25519'), clientPublic: read('client_ed25519.pub') }, join(folder, 'home'));
await writeAtomic(state, JSON.stringify({ pid: process.pid, port: server.port }));

const end = async (): Promise<void> => {
  try {
    if (JSON.parse(readFileSync(state, 'utf8')).pid === process.pid) rmSync(state);
  } catch {}
  await server.close();
  process.exit(0);
};
process.on('SIGTERM', () => void end());
process.on('SIGINT', () => void end());
// A connection that breaks in the middle must not end the device.
process.on('uncaughtException', error => process.stderr.write(`${error.stack}\n`));
setInterval(() => {
  let mine = false;
  try {
    mine = JSON.parse(readFileSync(state, 'utf8')).pid === process.pid;
  } catch {}
  if (!mine || server.idleSeconds() > Number(idleLimit)) void end();
}, 1000);
