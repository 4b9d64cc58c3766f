import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { removeReadOnly } from '../../../src/core/objects.ts';
import { stopServed } from '../../../src/deploy/serve.ts';
import { shrink, tinyYaml } from '../../pipeline/_tiny-project.ts';
import { ensureBuilt, hasTmux, Terminal } from './_terminal.ts';

const tmux = hasTmux();
if (!tmux) console.warn('SKIPPED: the interactive UI end to end needs tmux (apt install tmux).');
const oneDevice = tinyYaml.slice(0, tinyYaml.indexOf('  bench-b'));

describe.skipIf(!tmux)('the interactive UI, by keys only', () => {
  it('makes a project, data, a training, a pruning, a deploy and a report; killed on the way, it shows all when it comes back, and so does a second one', {
    timeout: 600_000,
  }, async () => {
    ensureBuilt();
    const folder = mkdtempSync(join(tmpdir(), 'edge-ui-'));
    const project = join(folder, 'tiny');
    using terminal = new Terminal({ columns: 100, rows: 30, cwd: folder });
    try {
      terminal.start();
      await terminal.until(/\(1\/3\)/);
      terminal.press('x', 'x', 'x');
      await terminal.until(/There is no project in/);
      terminal.press('n', '1');
      await terminal.until(/in which folder/);
      terminal.press('C-u');
      terminal.type('tiny');
      terminal.press('Enter');
      await terminal.until(/\d+ of \d+ steps are stale/);

      // A small one of its kind; the UI is told to look again.
      shrink(project, { yaml: oneDevice });
      terminal.press('R');
      await terminal.until(/devices: \S bench-a \(linux-x64\)\s*$/m);

      for (const step of ['scenes', 'train', 'prune']) {
        terminal.type(`/${step}`);
        terminal.press('Enter', 'Enter');
        await terminal.until(new RegExp(`done.*edgeforge run '${step}'`));
      }

      terminal.press('7', 'd');
      await terminal.until(/running.*edgeforge deploy bench-a/);
      // A second one watches the same run, and does not mind what becomes of the first.
      using second = new Terminal({ columns: 100, rows: 30, cwd: project });
      second.start();
      await second.until(/(running|done).*edgeforge deploy bench-a/);
      process.kill(terminal.program(), 'SIGKILL');
      await terminal.until(/Killed/);
      terminal.type('cd tiny');
      terminal.press('Enter');
      terminal.start();
      const back = await terminal.until(/(running|done).*edgeforge deploy bench-a/);
      expect(back).not.toContain('(1/3)');
      terminal.press('7');
      await terminal.until(/done.*edgeforge deploy bench-a/);
      await terminal.until(/bench-a +\S up to date/);
      await second.until(/done.*edgeforge deploy bench-a/);
      terminal.press('o');
      const report = await terminal.until(/images\/s/);
      expect(report).toContain('edgeforge report bench-a');
      terminal.press('Escape');

      // Every command that the device was given stands in the log.
      terminal.press('0', 'c');
      await terminal.until(/\[bench-a\] \$ /);
      const runs = readdirSync(join(project, '.edgeforge', 'runs')).sort();
      expect(readFileSync(join(project, '.edgeforge', 'runs', runs.at(-1) ?? '', 'events.ndjson'), 'utf8')).toContain('"run-finished","ok":true');
      terminal.press('C-c');
      await terminal.until(/shell> *$/m);
    } finally {
      await stopServed(project, 'bench-a');
      await removeReadOnly(folder);
    }
  });
});
