import { describe, expect, it } from 'vitest';
import { doctorDevice, doctorModel } from '../../src/deploy/doctor.ts';
import type { Device } from '../../src/deploy/open-device.ts';
import { sudoersMend } from '../../src/deploy/sudo-rules.ts';
import { readOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { replay } from './replay/board.ts';
import { replayed } from './replay/boards.ts';
import { smallModel } from './replay/model.ts';

const rowsOf = (device: Device) => new Map(doctorDevice(device).map(row => [row.name, row]));
const small = readOnnx(smallModel());

it('an Orin Nano of 15 W: what is there, what is possible, and the exact command for each thing that is not', async () => {
  await using board = await replay(replayed.orinNano, { python: false });
  board.file('/etc/nvpmodel.conf', '< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n');
  board.program('id', 'case $1 in -un) echo nvidia;; -u) echo 1000;; *) exec /usr/bin/id "$@";; esac');
  board.program('sudo', 'echo "sudo: a password is required" >&2; exit 1');
  await using device = await board.open();
  const rows = rowsOf(device);
  expect(rows.get('power mode')).toMatchObject({ state: 'ok', value: '15W (of 0 15W, 1 25W)' });
  expect(rows.get('rights')).toMatchObject({ state: 'note', mend: sudoersMend({ user: 'nvidia' }) });
  expect(rows.get('python tensorrt')?.mend).toBe('sudo apt install python3-libnvinfer');
  expect(rows.get('int8')?.state).toBe('ok');
  expect(rows.has('clocks')).toBe(false);
  expect(rows.has('tao-converter')).toBe(false);
  expect([...rows.values()].filter(({ state, mend }) => state === 'missing' && !mend)).toEqual([]);

  // The rights given as told: now clocks can be read, and set.
  board.program(
    'sudo',
    `if [ "$2" = -l ]; then echo '    (root) NOPASSWD: /usr/sbin/nvpmodel -m [0-9], /usr/bin/jetson_clocks "", /usr/bin/jetson_clocks --show'; else shift; touch "${board.home}/stand-in/root"; exec "$@"; fi`,
  );
  await using again = await board.open();
  expect(rowsOf(again).get('rights')?.state).toBe('ok');
  expect(rowsOf(again).get('clocks')).toMatchObject({ state: 'note', value: expect.stringContaining('not locked'), mend: 'sudo jetson_clocks' });
});

it('a card’s clock: as found, held where that may be, blocked with its line for sudoers where it may not, and never for a Jetson', async () => {
  await using board = await replay(replayed.t4New);
  await using device = await board.open();
  const clock = (rights: 'some' | 'none', setting: Device['setting']) =>
    rowsOf({
      ...device,
      facts: {
        ...device.facts,
        user: 'nvidia',
        sudo: { rights, commands: rights === 'some' ? ['/usr/bin/nvidia-smi -i 0 -lgc 1005,1005', '/usr/bin/nvidia-smi -i 0 -rgc'] : [] },
      },
      setting,
    }).get('clock');
  expect(clock('none', {})).toMatchObject({ state: 'note', mend: expect.stringContaining('gpuMHz') });
  expect(clock('some', { gpuMHz: 1005 })).toMatchObject({ state: 'ok', value: expect.stringContaining('held at 1005 MHz') });
  expect(clock('none', { gpuMHz: 1005 })).toMatchObject({ state: 'blocked', mend: expect.stringContaining('-lgc 1005\\,1005') });
  await using jetson = await replay(replayed.xavierNx);
  await using xavier = await jetson.open();
  expect(rowsOf({ ...xavier, setting: { gpuMHz: 900 } }).get('clock')).toMatchObject({ state: 'blocked', value: expect.stringContaining('Jetson') });
  expect(rowsOf(xavier).has('clock')).toBe(false);
});

describe('a model on a device, before anything is uploaded', () => {
  const fits = (graph: typeof small, device: Device) => Object.fromEntries(doctorModel(graph, device).map(({ name, state, value }) => [name, `${state}: ${value}`]));
  it('by precision, DLA and operators', async () => {
    await using board = await replay(replayed.xavierNx);
    await using device = await board.open();
    expect(fits(small, device)).toMatchObject({
      'fp32 on GPU': expect.stringMatching(/^ok: about 17\d\d MiB to build/),
      'int8 on GPU': 'ok: with a calibration cache of this very model',
      'int8 on DLA 1': 'ok: all 6 operators are of kinds that a DLA computes',
    });
    const odd = new Builder('odd');
    odd.input('x', 'float32', [1, 3, 8, 8]);
    odd.input('grid', 'float32', [1, 4, 4, 2]);
    odd.op('GridSample', ['x', 'grid'], {}, { output: 'y' });
    odd.output('y', 'float32', [1, 3, 4, 4]);
    expect(fits(odd.graph(), device)['fp16 on GPU']).toBe('blocked: TensorRT 8.2.1 does not know GridSample');
    const soft = new Builder('soft');
    soft.input('x', 'float32', [1, 3, 8, 8]);
    soft.op('Softmax', [soft.op('Relu', ['x'])], {}, { output: 'y' });
    soft.output('y', 'float32', [1, 3, 8, 8]);
    expect(fits(soft.graph(), device)['fp16 on DLA 0']).toBe('note: 1 of 2 operators are of kinds that a DLA computes; Softmax would run on the GPU');
    const poor = { ...device, facts: { ...device.facts, availableMB: 900, swapFreeMB: 0 } };
    expect(fits(small, poor)['fp32 on GPU']).toMatch(/^blocked: building takes about 17\d\d MiB; 900 MiB are free/);
  });
});
