import { EdgeError } from '../core/errors.ts';
import { opsetOf, rowOf } from './bind.ts';
import { Builder, defaultOpset } from './builder.ts';
import { type Attributes, f32, floatOf, type Graph, int, intOf, intsOf, type Node, text, textOf } from './ir.ts';
import { type Inferred, infer } from './shapes.ts';

interface Context {
  readonly node: Node;
  readonly opset: number;
  readonly builder: Builder;
  readonly inferred: Inferred;
}
type Rule = (context: Context) => void;

const without = (attributes: Attributes, ...names: readonly string[]): Attributes => Object.fromEntries(Object.entries(attributes).filter(([name]) => !names.includes(name)));
/** Adds the node under its own name and outputs, changed in parts. */
const put = ({ node, builder }: Context, change: Partial<Node>): void => {
  const next = { ...node, ...change };
  builder.nodes.push(next);
};
const refuse = ({ node, opset }: Context, why: string): EdgeError =>
  new EdgeError('operator-unsupported', `${node.type} "${node.name}" of opset ${opset} cannot be told in opset ${defaultOpset}: ${why}.`, {
    hint: `Export the model with opset ${defaultOpset}.`,
    where: { path: node.name },
  });

/** An attribute that newer opsets take as input `index`. */
const attributeToInput =
  (name: string, index: number, until: number): Rule =>
  context => {
    const { node, opset, builder } = context;
    const values = intsOf(node, name);
    if (opset >= until || values === undefined) return put(context, {});
    const inputs = [...node.inputs];
    while (inputs.length < index) inputs.push('');
    inputs[index] = builder.indices(values);
    put(context, { inputs, attributes: without(node.attributes, name) });
  };

