import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { readOnnx } from '../../src/formats/onnx.ts';
import { Builder } from '../../src/graph/builder.ts';
import { bindBatch } from '../../src/graph/clean.ts';
import { differentiate } from '../../src/graph/differentiate.ts';
import { openClassification } from '../../src/tasks/classification.ts';
import { openDetectnet } from '../../src/tasks/detectnet.ts';
import type { Network, Task } from '../../src/tasks/task.ts';
import { idleBlocks, kernelsIn } from '../../src/zoo/freeze.ts';
import { buildNetwork } from '../../src/zoo/network.ts';
import { networkOf } from '../../src/zoo/network-file.ts';
import { networkFromOnnx } from '../../src/zoo/onnx-backbone.ts';
import { hasShared, shared } from '../shared.ts';

const labels = ['a', 'b'];
const preprocess = { scale: 1 / 128, offset: [128, 128, 128] as [number, number, number], order: 'rgb' as const };

/** The network with its task's loss, as a train step begins; returns the names that have a gradient. */
function gradients(network: Network, task: Task): readonly string[] {
  const builder = Builder.from(bindBatch(network.graph, 2));
  for (const [name, type] of Object.entries(task.targets(2))) builder.input(name, type.dataType, type.dims);
  for (const [name, tensor] of task.lossWeights()) builder.input(name, tensor.dataType, tensor.dims);
  const { total } = task.loss(builder, builder.outputs);
  return [...differentiate(builder.graph(), { loss: total, wrt: network.trainable }).gradients.keys()];
}

describe('every trainable weight has a gradient under its task’s loss', () => {
  const size = { height: 32, width: 32 };
  test.each(['resnet10', 'resnet50'])('%s', backbone => {
    const detector = buildNetwork({ architecture: `detectnet_v2_${backbone}`, labels, ...size, widthMultiplier: 0.125 });
    expect(gradients(detector, openDetectnet({ labels, ...size }))).toEqual(detector.trainable);
    const classifier = buildNetwork({ architecture: `classification_${backbone}`, labels, height: 64, width: 64, widthMultiplier: 0.125, usePooling: true });
    expect(gradients(classifier, openClassification({ labels }))).toEqual(classifier.trainable);
  });

  test.skipIf(!hasShared).each(['mobilenet_v1_1.0_224_dequantized', 'mobilenet_v2_1.0_224_dequantized'])('%s', name => {
    const graph = readOnnx(readFileSync(shared('models', `${name}.onnx`)));
    const detector = networkFromOnnx({ graph, task: 'detectnet_v2', labels, preprocess, height: 352, width: 352 });
    expect(gradients(detector, openDetectnet({ labels, height: 352, width: 352 }))).toEqual(detector.trainable);
    expect(idleBlocks(detector.graph, { freezeBlocks: [0, 1] })).toEqual([0, 1]);
    const classifier = networkFromOnnx({ graph, task: 'classification', labels, preprocess, freezeConvs: 13 });
    expect(gradients(classifier, openClassification({ labels }))).toEqual(classifier.trainable);
  });
});

describe('freezing', () => {
  const { graph } = buildNetwork({ architecture: 'detectnet_v2_resnet10', labels, height: 32, width: 32, widthMultiplier: 0.125 });
  test('by name, with the norms that follow', () => {
    const { trainable, frozenNorms } = networkOf(graph, { freezeNames: ['block_1*', 'conv1'] });
    expect(trainable.filter(name => /^(conv1|bn_conv1|block_1)/.test(name))).toEqual([]);
    expect(trainable.some(name => name.startsWith('block_2'))).toBe(true);
    expect(frozenNorms).toContain('bn_conv1');
  });
  test('of the whole backbone', () => {
    expect([...networkOf(graph, { freezeBackbone: true }).trainable].sort()).toEqual(['output_bbox/bias', 'output_bbox/kernel', 'output_cov/bias', 'output_cov/kernel']);
  });
  test.skipIf(!hasShared)('a regularizer’s scope knows convolutions, depthwise ones and dense layers apart', () => {
    const file = readOnnx(readFileSync(shared('models', 'mobilenet_v1_1.0_224_dequantized.onnx')));
    const network = networkFromOnnx({ graph: file, task: 'classification', labels, preprocess });
    const [plain, depthwise, dense] = [['Conv2D'], ['DepthwiseConv2D'], ['Dense']].map(scope => kernelsIn(network.graph, scope));
    expect([plain!.size, depthwise!.size, [...dense!]]).toEqual([14, 13, ['predictions/kernel']]);
    expect([...plain!, ...depthwise!, ...dense!].sort()).toEqual([...network.regularized].sort());
  });
  test('refuses a name that fits nothing', () => {
    expect(() => networkOf(graph, { freezeNames: ['blok_1*'] })).toThrow(expect.objectContaining({ code: 'spec-invalid', message: expect.stringContaining('"blok_1*"') }));
    // Only * is special.
    expect(() => networkOf(graph, { freezeNames: ['conv.'] })).toThrow(expect.objectContaining({ code: 'spec-invalid' }));
  });
});
