import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { z } from 'zod';
import { EdgeError } from '../core/errors.ts';
import { decodeEtlt, looksLike } from '../formats/etlt.ts';
import { readOnnx } from '../formats/onnx.ts';
import { readUff } from '../formats/uff.ts';
import type { Graph } from '../graph/ir.ts';
import { readKey } from './steps/package.ts';

/** A finished network as `deploy --model` names it. `dims`, `outputs` and `calibration` are for the device's converter alone. */
export const givenModelSchema = z.strictObject({
  file: z.string(),
  keyFile: z.string().optional(),
  dims: z.tuple([z.int().positive(), z.int().positive(), z.int().positive()]).optional(),
  outputs: z.array(z.string().regex(/^[^\s,]+$/)).optional(),
  calibration: z.string().optional(),
});
export type GivenModel = z.output<typeof givenModelSchema>;

/** What a converter must be told of an .etlt. */
export interface SealedModel {
  readonly payload: 'onnx' | 'uff';
  readonly input: string;
  /** Without the batch: C, H, W. */
  readonly dims: readonly number[];
  readonly outputs: readonly string[];
  readonly open: boolean;
}

/** A given network as far as it can be read here: a graph, or what its converter needs, or both. */
export interface OpenedModel {
  readonly graph?: Graph;
  readonly sealed?: SealedModel;
}

/** Opens a finished .onnx or .etlt. Throws `key-missing` without a key, `format-unsupported` for what neither we nor a converter could build. */
export async function openModel({ file, keyFile, dims, outputs }: Omit<GivenModel, 'calibration'>): Promise<OpenedModel> {
  const bytes = await readFile(file);
  if (!file.endsWith('.etlt')) return { graph: readOnnx(bytes) };
  if (keyFile === undefined && process.env.EDGEFORGE_KEY === undefined)
    throw new EdgeError('key-missing', `${file} is encrypted and no key is named.`, { hint: 'Give --key-file FILE, or set EDGEFORGE_KEY.', where: { file } });
  const { inputName, payload } = decodeEtlt(bytes, await readKey(keyFile ?? ''));
  const kind = looksLike(payload);
  if (kind === 'onnx') return onnxInside(readOnnx(payload), { dims, outputs });
  if (kind === 'uff') {
    const inside = readUff(payload);
    const [input] = inside.inputs;
    return { sealed: complete(file, { payload: 'uff', input: input?.name ?? inputName, dims: dims ?? input?.dims ?? [], outputs: outputs ?? inside.outputs, open: false }) };
  }
  if (kind === undefined && dims !== undefined && outputs !== undefined)
    // The header alone tells which it is: only UFF names its input there.
    return { sealed: { payload: inputName === '' ? 'onnx' : 'uff', input: inputName || 'input_1', dims, outputs, open: false } };
  throw new EdgeError(
    'format-unsupported',
    kind === undefined
      ? `What ${basename(file)} holds under this key is nothing known: the key is probably wrong.`
      : `What ${basename(file)} holds is ${kind}, which no converter of TensorRT builds.`,
    {
      hint:
        kind === undefined
          ? 'Check the key (NGC models: tlt_encode or nvidia_tlt). If it is right, the device’s converter may still read it: add --dims C,H,W --outputs A,B'
          : 'Export the model as ONNX (TAO 5 does) and deploy that.',
      where: { file },
    },
  );
}

function onnxInside(graph: Graph, { dims, outputs }: Pick<GivenModel, 'dims' | 'outputs'>): OpenedModel {
  const [input] = graph.inputs;
  const [batch, ...rest] = input?.type.dims ?? [];
  return {
    graph,
    sealed: {
      payload: 'onnx',
      input: input?.name ?? '',
      dims: dims ?? rest.map(Number),
      outputs: outputs ?? graph.outputs.map(({ name }) => name),
      open: typeof batch !== 'number',
    },
  };
}

/** A UFF network says its dimensions and outputs mostly, not always. */
function complete(file: string, model: SealedModel): SealedModel {
  const lacks = [
    model.dims.length !== 3 || model.dims.some(dim => !(dim > 0)) ? 'the input’s dimensions (--dims C,H,W)' : '',
    model.outputs.length === 0 ? 'the output nodes (--outputs A,B)' : '',
  ].filter(Boolean);
  if (lacks.length === 0) return model;
  throw new EdgeError('usage', `The UFF network in ${basename(file)} does not say ${lacks.join(' and ')}.`, {
    hint: 'They stand in the model card and in the nvinfer config that came with it (infer-dims, output-blob-names).',
    where: { file },
  });
}
