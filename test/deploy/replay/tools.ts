import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type Fault, readSettings, standInMark } from './settings.ts';

// Stand-ins for the small programs of a board. argv: board.json, the program's name, its own words. State (mode, clocks, fan) is a file beside the settings.

const [settingsFile = '', tool = '', ...words] = process.argv.slice(2);
const { board, fault } = readSettings(settingsFile);
const folder = join(settingsFile, '..');
interface State {
  readonly mode: number;
  readonly locked: boolean;
  readonly fan: number;
  /** The clock that a card is held at. */
  readonly cardMHz?: number | undefined;
}
const stateFile = join(folder, 'state.json');
const state = (): State => (existsSync(stateFile) ? (JSON.parse(readFileSync(stateFile, 'utf8')) as State) : { mode: 0, locked: false, fan: 0 });
// Whole at any moment: others read it while it changes.
const change = (more: Partial<State>): void => {
  writeFileSync(`${stateFile}.new`, JSON.stringify({ ...state(), ...more }));
  renameSync(`${stateFile}.new`, stateFile);
};
const sample = (name: string): string => (existsSync(join(folder, name)) ? readFileSync(join(folder, name), 'utf8') : '');
const out = (text: string): void => void process.stdout.write(text);

const option = (name: string): string | undefined => {
  const at = words.indexOf(name);
  return at >= 0 ? words[at + 1] : words.find(word => word.startsWith(`${name}=`))?.slice(name.length + 1);
};

/** Only root may touch clocks, and only root's tegrastats tells those of GPU and memory: by our sudo, or as a board whose user is root. */
const isRoot = process.env.STAND_IN_ROOT === '1' || existsSync(join(folder, 'root'));
/** A file of the board's own. */
const file = (path: string): string => (path.startsWith('/') ? join(folder, '..', 'root', path) : path);
/** MHz that the board's own clock text has for the GPU. */
const gpuMHz = (): { readonly min: number; readonly max: number } => {
  const [, min = '306000000', max = '918000000'] = /^GPU MinFreq=(\d+) MaxFreq=(\d+)/m.exec(sample('clocks.txt')) ?? [];
  return { min: Math.floor(Number(min) / 1e6), max: Math.floor(Number(max) / 1e6) };
};

/** Something computes on the GPU: ours or another's. */
const busy = (): boolean => fault.foreignGpu === true || existsSync(join(folder, 'running'));

/** Lines of that board's own form, with load and clocks as they are now. */
async function tegrastats({ throttle }: Fault): Promise<number> {
  const line = sample('tegrastats.txt').trim();
  const clocks = gpuMHz();
  const load = (field: string): string => {
    const mhz = throttle ? clocks.min : state().locked || busy() ? clocks.max : clocks.min;
    return isRoot ? field.replace(/\d+(?=[\],])|(?<=@)\d+/g, String(mhz)).replace(/ \d+%/, ` ${busy() ? 99 : 0}%`) : ` GR3D_FREQ ${busy() ? 99 : 0}%`;
  };
  if (words.includes('--stop')) return 0;
  const everyMs = Number(option('--interval') ?? 1000);
  const logfile = option('--logfile');
  const unknown = words.find(word => word.startsWith('--') && !['--interval', '--logfile', '--start', '--stop', '--readall', '--verbose'].includes(word));
  if (unknown !== undefined) {
    out(`Unknown option: ${unknown}\nUsage: tegrastats [--interval <millisec>] [--logfile <filename>] [--readall] [--verbose] [--start | --stop]\n`);
    return 1;
  }
  process.on('SIGTERM', () => process.exit(143));
  for (let i = 0; ; i++) {
    const hot = throttle ? Math.min(95, 50 + 0.5 * i) : 45 + (i % 3) * 0.5;
    const text = `${line.replace(/((?:gpu|GPU)@)[\d.]+C/, `$1${hot}C`).replace(/ GR3D_FREQ \S+/, load)}\n`;
    if (logfile) writeFileSync(logfile, text, { flag: 'a' });
    else out(text);
    await pause(everyMs);
  }
}

function nvpmodel(): number {
  const modes = sample('modes.txt').trim().split('\n').filter(Boolean);
  const mode = option('-m');
  if (mode !== undefined) {
    if (modes[Number(mode)] === undefined) {
      process.stderr.write(`NVPM ERROR: power mode ${mode} is not in the configuration\n`);
      return 1;
    }
    if (fault.modeNeedsRestart) {
      out('NVPM WARN: Reboot required for changing to this power mode\nNVPM WARN: DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:\n');
      return 0;
    }
    change({ mode: Number(mode) });
    return 0;
  }
  out(`NV Power Mode: ${modes[state().mode]}\n${state().mode}\n`);
  return 0;
}

