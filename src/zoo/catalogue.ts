import { EdgeError } from '../core/errors.ts';
import type { NetworkInfo } from '../graph/network-info.ts';
import type { ResnetDepth } from './backbones/resnet.ts';

/** One network that can be built from nothing: a head's task on a backbone. */
export interface CatalogueRow {
  /** `<task>_<backbone>`, as the project file and the metadata name it. */
  readonly architecture: string;
  readonly task: NetworkInfo['task'];
  /** TLT's model_config.arch and num_layers (n_layers). */
  readonly arch: 'resnet';
  readonly layers: ResnetDepth;
}

const tasks = ['detectnet_v2', 'classification'] as const;
const depths = [10, 18, 34, 50] as const;

/** Every network of the zoo. An ONNX classifier as a backbone (`networkFromOnnx`) is named `<task>_onnx` and has no row. */
export const catalogue: readonly CatalogueRow[] = tasks.flatMap(task => depths.map(layers => ({ architecture: `${task}_resnet${layers}`, task, arch: 'resnet' as const, layers })));

/** The row of an architecture. Throws `spec-invalid` that lists what there is. */
export function rowOf(architecture: string): CatalogueRow {
  const row = catalogue.find(candidate => candidate.architecture === architecture);
  if (row !== undefined) return row;
  throw new EdgeError('spec-invalid', `There is no network "${architecture}" in the zoo.`, {
    hint: `Take one of ${catalogue.map(each => each.architecture).join(', ')}, or use any ONNX classifier as a backbone: model: {onnx: FILE}.`,
  });
}

/** The architecture of TLT's arch and layer count (0: TLT's default 18) for a task. Throws `spec-invalid` naming both. */
export function architectureOf(task: NetworkInfo['task'], arch: string, layers: number): string {
  const row = catalogue.find(candidate => candidate.task === task && candidate.arch === arch && candidate.layers === (layers === 0 ? 18 : layers));
  if (row !== undefined) return row.architecture;
  throw new EdgeError('spec-invalid', `arch "${arch}" with ${layers} layers cannot be built here for ${task}.`, {
    hint: `Set arch: "resnet" with num_layers ${depths.join(', ')}, or give an ONNX backbone: pretrained_model_path: "x.onnx".`,
    where: { path: 'model_config.arch' },
  });
}
