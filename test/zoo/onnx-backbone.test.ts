import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { openSession } from '../../src/compute/session.ts';
import { readOnnx, writeOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { atOpset17 } from '../../src/graph/clean.ts';
import { atLowestCost, foldConstants } from '../../src/graph/fold.ts';
import { f32, type Graph, i64, ints, sizeOf, type Tensor } from '../../src/graph/ir.ts';
import { inferShapes } from '../../src/graph/shapes.ts';
import type { Network } from '../../src/tasks/task.ts';
import { networkOf } from '../../src/zoo/network-file.ts';
import { networkFromOnnx } from '../../src/zoo/onnx-backbone.ts';
import { distance } from '../compute/_numbers.ts';
import { hasShared, shared } from '../shared.ts';

const preprocess = { scale: 1 / 128, offset: [128, 128, 128] as [number, number, number], order: 'rgb' as const };
const image = (dims: readonly number[]): Tensor =>
  f32(
    dims,
    Float32Array.from({ length: sizeOf(dims) }, (_, i) => Math.sin(i * 0.37)),
  );

async function values(graph: Graph, feed: Tensor, wanted?: string): Promise<ReadonlyMap<string, Tensor>> {
  const outputs = wanted === undefined ? graph.outputs : [{ name: wanted, type: { dataType: 'float32' as const, dims: [] } }];
  const withOutputs =
    wanted === undefined ? graph : { ...graph, outputs: [{ name: wanted, type: { dataType: 'float32' as const, dims: Array.from({ length: 4 }, (_, i) => `d${i}`) } }] };
  const session = await openSession(writeOnnx(withOutputs), { threads: 1 });
  const results = await session.run(new Map([[graph.inputs[0]!.name, feed]]));
  await session.close();
  expect([...results.keys()]).toEqual(outputs.map(output => output.name));
  return results;
}

/** The tensor that the head reads. */
const cutOf = ({ graph, info }: Network) => graph.nodes.find(node => node.name === (info.task === 'classification' ? 'avg_pool' : 'output_cov'))!.inputs[0]!;

describe.skipIf(!hasShared)('real classifiers as backbones', () => {
  const read = (name: string) => readOnnx(readFileSync(shared('models', `${name}.onnx`)));
  const models = ['mobilenet_v1_1.0_224_dequantized', 'mobilenet_v2_1.0_224_dequantized', 'mobilenet_v1_0.25_224_keras'] as const;

  test.each(models)('%s classifies five classes on the very features of the file', async name => {
    const file = read(name);
    const network = networkFromOnnx({ graph: file, task: 'classification', labels: ['a', 'b', 'c', 'd', 'e'], preprocess });
    expect(network.graph.opsets['']).toBe(17);
    const cut = cutOf(network);
    const feed = image([1, 3, 224, 224]);
    const ours = (await values(network.graph, feed, cut)).get(cut)!;
    const theirs = (await values(file, feed, cut)).get(cut)!;
    expect(ours.dims).toEqual([1, { [models[0]]: 1024, [models[1]]: 1280, [models[2]]: 256 }[name], 7, 7]);
    expect(ours.data).toEqual(theirs.data);
    expect((await values(network.graph, image([2, 3, 224, 224]))).get('predictions')?.dims).toEqual([2, 5]);
  });

  test.each([
    [models[0], 512],
    [models[1], 576],
  ])('%s becomes a detector at 352×352 and 320×192, on the last map of stride 16', async (name, channels) => {
    const file = read(name);
    for (const [height, width] of [
      [352, 352],
      [192, 320],
    ] as const) {
      const network = networkFromOnnx({ graph: file, task: 'detectnet_v2', labels: ['ace', 'king'], preprocess, height, width, coverageBias: -4 });
      const outputs = await values(network.graph, image([2, 3, height, width]));
      expect(outputs.get('output_bbox')?.dims).toEqual([2, 8, height / 16, width / 16]);
      expect(outputs.get('output_cov')?.dims).toEqual([2, 2, height / 16, width / 16]);
      expect(network.graph.initializers.get('output_cov/kernel')?.dims).toEqual([2, channels, 1, 1]);
      expect(network.info).toMatchObject({ architecture: 'detectnet_v2_onnx', input: 'input_1', preprocess });
    }
  });

  test('every kernel and bias of the MobileNet learns, but those of the first k convolutions', () => {
    const make = (freezeConvs: number) => networkFromOnnx({ graph: read(models[0]), task: 'classification', labels: ['a', 'b'], preprocess, freezeConvs });
    // 27 convolutions of the backbone with folded norms, and the head.
    expect(make(0).trainable).toHaveLength(2 * 27 + 2);
    expect(make(13).trainable).toHaveLength(2 * 14 + 2);
    expect(make(13).trainable).not.toContain('w0');
    expect(make(13).regularized).toHaveLength(14 + 1);
    const stored = readOnnx(writeOnnx(make(0).graph));
    expect(networkOf(stored, { freezeConvs: 13 }).trainable).toEqual(make(13).trainable);
  });

  test('a CIFAR ResNet-20 is cut after its last block', async () => {
    const network = networkFromOnnx({ graph: read('resnet20_cifar10'), task: 'classification', labels: ['a', 'b'], preprocess });
    expect((await values(network.graph, image([3, 3, 32, 32]))).get('predictions')?.dims).toEqual([3, 2]);
    expect(network.graph.initializers.get('predictions/kernel')?.dims).toEqual([2, 64]);
  });

  test('a cut that does not exist or is no feature map names those that are', () => {
    const make =
      (cut: string, name: string = models[1]) =>
      () =>
        networkFromOnnx({ graph: read(name), task: 'classification', labels: ['a', 'b'], preprocess, cut });
    expect(make('nowhere')).toThrow(
      expect.objectContaining({ code: 'spec-invalid', message: expect.stringContaining('not in the graph'), hint: expect.stringContaining('t97 (1280×7×7)') }),
    );
    expect(make('t100')).toThrow(expect.objectContaining({ message: expect.stringContaining('is no feature map: [1, 1001]') }));
    // Inside a block is odd but possible: all that the tensor needs is kept.
    expect(make('t12')().graph.initializers.get('predictions/kernel')?.dims).toEqual([2, 144]);
    expect(() => networkFromOnnx({ graph: read(models[0]), task: 'classification', labels: ['a', 'b'] })).toThrow(
      expect.objectContaining({ code: 'project-invalid', hint: expect.stringContaining('preprocess') }),
    );
    expect(() => networkFromOnnx({ graph: read(models[0]), task: 'detectnet_v2', labels: ['a'], preprocess, height: 200, width: 224 })).toThrow(
      expect.objectContaining({ code: 'spec-invalid', hint: expect.stringContaining('multiples of 16') }),
    );
  });
});

describe.skipIf(!hasShared)('detectors as backbones', () => {
  const make = (name: string, more: object) =>
    networkFromOnnx({ graph: readOnnx(readFileSync(shared('models', `${name}.onnx`))), task: 'detectnet_v2', labels: ['a', 'b'], preprocess, ...more });
  test('NanoDet’s ShuffleNet, cut where its pyramid begins, works at its own size and says why not at another', async () => {
    const { graph } = make('nanodet_m', { cut: stageOfStride16('nanodet_m') });
    expect((await values(graph, image([2, 3, 416, 416]))).get('output_cov')?.dims).toEqual([2, 2, 26, 26]);
    expect(() => make('nanodet_m', { cut: stageOfStride16('nanodet_m'), height: 320, width: 320 })).toThrow(
      expect.objectContaining({ code: 'shape-mismatch', hint: expect.stringContaining('own input size') }),
    );
  });
  test('FastestDet holds its batch in a reshape, which is freed: the second image of a batch is seen as it is alone', async () => {
    const { graph } = make('FastestDet', {});
    const pair = image([2, 3, 352, 352]);
    const second = { ...pair, dims: [1, ...pair.dims.slice(1)], data: (pair.data as Float32Array).slice(pair.data.length / 2) };
    const [both, alone] = [await values(graph, pair), await values(graph, second)];
    for (const [name, tensor] of alone) {
      const whole = both.get(name)?.data ?? new Float32Array();
      expect(Array.from(whole, Number).slice(tensor.data.length)).toEqual(Array.from(tensor.data, Number));
    }
  });

  /** The last tensor of 26×26 that a Concat makes. */
  function stageOfStride16(name: string): string {
    const graph = foldConstants(atOpset17(readOnnx(readFileSync(shared('models', `${name}.onnx`)))));
    const types = inferShapes(graph);
    return graph.nodes.findLast(node => node.type === 'Concat' && types.get(node.outputs[0]!)?.dims.slice(2).join() === '26,26')!.outputs[0]!;
  }
});

describe('small backbones', () => {
  /** Conv(2) → BatchNormalization → Relu → Conv(2) → Relu → GlobalAveragePool → Reshape [1, 8], in opset 13, with names that the head wants. */
  function classifier(batch: number | string = 1): Graph {
    const b = new Builder('tiny', { '': 13 });
    let x = b.input('x', 'float32', [batch, 3, 32, 32]);
    for (const [i, [channels, from]] of (
      [
        [8, 3],
        [8, 8],
      ] as const
    ).entries()) {
      const kernel = b.weight(
        `k${i}`,
        f32(
          [channels, from, 3, 3],
          Array.from({ length: channels * from * 9 }, (_, j) => Math.sin(j + i)),
        ),
      );
      x = b.op('Conv', [x, kernel], { kernel_shape: ints([3, 3]), strides: ints([2, 2]), pads: ints([1, 1, 1, 1]) }, { output: `conv${i}`, name: '' });
      if (i === 0) {
        const norm = ['gamma', 'beta', 'mean', 'variance'].map(name =>
          b.weight(
            name,
            f32(
              [8],
              Array.from({ length: 8 }, () => (name === 'gamma' || name === 'variance' ? 1 : 0)),
            ),
          ),
        );
        x = b.op('BatchNormalization', [x, ...norm], {}, { output: 'flatten', name: 'bn' });
      }
      x = b.op('Relu', [x], {}, { output: `relu${i}`, name: 'relu' });
    }
    x = b.op('GlobalAveragePool', [x], {}, { output: 'pooled', name: '' });
    b.initializers.set('shape', i64([1, 8]));
    b.output(b.op('Reshape', [x, 'shape'], {}, { output: 'predictions', name: '' }), 'float32', [batch, 8]);
    return b.graph();
  }
  const make = (more: object = {}, graph = classifier()) => networkFromOnnx({ graph, task: 'classification', labels: ['a', 'b'], preprocess, ...more });

  test('names of the file give way to the head’s, nodes get names of their own', async () => {
    const { graph } = make();
    expect(new Set(graph.nodes.map(node => node.name)).size).toBe(graph.nodes.length);
    expect(graph.nodes.flatMap(node => node.outputs)).toContain('backbone/flatten');
    expect((await values(graph, image([2, 3, 32, 32]))).get('predictions')?.dims).toEqual([2, 2]);
  });

  test('gamma and beta learn, statistics do not; the norm of a frozen convolution is frozen with it', () => {
    expect(make().trainable).toEqual(['k0', 'gamma', 'beta', 'k1', 'predictions/kernel', 'predictions/bias']);
    expect(make({ freezeConvs: 1 })).toMatchObject({ trainable: ['k1', 'predictions/kernel', 'predictions/bias'], frozenNorms: ['bn'] });
  });

  test('a Dropout of the file stays for training and is gone from what is exported', async () => {
    const plain = classifier();
    const nodes = plain.nodes.flatMap(node => [
      { ...node, inputs: node.inputs.map(name => (name === 'relu0' ? 'dropped' : name)) },
      ...(node.outputs[0] === 'relu0' ? [{ name: 'drop', type: 'Dropout', domain: '', inputs: ['relu0', 'ratio'], outputs: ['dropped'], attributes: {} }] : []),
    ]);
    const { graph, trainable } = make({}, { ...plain, nodes, initializers: new Map([...plain.initializers, ['ratio', f32([], [0.25])]]) });
    expect(graph.nodes.map(node => node.type)).toContain('Dropout');
    expect(trainable).toEqual(make().trainable);
    const exported = atLowestCost(graph);
    expect(exported.nodes.map(node => node.type)).not.toContain('Dropout');
    const feed = image([2, 3, 32, 32]);
    for (const each of [graph, exported]) expect(distance((await values(each, feed)).get('predictions'), (await values(make().graph, feed)).get('predictions'))).toBeLessThan(1e-6);
  });

  test('a stride that the network does not reach is an error that lists its maps', () => {
    expect(() => make({ task: 'detectnet_v2', height: 64, width: 64 })).toThrow(expect.objectContaining({ code: 'graph-invalid', hint: expect.stringContaining('relu1 (8×8×8)') }));
    expect(make({ task: 'detectnet_v2', height: 64, width: 96, stride: 4 }).graph.outputs[1]!.type.dims).toEqual(['N', 2, 16, 24]);
  });

  test('what is no image classifier is refused in words', () => {
    const grey = { ...classifier(), inputs: [{ name: 'x', type: { dataType: 'float32' as const, dims: [1, 32, 32, 3] } }] };
    expect(() => make({}, grey)).toThrow(expect.objectContaining({ code: 'graph-invalid', message: expect.stringContaining('[1, 32, 32, 3]') }));
    expect(() => make({ preprocess: { scale: 1, order: 'gray' } })).toThrow(expect.objectContaining({ code: 'spec-invalid' }));
    const quantized = classifier();
    expect(() => make({}, { ...quantized, nodes: quantized.nodes.map((node, i) => (i === 0 ? { ...node, type: 'QLinearConv' } : node)) })).toThrow(
      expect.objectContaining({ code: 'operator-unsupported' }),
    );
  });
});
