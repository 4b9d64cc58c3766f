import fc from 'fast-check';
import { expect, test } from 'vitest';
import { nvinferBox, nvinferInput, nvinferPlacement } from '../../src/data/nvinfer-input.ts';
import { renderInput } from '../../src/data/render.ts';

const pixels = (width: number, height: number) => ({ width, height, data: Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 37) % 256) });
const plain = { scale: 1, offsets: [], order: 'rgb', keepsAspect: false, symmetric: false, filter: 'bilinear' } as const;
const size = { width: 8, height: 6 };

test.each(['rgb', 'bgr', 'gray'] as const)('a frame of the input’s own size becomes what training saw: %s', order => {
  const offset = [10, 20, 30] as const;
  const channels = order === 'gray' ? 1 : 3;
  const [seen, trained] = [new Float32Array(channels * 48), new Float32Array(channels * 48)];
  for (const filter of ['nearest', 'bilinear'] as const) {
    nvinferInput(pixels(8, 6), size, { ...plain, filter, scale: 1 / 64, offsets: [...offset], order }, seen);
    renderInput(pixels(8, 6), size, { scale: 1 / 64, offset: [...offset], order, resize: 'stretch' }, trained);
    // nvinfer has whole gray values.
    seen.forEach((value, i) => {
      expect(Math.abs(value - (trained[i] ?? 0))).toBeLessThanOrEqual(order === 'gray' ? 0.5 / 64 + 1e-6 : 1e-6);
    });
  }
});
test('padding is black before scale and offsets, right and below, or on both sides', () => {
  const out = new Float32Array(3 * 48);
  const wide = { width: 16, height: 6, data: new Uint8Array(16 * 6 * 3).fill(255) };
  const placement = nvinferInput(wide, size, { ...plain, keepsAspect: true, offsets: [128, 128, 128] }, out);
  expect(placement).toMatchObject({ left: 0, top: 0, width: 8, height: 3 });
  expect([out[0], out[2 * 8], out[3 * 8], out[47]]).toEqual([127, 127, -128, -128]);
  expect(nvinferInput(wide, size, { ...plain, keepsAspect: true, symmetric: true }, out)).toMatchObject({ top: 1 });
});
test('boxes come back to where they were', () => {
  const side = fc.integer({ min: 16, max: 400 });
  fc.assert(
    fc.property(side, side, side, side, fc.boolean(), fc.boolean(), (w, h, W, H, keepsAspect, symmetric) => {
      const frame = { width: w, height: h };
      const placement = nvinferPlacement(frame, { width: W, height: H }, { keepsAspect, symmetric, filter: 'nearest' });
      const { left, top, width, height } = placement;
      expect(left + width <= W && top + height <= H).toBe(true);
      const whole = nvinferBox({ x1: left, y1: top, x2: left + width, y2: top + height }, placement);
      for (const [got, wanted] of [
        [whole.x1, 0],
        [whole.y1, 0],
        [whole.x2, w],
        [whole.y2, h],
      ] as const)
        expect(got).toBeCloseTo(wanted, 6);
    }),
  );
});
test('nearest picks a pixel, bilinear means two of a halving', () => {
  const ramp = { width: 4, height: 1, data: Uint8Array.from([0, 10, 20, 30].flatMap(value => [value, value, value])) };
  const line = (filter: 'nearest' | 'bilinear') => {
    const out = new Float32Array(3 * 2);
    nvinferInput(ramp, { width: 2, height: 1 }, { ...plain, filter }, out);
    return [...out.subarray(0, 2)];
  };
  expect([line('nearest'), line('bilinear')]).toEqual([
    [10, 30],
    [5, 25],
  ]);
});
