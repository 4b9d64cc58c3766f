import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemdWord, unitText } from '../../src/formats/systemd-unit.ts';

const verifier = '/usr/bin/systemd-analyze';
const can = spawnSync(verifier, ['--version']).status === 0;
if (!can) console.warn('SKIPPED: systemd’s own judgement of our units, because systemd-analyze is absent (apt-get install systemd).');
const common = { description: '100 % ours', restartSec: 5, starts: { most: 5, withinSec: 300 } };
/** What systemd says of a unit of that text; empty where it has nothing to say. */
function verdict(text: string, scope: '--user' | '--system'): string {
  const folder = mkdtempSync(join(tmpdir(), 'edge-unit-'));
  try {
    const file = join(folder, 'edgeforge-app.service');
    writeFileSync(file, text);
    const { status, stderr } = spawnSync(verifier, ['verify', scope, '--man=no', '--recursive-errors=no', file], {
      encoding: 'utf8',
      env: { ...process.env, XDG_RUNTIME_DIR: folder },
    });
    const own = stderr.split('\n').filter(line => line.includes('edgeforge-app'));
    return status === 0 ? own.join('\n') : `exit code ${status}: ${stderr}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test('the unit says what keeps it alive and where it stops trying', () => {
  expect(unitText({ ...common, workingDirectory: '%h/.edgeforge/current', words: ['/usr/bin/deepstream-app', '-c', 'deepstream_app.txt'] })).toBe(`# Written by edgeforge.
[Unit]
Description=100 %% ours
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=simple
WorkingDirectory=%h/.edgeforge/current
ExecStart=/usr/bin/deepstream-app -c deepstream_app.txt
Restart=on-failure
RestartSec=5

[Install]
WantedBy=default.target
`);
});

test('words mean themselves: nothing in them is a specifier, a variable or an end', () => {
  expect(systemdWord('plain-1.2/x')).toBe('plain-1.2/x');
  expect(systemdWord('50%')).toBe('50%%');
  expect(systemdWord('a b')).toBe('"a b"');
  expect(systemdWord('$HOME "x" \\')).toBe('"$$HOME \\"x\\" \\\\"');
  expect(systemdWord('')).toBe('""');
  expect(systemdWord(';')).toBe('";"');
  for (const word of ['a\nExecStartPost=/bin/evil', 'a\0', 'a\rb']) expect(() => systemdWord(word)).toThrow(expect.objectContaining({ code: 'usage' }));
  for (const program of ['deepstream-app', '/a"b', "/it's", '/a\\b', '/a\nb'])
    expect(() => unitText({ ...common, workingDirectory: '%h', words: [program] })).toThrow(expect.objectContaining({ code: 'usage' }));
});

test.skipIf(!can)('systemd-analyze verify finds nothing, in a user’s unit and in the system’s, hostile paths included; and it does find a broken one', { timeout: 60_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'edge unit $x %h '));
  try {
    const program = join(folder, 'deepstream-app');
    writeFileSync(program, '#!/bin/sh\n');
    chmodSync(program, 0o755);
    for (const words of [
      ['/bin/true', '-c', 'deepstream_app.txt'],
      [program, '-c', 'it\'s $HOME %n; \\ "x"'],
    ] as const) {
      expect(verdict(unitText({ ...common, workingDirectory: '%h/.edgeforge/current', words }), '--user')).toBe('');
      expect(verdict(unitText({ ...common, workingDirectory: '/home/nvidia/.edgeforge/current', words, user: 'nvidia' }), '--system')).toBe('');
    }
    expect(verdict(unitText({ ...common, workingDirectory: '%h', words: ['/nowhere/deepstream-app'] }), '--user')).not.toBe('');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
