import { EdgeError } from '../core/errors.ts';
import { sizeOf, type Tensor } from '../graph/ir.ts';

/** The one name that contains `part` ('cov', 'bbox', 'predictions'), the way DeepStream's parser finds it. Throws `graph-invalid` listing what there is. */
export function outputNamed(names: readonly string[], part: string): string {
  const found = names.find(name => name === `output_${part}` || name === part) ?? names.find(name => name.includes(part));
  if (found !== undefined) return found;
  throw new EdgeError('graph-invalid', `The network has no output whose name contains "${part}"; it has: ${names.join(', ') || 'none'}.`, {
    hint: 'Give the project’s task the network it was trained for, or name the outputs output_bbox and output_cov (predictions for a classifier).',
  });
}

/** An output's values, checked to be float32 of these dims. Throws `shape-mismatch`. */
export function floatsOf(name: string, tensor: Tensor | undefined, dims: readonly number[]): Float32Array {
  if (tensor?.data instanceof Float32Array && tensor.dataType === 'float32' && sizeOf(tensor.dims) === sizeOf(dims) && dims.every((dim, i) => tensor.dims[i] === dim))
    return tensor.data;
  const given = tensor === undefined ? 'absent' : `${tensor.dataType} [${tensor.dims.join(', ')}]`;
  throw new EdgeError('shape-mismatch', `The output ${name} is ${given}; the task's settings want float32 [${dims.join(', ')}].`, {
    hint: 'Check the classes, the size and the stride in the spec against the network: edgeforge inspect FILE.',
  });
}
