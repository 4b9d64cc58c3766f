import { asEdgeError } from '../../../core/errors.ts';
import { readOnnx } from '../../../formats/onnx.ts';
import { costOf, type GraphCost } from '../../../graph/cost.ts';
import { type Graph, sizeOf, type ValueInfo } from '../../../graph/ir.ts';
import { networkInfoOf } from '../../../graph/network-info.ts';
import { bytesText } from '../../output.ts';
import { type Inspection, shortened } from './inspection.ts';

const count = (value: number): string =>
  value < 1e3 ? String(value) : value < 1e6 ? `${(value / 1e3).toFixed(1)} k` : value < 1e9 ? `${(value / 1e6).toFixed(2)} M` : `${(value / 1e9).toFixed(2)} G`;
const shapeText = ({ name, type }: ValueInfo): string => `${name}  ${type.dataType}[${type.dims.join(', ')}]`;

/** A network: inputs, outputs, opsets, operators, cost, its biggest layers, and what it says of itself. */
export function inspectOnnx(bytes: Uint8Array): Inspection {
  const graph = readOnnx(bytes);
  const notes: string[] = [];
  let cost: GraphCost | undefined;
  try {
    cost = costOf(graph);
  } catch (error) {
    notes.push(`Multiply-accumulates are not counted: ${asEdgeError(error).message}`);
  }
  const types = typeCounts(graph);
  const weights = [...graph.initializers.values()].reduce((sum, tensor) => sum + sizeOf(tensor.dims), 0);
  const quantized = types.some(([type]) => type.endsWith('QuantizeLinear'));
  const info = networkInfoOf(graph);
  const inputs = graph.inputs.filter(input => !graph.initializers.has(input.name));
  const facts: (readonly [string, string])[] = [
    ['graph', graph.name],
    ...inputs.map(input => ['input', shapeText(input)] as const),
    ...graph.outputs.map(output => ['output', shapeText(output)] as const),
    [
      'opset',
      Object.entries(graph.opsets)
        .map(([domain, version]) => `${domain === '' ? 'ai.onnx' : domain} ${version}`)
        .join(', '),
    ],
    ['nodes', String(graph.nodes.length)],
    ['parameters', cost ? count(cost.parameters) : `${count(weights)} elements of initializers`],
    ...(cost ? [['MACs', `${count(cost.macs)} for one image`] as const] : []),
    ['size', bytesText(bytes.length)],
    ...(info ? infoFacts(info) : []),
    ...Object.entries(graph.metadata)
      .filter(([key]) => key !== 'edgeforge')
      .map(([key, value]) => [key, value.slice(0, 100)] as const),
  ];
  if (!info) notes.push('It does not say how it wants its pixels: as a backbone it needs model.preprocess in edgeforge.yaml.');
  if (quantized) notes.push('It holds quantize/dequantize nodes: it can be deployed, not trained.');
  return {
    kind: 'ONNX network',
    facts,
    tables: [
      { title: 'Operators', rows: [['type', 'nodes'], ...types.map(([type, n]) => [type, String(n)])] },
      ...(cost ? [{ title: 'Biggest layers', rows: shortened(layerRows(cost), 10) }] : []),
    ],
    notes,
    data: {
      graph: graph.name,
      inputs,
      outputs: graph.outputs,
      opsets: graph.opsets,
      nodes: graph.nodes.length,
      operators: Object.fromEntries(types),
      parameters: cost?.parameters,
      macs: cost?.macs,
      layers: cost?.nodes.filter(node => node.macs > 0),
      metadata: graph.metadata,
      network: info,
    },
  };
}

function infoFacts({ task, architecture, labels, preprocess }: NonNullable<ReturnType<typeof networkInfoOf>>): (readonly [string, string])[] {
  const { scale, offset, order, resize } = preprocess;
  return [
    ['network', `${architecture} (${task})`],
    ['classes', labels.length > 12 ? `${labels.slice(0, 12).join(', ')} … (${labels.length})` : labels.join(', ')],
    ['pixels', `(${order} − [${offset.join(', ')}]) · ${Number(scale.toPrecision(6))}, ${resize}`],
  ];
}

function typeCounts(graph: Graph): (readonly [string, number])[] {
  const counts = new Map<string, number>();
  for (const { type, domain } of graph.nodes) {
    const name = domain === '' ? type : `${domain}.${type}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].sort(([nameA, a], [nameB, b]) => b - a || (nameA < nameB ? -1 : 1));
}

function layerRows(cost: GraphCost): string[][] {
  const share = (macs: number) => (cost.macs === 0 ? '' : `${((100 * macs) / cost.macs).toFixed(1)} %`);
  const big = cost.nodes.filter(node => node.macs > 0).sort((a, b) => b.macs - a.macs);
  return [['layer', 'type', 'MACs', 'share', 'parameters'], ...big.map(node => [node.node, node.type, count(node.macs), share(node.macs), count(node.parameters)])];
}
