import { EdgeError } from '../../src/core/errors.ts';
import { type IsolatedContext, isolated } from '../../src/pipeline/isolation.ts';

// What isolation.test.ts runs in child processes.
export const double = (values: Float32Array, { send }: IsolatedContext) => {
  send({ n: values.length });
  return { values: values.map(value => value * 2), pid: process.pid, extra: process.env.EDGE_TEST };
};
export const fail = () => {
  throw new EdgeError('not-finite', 'The loss is NaN at step 3.', { hint: 'Lower the learning rate.', where: { path: 'train.loss' } });
};
export const die = (signal: NodeJS.Signals) => {
  process.kill(process.pid, signal);
  return new Promise(() => setInterval(() => undefined, 1000));
};
export const leave = () => process.exit(9);
export const polite = (_: unknown, { signal, send }: IsolatedContext) =>
  new Promise((_done, failed) => {
    const alive = setInterval(() => undefined, 1000);
    signal.addEventListener('abort', () => {
      clearInterval(alive);
      send('bye');
      failed(new Error('aborted'));
    });
    send('ready');
  });
export const stubborn = (_: unknown, { send }: IsolatedContext) => {
  send(process.pid);
  return new Promise(done => setTimeout(done, 60_000));
};
/** Blocks its main thread, as a long computation does. */
export const busy = (_: unknown, { send }: IsolatedContext) =>
  new Promise(done => {
    send(process.pid);
    setTimeout(() => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30_000);
      done(1);
    }, 50);
  });

// Started on its own: a parent that owns a busy child and tells its number, to be killed by the test.
if (process.argv[2] === 'parent') {
  await isolated(process.argv[3] ?? '', process.argv[4] ?? '', undefined, { signal: new AbortController().signal, onMessage: pid => console.log(pid) });
}
