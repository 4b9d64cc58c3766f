import { maskedCrc32c } from '../../../formats/crc32c.ts';
import { decodeExample, tfrecordPayloads } from '../../../formats/tfrecord.ts';
import { type Inspection, shortened } from './inspection.ts';

/** True where the bytes begin with a TFRecord's length and that length's checksum. */
export function isTfrecords(bytes: Uint8Array): boolean {
  if (bytes.length < 16) return false;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(8, true) === maskedCrc32c(bytes.subarray(0, 8));
}

/** A TFRecord file: records, features with their kinds and counts, objects per class, the first frames. Every checksum is checked. */
export function inspectTfrecords(bytes: Uint8Array, file: string): Inspection {
  const features = new Map<string, { kind: string; records: number; values: number }>();
  const classes = new Map<string, number>();
  const frames: string[] = [];
  let records = 0;
  const text = new TextDecoder();
  for (const payload of tfrecordPayloads(bytes, file)) {
    for (const [name, { kind, values }] of decodeExample(payload, records, payload.byteOffset - bytes.byteOffset - 12, file)) {
      const seen = features.get(name) ?? { kind, records: 0, values: 0 };
      features.set(name, { kind: seen.kind === 'empty' ? kind : seen.kind, records: seen.records + 1, values: seen.values + values.length });
      if (kind !== 'bytes') continue;
      if (name === 'target/object_class') for (const value of values) classes.set(text.decode(value), (classes.get(text.decode(value)) ?? 0) + 1);
      if (name === 'frame/id' && frames.length < 5 && values[0]) frames.push(text.decode(values[0]));
    }
    records++;
  }
  const encoded = features.has('frame/encoded') || features.has('image/encoded');
  return {
    kind: 'TFRecords of tf.train.Example',
    facts: [
      ['records', String(records)],
      ['images', encoded ? 'inside' : 'beside (named by frame/id)'],
      ...(frames.length > 0 ? [['first frames', frames.join(', ')] as const] : []),
    ],
    tables: [
      { title: 'Classes', rows: [['class', 'objects'], ...[...classes].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, n]) => [name, String(n)])] },
      {
        title: 'Features',
        rows: shortened(
          [['name', 'kind', 'records', 'values'], ...[...features].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, f]) => [name, f.kind, String(f.records), String(f.values)])],
          40,
        ),
      },
    ],
    notes: encoded ? ['Images inside: the layout of SSD and RetinaNet, which is not trained from here.'] : [],
    data: { records, classes: Object.fromEntries(classes), features: Object.fromEntries(features), frames },
  };
}
