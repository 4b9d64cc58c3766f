import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EdgeError } from '../core/errors.ts';
import { readVoc } from '../formats/voc.ts';
import { type Complaint, type ImportOptions, imagesByStem, listFolder, refuse, samplesOf, stemOf } from './_image-files.ts';
import { readHeader } from './decode.ts';
import { type Manifest, manifestOf } from './sample.ts';

/** A Pascal VOC folder as a manifest: Annotations/ beside JPEGImages/, or XML beside the images. Corners counting from 1 become edges (x1 − 1, x2). An XML whose stated size is not the image's is a mistake. */
export async function importVoc(root: string, options: ImportOptions = {}): Promise<Manifest> {
  const { folders } = await listFolder(root);
  const apart = folders.includes('Annotations') && folders.includes('JPEGImages');
  const [xmlDir, imageDir] = apart ? ['Annotations', 'JPEGImages'] : ['.', '.'];
  const images = imagesByStem((await listFolder(join(root, imageDir))).files, join(root, imageDir));
  const xmls = (await listFolder(join(root, xmlDir))).files.filter(name => name.toLowerCase().endsWith('.xml'));
  const complaints: Complaint[] = [];
  if (xmls.length === 0)
    complaints.push({ message: `"${join(root, xmlDir)}" holds no .xml.`, hint: 'VOC keeps one XML per image, in Annotations/ or beside the image.', file: join(root, xmlDir) });
  for (const name of xmls)
    if (!images.has(stemOf(name)))
      complaints.push({ message: 'this annotation has no image.', hint: 'Add the image under the same name, or remove the XML.', file: join(root, xmlDir, name) });
  refuse(complaints);
  const listed = xmls.map(name => {
    const id = stemOf(name);
    const image = apart ? `${imageDir}/${images.get(id)!}` : images.get(id)!;
    return { id, image, truth: async () => ({ objects: await vocObjects(join(root, xmlDir, name), join(root, image)) }) };
  });
  return manifestOf('detection', root, await samplesOf(root, listed, options));
}

async function vocObjects(file: string, image: string) {
  const { width, height, objects } = readVoc(await readFile(file, 'utf8'), file);
  const header = await readHeader(image);
  if (width !== header.width || height !== header.height)
    throw new EdgeError('dataset-invalid', `<size> says ${width}×${height}, the image is ${header.width}×${header.height}, so its boxes cannot be trusted.`, {
      hint: 'Label the image again at its present size, or scale the boxes.',
      where: { file },
    });
  return objects.map(({ className, x1, y1, x2, y2, truncated }) => ({
    className,
    x1: Math.max(0, x1 - 1),
    y1: Math.max(0, y1 - 1),
    x2,
    y2,
    ...(truncated === undefined ? {} : { truncated: truncated ? 1 : 0 }),
  }));
}
