import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { writeAtomic } from '../core/atomic-file.ts';
import { EdgeError } from '../core/errors.ts';
import { sizeOf, type Tensor } from '../graph/ir.ts';

const magic = 'EDGECKPT';
const version = 2;

const headerSchema = z.strictObject({
  version: z.literal(version),
  /** Epochs finished, batches seen and updates made. */
  epoch: z.number().int().nonnegative(),
  step: z.number().int().nonnegative(),
  updates: z.number().int().nonnegative(),
  /** What computed it. Another compute may go on from here, but not to the same bits. */
  compute: z.string().optional(),
  /** What must be equal for a resume to mean the same training. */
  identity: z.string(),
  best: z.strictObject({ epoch: z.number().int().nonnegative(), value: z.number() }).optional(),
  task: z.unknown(),
  history: z.array(z.unknown()),
  tensors: z.array(z.strictObject({ name: z.string(), dims: z.array(z.number().int().nonnegative()) })),
  digest: z.string(),
});
/** A moment of a training: everything that the next step depends on. Tensors are float32 in ONNX layout, by name of weight, slot or statistic. */
export type Checkpoint = Omit<z.infer<typeof headerSchema>, 'version' | 'tensors' | 'digest'> & { readonly tensors: ReadonlyMap<string, Tensor> };

/** Bytes: 'EDGECKPT', header length (uint32 LE), JSON header, then the tensors' float32 LE in header order. */
export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array {
  const { tensors, ...rest } = checkpoint;
  const body = Buffer.concat([...tensors.values()].map(tensor => bytesOf(tensor)));
  const header = Buffer.from(
    JSON.stringify({
      version,
      ...rest,
      tensors: [...tensors].map(([name, tensor]) => ({ name, dims: tensor.dims })),
      digest: createHash('sha256').update(body).digest('hex'),
    }),
  );
  const size = Buffer.alloc(4);
  size.writeUInt32LE(header.length);
  return Buffer.concat([Buffer.from(magic), size, header, body]);
}
const bytesOf = ({ data }: Tensor): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** Reads what `encodeCheckpoint` wrote. Throws `file-corrupt`, naming `file`, where a byte is missing or changed. */
export function decodeCheckpoint(bytes: Uint8Array, file: string): Checkpoint {
  const corrupt = (what: string, cause?: unknown) =>
    new EdgeError('file-corrupt', `The checkpoint ${file} ${what}.`, { hint: `Remove it, and the training starts again: rm "${file}"`, where: { file }, cause });
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < 12 || buffer.toString('latin1', 0, 8) !== magic) throw corrupt('is not one of ours');
  const start = 12 + buffer.readUInt32LE(8);
  if (start > buffer.length) throw corrupt('ends inside its header');
  let header: z.infer<typeof headerSchema>;
  try {
    header = headerSchema.parse(JSON.parse(buffer.toString('utf8', 12, start)));
  } catch (cause) {
    throw corrupt('has an unreadable header', cause);
  }
  const total = header.tensors.reduce((sum, tensor) => sum + 4 * sizeOf(tensor.dims), 0);
  if (buffer.length - start !== total) throw corrupt(`holds ${buffer.length - start} bytes of tensors where its header says ${total}`);
  if (createHash('sha256').update(buffer.subarray(start)).digest('hex') !== header.digest) throw corrupt('has changed since it was written');
  const tensors = new Map<string, Tensor>();
  let at = start;
  for (const { name, dims } of header.tensors) {
    const count = sizeOf(dims);
    const data = new Float32Array(count);
    new Uint8Array(data.buffer).set(buffer.subarray(at, at + 4 * count));
    tensors.set(name, { dataType: 'float32', dims, data });
    at += 4 * count;
  }
  const { version: _, tensors: __, digest: ___, ...rest } = header;
  return { ...rest, tensors };
}

/** Writes a checkpoint beside its place and renames it there: a reader sees the old one or the new one. */
export const writeCheckpoint = async (file: string, checkpoint: Checkpoint): Promise<void> => void (await writeAtomic(file, encodeCheckpoint(checkpoint)));
/** The checkpoint in a file, or undefined where there is none. */
export async function readCheckpoint(file: string): Promise<Checkpoint | undefined> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return decodeCheckpoint(bytes, file);
}
