import { describe, expect, test } from 'vitest';
import { openSession } from '../../src/compute/session.ts';
import { readOnnx, writeOnnx } from '../../src/formats/onnx.ts';
import { costOf } from '../../src/graph/cost.ts';
import { f32, intsOf, sizeOf } from '../../src/graph/ir.ts';
import { networkInfoOf } from '../../src/graph/network-info.ts';
import type { Network } from '../../src/tasks/task.ts';
import { architectureOf, catalogue } from '../../src/zoo/catalogue.ts';
import { idleBlocks } from '../../src/zoo/freeze.ts';
import { buildNetwork, type NetworkInput } from '../../src/zoo/network.ts';
import { gridOf, networkOf } from '../../src/zoo/network-file.ts';

const labels = ['car', 'person', 'sign'];
const slim = (architecture: string, more: Partial<NetworkInput> = {}) => buildNetwork({ architecture, labels, height: 64, width: 96, widthMultiplier: 0.125, ...more });
const learnt = ({ graph, trainable }: Network) => trainable.reduce((sum, name) => sum + sizeOf(graph.initializers.get(name)!.dims), 0);

/** Runs a network on n images of noise and returns its outputs' shapes; every value must be a number. */
async function run({ graph, info }: Network, n: number): Promise<Record<string, readonly number[]>> {
  const [, ...rest] = graph.inputs[0]!.type.dims as number[];
  const session = await openSession(writeOnnx(graph), { threads: 1 });
  const dims = [n, ...rest];
  const results = await session.run(
    new Map([
      [
        info.input,
        f32(
          dims,
          Float32Array.from({ length: sizeOf(dims) }, (_, i) => Math.sin(i)),
        ),
      ],
    ]),
  );
  await session.close();
  for (const tensor of results.values()) expect((tensor.data as Float32Array).every(Number.isFinite)).toBe(true);
  return Object.fromEntries([...results].map(([name, tensor]) => [name, tensor.dims]));
}

describe('catalogue', () => {
  test.each(catalogue)('$architecture runs in onnxruntime at two batch sizes, with TLT’s output names in TLT’s order', async ({ architecture, task }) => {
    const network = slim(architecture);
    expect(network.graph.outputs.map(output => output.name)).toEqual(task === 'detectnet_v2' ? ['output_bbox', 'output_cov'] : ['predictions']);
    for (const n of [1, 3]) expect(await run(network, n)).toEqual(task === 'detectnet_v2' ? { output_bbox: [n, 12, 4, 6], output_cov: [n, 3, 4, 6] } : { predictions: [n, 3] });
    expect(networkInfoOf(network.graph)).toMatchObject({ task, architecture, labels, input: 'input_1' });
  });

  test.each<Partial<NetworkInput>>([
    { allProjections: true },
    { usePooling: true },
    { usePooling: true, stride: 32, height: 64, width: 96 },
    { useBatchNorm: false },
    { useBias: true },
    { channels: 1, preprocess: { scale: 1 / 255, order: 'gray' } },
  ])('option %o gives a network that runs', async options => {
    const stride = options.stride ?? 16;
    expect(await run(slim('detectnet_v2_resnet18', options), 1)).toEqual({ output_bbox: [1, 12, 64 / stride, 96 / stride], output_cov: [1, 3, 64 / stride, 96 / stride] });
  });

  test('names from a spec find their row, others say what there is', () => {
    expect(architectureOf('detectnet_v2', 'resnet', 0)).toBe('detectnet_v2_resnet18');
    expect(() => architectureOf('detectnet_v2', 'vgg', 16)).toThrow(expect.objectContaining({ code: 'spec-invalid', hint: expect.stringContaining('resnet') }));
    expect(() => slim('detectnet_v2_resnet20')).toThrow(expect.objectContaining({ code: 'spec-invalid', hint: expect.stringContaining('detectnet_v2_resnet18') }));
  });
});

