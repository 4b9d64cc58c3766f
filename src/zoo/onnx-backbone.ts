import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import { Builder } from '../graph/builder.ts';
import { atOpset17, cutAt, freeBatch, renameValues } from '../graph/clean.ts';
import { foldConstants } from '../graph/fold.ts';
import type { Graph, TensorType } from '../graph/ir.ts';
import { type NetworkInfo, networkInfoOf, type Preprocess, preprocessSchema, withNetworkInfo } from '../graph/network-info.ts';
import { inferShapes } from '../graph/shapes.ts';
import type { Network } from '../tasks/task.ts';
import { normalizedBackbone } from './_normalize-backbone.ts';
import { type CutPoint, cutPoints, pointAt } from './cut-points.ts';
import { freezeSchema, learningOf } from './freeze.ts';
import { addClassificationHead, classificationOutputs } from './heads/classification.ts';
import { addDetectnetHead, detectnetOutputs } from './heads/detectnet.ts';

/** How an ONNX classifier becomes a backbone. Without `cut` the last feature map of the wanted stride (detection) or the last with more than one cell (classification) is taken. */
export const backboneSettingsSchema = z.strictObject({
  task: z.enum(['detectnet_v2', 'classification']),
  labels: z.array(z.string().min(1)).min(1).max(100_000),
  /** Name of the tensor to cut at. */
  cut: z.string().optional(),
  /** Default: what the file says of itself (files made by edgeforge). */
  preprocess: preprocessSchema.optional(),
  /** New input size in pixels. Default: the file's own. */
  height: z.number().int().min(16).max(16384).optional(),
  width: z.number().int().min(16).max(16384).optional(),
  /** Wanted total stride of a detector. */
  stride: z.number().int().positive().default(16),
  ...freezeSchema.shape,
  coverageBias: z.number().default(0),
  seed: z.number().int().min(0).default(42),
});
export type BackboneInput = z.input<typeof backboneSettingsSchema> & { readonly graph: Graph };

const none = { hint: 'Export the classifier with a float32 input [N, channels, height, width], channels 1 or 3, and no quantization nodes.' };

/**
 * A network whose backbone is an ONNX classifier's own convolutions, in opset 17 with a free batch and the input renamed `input_1`, under a new head.
 * Every float weight of the backbone learns (also where its norms are folded), but the frozen ones; its Dropout nodes stay, and act in training. Throws `graph-invalid`, `spec-invalid` or `operator-unsupported`.
 */
export function networkFromOnnx({ graph: file, ...rest }: BackboneInput): Network {
  const settings = parsed(rest);
  const preprocess = preprocessOf(file, settings.preprocess);
  const image = imageInput(file);
  checkOrder(image.channels, preprocess);
  const height = settings.height ?? sizeFrom(image.height, 'height');
  const width = settings.width ?? sizeFrom(image.width, 'width');
  const own = { height: image.height ?? height, width: image.width ?? width };
  const whole = resized(normalizedBackbone(foldConstants(atOpset17(file), { purpose: 'training' })), image, own);
  const point = chooseCut(whole, settings, own);
  const trunk = trunkOf(whole, point.name, image, { height, width });
  const builder = Builder.from(trunk);
  const feature = typesOf(trunk, { N: 2 }).get(point.name);
  const [, channels, h, w] = feature?.dims ?? [];
  if (typeof channels !== 'number' || typeof h !== 'number' || typeof w !== 'number' || h < 1 || w < 1)
    throw new EdgeError('shape-mismatch', `At ${height}×${width} the backbone's tensor "${point.name}" has the shape [${feature?.dims.join(', ') ?? 'unknown'}].`, {
      hint: 'Choose a larger input, or an earlier tensor: model: {cut: TENSOR}.',
    });
  builder.outputs.length = 0;
  const head = { classes: settings.labels.length, seed: settings.seed };
  if (settings.task === 'detectnet_v2') {
    checkStride(point.name, { height, width }, { height: h, width: w }, settings.stride);
    addDetectnetHead(builder, { value: point.name, channels }, { ...head, grid: [h, w], coverageBias: settings.coverageBias });
  } else addClassificationHead(builder, { value: point.name, channels }, head);
  const outputs = [...(settings.task === 'detectnet_v2' ? detectnetOutputs : classificationOutputs)];
  const info: NetworkInfo = { task: settings.task, architecture: `${settings.task}_onnx`, labels: settings.labels, input: 'input_1', outputs, preprocess };
  builder.name = info.architecture;
  builder.metadata = {};
  const graph = withNetworkInfo(builder.graph(), info);
  return { graph, info, ...learningOf(graph, settings) };
}