const clip: Rule = context => {
  const { node, opset, builder } = context;
  if (opset >= 11) return put(context, {});
  const bound = (name: string) => (node.attributes[name] === undefined ? '' : builder.constant(floatOf(node, name, 0)));
  const inputs = [node.inputs[0] as string, bound('min'), bound('max')];
  while (inputs.at(-1) === '') inputs.pop();
  put(context, { inputs, attributes: {} });
};
const slice: Rule = context => {
  const { node, opset, builder } = context;
  const [starts, ends, axes] = [intsOf(node, 'starts'), intsOf(node, 'ends'), intsOf(node, 'axes')];
  if (opset >= 10 || starts === undefined || ends === undefined) return put(context, {});
  // 2^63 − 1 ("to the end") is no exact number here; 2^31 − 1 says the same.
  const near = ends.map(end => Math.min(end, 2 ** 31 - 1));
  put(context, { inputs: [node.inputs[0] as string, builder.indices(starts), builder.indices(near), ...(axes ? [builder.indices(axes)] : [])], attributes: {} });
};
const pad: Rule = context => {
  const { node, opset, builder } = context;
  const pads = intsOf(node, 'pads') ?? intsOf(node, 'paddings');
  if (opset >= 11 || pads === undefined) {
    if (opset >= 18 && node.inputs[3]) throw refuse(context, 'it names axes');
    if (textOf(node, 'mode', 'constant') === 'wrap') throw refuse(context, 'it wraps round');
    return put(context, {});
  }
  put(context, {
    inputs: [node.inputs[0] as string, builder.indices(pads), builder.constant(floatOf(node, 'value', 0))],
    attributes: { mode: text(textOf(node, 'mode', 'constant')) },
  });
};
const plainWindow: Rule = context => {
  const { node } = context;
  if (intsOf(node, 'dilations')?.some(step => step !== 1)) throw refuse(context, 'it averages over dilated windows');
  put(context, { attributes: without(node.attributes, 'dilations') });
};
/** Before opset 12 the ratio was an attribute. */
const dropout: Rule = context => {
  const { node, opset, builder } = context;
  const ratio = opset < 12 && node.attributes.ratio !== undefined ? [builder.constant(floatOf(node, 'ratio', 0.5))] : [];
  put(context, { inputs: [...node.inputs, ...ratio], attributes: without(node.attributes, 'ratio', 'is_test', 'consumed_inputs') });
};
/** x·tanh(softplus(x)), and x·sigmoid(α·x). */
const gated: Rule = context => {
  const { node, builder } = context;
  const [x = ''] = node.inputs;
  const alpha = floatOf(node, 'alpha', 1);
  const scaled = alpha === 1 ? x : builder.op('Mul', [x, builder.constant(alpha)]);
  const gate = node.type === 'Mish' ? builder.op('Tanh', [builder.op('Softplus', [x])]) : builder.op('Sigmoid', [scaled]);
  put(context, { type: 'Mul', inputs: [x, gate], attributes: {} });
};
const gridSample: Rule = context => {
  const mode = textOf(context.node, 'mode', 'linear');
  put(context, { attributes: { ...context.node.attributes, mode: text(mode.replace(/^(linear|cubic)$/, 'bi$1')) } });
};
/** Upsample, and Resize of opset 10: places i/scale, rounded down. */
const upsample: Rule = context => {
  const { node, opset, builder, inferred } = context;
  if (node.type === 'Resize' && opset >= 11) {
    if (opset >= 18 && (node.attributes.antialias !== undefined || node.attributes.axes !== undefined)) throw refuse(context, 'it has attributes of opset 18');
    return put(context, {});
  }
  const stated = node.attributes.scales;
  const rank = inferred.types.get(node.inputs[0] as string)?.dims.length ?? 4;
  const scales = node.inputs[1] ?? builder.weight(builder.fresh(`${node.name}_scales`), f32([rank], stated?.type === 'floats' ? stated.value : []));
  put(context, {
    type: 'Resize',
    inputs: [node.inputs[0] as string, '', scales],
    attributes: { mode: text(textOf(node, 'mode', 'nearest').replace('bilinear', 'linear')), coordinate_transformation_mode: text('asymmetric'), nearest_mode: text('floor') },
  });
};
/** Before opset 13 the axes from `axis` on were normalized together. */
const softmax: Rule = context => {
  const { node, opset, builder, inferred } = context;
  const type = inferred.types.get(node.inputs[0] as string);
  if (opset >= 13 || type === undefined) return put(context, {});
  const rank = type.dims.length;
  const axis = intOf(node, 'axis', 1) < 0 ? intOf(node, 'axis', 1) + rank : intOf(node, 'axis', 1);
  const long = type.dims.flatMap((dim, k) => (k >= axis && dim !== 1 ? [k] : []));
  if (long.length <= 1) return put(context, { attributes: { axis: int(long[0] ?? axis) } });
  const flat = builder.op('Flatten', [node.inputs[0] as string], { axis: int(axis) });
  const soft = builder.op(node.type, [flat], { axis: int(1) });
  const shape = builder.op('Shape', [node.inputs[0] as string]);
  put(context, { type: 'Reshape', inputs: [soft, shape], attributes: {} });
};
const batchNormalization: Rule = context => {
  const { node, opset } = context;
  if (intOf(node, 'spatial', 1) !== 1) throw refuse(context, 'it is not spatial');
  if (node.outputs.slice(1).some(name => name !== '') || intOf(node, 'training_mode', 0) === 1) throw refuse(context, 'it is in training mode');
  put(context, opset < 14 ? { outputs: node.outputs.slice(0, 1), attributes: without(node.attributes, 'spatial', 'is_test', 'consumed_inputs') } : {});
};
/** Before opset 7 operands broadcast by attribute; equal to numpy's rule only where no axis is named. */
const broadcast: Rule = context => {
  const { node, opset } = context;
  if (opset < 7 && node.attributes.axis !== undefined && intOf(node, 'broadcast', 0) === 1) throw refuse(context, 'it broadcasts along a named axis');
  put(context, { attributes: without(node.attributes, 'axis', 'broadcast', 'consumed_inputs') });
};
const castNames = ['', 'FLOAT', 'UINT8', 'INT8', 'UINT16', 'INT16', 'INT32', 'INT64', 'STRING', 'BOOL', 'FLOAT16', 'DOUBLE', 'UINT32', 'UINT64'];
const cast: Rule = context => {
  const to = context.node.attributes.to;
  put(context, to?.type === 'string' ? { attributes: { to: int(castNames.indexOf(to.value)) } } : {});
};
/** Opset 18 moved the axes of all reductions but ReduceSum into an input. */
const reduction: Rule = context => {
  const { node, opset, inferred } = context;
  if (opset < 18 || !node.inputs[1]) return put(context, {});
  const axes = inferred.values(node.inputs[1]);
  if (axes === undefined || !axes.every(axis => typeof axis === 'number')) throw refuse(context, 'its axes are not constant');
  put(context, {
    inputs: node.inputs.slice(0, 1),
    attributes: { ...without(node.attributes, 'noop_with_empty_axes'), ...(axes.length > 0 ? { axes: { type: 'ints', value: axes } } : {}) },
  });
};
const split: Rule = context => {
  const { node, opset, inferred } = context;
  if (opset < 13) return attributeToInput('split', 1, 13)(context);
  if (node.attributes.num_outputs === undefined) return put(context, {});
  const own = inferred.bound.find(b => b.bound.node === node);
  const axis = intOf(node, 'axis', 0);
  const sizes = (own?.outputs ?? []).map(type => type.dims.at(axis));
  if (!sizes.every(size => typeof size === 'number')) throw refuse(context, 'its sizes are not known');
  put(context, { inputs: [node.inputs[0] as string, context.builder.indices(sizes)], attributes: without(node.attributes, 'num_outputs') });
};

