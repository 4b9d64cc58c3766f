import { type Digest, digestOf } from '../../core/fingerprint.ts';
import type { Command, Finished, Transport } from '../device.ts';
import { tellingTransport } from './telling.ts';

const finished = (command: Command): Finished => ({ command, exitCode: 0, stdout: '', stderr: '' });

/** `--dry-run`: a device that prints what would be done there, quoted so that it can be pasted, and answers with empty success. Touches nothing. */
export const printingTransport = (name: string, print: (line: string) => void): Transport =>
  tellingTransport(
    {
      name,
      deviceId: digestOf(`printing:${name}`) as Digest,
      exec: async command => finished(command),
      run: async ({ words }) => finished(words),
      push: async (_local, digest) => ({ path: `store/${digest}`, report: { digest, bytes: 0, sent: 0, hashMs: 0, transferMs: 0, syncMs: 0 } }),
      fetch: async () => {},
      traffic: () => ({ sent: 0, received: 0, handshake: 0 }),
      async [Symbol.asyncDispose]() {},
    },
    print,
  );
