import protobuf from 'protobufjs';
import { EdgeError } from '../core/errors.ts';
import { frameTfrecords, tfrecordPayloads } from './tfrecord.ts';

/** One event of a TensorBoard file: scalars by tag at a step. `wallSeconds` counts from 1970. The first event of a file names its version and has no scalars. */
export interface TensorboardEvent {
  readonly wallSeconds: number;
  readonly step: number;
  readonly scalars: Readonly<Record<string, number>>;
  readonly version?: string;
}

// The fields of tensorflow/core/util/event.proto and framework/summary.proto that scalars need.
const eventType = protobuf
  .parse(
    `syntax = "proto3";
     message Value { string tag = 1; float simple_value = 2; }
     message Summary { repeated Value value = 1; }
     message Event { double wall_time = 1; int64 step = 2; oneof what { string file_version = 3; Summary summary = 5; } }`,
    new protobuf.Root(),
    { keepCase: true },
  )
  .root.lookupType('Event');

/** Events as bytes to append to an events.out.tfevents file (TFRecord framing). */
export function encodeTensorboard(events: Iterable<TensorboardEvent>): Uint8Array {
  return frameTfrecords(
    Array.from(events, ({ wallSeconds, step, scalars, version }) => {
      const what = version === undefined ? { summary: { value: Object.entries(scalars).map(([tag, value]) => ({ tag, simple_value: value })) } } : { file_version: version };
      return eventType.encode(eventType.create({ wall_time: wallSeconds, step, ...what })).finish();
    }),
  );
}

/** The event that every file starts with. */
export const tensorboardStart = (wallSeconds: number): TensorboardEvent => ({ wallSeconds, step: 0, scalars: {}, version: 'brain.Event:2' });

/** Reads an events file back. Throws `file-corrupt` where a checksum or a message is wrong. */
export function readTensorboard(bytes: Uint8Array, file?: string): TensorboardEvent[] {
  return Array.from(tfrecordPayloads(bytes, file), payload => {
    try {
      const event = eventType.toObject(eventType.decode(payload), { longs: Number, defaults: true, arrays: true }) as {
        readonly wall_time: number;
        readonly step: number;
        readonly file_version?: string;
        readonly summary?: { readonly value: readonly { readonly tag: string; readonly simple_value: number }[] } | null;
      };
      const scalars = Object.fromEntries((event.summary?.value ?? []).map(({ tag, simple_value }) => [tag, simple_value]));
      return { wallSeconds: event.wall_time, step: event.step, scalars, ...(event.file_version ? { version: event.file_version } : {}) };
    } catch (cause) {
      throw new EdgeError('file-corrupt', `An event of ${file ?? 'the TensorBoard file'} cannot be read.`, {
        hint: 'Train again; the file is written anew.',
        where: file === undefined ? undefined : { file },
        cause,
      });
    }
  });
}
