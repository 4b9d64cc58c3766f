import { join } from 'node:path';
import { EdgeError } from '../core/errors.ts';
import { type ImportOptions, isImageName, listFolder, samplesOf } from './_image-files.ts';
import { type Manifest, manifestOf } from './sample.ts';
import type { Split } from './split.ts';

/** A folder of class folders as a manifest; classes in alphabetical order (makenet's ImageFolder). At least two classes, each with an image. */
export async function importFolders(root: string, options: ImportOptions = {}): Promise<Manifest> {
  const { folders } = await listFolder(root);
  if (folders.length < 2)
    throw new EdgeError('dataset-invalid', `"${root}" has ${folders.length} class folder${folders.length === 1 ? '' : 's'}; a classifier needs two or more.`, {
      hint: 'Make one folder per class, with its images inside.',
      where: { file: root },
    });
  const listed = await Promise.all(
    folders.map(async className => {
      const names = (await listFolder(join(root, className))).files.filter(isImageName);
      if (names.length === 0)
        throw new EdgeError('dataset-invalid', `The class folder "${className}" holds no .png, .jpg or .jpeg.`, {
          hint: 'Add images, or remove the folder.',
          where: { file: join(root, className) },
        });
      return names.map(name => ({ id: `${className}/${name}`, image: `${className}/${name}`, truth: async () => ({ className }) }));
    }),
  );
  return manifestOf('classification', root, await samplesOf(root, listed.flat(), options), folders);
}

/** A folder with train/ and val/ (or validation/, test/) below it, each of class folders; both must name the same classes. */
export async function importFolderSplit(root: string, options: ImportOptions = {}): Promise<Split> {
  const { folders } = await listFolder(root);
  const held = ['val', 'validation', 'test'].find(name => folders.includes(name));
  if (!folders.includes('train') || held === undefined)
    throw new EdgeError('dataset-invalid', `"${root}" has no train/ and val/.`, {
      hint: 'Make train/ and val/ with one folder per class in each, or let a split be drawn: validation: 0.2.',
      where: { file: root },
    });
  const [train, validation] = [await importFolders(join(root, 'train'), options), await importFolders(join(root, held), options)];
  if (train.classes.join('\n') !== validation.classes.join('\n'))
    throw new EdgeError('dataset-invalid', `train/ has the classes ${train.classes.join(', ')}, ${held}/ has ${validation.classes.join(', ')}.`, {
      hint: 'Both must hold the same class folders.',
      where: { file: join(root, held) },
    });
  return { train, validation };
}
