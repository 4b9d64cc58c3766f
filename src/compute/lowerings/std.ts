import { Builder } from '../../graph/builder.ts';
import type { Graph, Node } from '../../graph/ir.ts';
import { inferShapes } from '../../graph/shapes.ts';
import type { Lowered } from '../lowering.ts';
import { type EmitContext, type Rule, widenedOperands, words } from './_emit.ts';
import { convGradInput, convGradWeight } from './_std-conv.ts';
import { dropoutTrain } from './_std-dropout.ts';
import { fakeQuantize } from './_std-quantize.ts';
import { averagePoolGrad, batchNormGrad, batchNormTrain, maxPoolGrad, pool, reluGrad } from './_std-rest.ts';

/** The table: internal operators as standard ONNX, opset 17, and what of it onnxruntime would misread. */
const rules: readonly Rule[] = [
  { domain: '', type: 'MaxPool', emit: pool },
  { domain: '', type: 'AveragePool', emit: pool },
  { domain: 'edge', type: 'ConvGradInput', emit: convGradInput },
  { domain: 'edge', type: 'ConvGradWeight', emit: convGradWeight },
  { domain: 'edge', type: 'BatchNormTrain', emit: batchNormTrain },
  { domain: 'edge', type: 'BatchNormGrad', emit: batchNormGrad },
  { domain: 'edge', type: 'MaxPoolGrad', emit: maxPoolGrad },
  { domain: 'edge', type: 'AveragePoolGrad', emit: averagePoolGrad },
  { domain: 'edge', type: 'ReluGrad', emit: reluGrad },
  { domain: 'edge', type: 'DropoutTrain', emit: dropoutTrain },
  { domain: 'edge', type: 'FakeQuantize', emit: fakeQuantize },
];

/** The portable rule for a node, or undefined where the node already is portable. */
export const stdRule = (node: Node): Rule | undefined => ruleOf(rules, node);
const ruleOf = (table: readonly Rule[], node: Node): Rule | undefined => table.find(rule => rule.type === node.type && rule.domain === node.domain);

/** The portable lowering: every internal operator as standard ONNX, everything else untouched. Shapes must be concrete. */
export const lowerStd = (graph: Graph): Lowered => lowerBy([], graph);

/** `std` with rules of another engine's ahead of its own. */
export function lowerBy(first: readonly Rule[], graph: Graph): Lowered {
  const context: EmitContext = { builder: Builder.from({ ...graph, nodes: [], opsets: withoutInternal(graph.opsets) }), types: inferShapes(graph) };
  const widened = new Map<string, string>();
  const widen = (name: string, dims: readonly number[]): string => {
    const key = `${name}|${dims.length}`;
    const value = widened.get(key) ?? words(context.builder).reshape(name, dims);
    widened.set(key, value);
    return value;
  };
  for (const node of graph.nodes) {
    const rule = ruleOf(first, node) ?? stdRule(node);
    if (rule) rule.emit(node, context);
    else context.builder.nodes.push({ ...node, inputs: widenedOperands(node, context.types, widen) });
  }
  return { graph: context.builder.graph(), layouts: new Map() };
}

/** Opset imports without our internal domain, which no engine knows. */
export const withoutInternal = (opsets: Graph['opsets']): Record<string, number> => Object.fromEntries(Object.entries(opsets).filter(([domain]) => domain !== 'edge'));
