import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { removeReadOnly } from '../../src/core/objects.ts';
import { stopServed } from '../../src/deploy/serve.ts';
import { ensureBuilt, Terminal } from '../ui/app/_terminal.ts';

// What the interactive UI costs: time to its first picture, CPU time and pictures over a minute of live training. npm run bench:ui; needs tmux and script(1).

const launcher = fileURLToPath(new URL('../../src/launch.cjs', import.meta.url));
const seconds = Number(process.argv[2] ?? 60);
const pause = (ms: number) => new Promise(done => setTimeout(done, ms));

/** CPU seconds that a process has used; clock ticks are 1/100 s on Linux. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Milliseconds from the start of the program on a pseudo-terminal until its tabs are drawn. */
async function firstPicture(cwd: string, config: string): Promise<number> {
  const started = performance.now();
  const env = { ...process.env, EDGEFORGE_CONFIG: config, LANG: 'C.UTF-8', TERM: 'xterm-256color', CI: undefined, NODE_ENV: undefined };
  const child = spawn('script', ['-qfc', `${process.execPath} ${launcher}`, '/dev/null'], { cwd, env: env as NodeJS.ProcessEnv, stdio: ['pipe', 'pipe', 'ignore'] });
  let took: number | undefined;
  child.stdout.on('data', (piece: Buffer) => {
    if (took !== undefined || !piece.includes('Home')) return;
    took = performance.now() - started;
    child.stdin.write('q');
    setTimeout(() => child.stdin.write('\u0003'), 300);
  });
  await new Promise(done => child.once('close', done));
  return took ?? Number.NaN;
}

function spread(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const quantile = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return `median ${quantile(0.5).toFixed(0)} ms, ${sorted[0]?.toFixed(0)}–${sorted.at(-1)?.toFixed(0)} ms (n ${values.length})`;
}

async function several(count: number, cwd: string, config: string): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < count; round++) times.push(await firstPicture(cwd, config));
  return times;
}

ensureBuilt();
const work = mkdtempSync(join(tmpdir(), 'edge-ui-bench-'));
const project = join(work, 'cars');
using terminal = new Terminal({ columns: 120, rows: 40, cwd: work });
try {
  writeFileSync(join(terminal.config, 'tour-seen'), '');
  terminal.start('init', 'cars');
  await terminal.until(/Made/);
  await firstPicture(project, terminal.config);
  console.log(`load before: ${loadavg()[0]?.toFixed(1)}`);
  console.log(`first picture, nothing else of ours running: ${spread(await several(10, project, terminal.config))}`);

  terminal.type('cd cars');
  terminal.press('Enter');
  terminal.start();
  await terminal.until(/steps are stale/);
  terminal.press('r');
  await terminal.until(/running/);
  terminal.press('3');
  await terminal.until(/loss/, 600_000);
  const log = join(work, 'bytes');
  terminal.record(log);
  const pid = terminal.program();
  const [before, startedAt] = [cpuSeconds(pid), performance.now()];
  await pause(seconds * 1000);
  const [used, wall] = [cpuSeconds(pid) - before, (performance.now() - startedAt) / 1000];
  const bytes = existsSync(log) ? readFileSync(log, 'latin1') : '';
  // Ink draws each picture between the two marks of synchronized output.
  const pictures = bytes.split('\u001b[?2026h').length - 1;
  console.log(
    `Train screen while training: ${used.toFixed(2)} s CPU in ${wall.toFixed(0)} s: ${((100 * used) / wall).toFixed(1)} % of one core; ${(pictures / wall).toFixed(1)} pictures/s, ${(bytes.length / wall / 1000).toFixed(1)} kB/s`,
  );
  console.log(`memory: ${/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]} kB`);
  console.log(`first picture while training: ${spread(await several(10, project, terminal.config))}`);

  process.kill(pid, 'SIGKILL');
  await terminal.until(/Killed/);
  const killedAt = performance.now();
  terminal.start();
  // The dead one showed Train.
  await terminal.until(/\[1 Home\][\s\S]* running /);
  console.log(`killed; started again it shows the run after ${(performance.now() - killedAt).toFixed(0)} ms`);
  terminal.press('C-c', 's');
  await terminal.until(/exit code 130/);
  console.log(`load after: ${loadavg()[0]?.toFixed(1)}`);
} finally {
  for (const name of ['bench-a', 'bench-b']) await stopServed(project, name);
  await removeReadOnly(work);
  rmSync(work, { recursive: true, force: true });
}
