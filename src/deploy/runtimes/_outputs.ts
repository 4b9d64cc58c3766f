import { z } from 'zod';
import { EdgeError } from '../../core/errors.ts';
import { f32, type Tensor } from '../../graph/ir.ts';
import type { Failure, TensorSet } from '../device.ts';

const outputsSchema = z.object({
  n: z.int().nonnegative(),
  outputs: z.array(z.object({ name: z.string(), file: z.string().regex(/^\d+\.bin$/), type: z.string(), dims: z.array(z.int().nonnegative()).max(8) })).max(64),
});

const jsonOf = (bytes: Uint8Array): unknown => {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
};

/** What our runners on a device leave: outputs.json and one raw float32 file per output → tensors [n, …]. */
export function readOutputs(files: ReadonlyMap<string, Uint8Array>): TensorSet | Failure {
  const index = files.get('outputs.json');
  if (!index) return new EdgeError('output-missing', 'The device wrote no list of outputs.', { hint: 'Run the same command again.' });
  const parsed = outputsSchema.safeParse(jsonOf(index));
  if (!parsed.success) return new EdgeError('file-corrupt', 'The list of outputs from the device is not readable.', { hint: 'Run the same command again.', cause: parsed.error });
  const tensors = new Map<string, Tensor>();
  for (const { name, file, type, dims } of parsed.data.outputs) {
    const bytes = files.get(file);
    const size = dims.reduce((product, dim) => product * dim, 1);
    if (type !== 'float32') return new EdgeError('format-unsupported', `The output "${name}" is ${type}, not float32.`, { hint: 'Export the network with float32 outputs.' });
    if (bytes?.byteLength !== size * 4)
      return new EdgeError('file-corrupt', `The output "${name}" has ${bytes?.byteLength ?? 0} bytes, ${dims.join('x')} float32 need ${size * 4}.`, {
        hint: 'Run the same command again.',
      });
    tensors.set(name, f32(dims, new Float32Array(bytes.slice().buffer)));
  }
  return { n: parsed.data.n, tensors };
}
