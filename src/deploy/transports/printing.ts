import { type Digest, digestOf } from '../../core/fingerprint.ts';
import type { Command, Finished, Transport } from '../device.ts';
import { commandText } from '../quote.ts';

const finished = (command: Command): Finished => ({ command, exitCode: 0, stdout: '', stderr: '' });
const settings = ({ env, cwd }: { readonly env?: Readonly<Record<string, string>> | undefined; readonly cwd?: string | undefined } = {}): string =>
  `${cwd === undefined ? '' : `cd ${commandText([cwd])} && `}${Object.entries(env ?? {})
    .map(([name, value]) => `${name}=${commandText([value])} `)
    .join('')}`;

/** `--dry-run`: a device that prints what would be done there, quoted so that it can be pasted, and answers with empty success. Touches nothing. */
export function printingTransport(name: string, print: (line: string) => void): Transport {
  const say = (line: string): void => print(`[${name}] ${line}`);
  return {
    name,
    deviceId: digestOf(`printing:${name}`) as Digest,
    async exec(command, options) {
      say(`$ ${settings(options)}${commandText(command)}`);
      return finished(command);
    },
    async run(job) {
      say(`$ ${settings(job)}${commandText(job.words)} > ${commandText([job.log])}${job.detach ? ' &   # detached, polled' : ''}`);
      return finished(job.words);
    },
    async push(local, digest) {
      say(`push ${commandText([local])} -> store/${digest}`);
      return { path: `store/${digest}`, report: { digest, bytes: 0, sent: 0, hashMs: 0, transferMs: 0, syncMs: 0 } };
    },
    async fetch(remote, local) {
      say(`fetch ${commandText([remote])} -> ${commandText([local])}`);
    },
    traffic: () => ({ sent: 0, received: 0, handshake: 0 }),
    async [Symbol.asyncDispose]() {},
  };
}
