import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Device, openDevice } from '../../../src/deploy/open-device.ts';
import { addDevice } from '../../../src/deploy/registry.ts';
import { board } from '../harness.ts';
import type { ReplayedBoard } from './boards.ts';
import { type BoardSettings, type Fault, standInMark } from './settings.ts';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Tools that are too large to stand beside the small ones. */
const ownFiles = new Map([
  ['trtexec', 'trtexec.ts'],
  ['deepstream-app', 'deepstream.ts'],
  ['tao-converter', 'converter.ts'],
  ['tlt-converter', 'converter.ts'],
]);
/** The machine's own Python, past any shims; empty where there is none. */
const realPython = spawnSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).stdout?.trim() ?? '';
/** Without it the boards have no Python module either, and their images go through one process each. */
export const hasPython = realPython !== '';
if (!hasPython) console.warn('SKIPPED: the Python runner on replayed boards, because python3 is absent (apt-get install python3).');

function program(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\n# ${standInMark}: plays back what a board's own program would do; its numbers are emulated.\n${text}\n`);
  chmodSync(file, 0o755);
}

/** Programs that read a machine's files: those of the board where it has them, else the real ones; where neither is, none. */
function machinePrograms(bin: string, root: string, { machine }: ReplayedBoard): void {
  const redirected = `for a in "$@"; do case $a in /*) if [ -e ${quoted(root)}"$a" ]; then set -- "$@" ${quoted(root)}"$a"; else case $a in /proc/device-tree/*|/etc/nv_tegra_release|/sys/*|/usr/local/cuda*|/usr/lib/*nvinfer*|/opt/nvidia/*|/usr/src/tensorrt/*|/etc/nvpmodel.conf) set -- "$@" /nowhere"$a";; *) set -- "$@" "$a";; esac; fi;; *) set -- "$@" "$a";; esac; shift; done`;
  // Neighbours that take nine tenths of four processors, where the board has a file /busy; else its processors rest.
  const load = `if [ "$*" = /proc/stat ]; then if [ -e ${quoted(join(root, 'busy'))} ]; then exec awk '{ printf "cpu %d 0 0 %d 0 0 0 0\\n", $1 * 360, $1 * 40 }' /proc/uptime; else exec awk '{ printf "cpu 1 0 0 %d 0 0 0 0\\n", $1 * 400 }' /proc/uptime; fi; fi`;
  program(join(bin, 'cat'), `${load}; ${redirected}; exec /bin/cat "$@"`);
  // What the caller's shell could not expand, since it looked outside the board, is a pattern of the board's.
  const patterns = `for a in "$@"; do case $a in /*\\**) n=0; for f in ${quoted(root)}$a; do [ -e "$f" ] && n=1 && set -- "$@" "\${f#${root}}"; done; [ $n = 1 ] || set -- "$@" "$a";; *) set -- "$@" "$a";; esac; shift; done`;
  program(join(bin, 'ls'), `${patterns}; ${redirected}; o=$(/bin/ls "$@"); r=$?; [ -z "$o" ] || echo "$o" | sed ${quoted(`s#^${root}##`)}; exit $r`);
  program(join(bin, 'uname'), `case $1 in -m) echo ${machine};; -r) echo 5.15.148-tegra;; *) exec /bin/uname "$@";; esac`);
  program(join(bin, 'getconf'), `case $1 in GNU_LIBC_VERSION) /bin/cat ${quoted(join(root, 'glibc'))};; *) exec /usr/bin/getconf "$@";; esac`);
  program(join(bin, 'dpkg-query'), `case "$*" in *nvidia-l4t-core*) exit 1;; esac; /bin/cat ${quoted(join(root, 'dpkg'))}`);
}

/** A replayed board on loopback: the embedded SSH server over a home whose PATH begins with the stand-ins. Everything on it is emulated. */
export async function replay(replayed: ReplayedBoard, { python = true, ...more }: Partial<BoardSettings> & { readonly python?: boolean } = {}) {
  const settings = { ...replayed.settings, ...more };
  const base = await board({ path: home => join(home, 'bin') });
  const { home } = base;
  const [bin, root, data] = [join(home, 'bin'), join(home, 'root'), join(home, 'stand-in')];
  mkdirSync(data, { recursive: true });
  const settingsFile = join(data, 'board.json');
  writeFileSync(settingsFile, JSON.stringify(settings));
  for (const [name, text] of Object.entries(replayed.samples)) writeFileSync(join(data, name), text);
  const files = { ...replayed.files, '/proc/cpuinfo': replayed.cpuinfo, '/dpkg': replayed.dpkg };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  machinePrograms(bin, root, replayed);
  const node = `NODE_COMPILE_CACHE=${quoted(join(tmpdir(), 'edge-compile-cache'))} exec ${quoted(process.execPath)} --no-warnings`;
  const rules = join(data, 'sudoers');
  program(
    join(bin, 'sudo'),
    `[ -s ${quoted(rules)} ] || { echo 'sudo: a password is required' >&2; exit 1; }; ${node} ${quoted(here('tools.ts'))} ${quoted(settingsFile)} sudo "$@"`,
  );
  const user = `[ -e ${quoted(join(data, 'root'))} ] && exec /usr/bin/id "$@"`;
  program(join(bin, 'id'), `${user}; case $* in -u) echo 1000;; -un) echo nvidia;; *) echo 'uid=1000(nvidia) gid=1000(nvidia)';; esac`);
  for (const tool of replayed.tools)
    program(
      join(bin, tool),
      ownFiles.has(tool)
        ? `${node} ${quoted(here(ownFiles.get(tool) ?? ''))} ${quoted(settingsFile)} "$@"`
        : `${node} ${quoted(here('tools.ts'))} ${quoted(settingsFile)} ${tool} "$@"`,
    );
  // Only a board with JetPack's Python module has one; the machine's own Python runs it.
  const env = { PYTHONPATH: here('python'), PYTHONDONTWRITEBYTECODE: '1', STAND_IN_BOARD: settingsFile, STAND_IN_NODE: process.execPath, STAND_IN_HOST: here('engine-host.ts') };
  const exports = Object.entries(env).map(([name, value]) => `export ${name}=${quoted(value)}`);
  if (hasPython) program(join(bin, 'python3'), `${python ? exports.join('; ') : ':'}; exec ${quoted(realPython)} "$@"`);
  const config = join(data, 'config');
  const key = join(data, 'id');
  writeFileSync(key, base.client.private, { mode: 0o600 });
  const definition = { ssh: `edge@127.0.0.1:${base.server.port}`, identityFile: key };
  await addDevice(settings.name, definition.ssh, { config, identityFile: key });
  return {
    ...base,
    settings,
    /** Where it is pinned, and how a project file would name it. */
    config,
    definition,
    open: (): Promise<Device> => openDevice({ name: settings.name, definition, project: data, config }),
    /** What goes wrong from now on; nothing: all is well. */
    fail(fault: Fault = {}): void {
      writeFileSync(join(data, 'fault.json'), JSON.stringify(fault));
    },
    /** Gives the board another text for one of its files, or takes it away. */
    file(path: string, text: string | undefined): void {
      if (text === undefined) rmSync(join(root, path), { force: true });
      else {
        mkdirSync(dirname(join(root, path)), { recursive: true });
        // Whole at any moment: the board reads it while a test changes it.
        writeFileSync(`${join(root, path)}.new`, text);
        renameSync(`${join(root, path)}.new`, join(root, path));
      }
    },
    /** The line that `doctor` gives for /etc/sudoers.d, as the board's sudo knows it; none: it asks for a password. */
    allow(mend: string | undefined): void {
      const [, commands = ''] = /NOPASSWD: ([^']*)'/.exec(mend ?? '') ?? [];
      writeFileSync(rules, commands.split(', ').join('\n'));
    },
    /** Mode, clocks and fan as they are now. */
    state: (): { readonly mode: number; readonly locked: boolean; readonly fan: number; readonly cardMHz?: number } =>
      existsSync(join(data, 'state.json')) ? JSON.parse(readFileSync(join(data, 'state.json'), 'utf8')) : { mode: 0, locked: false, fan: 0 },
    /** A program of the board's own, as shell text. */
    program: (name: string, text: string) => program(join(bin, name), text),
    remote: (...path: string[]) => join(home, '.edgeforge', ...path),
    [Symbol.asyncDispose]: () => base[Symbol.asyncDispose](),
  };
}
