import type { ExecOptions, Job, Transport } from '../device.ts';
import { commandText } from '../quote.ts';

const settings = ({ env, cwd }: Pick<ExecOptions, 'env' | 'cwd'> = {}): string =>
  `${cwd === undefined ? '' : `cd ${commandText([cwd])} && `}${Object.entries(env ?? {})
    .map(([name, value]) => `${name}=${commandText([value])} `)
    .join('')}`;
const jobText = (job: Job): string => `${settings(job)}${commandText(job.words)} > ${commandText([job.log])}${job.detach ? ' &   # detached, polled' : ''}`;

/** The same transport, each thing that is done through it told first: commands quoted so that they can be pasted into a shell in the device's ~/.edgeforge. */
export const tellingTransport = (transport: Transport, tell: (line: string) => void): Transport => ({
  name: transport.name,
  deviceId: transport.deviceId,
  exec(command, options) {
    tell(`[${transport.name}] $ ${settings(options)}${commandText(command)}`);
    return transport.exec(command, options);
  },
  run(job, options) {
    tell(`[${transport.name}] $ ${jobText(job)}`);
    return transport.run(job, options);
  },
  push(local, digest, options) {
    tell(`[${transport.name}] push ${commandText([local])} -> store/${digest}`);
    return transport.push(local, digest, options);
  },
  fetch(remote, local, options) {
    tell(`[${transport.name}] fetch ${commandText([remote])} -> ${commandText([local])}`);
    return transport.fetch(remote, local, options);
  },
  traffic: () => transport.traffic(),
  [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
});
