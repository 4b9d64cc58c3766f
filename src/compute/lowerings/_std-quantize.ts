import { int, intOf, type Node, sizeOf } from '../../graph/ir.ts';
import { dimsOf, type EmitContext, unique, words } from './_emit.ts';

/** There and back through int8. */
export function fakeQuantize(node: Node, { builder, types }: EmitContext): void {
  const [x = '', scale = ''] = node.inputs;
  const dims = dimsOf(types, scale);
  const zero = builder.weight(unique(builder, 'zero_point'), { dataType: 'int8', dims, data: new Int8Array(sizeOf(dims)) });
  const axis = dims.length === 0 ? {} : { axis: int(intOf(node, 'axis', 0)) };
  const { op } = words(builder);
  op('DequantizeLinear', [op('QuantizeLinear', [x, scale, zero], axis), scale, zero], axis, node.outputs[0]);
}
