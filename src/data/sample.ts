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
