import type { Digest } from '../core/fingerprint.ts';

/** One labelled object as the dataset states it, before class mapping. Pixels of the original image. */
export interface RawObject {
  readonly className: string;
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
  readonly truncated?: number;
  readonly occluded?: number;
}
/** One image of a dataset, with its truth. `image` is relative to the manifest's root. */
export interface Sample {
  readonly id: string;
  readonly image: string;
  readonly digest: Digest;
  readonly width: number;
  readonly height: number;
  readonly objects?: readonly RawObject[];
  readonly className?: string;
}
/** A dataset as a value: where its images are and what is true of each. One JSON file; images stay where they lie. */
export interface Manifest {
  readonly schemaVersion: 1;
  readonly task: 'detection' | 'classification';
  readonly root: string;
  readonly classes: readonly string[];
  readonly samples: readonly Sample[];
}

/** True for KITTI's mark of a region where objects stand unlabelled: it neither counts nor punishes, and is no class. */
export const isIgnoredClass = (className: string): boolean => className.toLowerCase() === 'dontcare';

/** A manifest from its samples (sorted by id), its classes read off them; DontCare is no class. `classes` fixes the list where a dataset states one. */
export function manifestOf(task: Manifest['task'], root: string, samples: readonly Sample[], classes?: readonly string[]): Manifest {
  const names = new Set<string>(classes ?? []);
  if (classes === undefined)
    for (const sample of samples) {
      if (sample.className !== undefined) names.add(sample.className);
      for (const object of sample.objects ?? []) if (!isIgnoredClass(object.className)) names.add(object.className);
    }
  const sorted = [...samples].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  return { schemaVersion: 1, task, root, classes: classes ?? [...names].sort(), samples: sorted };
}
