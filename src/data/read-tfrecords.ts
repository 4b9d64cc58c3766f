import { glob, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { EdgeError } from '../core/errors.ts';
import { type Example, readTfrecords } from '../formats/tfrecord.ts';
import { type ImportOptions, type Listed, samplesOf } from './_image-files.ts';
import { type Manifest, manifestOf, type RawObject } from './sample.ts';

/** TLT's data_sources entry: a glob of TFRecords, and the folder under which `<frame/id>.<extension>` lies. */
export interface TfrecordSource {
  readonly tfrecordsPath: string;
  readonly imageDirectoryPath: string;
}
const mostFileBytes = 1 << 30;

/** The files that a source's glob names, or only those of one fold (found by `fold-NNN-of-` in the name, as TLT does). Sorted. */
export async function tfrecordFiles(pattern: string, fold?: { readonly only?: number; readonly not?: number }): Promise<readonly string[]> {
  const files: string[] = [];
  const mark = (n: number) => `fold-${String(n).padStart(3, '0')}-of-`;
  for await (const file of glob(pattern)) if (!file.endsWith('.json')) files.push(resolve(file));
  const chosen = files.filter(file => (fold?.only === undefined || file.includes(mark(fold.only))) && (fold?.not === undefined || !file.includes(mark(fold.not)))).sort();
  if (chosen.length > 0) return chosen;
  const which = fold?.only !== undefined ? ` of fold ${fold.only}` : fold?.not !== undefined ? ` besides fold ${fold.not}` : '';
  throw new EdgeError('file-missing', `"${pattern}" names no TFRecord${which}.`, {
    hint: 'Make them with: edgeforge detectnet_v2 dataset_convert -d SPEC -o OUTPUT',
    where: { file: pattern, path: 'data_sources.tfrecords_path' },
  });
}

/** TFRecords as TLT's dataset_convert writes them, with the images they name, as a manifest. `extension` without a dot (TLT's image_extension). Classes are in lower case, as the records have them. */
export async function readTfrecordManifest(
  sources: readonly TfrecordSource[],
  { extension, fold, ...options }: ImportOptions & { readonly extension: string; readonly fold?: { readonly only?: number; readonly not?: number } },
): Promise<Manifest> {
  const root = sources.length === 1 ? resolve(sources[0]!.imageDirectoryPath) : '/';
  const listed: Listed[] = [];
  const seen = new Set<string>();
  for (const [index, source] of sources.entries())
    for (const file of await tfrecordFiles(source.tfrecordsPath, fold)) {
      const bytes = await readFile(file);
      if (bytes.length > mostFileBytes)
        throw new EdgeError('limit-exceeded', `"${file}" has ${bytes.length} bytes; at most 1 GiB is read at once.`, { hint: 'Convert with more num_shards.', where: { file } });
      for (const example of readTfrecords(bytes, file)) {
        const frame = textsOf(example, 'frame/id', file)[0] ?? '';
        const id = seen.has(frame) ? `${index}:${frame}` : frame;
        seen.add(id);
        const inside = `${frame}.${extension.replace(/^\./, '')}`;
        const image = sources.length === 1 ? inside : join(resolve(source.imageDirectoryPath), inside).slice(1);
        if (inside.split('/').includes('..'))
          throw new EdgeError('file-corrupt', `frame/id "${frame}" leads out of the image folder.`, { hint: 'Convert the dataset again.', where: { file } });
        const objects = objectsOf(example, file);
        listed.push({ id, image, truth: async () => ({ objects }) });
      }
    }
  if (listed.length === 0) throw new EdgeError('dataset-invalid', 'The TFRecords hold no frames.', { hint: 'Look into one with: edgeforge inspect FILE' });
  return manifestOf('detection', root, await samplesOf(root, listed, options));
}

function textsOf(example: Example, key: string, file: string): string[] {
  const feature = example.get(key);
  if (feature?.kind === 'bytes') return feature.values.map(value => new TextDecoder().decode(value));
  if (feature?.kind === 'empty') return [];
  const encoded = example.has('frame/encoded') || example.has('image/encoded');
  throw new EdgeError(
    encoded ? 'format-unsupported' : 'file-corrupt',
    encoded ? `"${file}" holds encoded images (the layout of SSD, DSSD and RetinaNet).` : `"${file}" has no ${key}.`,
    {
      hint: 'Convert the dataset with: edgeforge detectnet_v2 dataset_convert -d SPEC -o OUTPUT',
      where: { file },
    },
  );
}

function numbersOf(example: Example, key: string, count: number, file: string): readonly number[] {
  const feature = example.get(key);
  const values = feature?.kind === 'float' || feature?.kind === 'int64' ? feature.values : [];
  if (values.length !== count)
    throw new EdgeError('file-corrupt', `${key} has ${values.length} values for ${count} objects.`, { hint: 'Convert the dataset again.', where: { file } });
  return values;
}

function objectsOf(example: Example, file: string): RawObject[] {
  const classes = textsOf(example, 'target/object_class', file);
  const column = (name: string) => numbersOf(example, `target/${name}`, classes.length, file);
  const optional = (name: string) => (example.get(`target/${name}`) ? column(name) : undefined);
  const [x1, y1, x2, y2] = [column('coordinates_x1'), column('coordinates_y1'), column('coordinates_x2'), column('coordinates_y2')];
  const [truncation, occlusion] = [optional('truncation'), optional('occlusion')];
  return classes.map((className, i) => ({
    className,
    x1: x1[i]!,
    y1: y1[i]!,
    x2: x2[i]!,
    y2: y2[i]!,
    ...(truncation && truncation[i]! >= 0 ? { truncated: truncation[i]! } : {}),
    ...(occlusion && occlusion[i]! >= 0 ? { occluded: occlusion[i]! } : {}),
  }));
}
