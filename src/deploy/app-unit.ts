import { EdgeError } from '../core/errors.ts';
import { type ServiceUnit, unitText } from '../formats/systemd-unit.ts';
import type { Command, Transport } from './device.ts';
import { commandText, script } from './quote.ts';
import { must } from './remote-store.ts';

/** The unit that runs the application of the current release. */
export const serviceName = 'edgeforge-app.service';
/** The config that a release's application starts with. */
export const appConfig = 'deepstream_app.txt';

const unitOf = (program: string, home: string, user?: string): ServiceUnit => ({
  description: 'The DeepStream application of edgeforge’s current release',
  // Resolved at each start: a restart is what takes a switch of releases up.
  workingDirectory: `${home}/.edgeforge/current`,
  words: [program, '-c', appConfig],
  ...(user === undefined ? {} : { user }),
  restartSec: 5,
  starts: { most: 5, withinSec: 300 },
});
/** A login over SSH need not have been told where the user's manager listens. */
const bus = '[ -n "$XDG_RUNTIME_DIR" ] || XDG_RUNTIME_DIR=/run/user/$(id -u); export XDG_RUNTIME_DIR';
const folder = 'd=$XDG_CONFIG_HOME; [ -n "$d" ] || d=$HOME/.config; d=$d/systemd/user';

/** Whose unit is installed on the device: the user's own or the system's; undefined where none is. Nothing is written. */
export async function installedService(transport: Transport): Promise<'user' | 'system' | undefined> {
  const asked = await transport.exec(script(`${folder}; [ -f "$d/$1" ] && echo user; [ -f "/etc/systemd/system/$1" ] && echo system; true`, serviceName));
  return (['user', 'system'] as const).find(whose => asked.stdout.split('\n').includes(whose));
}

const askScript = `${bus}; id -un; command -v deepstream-app || ls /opt/nvidia/deepstream/deepstream/bin/deepstream-app 2>/dev/null || echo; if systemctl --user show-environment >/dev/null 2>&1; then echo manager; else echo none; fi; loginctl show-user "$(id -un)" -p Linger 2>/dev/null || echo; echo "$HOME"`;

/** Writes the unit beside and renames it, tells systemd, starts it anew, and looks a second later whether it lives. */
const installScript = `set -e; ${bus}; ${folder}; mkdir -p "$d"; cat > "$d/.$1.part"; sync "$d/.$1.part" 2>/dev/null || sync; mv -T "$d/.$1.part" "$d/$1"; systemctl --user daemon-reload; systemctl --user enable "$1" >&2`;
const restartScript = `${bus}; systemctl --user reset-failed "$1" 2>/dev/null; systemctl --user restart "$1" || exit 1; sleep 1; systemctl --user is-active "$1" >&2`;

/** Installs the user's unit and starts it. Where there is no manager of the user's that outlives the login, the system's unit is left beside the releases and the notes say what root has to do. Throws `device-refused` without DeepStream. */
export async function installService(transport: Transport): Promise<readonly string[]> {
  const [user = '', program = '', manager = '', linger = '', home = ''] = (await must(transport, script(askScript))).split('\n');
  if (program === '')
    throw new EdgeError('device-refused', `"${transport.name}" has no deepstream-app: there is nothing for a service to run.`, {
      hint: 'Install DeepStream there (sudo apt install deepstream-7.1 or the release of its JetPack), or leave service out.',
    });
  if (manager === 'manager' && linger === 'Linger=yes') {
    await must(transport, script(installScript, serviceName), { input: Buffer.from(unitText(unitOf(program, '%h'))) });
    return restartService(transport);
  }
  const file = `${home}/.edgeforge/${serviceName}`;
  await must(transport, script('cat > ".$1.part" && mv -T ".$1.part" "$1"', serviceName), { input: Buffer.from(unitText(unitOf(program, home, user))) });
  const as = (...words: Command): string => commandText(['sudo', ...words]);
  const root = [as('install', '-m', '644', file, `/etc/systemd/system/${serviceName}`), as('systemctl', 'daemon-reload'), as('systemctl', 'enable', '--now', serviceName)];
  return [
    `The service is not installed: ${manager === 'manager' ? `what ${user} runs ends with the last login (no linger)` : `${user} has no service manager of its own`}.`,
    ...(manager === 'manager' ? [`Either let it stay, and deploy again: ${as('loginctl', 'enable-linger', user)}`] : []),
    `${manager === 'manager' ? 'Or run' : 'Run'} on the device, as a system service: ${root.join(' && ')}`,
  ];
}

/** Starts the installed service anew, where there is one; what it did not do stands in the notes. */
export async function restartService(transport: Transport): Promise<readonly string[]> {
  const whose = await installedService(transport);
  if (whose === undefined) return [];
  if (whose === 'system') {
    const words: Command = ['systemctl', 'restart', serviceName];
    const { exitCode } = await transport.exec(['sudo', '-n', ...words]);
    return exitCode === 0 ? [`${serviceName} is restarted`] : [`${serviceName} still runs the release before. Run on the device: ${commandText(['sudo', ...words])}`];
  }
  const { exitCode, stderr } = await transport.exec(script(restartScript, serviceName), { limitMs: 120_000 });
  if (exitCode === 0) return [`${serviceName} is restarted`];
  return [`${serviceName} does not run (${stderr.trim().split('\n').at(-1) || `exit code ${exitCode}`}). Look on the device: journalctl --user -u ${serviceName} -n 50`];
}

/** Stops and removes the user's unit, where there is one. A system's unit is root's to remove. */
export async function removeService(transport: Transport): Promise<void> {
  if ((await installedService(transport)) !== 'user') return;
  await transport.exec(script(`${bus}; ${folder}; systemctl --user disable --now "$1"; rm -f "$d/$1"; systemctl --user daemon-reload`, serviceName));
}