function jetsonClocks(): number {
  if (!isRoot) {
    process.stderr.write('Error: Run this script(/usr/bin/jetson_clocks) as a root user\n');
    return 1;
  }
  const [action, name = '/root/.jetsonclocks_conf.txt'] = words;
  const kept = file(name);
  if (action === '--show') {
    const text = sample('clocks.txt');
    out(state().locked ? text.replace(/MinFreq=(\d+) MaxFreq=(\d+) CurrentFreq=\d+/g, 'MinFreq=$2 MaxFreq=$2 CurrentFreq=$2').replace('FreqOverride=0', 'FreqOverride=1') : text);
  } else if (action === '--store') {
    if (existsSync(kept)) {
      out(`File ${name} already exists. Can I overwrite it? Y/N:\n`);
      if (!/^y$/i.test(readFileSync(0, 'utf8').trim())) {
        out(`Error: file ${name} already exists!\n`);
        return 1;
      }
    }
    mkdirSync(join(kept, '..'), { recursive: true });
    writeFileSync(kept, JSON.stringify(state()));
  } else if (action === '--restore') {
    if (!existsSync(kept)) {
      out(`Error: ${name} file not found !\n`);
      return 1;
    }
    if (!fault.restoreSlips) change(JSON.parse(readFileSync(kept, 'utf8')) as State);
  } else if (action === undefined || action === '--fan') {
    if (!fault.clocksSlip) change({ locked: true, ...(action === '--fan' ? { fan: 255 } : {}) });
  } else {
    out(`Unknown option: ${action}\n`);
    return 1;
  }
  return 0;
}

/** sudo -n over the board's own rules: a rule with words allows just those (patterns of the shell), `""` none, a bare program any. */
function sudo(): number {
  const rules = existsSync(join(folder, 'sudoers')) ? sample('sudoers').split('\n').filter(Boolean) : [];
  const asked = words.filter(word => word !== '-n');
  if (rules.length === 0) {
    process.stderr.write('sudo: a password is required\n');
    return 1;
  }
  if (asked[0] === '-l') {
    out(`User nvidia may run the following commands on ${board.name}:\n    (root) NOPASSWD: ${rules.join(', ')}\n`);
    return 0;
  }
  const [program = '', ...rest] = asked;
  const name = program.split('/').at(-1) ?? '';
  const allows = (rule: string): boolean => {
    const [path = '', ...given] = rule.split(' ');
    if (path.split('/').at(-1) !== name) return false;
    if (given.length === 0) return true;
    const pattern = given.join(' ') === '""' ? '' : given.join(' ');
    return new RegExp(`^${pattern.replaceAll('.', '\\.')}$`).test(rest.join(' '));
  };
  if (!rules.some(allows)) {
    process.stderr.write('sudo: a password is required\n');
    return 1;
  }
  return spawnSync(join(folder, '..', 'bin', name), rest, { stdio: 'inherit', env: { ...process.env, STAND_IN_ROOT: '1' } }).status ?? 1;
}

/** `-i 0 -lgc MIN,MAX` and `-i 0 -rgc`, as root; undefined: neither is asked. */
function cardClock(): number | undefined {
  const range = option('-lgc');
  if (range === undefined && !words.includes('-rgc')) return undefined;
  const [, least, most] = /^(\d+),(\d+)$/.exec(range ?? '0,0') ?? [];
  if (least === undefined || words.length !== (range === undefined ? 3 : 4) || option('-i') !== '0') {
    out(`Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n`);
    return 2;
  }
  if (!isRoot || (range === undefined && fault.restoreSlips)) {
    out('The current user does not have permission to change clocks for GPU 00000000:00:1E.0.\nTerminating early due to previous errors.\n');
    return 4;
  }
  if (!fault.clocksSlip) change({ cardMHz: range === undefined ? undefined : Number(most) });
  out(range === undefined ? 'All done.\n' : `GPU clocks set to "(gpuClkMin ${least}, gpuClkMax ${most})" for GPU 00000000:00:1E.0\nAll done.\n`);
  return 0;
}

async function nvidiaSmi(): Promise<number> {
  const clocked = cardClock();
  if (clocked !== undefined) return clocked;
  const query = option('--query-gpu');
  if (query === undefined) {
    if (words.some(word => word.startsWith('--query-compute-apps'))) {
      if (fault.foreignGpu) out('4321, /usr/bin/python3\n');
      return 0;
    }
    out(`${standInMark}: NVIDIA-SMI 550.90\n`);
    return 0;
  }
  const values = (): Readonly<Record<string, string>> => ({
    name: board.gpu,
    driver_version: '550.90.07',
    'memory.total': String(board.memoryMB),
    compute_cap: board.sm,
    'power.limit': '70.00',
    'power.draw': '41.25',
    'utilization.gpu': busy() ? '97' : '0',
    'temperature.gpu': '58',
    'clocks.sm': fault.throttle ? '585' : String(state().cardMHz ?? 1590),
    'clocks.max.sm': '1590',
    'clocks_throttle_reasons.active': fault.throttle ? '0x0000000000000020' : '0x0000000000000000',
    persistence_mode: 'Enabled',
  });
  const unknown = query.split(',').find(name => !Object.hasOwn(values(), name));
  if (unknown !== undefined) {
    out(`Field "${unknown}" is not a valid field to query.\n`);
    return 2;
  }
  const lineOf = (): string => {
    const now = values();
    return `${query
      .split(',')
      .map(name => now[name])
      .join(', ')}\n`;
  };
  const every = option('-lms') ?? option('--loop-ms');
  process.on('SIGTERM', () => process.exit(143));
  for (;;) {
    out(lineOf());
    if (every === undefined) return 0;
    await pause(Number(every));
  }
}

const tools: Readonly<Record<string, () => number | Promise<number>>> = {
  tegrastats: () => tegrastats(fault),
  nvpmodel,
  jetson_clocks: jetsonClocks,
  sudo,
  'nvidia-smi': nvidiaSmi,
};
process.exitCode = (await tools[tool]?.()) ?? 127;
