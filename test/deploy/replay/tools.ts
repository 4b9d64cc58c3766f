import { existsSync, readFileSync, writeFileSync } from 'node:fs';
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
}
const stateFile = join(folder, 'state.json');
const state = (): State => (existsSync(stateFile) ? (JSON.parse(readFileSync(stateFile, 'utf8')) as State) : { mode: 0, locked: false, fan: 0 });
const change = (more: Partial<State>): void => writeFileSync(stateFile, JSON.stringify({ ...state(), ...more }));
const sample = (name: string): string => (existsSync(join(folder, name)) ? readFileSync(join(folder, name), 'utf8') : '');
const out = (text: string): void => void process.stdout.write(text);

const option = (name: string): string | undefined => {
  const at = words.indexOf(name);
  return at >= 0 ? words[at + 1] : words.find(word => word.startsWith(`${name}=`))?.slice(name.length + 1);
};

/** Lines of that board's own form, with load and clocks as they are now. */
async function tegrastats({ throttle }: Fault): Promise<number> {
  const line = sample('tegrastats.txt').trim();
  if (words.includes('--stop')) return 0;
  const everyMs = Number(option('--interval') ?? 1000);
  const logfile = option('--logfile');
  process.on('SIGTERM', () => process.exit(143));
  for (let i = 0; ; i++) {
    const hot = throttle ? Math.min(95, 50 + 5 * i) : 45 + (i % 3) * 0.5;
    const text = `${line.replace(/((?:gpu|GPU)@)[\d.]+C/, `$1${hot}C`)}\n`;
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
    change({ mode: Number(mode) });
    return 0;
  }
  out(`NV Power Mode: ${modes[state().mode]}\n${state().mode}\n`);
  return 0;
}

function jetsonClocks(): number {
  if (!existsSync(join(folder, 'root'))) {
    process.stderr.write('Error: Run this script(/usr/bin/jetson_clocks) as a root user\n');
    return 1;
  }
  const file = option('--store') ?? option('--restore') ?? 'clocks.conf';
  if (words[0] === '--show') {
    const text = sample('clocks.txt');
    out(state().locked ? text.replace(/MinFreq=(\d+) MaxFreq=(\d+) CurrentFreq=\d+/g, 'MinFreq=$2 MaxFreq=$2 CurrentFreq=$2') : text);
  } else if (words[0] === '--store') writeFileSync(file, JSON.stringify(state()));
  else if (words[0] === '--restore') change(JSON.parse(readFileSync(file, 'utf8')) as State);
  else change({ locked: true, ...(words.includes('--fan') ? { fan: 255 } : {}) });
  return 0;
}

async function nvidiaSmi(): Promise<number> {
  const query = option('--query-gpu');
  if (query === undefined) {
    if (words.some(word => word.startsWith('--query-compute-apps'))) return 0;
    out(`${standInMark}: NVIDIA-SMI 550.90\n`);
    return 0;
  }
  const values: Readonly<Record<string, string>> = {
    name: board.gpu,
    driver_version: '550.90.07',
    'memory.total': String(board.memoryMB),
    compute_cap: board.sm,
    'power.limit': '70.00',
    'power.draw': '41.25',
    'utilization.gpu': '97',
    'temperature.gpu': '58',
    'clocks.sm': fault.throttle ? '585' : '1590',
    'clocks.max.sm': '1590',
    'clocks_throttle_reasons.active': fault.throttle ? '0x0000000000000020' : '0x0000000000000000',
    persistence_mode: 'Enabled',
  };
  const lineOf = (): string =>
    `${query
      .split(',')
      .map(name => values[name] ?? '[N/A]')
      .join(', ')}\n`;
  const every = option('-lms') ?? option('--loop-ms');
  process.on('SIGTERM', () => process.exit(143));
  for (;;) {
    out(lineOf());
    if (every === undefined) return 0;
    await pause(Number(every));
  }
}

async function deepstream(): Promise<number> {
  if (words.includes('--version')) {
    out(`deepstream-app version ${sample('deepstream.txt').trim()}\n${standInMark}\n`);
    return 0;
  }
  out('**PERF:  FPS 0 (Avg)\t\n**PERF:  0.00 (0.00)\t\n');
  const fps = 1000 / board.gpuMs.fp16;
  for (let i = 0; i < 4; i++) {
    await pause(1000 * board.pace);
    out(`**PERF:  ${(fps * (1 + 0.01 * (i % 2))).toFixed(2)} (${fps.toFixed(2)})\t\n`);
  }
  out('Quitting\nApp run successful\n');
  return 0;
}

const tools: Readonly<Record<string, () => number | Promise<number>>> = {
  tegrastats: () => tegrastats(fault),
  nvpmodel,
  jetson_clocks: jetsonClocks,
  'nvidia-smi': nvidiaSmi,
  'deepstream-app': deepstream,
};
process.exitCode = (await tools[tool]?.()) ?? 127;