/** Later opsets may change what operators mean. */
const latestOpset = 24;
const arithmetic = ['Add', 'Sub', 'Mul', 'Div', 'Pow', 'And', 'Or', 'Xor', 'Equal', 'Greater', 'Less', 'Gemm'];
const reductions = ['ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceL1', 'ReduceL2', 'ReduceSumSquare', 'ReduceLogSum'];
const rules: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ['Clip', clip],
  ['Squeeze', attributeToInput('axes', 1, 13)],
  ['Unsqueeze', attributeToInput('axes', 1, 13)],
  ['ReduceSum', attributeToInput('axes', 1, 13)],
  ['Reshape', attributeToInput('shape', 1, 5)],
  ['Split', split],
  ['Slice', slice],
  ['Pad', pad],
  ['Dropout', dropout],
  ['AveragePool', plainWindow],
  ['Mish', gated],
  ['Swish', gated],
  ['GridSample', gridSample],
  ['Upsample', upsample],
  ['Resize', upsample],
  ['Softmax', softmax],
  ['LogSoftmax', softmax],
  ['BatchNormalization', batchNormalization],
  ['Cast', cast],
  ...arithmetic.map(type => [type, broadcast] as const),
  ...reductions.map(type => [type, reduction] as const),
]);
const plain: Rule = context => put(context, context.opset < 6 ? { attributes: without(context.node.attributes, 'consumed_inputs') } : {});

/** The same network in opset 17, ours: models of other opsets can then be joined with our heads. Throws `operator-unsupported` naming the node that cannot be told in it. */
export function atOpset17(graph: Graph): Graph {
  const opset = opsetOf(graph);
  if (opset === defaultOpset) return graph;
  const foreign = Object.keys(graph.opsets).find(domain => domain !== '' && domain !== 'edge' && graph.nodes.some(node => node.domain === domain));
  const stranger = graph.nodes.find(node => node.domain === foreign);
  if (stranger !== undefined) rowOf(stranger, opset);
  if (opset > latestOpset)
    throw new EdgeError('operator-unsupported', `The graph "${graph.name}" has opset ${opset}; edgeforge knows up to ${latestOpset}.`, {
      hint: `Export the model with opset ${defaultOpset}.`,
    });
  const inferred = infer(graph);
  const builder = Builder.from(graph);
  builder.nodes.length = 0;
  builder.opsets[''] = defaultOpset;
  for (const node of graph.nodes) (rules.get(node.type) ?? plain)({ node, opset, builder, inferred });
  return builder.graph();
}
