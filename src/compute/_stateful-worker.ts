import { parentPort } from 'node:worker_threads';
import { asEdgeError } from '../core/errors.ts';
import { openStateful, type StatefulReply, type StatefulRequest, type StatefulSession, type Tensors } from './stateful-session.ts';

let session: StatefulSession | undefined;
async function answer(request: StatefulRequest): Promise<readonly Tensors[] | undefined> {
  if (request.type === 'open') {
    session = await openStateful(request.model, request.options);
    return undefined;
  }
  if (!session) throw new Error('The session is not open.');
  if (request.type === 'run') return session.runMany(request.steps);
  if (request.type === 'load') return void (await session.load(request.tensors, true));
  if (request.type === 'save') return [await session.save(request.when)];
  return void (await session.close());
}

parentPort?.on('message', async (request: StatefulRequest) => {
  let reply: StatefulReply;
  try {
    const tensors = await answer(request);
    reply = tensors === undefined ? { type: 'done' } : { type: 'done', tensors };
  } catch (error) {
    reply = { type: 'failed', ...asEdgeError(error).toJSON() };
  }
  parentPort?.postMessage(reply);
});
