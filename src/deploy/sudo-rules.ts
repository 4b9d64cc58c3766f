import { EdgeError } from '../core/errors.ts';
import { mayRun } from './_parse-state.ts';
import type { Facts } from './device.ts';

/** Where a board's clocks are kept while they are locked: root's own folder, so that the right to write there is no right to write elsewhere. */
export const clocksFile = '/root/edgeforge-clocks.conf';
const nvpmodel = '/usr/sbin/nvpmodel';
const jetsonClocks = '/usr/bin/jetson_clocks';

/** Exactly what may be run as root, word for word: a bare program in sudoers would allow all its options, and with `--store` any file. */
const commands: readonly string[] = [
  `${nvpmodel} -m [0-9]`,
  `${nvpmodel} -m [0-9][0-9]`,
  `${jetsonClocks} ""`,
  ...['--show', `--store ${clocksFile}`, `--restore ${clocksFile}`].map(words => `${jetsonClocks} ${words}`),
];

const mendOf = (user: string, allowed: readonly string[]): string =>
  `echo '${user} ALL=(root) NOPASSWD: ${allowed.join(', ')}' | sudo tee /etc/sudoers.d/edgeforge && sudo chmod 440 /etc/sudoers.d/edgeforge && sudo visudo -c`;
/** The command that gives this device's user the rights to set power mode and clocks, and no other. */
export const sudoersMend = ({ user = '$USER' }: Pick<Facts, 'user'>): string => mendOf(user, commands);
const cardCommands = (mhz: number): readonly string[] => [`/usr/bin/nvidia-smi -i 0 -lgc ${mhz},${mhz}`, '/usr/bin/nvidia-smi -i 0 -rgc'];
/** The same for a card: to hold its GPU at this clock and to give it free, and no other. */
export const cardSudoersMend = (mhz: number, { user = '$USER' }: Pick<Facts, 'user'>): string =>
  mendOf(
    user,
    // A comma ends a command in sudoers.
    cardCommands(mhz).map(command => command.replaceAll(',', '\\,')),
  );

/** May clocks be held and given back here without a password? */
export const mayLockClocks = ({ sudo }: Pick<Facts, 'sudo'>): boolean => sudo !== undefined && mayRun(sudo, jetsonClocks);

/** The id of a power mode by its name or id. Throws `usage` where the board has no such mode, `device-refused` where nobody may set it. */
export function powerModeIdFor(wish: string, facts: Pick<Facts, 'kind' | 'model' | 'powerModes' | 'powerModeId' | 'sudo' | 'user'>): number {
  const modes = facts.powerModes ?? [];
  const found = modes.find(({ id, name }) => name === wish || String(id) === wish);
  if (facts.kind !== 'jetson' || !found)
    throw new EdgeError('usage', `${facts.model} has no power mode "${wish}".`, {
      hint: modes.length > 0 ? `Its modes: ${modes.map(({ id, name }) => `${name} (${id})`).join(', ')}.` : 'Leave powerMode out for this device.',
    });
  if (found.id !== facts.powerModeId && (facts.sudo === undefined || !mayRun(facts.sudo, nvpmodel)))
    throw new EdgeError('device-refused', `The power mode ${found.name} was asked for, but it cannot be set without a password.`, { hint: `On the board: ${sudoersMend(facts)}` });
  return found.id;
}

/** The clock that a card is to be held at. Throws `usage` where there is no card, `device-refused` where nobody may hold it. */
export function cardClockFor(mhz: number, facts: Pick<Facts, 'kind' | 'model' | 'sudo' | 'user'>): number {
  if (facts.kind === 'jetson')
    throw new EdgeError('usage', `${facts.model} is a Jetson: its clocks are those of its power mode, gpuMHz is for cards.`, {
      hint: 'Leave gpuMHz out and name a powerMode: jetson_clocks holds the most of it.',
    });
  if (facts.kind !== 'dgpu') throw new EdgeError('usage', `${facts.model} has no NVIDIA card whose clock could be held.`, { hint: 'Leave gpuMHz out for this device.' });
  const { rights, commands: allowed } = facts.sudo ?? { rights: 'none', commands: [] };
  const may = rights === 'root' || rights === 'all' || cardCommands(mhz).every(command => allowed.some(each => each === command || each === '/usr/bin/nvidia-smi'));
  if (!may)
    throw new EdgeError('device-refused', `The card was to be held at ${mhz} MHz, but nvidia-smi -lgc and -rgc cannot be run as root without a password.`, {
      hint: `On the machine: ${cardSudoersMend(mhz, facts)}`,
    });
  return mhz;
}

/** What a board is to be set to while it is measured. */
export interface BoardSetting {
  readonly powerMode?: string | undefined;
  readonly gpuMHz?: number | undefined;
}
/** What a board is to be set to, seen to be possible; throws as its parts do. */
export function boardSettingsFor({ powerMode, gpuMHz }: BoardSetting, facts: Facts) {
  return { power: powerMode === undefined ? '' : powerModeIdFor(powerMode, facts), gpu: gpuMHz === undefined ? '' : cardClockFor(gpuMHz, facts) };
}

/** May power mode and clocks be set here without a password? */
export const maySetClocks = ({ sudo }: Pick<Facts, 'sudo'>): boolean => sudo !== undefined && mayRun(sudo, nvpmodel) && mayRun(sudo, jetsonClocks);
