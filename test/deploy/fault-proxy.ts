import net from 'node:net';

export interface Faults {
  /** One way, in milliseconds. */
  readonly delayMs?: number;
  /** Resets the n-th connection after these many bytes towards the device; undefined: never. */
  readonly cutAfter?: (connection: number) => number | undefined;
  /** Swallows everything after these many bytes towards the device, without a word. */
  readonly stallAfter?: number;
}
export interface FaultProxy extends AsyncDisposable {
  readonly port: number;
  readonly connections: () => number;
  cut(): void;
}

/** A TCP relay on loopback that breaks as told. */
export async function faultProxy(target: number, { delayMs = 0, cutAfter, stallAfter }: Faults = {}): Promise<FaultProxy> {
  const open = new Set<net.Socket>();
  let count = 0;
  const server = net.createServer(near => {
    const limit = cutAfter?.(count);
    count++;
    const far = net.connect(target, '127.0.0.1');
    near.setNoDelay(true);
    far.setNoDelay(true);
    let passed = 0;
    const cut = (): void => {
      near.resetAndDestroy();
      far.resetAndDestroy();
    };
    const relay = (from: net.Socket, to: net.Socket, upward: boolean): void => {
      from.on('data', chunk => {
        if (upward) passed += chunk.length;
        if (limit !== undefined && passed >= limit) return cut();
        if (stallAfter !== undefined && passed >= stallAfter) return void from.pause();
        const send = (): void => {
          if (!to.destroyed && !to.write(chunk)) {
            from.pause();
            to.once('drain', () => from.resume());
          }
        };
        if (delayMs) setTimeout(send, delayMs);
        else send();
      });
      from.on('end', () => setTimeout(() => to.end(), delayMs));
      from.on('error', () => to.destroy());
      from.on('close', () => open.delete(from));
      open.add(from);
    };
    relay(near, far, true);
    relay(far, near, false);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    connections: () => count,
    cut() {
      for (const socket of open) socket.resetAndDestroy();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}
