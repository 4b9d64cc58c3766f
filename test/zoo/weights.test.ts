import { describe, expect, test } from 'vitest';
import { buildNetwork } from '../../src/zoo/network.ts';
import { networkFromOnnx } from '../../src/zoo/onnx-backbone.ts';
import { pretrainedSource } from '../../src/zoo/pretrained.ts';
import { backboneSummary, loadSummary, loadWeights } from '../../src/zoo/weights.ts';

const build = (labels: string[], seed: number) => buildNetwork({ architecture: 'detectnet_v2_resnet10', labels, height: 32, width: 32, widthMultiplier: 0.125, seed });

describe('loadWeights', () => {
  test('takes what fits by name, statistics included, and says why not the rest', () => {
    const [network, source] = [build(['a', 'b'], 1), build(['a', 'b', 'c'], 2)];
    const { network: loaded, report } = loadWeights(network, source.graph);
    const value = (name: string) => loaded.graph.initializers.get(name);
    expect(value('conv1/kernel')).toBe(source.graph.initializers.get('conv1/kernel'));
    expect(value('bn_conv1/moving_variance')).toBe(source.graph.initializers.get('bn_conv1/moving_variance'));
    expect(value('output_cov/kernel')).toBe(network.graph.initializers.get('output_cov/kernel'));
    expect(report.total - report.loaded).toBe(4);
    expect(report.reasons).toContainEqual({ name: 'output_cov/kernel', reason: 'shape differs ([2, 64, 1, 1] here, [3, 64, 1, 1] in the source)' });
    expect([...report.unused].sort()).toEqual(['output_bbox/bias', 'output_bbox/kernel', 'output_cov/bias', 'output_cov/kernel']);
    expect(loadSummary(report, 'old.onnx')).toMatch(new RegExp(`^${report.loaded} of ${report.total} tensors from old.onnx; output_\\w+/\\w+: shape differs`));
    expect(network.graph.initializers.get('conv1/kernel')).not.toBe(value('conv1/kernel'));
  });

  test('a backbone of a file says what is from there, and which of the head’s are new', () => {
    const graph = buildNetwork({ architecture: 'classification_resnet10', labels: ['a', 'b'], height: 64, width: 64, widthMultiplier: 0.125 }).graph;
    const network = networkFromOnnx({ graph, task: 'classification', labels: ['x', 'y', 'z'], freezeConvs: 3 });
    const { loaded, total } = loadWeights(network, graph).report;
    expect(total - loaded).toBe(2);
    expect(backboneSummary(network, 'old.onnx')).toBe(
      `${loaded} of ${total} tensors from old.onnx as the backbone; predictions/kernel: new, of the head for 3 classes; predictions/bias: new, of the head for 3 classes`,
    );
  });

  test('goes through a name map, and names what is missing', () => {
    const [network, source] = [build(['a'], 1), build(['a'], 2)];
    const graph = { ...source.graph, nodes: source.graph.nodes.map(node => ({ ...node, inputs: node.inputs.map(name => (name === 'conv1/kernel' ? 'stem' : name)) })) };
    const initializers = new Map(graph.initializers);
    initializers.set('stem', initializers.get('conv1/kernel')!);
    initializers.delete('conv1/kernel');
    const renamed = { ...graph, initializers };
    expect(loadWeights(network, renamed).report.reasons).toEqual([{ name: 'conv1/kernel', reason: 'the source has no conv1/kernel' }]);
    const mapped = loadWeights(network, renamed, { 'conv1/kernel': 'stem' });
    expect(mapped.report).toMatchObject({ loaded: mapped.report.total, reasons: [], unused: [] });
  });
});

describe('pretrained sources', () => {
  test.each([
    'nvidia/tao/pretrained_detectnet_v2:resnet18',
    'nvidia/iva/tlt_resnet18_detectnet_v2:1',
    'ngc://nvidia/tao/peoplenet:unpruned_v2.1',
    'https://api.ngc.nvidia.com/v2/models/nvidia/tao/peoplenet/versions/unpruned_v2.1/files/resnet34_peoplenet.tlt',
    'pretrained_classification:vgg19',
  ])('%s is NGC’s and refused with the way round', name => {
    expect(() => pretrainedSource(name)).toThrow(
      expect.objectContaining({ code: 'format-unsupported', hint: expect.stringContaining('ONNX'), message: expect.stringContaining('NGC') }),
    );
  });
  test('files are told by their ending', () => {
    expect(pretrainedSource('nvidia/backbone.onnx')).toEqual({ kind: 'onnx', path: 'nvidia/backbone.onnx' });
    expect(pretrainedSource('/x/resnet18_pruned.tlt').kind).toBe('tlt');
    expect(() => pretrainedSource('/x/resnet_18.hdf5')).toThrow(/Keras/);
    expect(() => pretrainedSource('weights')).toThrow(expect.objectContaining({ code: 'format-unsupported' }));
  });
});
