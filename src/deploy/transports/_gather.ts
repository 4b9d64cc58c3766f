import type net from 'node:net';

/**
 * Sends what is written within one tick in one go. ssh2 writes each packet in three pieces (length, body, tag): with TCP_NODELAY that is three system
 * calls and three segments, and without it small answers wait for Nagle.
 */
export function gatherWrites(socket: net.Socket): net.Socket {
  const write = socket.write.bind(socket) as (...words: unknown[]) => boolean;
  let corked = false;
  const gathered = (...words: unknown[]): boolean => {
    if (!corked) {
      corked = true;
      socket.cork();
      process.nextTick(() => {
        corked = false;
        socket.uncork();
      });
    }
    return write(...words);
  };
  return Object.assign(socket, { write: gathered as net.Socket['write'] });
}