describe('ResNet', () => {
  test('has TLT’s layer names', () => {
    const names = slim('detectnet_v2_resnet18').graph.nodes.map(node => node.name);
    expect(names.slice(0, 3)).toEqual(['conv1', 'bn_conv1', 'activation_1']);
    for (const name of [
      'block_1a_conv_1',
      'block_1a_bn_1',
      'block_1a_relu_1',
      'block_1a_conv_2',
      'block_1a_bn_2',
      'block_1a_conv_shortcut',
      'block_1a_bn_shortcut',
      'add_1',
      'block_1a_relu',
      'block_4b_relu',
      'add_8',
    ])
      expect(names).toContain(name);
    expect(names).not.toContain('block_1b_conv_shortcut');
    expect(slim('detectnet_v2_resnet18', { allProjections: true }).graph.nodes.map(node => node.name)).toContain('block_1b_conv_shortcut');
    expect(slim('classification_resnet50').graph.nodes.map(node => node.name)).toContain('block_3f_conv_3');
  });

  test('pads symmetrically, also at stride 2', () => {
    for (const node of slim('detectnet_v2_resnet10').graph.nodes) {
      if (node.type !== 'Conv') continue;
      const pad = (intsOf(node, 'kernel_shape')![0]! - 1) / 2;
      expect(intsOf(node, 'pads')).toEqual([pad, pad, pad, pad]);
    }
  });

  // torchvision's published counts (11,689,512; 21,797,672; 25,557,032), plus what TLT's template adds: a projection with its norm on the first block of stage 1 (64·64 + 2·64; ResNet-50 has it already).
  test.each([
    ['classification_resnet18', 11_689_512 + 4_224],
    ['classification_resnet34', 21_797_672 + 4_224],
    ['classification_resnet50', 25_557_032],
  ])('%s has the known number of parameters', (architecture, expected) => {
    const network = buildNetwork({ architecture, labels: Array.from({ length: 1000 }, (_, i) => `c${i}`), height: 224, width: 224, usePooling: true });
    expect(learnt(network)).toBe(expected);
    // 1.814 GMAC published for torchvision's ResNet-18 at 224; the projection adds 56·56·64·64.
    if (architecture === 'classification_resnet18') expect(costOf(network.graph).macs / 1e9).toBeCloseTo(1.814 + (56 * 56 * 64 * 64) / 1e9, 2);
  });

  test('half-width ResNet-10 at 320×192 has the measured stand-in’s 478 MMAC and 1.24 M parameters', () => {
    const network = buildNetwork({ architecture: 'detectnet_v2_resnet10', labels, height: 192, width: 320, widthMultiplier: 0.5 });
    expect(learnt(network) / 1e6).toBeCloseTo(1.24, 2);
    expect(costOf(network.graph).macs / 1e6).toBeCloseTo(478, -1);
  });

  test('is decided by its seed, layer by layer', () => {
    const kernel = (network: Network, name: string) => network.graph.initializers.get(name)!.data;
    const [a, again, other] = [slim('detectnet_v2_resnet10'), slim('detectnet_v2_resnet10'), slim('detectnet_v2_resnet10', { seed: 7 })];
    expect(kernel(again, 'block_2a_conv_1/kernel')).toEqual(kernel(a, 'block_2a_conv_1/kernel'));
    expect(kernel(other, 'block_2a_conv_1/kernel')).not.toEqual(kernel(a, 'block_2a_conv_1/kernel'));
    expect(kernel(slim('detectnet_v2_resnet18'), 'block_2a_conv_1/kernel')).toEqual(kernel(a, 'block_2a_conv_1/kernel'));
  });

  test('draws He’s variance, and Glorot’s limit in the head', () => {
    const { graph } = buildNetwork({ architecture: 'detectnet_v2_resnet10', labels, height: 64, width: 64 });
    const values = graph.initializers.get('block_4a_conv_2/kernel')!.data as Float32Array;
    const [mean, square] = [values.reduce((sum, v) => sum + v, 0) / values.length, values.reduce((sum, v) => sum + v * v, 0) / values.length];
    expect(Math.abs(mean)).toBeLessThan(2e-4);
    expect(square * ((512 * 9) / 2)).toBeCloseTo(1, 2);
    const head = graph.initializers.get('output_cov/kernel')!.data as Float32Array;
    const limit = Math.sqrt(6 / (512 + 3));
    expect(head.every(value => Math.abs(value) <= limit)).toBe(true);
    expect(Math.max(...head)).toBeGreaterThan(0.95 * limit);
  });

  test('a coverage bias starts the sigmoid low', () => {
    expect([...(slim('detectnet_v2_resnet10', { coverageBias: -4 }).graph.initializers.get('output_cov/bias')!.data as Float32Array)]).toEqual([-4, -4, -4]);
  });

  test('a size that is no multiple of 16 names its neighbours', () => {
    expect(() => slim('detectnet_v2_resnet18', { width: 100 })).toThrow(expect.objectContaining({ code: 'spec-invalid', hint: 'Set output_image_width: 96 or 112.' }));
  });
});

describe('freezing', () => {
  test('blocks 0 and 1 keep conv1 and stage 1, norms included', () => {
    const network = slim('detectnet_v2_resnet18', { freezeBlocks: [0, 1, 9] });
    const fixed = (name: string) => !network.trainable.includes(name) && !network.regularized.includes(name);
    for (const name of ['conv1/kernel', 'bn_conv1/gamma', 'block_1b_conv_2/kernel', 'block_1a_conv_shortcut/kernel']) expect(fixed(name), name).toBe(true);
    for (const name of ['block_2a_conv_1/kernel', 'block_2a_bn_1/beta', 'output_cov/bias']) expect(network.trainable).toContain(name);
    expect(network.frozenNorms).toEqual(expect.arrayContaining(['bn_conv1', 'block_1a_bn_shortcut', 'block_1b_bn_2']));
    expect(network.frozenNorms).not.toContain('block_2a_bn_1');
    expect(idleBlocks(network.graph, { freezeBlocks: [0, 1, 9, 9] })).toEqual([9]);
  });

  test('freeze_bn keeps every norm; running statistics never learn; only kernels are regularized', () => {
    const network = slim('detectnet_v2_resnet10', { freezeBn: true });
    expect(network.trainable.some(name => /gamma|beta/.test(name))).toBe(false);
    expect(network.frozenNorms).toContain('block_4a_bn_2');
    const free = slim('detectnet_v2_resnet10');
    expect(free.frozenNorms).toEqual([]);
    expect(free.trainable.some(name => name.includes('moving'))).toBe(false);
    expect(free.regularized.every(name => name.endsWith('/kernel'))).toBe(true);
  });

  test('a stored graph comes back as the same network, under a freeze of its own', () => {
    const network = slim('detectnet_v2_resnet18');
    const stored = readOnnx(writeOnnx(network.graph));
    expect(networkOf(stored)).toMatchObject({ info: network.info, trainable: network.trainable, frozenNorms: [], regularized: network.regularized });
    expect(networkOf(stored, { freezeBlocks: [0] }).trainable).not.toContain('conv1/kernel');
    expect(gridOf(networkOf(stored))).toEqual([4, 6]);
    expect(() => networkOf({ ...stored, metadata: {} })).toThrow(expect.objectContaining({ code: 'graph-invalid' }));
  });
});
