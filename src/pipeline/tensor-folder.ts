import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { f32, type Tensor } from '../graph/ir.ts';
import type { Annotation } from '../tasks/task.ts';

/** Tensors as a folder: tensors.json says n and each tensor's shape; one raw little-endian float32 file each. */
export interface TensorIndex {
  readonly n: number;
  readonly tensors: Readonly<Record<string, { readonly file: string; readonly dims: readonly number[] }>>;
  readonly ids?: readonly string[];
  /** Truth in network-input pixels, in the order of the images. */
  readonly annotations?: readonly Annotation[];
  readonly labels?: readonly string[];
}

/** Writes tensors (batch first) into a folder. */
export async function writeTensorFolder(
  folder: string,
  n: number,
  tensors: ReadonlyMap<string, Tensor>,
  more: Pick<TensorIndex, 'ids' | 'annotations' | 'labels'> = {},
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const index: TensorIndex = { n, tensors: Object.fromEntries([...tensors].map(([name, { dims }], i) => [name, { file: `${i}.f32`, dims }])), ...more };
  for (const [name, { file }] of Object.entries(index.tensors)) {
    const data = tensors.get(name)?.data as Float32Array;
    await writeFile(join(folder, file), new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  await writeFile(join(folder, 'tensors.json'), JSON.stringify(index));
}

export const readTensorIndex = async (folder: string): Promise<TensorIndex> => JSON.parse(await readFile(join(folder, 'tensors.json'), 'utf8')) as TensorIndex;

/** Reads such a folder back. */
export async function readTensorFolder(folder: string): Promise<TensorIndex & { readonly values: ReadonlyMap<string, Tensor> }> {
  const index = await readTensorIndex(folder);
  const values = new Map<string, Tensor>();
  for (const [name, { file, dims }] of Object.entries(index.tensors)) {
    const bytes = await readFile(join(folder, file));
    values.set(name, f32(dims, new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))));
  }
  return { ...index, values };
}
