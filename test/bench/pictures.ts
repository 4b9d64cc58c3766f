import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { removeReadOnly } from '../../src/core/objects.ts';
import { stopServed } from '../../src/deploy/serve.ts';
import { terminalSvg } from '../ui/app/_svg.ts';
import { ensureBuilt, Terminal } from '../ui/app/_terminal.ts';

// The README's pictures of the interactive UI, from a real run: npm run pictures. Needs tmux; takes some minutes.

const folder = fileURLToPath(new URL('../../.pictures', import.meta.url));
const sizes = [
  [80, 24],
  [160, 45],
] as const;

ensureBuilt();
mkdirSync(folder, { recursive: true });
const work = mkdtempSync(join(tmpdir(), 'edge-pictures-'));
const project = join(work, 'cars');
using terminal = new Terminal({ columns: 80, rows: 24, cwd: work });

/** Captures what the terminal shows now at both sizes, as text and as SVG. */
async function take(name: string, wanted: RegExp): Promise<void> {
  for (const [columns, rows] of sizes) {
    terminal.resize(columns, rows);
    await new Promise(done => setTimeout(done, 1200));
    await terminal.until(wanted);
    const file = join(folder, `${name}-${columns}x${rows}`);
    writeFileSync(`${file}.svg`, terminalSvg(terminal.picture({ colours: true }), columns, rows));
    writeFileSync(`${file}.txt`, terminal.picture());
    console.log(`${file}.svg`);
  }
}

/** The scenes template with few images and epochs: every step is real, none takes long. */
function lighten(): void {
  const file = join(project, 'edgeforge.yaml');
  writeFileSync(file, readFileSync(file, 'utf8').replace('train: 600, validation: 150', 'train: 120, validation: 60').replace('images: 150', 'images: 60'));
  for (const [name, epochs] of [
    ['train', 6],
    ['retrain', 3],
  ] as const) {
    const spec = join(project, 'specs', `${name}.txt`);
    const text = readFileSync(spec, 'utf8');
    writeFileSync(spec, text.replace(/num_epochs: \d+/, `num_epochs: ${epochs}`).replace(/(validation_period_during_training|first_validation_epoch): \d+/g, '$1: 1'));
  }
}

try {
  terminal.start();
  await take('tour', /\(1\/3\)/);
  terminal.press('x', 'x', 'x');
  await terminal.until(/There is no project/);
  terminal.press('n', '1', 'C-u');
  terminal.type('cars');
  terminal.press('Enter');
  await terminal.until(/steps are stale/);
  lighten();
  terminal.press('R');
  await take('home', /steps are stale/);
  terminal.press(':');
  terminal.type('dep');
  await take('palette', /deploy to this device/);
  terminal.press('Escape');
  await terminal.until(/steps are stale/);
  terminal.press('r');
  await terminal.until(/running/);
  terminal.press('3');
  await terminal.until(/train .*\b(9\d|1\d\d)\/180 steps/, 300_000);
  await take('train', /running/);
  terminal.press('C-c');
  await take('leave', /detach: leave/);
  terminal.press('Escape', '9');
  await take('runs', /Steps of/);
  terminal.press('7');
  await terminal.until(/now (infer|benchmark|accuracy|build)/, 900_000);
  await take('deploy', /Steps on/);
  await terminal.until(/(done|exit code).*edgeforge run/, 900_000);
  for (const [key, name, wanted] of [
    ['1', 'done', /up to date/],
    ['2', 'data', /\[2 /],
    ['4', 'prune', /\[4 /],
    ['5', 'export', /\[5 /],
    ['8', 'benchmark', /\[8 /],
    ['0', 'log', /\[0 /],
  ] as const) {
    terminal.press(key);
    await new Promise(done => setTimeout(done, 4000));
    await take(name, wanted);
  }
  terminal.press('6');
  await terminal.until(/answers/);
  terminal.press('t');
  await terminal.until(/CPU \d+ %/);
  await new Promise(done => setTimeout(done, 15_000));
  await take('devices', /CPU \d+ %/);
} finally {
  for (const name of ['bench-a', 'bench-b']) await stopServed(project, name);
  await removeReadOnly(work);
}
