import { EdgeError } from '../core/errors.ts';
import { f32 } from '../graph/ir.ts';
import type { Crew } from './_crew.ts';
import type { WorkResult } from './_sample-work.ts';
import type { Batch, LoaderOptions } from './batches.ts';
import { annotationOf } from './placement.ts';
import { channelsOf } from './render.ts';

interface Row extends WorkResult {
  readonly row: number;
  readonly id: string;
}

/** A function that has the crew make one batch of an epoch: the rows of its position in the order, by the rules for a last batch and for corrupt files. */
export function openBatchMaker(options: LoaderOptions, crew: Crew): (position: number, order: readonly number[], epoch: number) => Promise<Batch> {
  const { manifest, batch, last = 'wrap' } = options;
  const spare: Float32Array<ArrayBuffer>[] = [];
  const count = manifest.samples.length;
  const annotations = manifest.samples.map(sample => annotationOf(sample, options.classes));

  async function makeRow(slot: number, row: number, order: readonly number[], at: number, epoch: number): Promise<Row | undefined> {
    for (let attempt = 0; attempt < count; attempt++) {
      const index = order[(at + attempt) % count]!;
      const { id, image } = manifest.samples[index]!;
      const made = await crew.make(slot, row, { index, epoch, image, annotation: annotations[index]! });
      if (!(made instanceof EdgeError)) return { row, id, ...made };
      if (made.code !== 'image-corrupt' || options.onCorrupt !== 'skip') throw made;
      options.onNote?.(`${made.message} It was skipped.`);
      if (last === 'pad') return undefined;
    }
    throw new EdgeError('dataset-invalid', `None of the ${count} images can be decoded.`, { hint: 'Look at the files: edgeforge data check' });
  }

  return async (position, order, epoch) => {
    const slot = await crew.takeSlot();
    try {
      const wanted = Array.from({ length: batch }, (_, row) => position * batch + row).filter(at => last !== 'pad' || at < count);
      // Settled, not raced: a slot given back while a row is still being written would spoil the next batch.
      const rows = await Promise.allSettled(wanted.map((at, row) => makeRow(slot, row, order, at, epoch)));
      const failed = rows.find(row => row.status === 'rejected');
      if (failed) throw failed.reason;
      return gather(
        options,
        crew,
        slot,
        rows.flatMap(row => (row.status === 'fulfilled' && row.value ? [row.value] : [])),
        spare,
      );
    } finally {
      crew.giveSlot(slot);
    }
  };
}

/** A copy out of the shared slot: the reader may keep it, and onnxruntime takes no shared memory. Memory that was given back is used again: fresh pages cost as much as the copy. */
function gather({ batch, preprocess, size }: LoaderOptions, crew: Crew, slot: number, rows: readonly Row[], spare: Float32Array<ArrayBuffer>[]): Batch {
  const channels = channelsOf(preprocess);
  const floatsPerRow = channels * size.width * size.height;
  const data = spare.pop() ?? new Float32Array(batch * floatsPerRow);
  rows.forEach(({ row }, position) => {
    data.set(crew.rowData(slot, row), position * floatsPerRow);
  });
  data.fill(0, rows.length * floatsPerRow);
  let given = false;
  return {
    release() {
      if (!given) spare.push(data);
      given = true;
    },
    images: f32([batch, channels, size.height, size.width], data),
    n: rows.length,
    ids: rows.map(({ id }) => id),
    annotations: rows.map(({ annotation }) => annotation),
    placements: rows.map(({ placement }) => placement),
  };
}
