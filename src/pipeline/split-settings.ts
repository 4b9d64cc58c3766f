import type { Size } from '../data/placement.ts';
import type { Project, ProjectFile } from './project.ts';
import { inProject } from './sources.ts';

/** How a project's images become a training and a validation set. */
export interface SplitSettings {
  readonly format: 'kitti' | 'voc' | 'coco' | 'folders';
  readonly validation: number | { readonly train: string; readonly val: string };
  readonly split: 'tlt' | 'stratified';
  readonly seed: number;
  readonly corrupt: 'refuse' | 'skip';
  readonly input: Size;
}

/** What a project's `data` says of it; scenes are two KITTI folders. */
export function splitSettings(data: ProjectFile['data'], input: Size): SplitSettings {
  const { split, seed, corrupt } = data;
  const format = (['kitti', 'voc', 'coco', 'folders'] as const).find(name => data[name] !== undefined) ?? 'kitti';
  return { format, validation: data.scenes ? { train: 'train', val: 'val' } : data.validation, split, seed, corrupt, input };
}

/** Where the images lie that a project names; scenes are drawn into the store instead. */
export const dataPath = ({ folder, settings: { data } }: Project): string => inProject(folder, data.kitti ?? data.voc ?? data.coco ?? data.folders ?? '.');
