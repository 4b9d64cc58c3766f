import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { installedService, installService, restartService, serviceName } from '../../src/deploy/app-unit.ts';
import { cleanDevice } from '../../src/deploy/clean-device.ts';
import { replay } from './replay/board.ts';
import { replayed } from './replay/boards.ts';

/** A board whose systemctl and loginctl are stand-ins that write down how they were called. */
async function boardWith({ manager = true, linger = true, active = true }: { readonly manager?: boolean; readonly linger?: boolean; readonly active?: boolean } = {}) {
  const board = await replay(replayed.orinNano);
  const calls = join(board.home, 'systemctl-calls');
  board.program('systemctl', `echo "$*" >> ${calls}; case "$*" in *show-environment*) exit ${manager ? 0 : 1};; *is-active*) ${active ? 'exit 0' : 'echo failed; exit 3'};; esac`);
  board.program('loginctl', `echo Linger=${linger ? 'yes' : 'no'}`);
  return { board, calls: () => (existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : []), unit: join(board.home, '.config/systemd/user', serviceName) };
}

test('a user’s unit is written whole, enabled, started, restarted, and taken away with all the rest', async () => {
  const { board, calls, unit } = await boardWith();
  await using _ = board;
  await using device = await board.open();
  expect(await installedService(device.transport)).toBeUndefined();
  expect(await restartService(device.transport)).toEqual([]);
  expect(await installService(device.transport)).toEqual([`${serviceName} is restarted`]);
  const text = readFileSync(unit, 'utf8');
  expect(text).toContain(`ExecStart=${join(board.home, 'bin', 'deepstream-app')} -c deepstream_app.txt\n`);
  expect(text).toContain('WorkingDirectory=%h/.edgeforge/current\n');
  expect(await installedService(device.transport)).toBe('user');
  expect(await restartService(device.transport)).toEqual([`${serviceName} is restarted`]);
  expect(calls().filter(line => line === `--user restart ${serviceName}`).length).toBe(2);
  expect(calls()).toEqual(expect.arrayContaining(['--user daemon-reload', `--user enable ${serviceName}`]));
  await cleanDevice(device.transport);
  expect(existsSync(unit)).toBe(false);
  expect(calls()).toContain(`--user disable --now ${serviceName}`);
});

test('an application that dies at once is said, with where to look', async () => {
  const { board } = await boardWith({ active: false });
  await using _ = board;
  await using device = await board.open();
  expect((await installService(device.transport)).join('\n')).toMatch(/does not run \(failed\).*journalctl --user -u edgeforge-app/);
});

test.each([
  [{ manager: false }, /no service manager of its own/, false],
  [{ linger: false }, /ends with the last login/, true],
])('without a manager that outlives the login (%o) nothing is installed: the notes say what root has to do', async (has, why, lingers) => {
  const { board, calls, unit } = await boardWith(has);
  await using _ = board;
  await using device = await board.open();
  const notes = (await installService(device.transport)).join('\n');
  expect(notes).toMatch(why);
  expect(notes).toContain(
    `sudo install -m 644 ${board.home}/.edgeforge/${serviceName} /etc/systemd/system/${serviceName} && sudo systemctl daemon-reload && sudo systemctl enable --now ${serviceName}`,
  );
  expect(notes.includes('sudo loginctl enable-linger')).toBe(lingers);
  expect(readFileSync(board.remote(serviceName), 'utf8')).toMatch(/^User=\S+$/m);
  expect(existsSync(unit)).toBe(false);
  expect(calls().filter(line => /enable|restart/.test(line))).toEqual([]);
});

test('a board without DeepStream is refused', async () => {
  const { board } = await boardWith();
  await using _ = board;
  mkdirSync(join(board.home, 'bin'), { recursive: true });
  await using device = await board.open();
  const { transport } = device;
  writeFileSync(join(board.home, 'gone'), '');
  await transport.exec(['sh', '-c', 'rm "$HOME/bin/deepstream-app"']);
  await expect(installService(transport)).rejects.toMatchObject({ code: 'device-refused', message: expect.stringContaining('no deepstream-app') });
});
