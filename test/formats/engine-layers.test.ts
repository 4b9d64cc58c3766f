import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { layersText, parseEngineLayers } from '../../src/formats/engine-layers.ts';
import { hasShared, shared } from '../shared.ts';

const layer = (type: string, format: string, weights?: string, name = 'x') => ({
  Name: name,
  LayerType: type,
  Outputs: [{ 'Format/Datatype': format }],
  ...(weights ? { Weights: { Type: weights, Count: 1 } } : {}),
});

it.skipIf(!hasShared)('reads what real engines say of themselves, 8.x phrases and 10.x words', () => {
  const read = (name: string) => parseEngineLayers(readFileSync(shared('trtexec', 'json', name), 'utf8'));
  const old = read('trex-a100-fp16-resnet.onnx.engine.graph.json')!;
  expect(old.int8).toBe(0);
  expect(old.fp16).toBeGreaterThan(20);
  expect(old.reformats).toBeGreaterThan(0);
  expect(old.int8 + old.fp16 + old.fp32 + old.other).toBe(old.total);
  const now = read('hackathon-10.16-exportLayerInfo.json')!;
  expect(now.fp32).toBeGreaterThan(0);
  expect(now.fp16).toBe(0);
});

it('counts arithmetic by weights, else by the first output, and copies apart', () => {
  const layers = [
    layer('CaskConvolution', 'Half', 'Int8'),
    layer('CaskConvolution', 'Four wide channel vectorized row major Int8 format'),
    layer('PointWiseV2', 'Row major linear FP16 format'),
    layer('Reformat', 'Float'),
    layer('CaskPooling', 'Int32'),
    layer('DLA', 'Int8'),
  ];
  const counted = parseEngineLayers(JSON.stringify({ Layers: layers, 'I/O Tensors': [] }))!;
  expect(counted).toEqual({ total: 5, int8: 3, fp16: 1, fp32: 0, other: 1, reformats: 1, dla: 1 });
  expect(layersText(counted)).toBe('3 of 5 layers run in INT8 (60 %), 1 in FP16');
});

it('knows nothing where the engine was built without detailed verbosity, and of anything else', () => {
  for (const text of ['', '{', '[]', '{"Layers": ["conv1", "relu"], "Bindings": ["x"]}', '{"Layers": 3}', 'null']) expect(parseEngineLayers(text)).toBeUndefined();
});