type Settings = z.output<typeof backboneSettingsSchema>;

function parsed(input: unknown): Settings {
  const result = backboneSettingsSchema.safeParse(input);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = issue?.path.map(String).join('.') ?? '';
  throw new EdgeError('spec-invalid', `Backbone settings: ${path}: ${issue?.message}`, { hint: 'Mend the model section of the project file.', where: { path } });
}

function preprocessOf(file: Graph, given: Preprocess | undefined): Preprocess {
  const own = given ?? networkInfoOf(file)?.preprocess;
  if (own !== undefined) return own;
  throw new EdgeError('project-invalid', `The file "${file.name}" does not say how its pixels are scaled, and the project does not either.`, {
    hint: 'Add to the project’s model: preprocess: {scale: 0.0078125, offset: [128, 128, 128], order: rgb} with the values the classifier was trained with.',
    where: { path: 'model.preprocess' },
  });
}

interface ImageInput {
  readonly name: string;
  readonly channels: number;
  readonly height: number | undefined;
  readonly width: number | undefined;
}

/** The one float image input. Weights listed among the inputs (old exporters) do not count. */
function imageInput(file: Graph): ImageInput {
  const inputs = file.inputs.filter(input => !file.initializers.has(input.name));
  const [input] = inputs;
  const [, channels, height, width] = input?.type.dims ?? [];
  if (inputs.length !== 1 || input?.type.dataType !== 'float32' || input.type.dims.length !== 4 || (channels !== 1 && channels !== 3)) {
    const given = inputs.map(each => `${each.name}: ${each.type.dataType} [${each.type.dims.join(', ')}]`).join('; ');
    throw new EdgeError('graph-invalid', `A backbone needs one float32 image input [N, 1 or 3, height, width]; "${file.name}" has ${given || 'none'}.`, none);
  }
  const known = (dim: number | string | undefined) => (typeof dim === 'number' && dim > 0 ? dim : undefined);
  return { name: input.name, channels, height: known(height), width: known(width) };
}

function checkOrder(channels: number, { order }: Preprocess): void {
  if ((channels === 1) !== (order === 'gray'))
    throw new EdgeError('spec-invalid', `The backbone takes ${channels} channel(s), and its preprocessing says order "${order}".`, {
      hint: channels === 1 ? 'Set order: gray.' : 'Set order: rgb or bgr.',
      where: { path: 'model.preprocess.order' },
    });
}

function sizeFrom(own: number | undefined, name: string): number {
  if (own !== undefined) return own;
  throw new EdgeError('spec-invalid', `The backbone leaves its input ${name} open, and the project does not set it.`, {
    hint: `Set the network's ${name} in pixels.`,
    where: { path: name },
  });
}

/** Types of all values; what shape inference says about a size that does not fit is explained. Symbols are bound so that sizes baked into a Reshape show. */
function typesOf(graph: Graph, bindings: Readonly<Record<string, number>> = {}): ReadonlyMap<string, TensorType> {
  try {
    return inferShapes(graph, bindings);
  } catch (error) {
    if (!(error instanceof EdgeError) || error.code !== 'shape-mismatch') throw error;
    const [, , height, width] = graph.inputs[0]?.type.dims ?? [];
    throw new EdgeError('shape-mismatch', `The backbone does not work at ${height}×${width} with a free batch: ${error.message}`, {
      hint: 'Sizes are built into it: export it with a dynamic batch, use its own input size, or cut earlier: model: {cut: TENSOR}.',
      cause: error,
    });
  }
}

