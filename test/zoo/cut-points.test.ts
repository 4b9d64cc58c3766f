import { describe, expect, test } from 'vitest';
import { Builder } from '../../src/graph/builder.ts';
import type { TensorType } from '../../src/graph/ir.ts';
import { cutPoints } from '../../src/zoo/cut-points.ts';

describe('cut points', () => {
  test('lie between residual blocks, never inside one, and not on dead branches', () => {
    const b = new Builder();
    const x = b.input('x', 'float32', ['N', 3, 32, 32]);
    const types = new Map<string, TensorType>();
    const op = (type: string, inputs: string[], output: string, dims: TensorType['dims'] = ['N', 8, 16, 16]) => {
      types.set(output, { dataType: 'float32', dims });
      return b.op(type, inputs, {}, { output });
    };
    const stem = op('Relu', [x], 'stem');
    const left = op('Relu', [stem], 'left');
    op('Sigmoid', [stem], 'dead');
    const sum = op('Add', [left, stem], 'sum');
    const a = op('Relu', [sum], 'a', ['N', 8, 8, 8]);
    const c = op('Sigmoid', [sum], 'c', ['N', 8, 8, 8]);
    const joined = op('Add', [a, c], 'joined', ['N', 8, 8, 8]);
    b.output(op('Flatten', [joined], 'flat', ['N', 512]), 'float32', ['N', 512]);
    expect(cutPoints(b.graph(), types)).toEqual([
      { name: 'stem', channels: 8, height: 16, width: 16 },
      { name: 'sum', channels: 8, height: 16, width: 16 },
      { name: 'joined', channels: 8, height: 8, width: 8 },
    ]);
  });
});
