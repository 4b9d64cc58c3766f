import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { asEdgeError } from '../core/errors.ts';
import type { FromChild, ToChild } from './isolation.ts';

// The child's side of isolation.ts: waits for the argument, calls the export, answers, leaves.
const [file, exportName] = process.argv.slice(2);
const controller = new AbortController();
const reply = (message: FromChild) => new Promise<void>(sent => void (process.send ? process.send(message, undefined, {}, () => sent()) : sent()));

// Without its parent this process has no purpose. The event tells of it when the main thread is free; the thread watches while it computes.
process.on('disconnect', () => process.exit(1));
new Worker(`const parent = process.ppid; setInterval(() => { if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL'); }, 500);`, { eval: true }).unref();
// Ctrl-C reaches the whole group; whether to end is the parent's decision.
process.on('SIGINT', () => undefined);

async function call(argument: unknown): Promise<void> {
  try {
    const loaded = (await import(pathToFileURL(file ?? '').href)) as Record<string, unknown>;
    const target = loaded[exportName ?? ''];
    if (typeof target !== 'function') throw new TypeError(`${file} exports no function "${exportName}".`);
    const value: unknown = await target(argument, { send: (message: unknown) => void reply({ type: 'message', message }), signal: controller.signal });
    await reply({ type: 'result', value });
  } catch (error) {
    await reply({ type: 'error', error: asEdgeError(error).toJSON() });
  }
  process.exit(0);
}

process.on('message', (message: ToChild) => {
  if (message.type === 'call') void call(message.argument);
  else controller.abort();
});