interface Size {
  readonly height: number;
  readonly width: number;
}

/** The graph at another image size, its batch untouched; inputs that only repeat weights are dropped. */
const resized = (graph: Graph, image: ImageInput, { height, width }: Size): Graph => ({
  ...graph,
  inputs: graph.inputs.filter(input => input.name === image.name).map(({ name, type }) => ({ name, type: { ...type, dims: [type.dims[0]!, image.channels, height, width] } })),
});

/** The cut that was named (any feature map a node makes), or the last one the whole network passes through that suits the task. */
function chooseCut(whole: Graph, { task, cut, stride }: Settings, image: Size): CutPoint {
  const types = typesOf(whole);
  const points = cutPoints(whole, types);
  if (cut !== undefined) {
    const node = whole.nodes.find(each => each.outputs.includes(cut)) ?? whole.nodes.find(each => each.name === cut);
    const tensor = node?.outputs.includes(cut) ? cut : node?.outputs[0];
    const found = tensor === undefined ? undefined : pointAt(types, tensor);
    if (found !== undefined) return found;
    throw new EdgeError('spec-invalid', `The tensor "${cut}" ${node === undefined ? 'is not in the graph' : `is no feature map: [${types.get(tensor ?? '')?.dims.join(', ')}]`}.`, {
      hint: `Cut at one of: ${points.slice(-12).map(shown).join(', ')}.`,
      where: { path: 'model.cut' },
    });
  }
  const fits = (point: CutPoint) =>
    task === 'classification' ? point.height > 1 || point.width > 1 : Math.ceil(image.height / stride) === point.height && Math.ceil(image.width / stride) === point.width;
  const last = points.findLast(fits);
  if (last !== undefined) return last;
  const wanted = task === 'classification' ? 'feature map' : `feature map of stride ${stride}`;
  throw new EdgeError('graph-invalid', `"${whole.name}" has no ${wanted} at ${image.height}×${image.width} that the whole network passes through.`, {
    hint: `Name the tensor to cut at: model: {cut: TENSOR}. There are: ${points.slice(-12).map(shown).join(', ') || 'none'}.`,
  });
}

const shown = ({ name, channels, height, width }: CutPoint): string => `${name} (${channels}×${height}×${width})`;

function trunkOf(whole: Graph, cut: string, image: ImageInput, size: Size): Graph {
  const part = resized(freeBatch(cutAt(whole, cut)), image, size);
  const taken = new Set([...part.nodes.flatMap(node => node.outputs), ...part.initializers.keys()]);
  const names = new Map<string, string>();
  // The head's names and input_1 must be free; whatever the classifier calls so gets another name.
  for (const name of taken) if (reserved(name)) names.set(name, `backbone/${name}`);
  if (image.name !== 'input_1') names.set(image.name, 'input_1');
  if (names.has(cut))
    throw new EdgeError('spec-invalid', `The tensor "${cut}" has a name that the head needs.`, {
      hint: 'Cut at the tensor before it, or rename it in the file.',
      where: { path: 'model.cut' },
    });
  return names.size === 0 ? part : renameValues(part, names);
}

const reserved = (name: string): boolean => /^(?:input_1|output_bbox|output_cov|predictions|avg_pool|flatten)(?:\/|$)/.test(name);

function checkStride(cut: string, input: Size, map: Size, stride: number): void {
  if (map.height * stride === input.height && map.width * stride === input.width) return;
  const over = [input.height % stride, input.width % stride];
  const near = over.some(rest => rest !== 0) ? `Set height and width to multiples of ${stride}.` : `Cut at a tensor of stride ${stride}, or set the task's stride.`;
  throw new EdgeError('spec-invalid', `At ${input.height}×${input.width} the tensor "${cut}" has ${map.height}×${map.width} cells, which is not stride ${stride}.`, {
    hint: near,
    where: { path: 'model.cut' },
  });
}
