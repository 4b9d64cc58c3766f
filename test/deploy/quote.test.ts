import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { commandText, quote, remoteText, script } from '../../src/deploy/quote.ts';

const word = fc.string({ unit: 'binary', maxLength: 40 }).filter(text => !text.includes('\0') && Buffer.from(text).toString() === text);
const nasty = fc.constantFrom("'", "''", '"', '$HOME', '`id`', '$(id)', '\\', '\n', '!!', '*', '~', '#', '-n', '', ' ', 'a=b', ';rm -rf x', '\u00e4\u{1f600}', 'if', '{', '&&');

it('every word comes back from a real shell as it went in', () => {
  // One shell for many words: a hundred processes would be slow.
  fc.assert(
    fc.property(fc.array(fc.oneof(word, nasty), { minLength: 1, maxLength: 60 }), words => {
      const out = execFileSync('/bin/sh', ['-c', `for w in ${words.map(quote).join(' ')}; do printf '%s\\000' "$w"; done`]);
      expect(out.toString().split('\0').slice(0, -1)).toEqual(words);
    }),
    { numRuns: 60 },
  );
});

it('runs the very words in the edgeforge home, with the environment given', () => {
  const home = mkdtempSync(join(tmpdir(), 'edge-quote-'));
  const text = remoteText(script('printf "%s|" "$PWD" "$A" "$@"', "it's", '$HOME', ''), { cwd: "a 'b", env: { A: '`x` "y"' } });
  expect(execFileSync('/bin/sh', ['-c', text], { env: { HOME: home, PATH: process.env.PATH ?? '' } }).toString()).toBe(`${home}/.edgeforge/a 'b|\`x\` "y"|it's|$HOME||`);
  rmSync(home, { recursive: true });
});

it('leaves plain words readable and refuses what no program can take', () => {
  expect(commandText(['trtexec', '--onnx=store/ab', '--shapes=x:1x3'])).toBe('trtexec --onnx=store/ab --shapes=x:1x3');
  expect(() => quote('a\0b')).toThrowError(expect.objectContaining({ code: 'usage' }));
  expect(() => remoteText(['true'], { env: { 'A;B': '' } })).toThrowError(expect.objectContaining({ code: 'usage' }));
});
