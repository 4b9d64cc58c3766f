import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { standInMark as productMark } from '../../src/deploy/device.ts';
import { type Answers, factsOf, splitAnswers } from '../../src/deploy/facts.ts';
import { gradeOf } from '../../src/deploy/grade.ts';
import { parseReport } from '../../src/formats/report.ts';
import { parseTrtexecLog } from '../../src/formats/trtexec.ts';
import { fixture } from '../formats/report-fixture.ts';
import { hasShared, shared } from '../shared.ts';
import { optionsOf } from './replay/options.ts';
import { standInMark } from './replay/settings.ts';

const answers = (given: Partial<Answers>): Answers =>
  splitAnswers(
    Object.entries({ machine: 'aarch64', cpuinfo: 'CPU part : 0xd42', ...given })
      .map(([name, text]) => `\u001e${name}\n${text}`)
      .join(''),
  );

describe('what a stand-in yields can never be called measured', () => {
  it('marks the device by its banner or by any program of it', () => {
    expect(factsOf(answers({}), 'id', 'now').emulated).toBe(false);
    expect(factsOf(answers({ banner: '&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # trtexec --help' }), 'id', 'now').emulated).toBe(false);
    expect(factsOf(answers({ banner: '&&&& RUNNING TensorRT.trtexec [TensorRT v8601] [emulated] # trtexec --help' }), 'id', 'now').emulated).toBe(true);
    expect(factsOf(answers({ standIns: 'tegrastats\n' }), 'id', 'now').emulated).toBe(true);
    expect(productMark).toBe(standInMark);
  });
  it('marks each log by itself, so that a stand-in put in later shows too', () => {
    const log =
      '&&&& RUNNING TensorRT.trtexec [TensorRT v101303] [b9] [emulated] # trtexec --onnx=m\n&&&& PASSED TensorRT.trtexec [TensorRT v101303] [b9] [emulated] # trtexec --onnx=m\n';
    expect(parseTrtexecLog(log)).toMatchObject({ emulated: true, version: '10.13.3', outcome: 'passed', command: 'trtexec --onnx=m' });
    expect(parseTrtexecLog(log.replaceAll(' [emulated]', ''))).not.toHaveProperty('emulated');
    expect(gradeOf({ emulated: false })).toBe('measured');
    expect(gradeOf({ emulated: true })).toBe('emulated');
    expect(gradeOf({ emulated: false }, { emulated: undefined }, { emulated: true })).toBe('emulated');
  });
  it('no report takes a measured number from an emulated device', () => {
    const report = fixture();
    expect(() => parseReport({ ...report, device: { ...report.device, emulated: true } })).toThrowError(expect.objectContaining({ code: 'file-corrupt' }));
    const graded = report.results.map(row => ({ ...row, evidence: { ...row.evidence, grade: 'emulated' as const } }));
    expect(parseReport({ ...report, baseline: [], results: graded, device: { ...report.device, emulated: true } }).results.length).toBe(graded.length);
  });
  it('one place alone grades a device’s number measured', () => {
    const src = fileURLToPath(new URL('../../src', import.meta.url));
    const saying = readdirSync(src, { recursive: true, encoding: 'utf8' })
      .filter(path => /^(core|deploy|pipeline)\/.*\.tsx?$/.test(path))
      .filter(path => /(grade:|\?|:|return)\s*'measured'/.test(readFileSync(join(src, path), 'utf8')));
    expect(saying).toEqual(['deploy/grade.ts']);
  });
});

it('takes the options that each real release lists in its own help', ({ skip }) => {
  if (!hasShared) skip();
  for (const [version, file] of [
    ['7.2.1', 'help-7.x.txt'],
    ['8.5.0', 'help-8.5.0.txt'],
    ['8.6.1', 'help-8.6.1.txt'],
    ['10.6.0', 'help-10.6.0.txt'],
  ] as const) {
    const help = readFileSync(shared('trtexec', 'help', file), 'utf8');
    const listed = new Set([...help.matchAll(/^ +--(\w+)/gm)].map(([, name]) => name!));
    const known = optionsOf(version);
    // Names that stand in a help text only, and those of the separate safe builder.
    const textOnly = ['output', 'layerPrecision', 'serialized', 'std', 'consistency', 'safe'];
    expect([version, [...listed].filter(name => !known.has(name) && !textOnly.includes(name))]).toEqual([version, []]);
    for (const gone of version.startsWith('10') ? ['workspace', 'explicitBatch', 'buildOnly', 'uff', 'maxBatch'] : ['skipInference'].filter(() => version < '8.6'))
      expect(known.has(gone)).toBe(false);
  }
});
