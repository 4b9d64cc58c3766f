import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { EdgeError } from '../core/errors.ts';
import { readCoco } from '../formats/coco.ts';
import { type ImportOptions, samplesOf, stemOf } from './_image-files.ts';
import { readHeader } from './decode.ts';
import { type Manifest, manifestOf } from './sample.ts';

/** COCO instances (boxes) as a manifest. `images` is where file_name starts from (default: images/ beside the JSON, else its folder). Crowd boxes become regions to ignore. Only classes that occur are listed. */
export async function importCoco(json: string, options: ImportOptions & { readonly images?: string } = {}): Promise<Manifest> {
  const beside = join(dirname(json), 'images');
  const root = resolve(options.images ?? (existsSync(beside) ? beside : dirname(json)));
  const text = await readFile(json, 'utf8').catch(cause => {
    throw new EdgeError('file-missing', `"${json}" cannot be read.`, { hint: 'Name the annotations file (instances.json).', where: { file: json }, cause });
  });
  const dataset = readCoco(text, json);
  const listed = dataset.images.map(({ fileName, width, height, objects }) => {
    const inside = relative(root, resolve(root, fileName));
    if (inside.startsWith('..'))
      throw new EdgeError('dataset-invalid', `file_name "${fileName}" leads out of "${root}".`, { hint: 'Keep images below one folder.', where: { file: json } });
    const truth = async () => {
      const header = await readHeader(join(root, inside));
      if (header.width !== width || header.height !== height)
        throw new EdgeError('dataset-invalid', `${basename(json)} says ${width}×${height}, "${fileName}" is ${header.width}×${header.height}.`, {
          hint: 'Use the images the annotations were made for.',
          where: { file: json },
        });
      return { objects: objects.map(({ className, crowd, x1, y1, x2, y2 }) => ({ className: crowd ? 'DontCare' : className, x1, y1, x2, y2 })) };
    };
    return { id: stemOf(inside), image: inside, truth };
  });
  if (listed.length === 0) throw new EdgeError('dataset-invalid', `"${json}" lists no images.`, { hint: 'Check the file.', where: { file: json } });
  return manifestOf('detection', root, await samplesOf(root, listed, options));
}
