import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EdgeError } from '../core/errors.ts';
import { readKittiLabels } from '../formats/kitti.ts';
import { type Complaint, type ImportOptions, imagesByStem, listFolder, refuse, samplesOf, stemOf } from './_image-files.ts';
import { type Manifest, manifestOf, type RawObject } from './sample.ts';

const layouts = [
  ['image_2', 'label_2'],
  ['images', 'labels'],
  ['image', 'label'],
] as const;

/** Which two folders of a KITTI tree hold images and labels: image_2/label_2 or images/labels, or as named. */
export async function kittiFolders(root: string, imageDir?: string, labelDir?: string): Promise<{ readonly images: string; readonly labels: string }> {
  const { folders } = await listFolder(root);
  const found = layouts.find(([images, labels]) => folders.includes(images) && folders.includes(labels));
  const [images, labels] = [imageDir ?? found?.[0], labelDir ?? found?.[1]];
  if (images === undefined || labels === undefined)
    throw new EdgeError('dataset-invalid', `"${root}" is no KITTI folder: it has ${folders.join(', ') || 'no folders'}.`, {
      hint: 'Put images into image_2/ and labels into label_2/ (or images/ and labels/), or name the two folders.',
      where: { file: root },
    });
  return { images, labels };
}

/** A KITTI folder as a manifest. Strict: every image has a label file and every label file an image; each mistake comes with file and line. DontCare stays as a region to ignore. */
export async function importKitti(root: string, options: ImportOptions & { readonly imageDir?: string; readonly labelDir?: string } = {}): Promise<Manifest> {
  const dirs = await kittiFolders(root, options.imageDir, options.labelDir);
  const images = imagesByStem((await listFolder(join(root, dirs.images))).files, join(root, dirs.images));
  const labels = (await listFolder(join(root, dirs.labels))).files.filter(name => name.endsWith('.txt'));
  const complaints: Complaint[] = [];
  const labelled = new Set(labels.map(stemOf));
  for (const name of labels)
    if (!images.has(stemOf(name)))
      complaints.push({
        message: 'this label has no image.',
        hint: `Add ${stemOf(name)}.png or .jpg to ${dirs.images}/, or remove the label.`,
        file: join(root, dirs.labels, name),
      });
  for (const [stem, name] of images)
    if (!labelled.has(stem))
      complaints.push({
        message: 'this image has no label file.',
        hint: `Add ${dirs.labels}/${stem}.txt (empty where nothing is to be seen), or remove the image.`,
        file: join(root, dirs.images, name),
      });
  if (images.size === 0) complaints.push({ message: `"${join(root, dirs.images)}" holds no .png, .jpg or .jpeg.`, hint: 'Check the folder.', file: join(root, dirs.images) });
  refuse(complaints);
  const listed = [...images].map(([id, name]) => ({
    id,
    image: `${dirs.images}/${name}`,
    truth: async () => ({ objects: await kittiObjects(join(root, dirs.labels, `${id}.txt`)) }),
  }));
  return manifestOf('detection', root, await samplesOf(root, listed, options));
}

/** Objects of one label file. KITTI's corners are pixel positions; they are taken as edges, as TLT takes them. Unknown truncation or occlusion (negative) is left out. */
async function kittiObjects(file: string): Promise<RawObject[]> {
  return readKittiLabels(await readFile(file, 'utf8'), { file }).map(({ className, x1, y1, x2, y2, truncated, occluded }) => ({
    className,
    x1,
    y1,
    x2,
    y2,
    ...(truncated >= 0 ? { truncated } : {}),
    ...(occluded >= 0 ? { occluded } : {}),
  }));
}
