import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';

const id = z.number().int();
const cocoSchema = z.object({
  images: z.array(z.object({ id, file_name: z.string().min(1), width: z.number().int().positive(), height: z.number().int().positive() })),
  categories: z.array(z.object({ id, name: z.string().min(1) })),
  annotations: z.array(
    z.object({
      id: id.optional(),
      image_id: id,
      category_id: id,
      bbox: z.tuple([z.number(), z.number(), z.number(), z.number()]),
      iscrowd: z.union([z.literal(0), z.literal(1)]).optional(),
    }),
  ),
});

/** One object of a COCO file; corners in pixels. A crowd box covers many objects and is no truth of its own. */
export interface CocoObject {
  readonly className: string;
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
  readonly crowd: boolean;
}
export interface CocoImage {
  readonly id: number;
  readonly fileName: string;
  readonly width: number;
  readonly height: number;
  readonly objects: readonly CocoObject[];
}
export interface CocoDataset {
  /** In the order of the file. */
  readonly classes: readonly string[];
  readonly images: readonly CocoImage[];
}

const maxCharacters = 512 << 20;

/** Reads COCO instance annotations (boxes only); throws dataset-invalid with the path of the value, or limit-exceeded. */
export function readCoco(text: string, file?: string): CocoDataset {
  const where = (path?: string) => ({ ...(file === undefined ? {} : { file }), ...(path === undefined ? {} : { path }) });
  if (text.length > maxCharacters)
    throw new EdgeError('limit-exceeded', `The file has ${text.length} characters; at most ${maxCharacters} are read.`, { hint: 'Split the annotations.', where: where() });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new EdgeError('dataset-invalid', `Not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, {
      hint: 'COCO annotations are one JSON object.',
      where: where(),
      cause,
    });
  }
  const parsed = cocoSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new EdgeError('dataset-invalid', `Not COCO annotations: ${issue.message}`, {
      hint: 'A COCO file has images, categories and annotations with bbox [x, y, width, height].',
      where: where(issue.path.join('.')),
    });
  }
  const { images, categories, annotations } = parsed.data;
  const classes = new Map(categories.map(category => [category.id, category.name]));
  const objects = new Map<number, CocoObject[]>();
  for (const [index, image] of images.entries()) {
    if (objects.has(image.id))
      throw new EdgeError('dataset-invalid', `The image id ${image.id} occurs twice.`, { hint: 'Give every image its own id.', where: where(`images.${index}.id`) });
    objects.set(image.id, []);
  }
  for (const [index, { image_id, category_id, bbox, iscrowd }] of annotations.entries()) {
    const className = classes.get(category_id);
    const list = objects.get(image_id);
    if (className === undefined)
      throw new EdgeError('dataset-invalid', `The category ${category_id} is not in the file.`, {
        hint: 'Add it to categories, or remove the annotation.',
        where: where(`annotations.${index}.category_id`),
      });
    if (!list)
      throw new EdgeError('dataset-invalid', `The image ${image_id} is not in the file.`, {
        hint: 'Add it to images, or remove the annotation.',
        where: where(`annotations.${index}.image_id`),
      });
    const [x, y, width, height] = bbox;
    list.push({ className, x1: x, y1: y, x2: x + width, y2: y + height, crowd: iscrowd === 1 });
  }
  return {
    classes: categories.map(({ name }) => name),
    images: images.map(image => ({ id: image.id, fileName: image.file_name, width: image.width, height: image.height, objects: objects.get(image.id)! })),
  };
}

/** A dataset as COCO instance annotations; category ids count from 1 in the order of `classes`. Throws dataset-invalid for a class that is not in it. */
export function formatCoco({ classes, images }: CocoDataset): string {
  const annotations = images.flatMap(image => image.objects.map(object => ({ image, object })));
  return JSON.stringify({
    images: images.map(image => ({ id: image.id, file_name: image.fileName, width: image.width, height: image.height })),
    categories: classes.map((name, index) => ({ id: index + 1, name })),
    annotations: annotations.map(({ image, object }, index) => {
      const category = classes.indexOf(object.className);
      if (category < 0)
        throw new EdgeError('dataset-invalid', `The class ${object.className} is not in the list of classes.`, {
          hint: `Add it to: ${classes.join(', ')}.`,
          where: { path: image.fileName },
        });
      const width = object.x2 - object.x1;
      const height = object.y2 - object.y1;
      return { id: index + 1, image_id: image.id, category_id: category + 1, bbox: [object.x1, object.y1, width, height], area: width * height, iscrowd: object.crowd ? 1 : 0 };
    }),
  });
}
