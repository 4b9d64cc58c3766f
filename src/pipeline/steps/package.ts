import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { EdgeError } from '../../core/errors.ts';
import { digestOf } from '../../core/fingerprint.ts';
import { defineStep } from '../../core/recipe.ts';
import { deepstreamVersions } from '../../formats/deepstream-version.ts';
import { encodeEtlt } from '../../formats/etlt.ts';
import { readOnnx } from '../../formats/onnx.ts';
import { type NetworkInfo, networkInfoOf, sizeOfInput } from '../../graph/network-info.ts';
import { deepstreamFiles } from '../deepstream-files.ts';
import { thisCpu } from '../this-machine.ts';

/** The model as its users want it: ONNX (FP32, the float one that goes with the cache, and Q/DQ), cache, labels, DeepStream configs, and .etlt where a key is named. */
export const packageStep = defineStep({
  name: 'package',
  version: 4,
  exclusive: () => [thisCpu],
  config: z.strictObject({ name: z.string(), deepstream: z.enum(deepstreamVersions), threshold: z.number(), keyFile: z.string().optional(), keyDigest: z.string().optional() }),
  inputs: { fp32: 'onnx', qdq: 'onnx?', int8: 'onnx?', cache: 'calibration-cache?' },
  outputs: { bundle: 'deepstream' },
  identity: ({ keyFile: _, ...rest }) => rest,
  async run({ config, inputs, outputs, note }) {
    const { name, deepstream } = config;
    const file = (suffix: string) => join(outputs.bundle, `${name}${suffix}`);
    await mkdir(outputs.bundle, { recursive: true });
    const bytes = await readFile(inputs.fp32);
    const graph = readOnnx(bytes);
    const info = networkInfoOf(graph) as NetworkInfo;
    const [width, height, channels] = sizeOfInput(graph);
    await copyFile(inputs.fp32, file('.onnx'));
    if (inputs.qdq) await copyFile(inputs.qdq, file('.qdq.onnx'));
    if (inputs.int8) await copyFile(inputs.int8, file('.int8.onnx'));
    if (inputs.cache) await copyFile(inputs.cache, file('.cal'));
    if (config.keyFile !== undefined) await writeFile(file('.etlt'), encodeEtlt({ payload: bytes, key: await readKey(config.keyFile) }));
    const configs = (inputs.cache ? (['fp16', 'int8'] as const) : (['fp16'] as const)).map(precision => ({
      precision,
      batch: 1,
      suffix: precision,
      ...(precision === 'int8' ? { onnx: `${name}.int8.onnx`, calibration: `${name}.cal` } : { onnx: `${name}.onnx` }),
    }));
    const texts = deepstreamFiles({ info, input: [channels, height, width], deepstream, threshold: config.threshold }, configs);
    for (const { file: config, text } of texts) await writeFile(join(outputs.bundle, config), text);
    if (info.preprocess.resize === 'letterbox') note('DeepStream keeps the aspect ratio with maintain-aspect-ratio=1, as this network was trained.');
  },
});

/** The key: EDGEFORGE_KEY, else the file's first line. Nothing ever shows it. */
export async function readKey(file: string): Promise<string> {
  const text =
    process.env.EDGEFORGE_KEY ??
    (await readFile(file, 'utf8').catch((cause: unknown) => {
      throw new EdgeError('key-missing', `The key file ${file} cannot be read.`, { hint: 'Write the key into it (chmod 600), or set EDGEFORGE_KEY.', where: { file }, cause });
    }));
  const key = text.split(/\r?\n/)[0] as string;
  if (key === '') throw new EdgeError('key-missing', `The key file ${file} is empty.`, { hint: 'Write the key into its first line.', where: { file } });
  return key;
}

/** A key as something a fingerprint may hold. */
export const keyDigest = async (file: string): Promise<string> => digestOf(await readKey(file));
