import { type JetsonClocks, parseJetsonClocks } from '../formats/jetson-clocks.ts';
import type { SudoRights } from './device.ts';

const kibibytes = (meminfo: string, key: string): number | undefined => {
  const [, value] = new RegExp(`^${key}:\\s*(\\d{1,15}) kB`, 'm').exec(meminfo) ?? [];
  return value === undefined ? undefined : Number(value);
};
const mebibytes = (value: number | undefined): number | undefined => (value === undefined ? undefined : Math.round(value / 1024));

/** Memory that new work could have, in MiB (MemAvailable); the kernels of L4T 28 do not say it. */
export const availableOf = (meminfo: string): number | undefined => mebibytes(kibibytes(meminfo, 'MemAvailable'));
/** Swap in MiB; undefined where meminfo does not speak of it. */
export function swapOf(meminfo: string): { readonly total: number; readonly free: number } | undefined {
  const [total, free] = [mebibytes(kibibytes(meminfo, 'SwapTotal')), mebibytes(kibibytes(meminfo, 'SwapFree'))];
  return total === undefined ? undefined : { total, free: free ?? total };
}

export const cudnnOf = (dpkg: string): string | undefined => /libcudnn\d+(?:-cuda-\d+)?\s+(\d+\.\d+\.\d+)/.exec(dpkg)?.[1];

/** What we may do as root, from `id` and `sudo -n -l`: it lists commands only to those whom it asks for no password. */
export function sudoOf(user: string, list: string): SudoRights {
  if (user.trim().split('\n')[1] === '0') return { rights: 'root', commands: [] };
  // sudo breaks its lines at 80 columns where it writes to no pipe; a comma within a command is escaped.
  const whole = list.replace(/\n {6,}/g, ' ');
  const commands = [...whole.matchAll(/NOPASSWD:\s*([^\n]{1,2000})/g)].flatMap(([, text]) =>
    text!
      .replace(/\b(?:NO)?(?:SETENV|EXEC|LOG_INPUT|LOG_OUTPUT):\s*/g, '')
      .split(/(?<!\\),\s*/)
      .map(command => command.replaceAll('\\,', ',')),
  );
  if (commands.some(command => command.trim() === 'ALL')) return { rights: 'all', commands: [] };
  return commands.length > 0 ? { rights: 'some', commands: commands.map(command => command.trim()) } : { rights: 'none', commands: [] };
}
/** May we run this program (`/usr/sbin/nvpmodel`) as root without a password? */
export const mayRun = ({ rights, commands }: SudoRights, program: string): boolean =>
  rights === 'root' || rights === 'all' || commands.some(command => command === program || command.startsWith(`${program} `));

/** The id that `nvpmodel -q` prints under the mode's name. */
export const powerModeIdOf = (text: string): number | undefined => {
  const [, id] = /NV Power Mode[^\n]*\r?\n\s*(\d{1,3})\s*(?:\n|$)/.exec(text) ?? [];
  return id === undefined ? undefined : Number(id);
};
/** The modes of /etc/nvpmodel.conf: `POWER_MODEL ID=0 NAME=15W`. */
export function modesOf(text: string): readonly { readonly id: number; readonly name: string }[] | undefined {
  const modes = [...text.matchAll(/POWER_MODEL ID=(\d{1,3}) NAME=(\S{1,64})/g)].map(([, id, name]) => ({ id: Number(id), name: name! }));
  return modes.length > 0 ? modes : undefined;
}

export const clocksOf = (text: string): JetsonClocks | undefined => parseJetsonClocks(text);

/** `type millidegrees` per line; sensors that are off (-256 °C) and PMIC's constant 100 are left out. */
export function temperaturesOf(text: string): Readonly<Record<string, number>> | undefined {
  const found = [...text.matchAll(/^(\S{1,64}) (-?\d{1,7})$/gm)].map(([, name, value]) => [name!.replace(/[-_]therm(al)?$/i, ''), Number(value) / 1000] as const);
  const real = found.filter(([name, value]) => value > -100 && !/pmic/i.test(name));
  return real.length > 0 ? Object.fromEntries(real) : undefined;
}

/** Programs of `ps` that take more than a tenth of a core, our own question apart. */
export function busyOf(ps: string): readonly { readonly percent: number; readonly command: string }[] | undefined {
  const found = [...ps.matchAll(/^\s*(\d{1,4}(?:\.\d)?)\s+(\S[^\n]{0,60})$/gm)].map(([, percent, command]) => ({ percent: Number(percent), command: command!.trim() }));
  const busy = found.filter(({ percent, command }) => percent >= 10 && !/^(ps|sh|head|sshd)$/.test(command));
  return busy.length > 0 ? busy : undefined;
}
