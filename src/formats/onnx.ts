import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs';
import { asEdgeError, EdgeError } from '../core/errors.ts';
import { inPackage } from '../core/package-root.ts';
import type { Attribute, Attributes, Dim, Graph, Node, Tensor, TensorType, ValueInfo } from '../graph/ir.ts';
import { codeOf, corrupt, dataTypeOf, type ExternalData, type Int64, readTensor, type TensorMessage, toInt64, toNumber, writeTensor } from './_onnx-tensor.ts';

export interface OnnxReadOptions {
  /** Bytes of an external data file that the model names (a relative location, already checked to stay below the model's folder). */
  readonly externalData?: ExternalData;
}

interface AttributeMessage {
  name?: string;
  type?: number;
  f?: number;
  i?: Int64;
  s?: Uint8Array;
  t?: TensorMessage;
  g?: GraphMessage;
  floats?: readonly number[];
  ints?: readonly Int64[];
  strings?: readonly Uint8Array[];
}
interface NodeMessage {
  input?: readonly string[];
  output?: readonly string[];
  name?: string;
  op_type?: string;
  domain?: string;
  attribute?: readonly AttributeMessage[];
}
interface ValueInfoMessage {
  name?: string;
  type?: { tensor_type?: { elem_type?: number; shape?: { dim?: readonly { dim_value?: Int64; dim_param?: string }[] } } };
}
interface GraphMessage {
  node?: readonly NodeMessage[];
  name?: string;
  initializer?: readonly TensorMessage[];
  input?: readonly ValueInfoMessage[];
  output?: readonly ValueInfoMessage[];
  sparse_initializer?: readonly Uint8Array[];
}
interface ModelMessage {
  ir_version?: Int64;
  producer_name?: string;
  graph?: GraphMessage;
  opset_import?: readonly { domain?: string; version?: Int64 }[];
  metadata_props?: readonly { key?: string; value?: string }[];
  functions?: readonly { name?: string }[];
}

const attributeCodes = { float: 1, int: 2, string: 3, tensor: 4, graph: 5, floats: 6, ints: 7, strings: 8 } as const;
const utf8 = new TextDecoder('utf-8', { fatal: true });
let model: protobuf.Type | undefined;
const modelType = (): protobuf.Type => {
  model ??= protobuf.parse(readFileSync(inPackage('src', 'formats', 'onnx.proto'), 'utf8'), { keepCase: true }).root.lookupType('onnx.Model');
  return model;
};

/** What one file's reading carries along. */
interface Reading {
  readonly opsets: Readonly<Record<string, number>>;
  readonly externalData: ExternalData | undefined;
}

function readAttribute(message: AttributeMessage, path: string, reading: Reading): Attribute {
  const type = message.type ?? guessType(message);
  switch (type) {
    case attributeCodes.float:
      return { type: 'float', value: message.f ?? 0 };
    case attributeCodes.int:
      return { type: 'int', value: toNumber(message.i) };
    case attributeCodes.string:
      return { type: 'string', value: utf8.decode(message.s ?? new Uint8Array()) };
    case attributeCodes.tensor:
      return { type: 'tensor', value: readTensor(message.t ?? {}, path, reading.externalData) };
    case attributeCodes.graph:
      return { type: 'graph', value: readGraph(message.g ?? {}, path, reading, {}) };
    case attributeCodes.floats:
      return { type: 'floats', value: [...(message.floats ?? [])] };
    case attributeCodes.ints:
      return { type: 'ints', value: (message.ints ?? []).map(toNumber) };
    case attributeCodes.strings:
      return { type: 'strings', value: (message.strings ?? []).map(s => utf8.decode(s)) };
    default:
      throw new EdgeError('format-unsupported', `${path} is an attribute of kind ${type}, which edgeforge does not handle.`, {
        hint: 'Simplify the model (for example with onnxsim) and read it again.',
        where: { path },
      });
  }
}

/** IR version 1 files leave the attribute's type out. */
function guessType(message: AttributeMessage): number {
  const own = (key: keyof AttributeMessage) => Object.hasOwn(message, key) && message[key] !== undefined && message[key] !== null;
  if (own('f')) return attributeCodes.float;
  if (own('i')) return attributeCodes.int;
  if (own('s')) return attributeCodes.string;
  if (own('t')) return attributeCodes.tensor;
  if (own('g')) return attributeCodes.graph;
  if (message.floats?.length) return attributeCodes.floats;
  if (message.strings?.length) return attributeCodes.strings;
  return attributeCodes.ints;
}

function readType(message: ValueInfoMessage, path: string): TensorType {
  const tensor = message.type?.tensor_type;
  if (tensor === undefined || tensor === null)
    throw new EdgeError('format-unsupported', `${path} is not a tensor (a sequence, map or optional).`, {
      hint: 'Export a model whose inputs and outputs are tensors.',
      where: { path },
    });
  const dims = (tensor.shape?.dim ?? []).map((dim, axis): Dim => {
    if (dim.dim_param) return dim.dim_param;
    const size = dim.dim_value === undefined || !Object.hasOwn(dim, 'dim_value') ? undefined : toNumber(dim.dim_value);
    // Some exporters write -1 or 0 for "unknown".
    return size === undefined || size <= 0 ? `${message.name ?? 'value'}_dim${axis}` : size;
  });
  return { dataType: dataTypeOf(tensor.elem_type ?? 0, path), dims };
}

function readNode(message: NodeMessage, index: number, taken: Set<string>, path: string, reading: Reading): Node {
  const type = message.op_type ?? '';
  if (type === '') throw corrupt(`${path} node ${index} has no operator type.`, path);
  const domain = message.domain === 'ai.onnx' ? '' : (message.domain ?? '');
  // Names are how errors and exclusion lists speak of nodes, so each node gets one of its own.
  let name = message.name || `${type}_${index}`;
  while (taken.has(name)) name = `${name}_${index}`;
  taken.add(name);
  const attributes: Attributes = Object.fromEntries((message.attribute ?? []).map(a => [a.name ?? '', readAttribute(a, `${path}/${name}.${a.name}`, reading)]));
  return { name, type, domain, inputs: [...(message.input ?? [])], outputs: [...(message.output ?? [])], attributes };
}

/** Values that a node reads: its inputs and what its subgraphs take from outside. */
function reads(node: Node): string[] {
  const found = node.inputs.filter(name => name !== '');
  for (const attribute of Object.values(node.attributes)) {
    if (attribute.type !== 'graph') continue;
    const inner = attribute.value;
    const own = new Set([...inner.initializers.keys(), ...inner.inputs.map(i => i.name), ...inner.nodes.flatMap(n => n.outputs)]);
    for (const name of [...inner.nodes.flatMap(reads), ...inner.outputs.map(o => o.name)]) if (!own.has(name)) found.push(name);
  }
  return found;
}

/** Nodes in an order in which each value is made before it is read; a file in order keeps its order. */
function sorted(nodes: readonly Node[], given: ReadonlySet<string>, outer: boolean, path: string): readonly Node[] {
  const maker = new Map<string, number>();
  nodes.forEach((node, i) => {
    for (const output of node.outputs) {
      if (output === '') continue;
      if (maker.has(output) || given.has(output))
        throw new EdgeError('graph-invalid', `The value "${output}" of ${path} is made twice.`, { hint: 'Export the model again.', where: { path } });
      maker.set(output, i);
    }
  });
  const needs = nodes.map(node => {
    const from: number[] = [];
    for (const name of reads(node)) {
      const at = maker.get(name);
      if (at !== undefined) from.push(at);
      else if (!given.has(name) && outer)
        throw new EdgeError('graph-invalid', `The node "${node.name}" reads "${name}", which nothing makes.`, { hint: 'Export the model again.', where: { path } });
    }
    return from;
  });
  if (needs.every((from, i) => from.every(at => at < i))) return nodes;
  const waiting = needs.map(from => new Set(from).size);
  const readers = new Map<number, number[]>();
  needs.forEach((from, i) => {
    for (const at of new Set(from)) readers.set(at, [...(readers.get(at) ?? []), i]);
  });
  const ready = waiting.flatMap((count, i) => (count === 0 ? [i] : []));
  const order: Node[] = [];
  for (let i = ready.shift(); i !== undefined; i = ready.shift()) {
    order.push(nodes[i] as Node);
    for (const reader of readers.get(i) ?? []) if (--waiting[reader]! === 0) ready.push(reader);
  }
  if (order.length !== nodes.length) throw new EdgeError('graph-invalid', `${path} has a cycle.`, { hint: 'Export the model again.', where: { path } });
  return order;
}

function readGraph(message: GraphMessage, path: string, reading: Reading, metadata: Readonly<Record<string, string>>): Graph {
  if (message.sparse_initializer?.length)
    throw new EdgeError('format-unsupported', `${path} has sparse initializers.`, { hint: 'Export the model with dense weights.', where: { path } });
  const initializers = new Map<string, Tensor>();
  for (const tensor of message.initializer ?? []) initializers.set(tensor.name ?? '', readTensor(tensor, `${path}/${tensor.name ?? ''}`, reading.externalData));
  const info = (value: ValueInfoMessage): ValueInfo => ({ name: value.name ?? '', type: readType(value, `${path}/${value.name ?? ''}`) });
  // Before IR version 4 every initializer was also listed as an input.
  const inputs = (message.input ?? []).filter(value => !initializers.has(value.name ?? '')).map(info);
  const taken = new Set<string>();
  const nodes = (message.node ?? []).map((node, index) => readNode(node, index, taken, path, reading));
  const given = new Set([...initializers.keys(), ...inputs.map(i => i.name)]);
  const outer = Object.keys(reading.opsets).length > 0 && path === 'graph';
  const ordered = sorted(nodes, given, outer, path);
  const made = new Set([...given, ...nodes.flatMap(n => n.outputs)]);
  // A subgraph's outputs may come untyped; the outer graph's may not.
  const outputs = (message.output ?? []).map(value => (outer || value.type ? info(value) : { name: value.name ?? '', type: { dataType: 'float32' as const, dims: [] } }));
  const missing = outer ? outputs.find(o => !made.has(o.name)) : undefined;
  if (missing) throw new EdgeError('graph-invalid', `The output "${missing.name}" is made by no node.`, { hint: 'Export the model again.', where: { path } });
  return { name: message.name || 'graph', opsets: reading.opsets, nodes: ordered, initializers, inputs, outputs, metadata };
}

/** An ONNX file as a Graph. Tensors are views into `bytes` where aligned, so leave `bytes` alone afterwards. Throws `file-corrupt`, `graph-invalid` or `format-unsupported`. */
export function readOnnx(bytes: Uint8Array, options: OnnxReadOptions = {}): Graph {
  let message: ModelMessage;
  try {
    message = modelType().decode(bytes) as unknown as ModelMessage;
  } catch (cause) {
    throw corrupt(`The ${bytes.byteLength} bytes are not an ONNX model.`, undefined, cause);
  }
  if (!message.graph) throw corrupt(`The ${bytes.byteLength} bytes hold no ONNX graph.`);
  if (message.functions?.length)
    throw new EdgeError('format-unsupported', `The model defines ${message.functions.length} functions of its own.`, {
      hint: 'Inline the functions (onnx.inliner) and read it again.',
    });
  const opsets = Object.fromEntries((message.opset_import ?? []).map(o => [o.domain === 'ai.onnx' ? '' : (o.domain ?? ''), toNumber(o.version)]));
  // IR version 1 and 2 files may have no opset at all; ONNX reads that as opset 1.
  if (opsets[''] === undefined) opsets[''] = 1;
  const metadata = Object.fromEntries((message.metadata_props ?? []).map(e => [e.key ?? '', e.value ?? '']));
  try {
    return readGraph(message.graph, 'graph', { opsets, externalData: options.externalData }, metadata);
  } catch (cause) {
    if (cause instanceof EdgeError) throw cause;
    throw corrupt(`The ONNX model is damaged: ${asEdgeError(cause).message.split('\n')[0]}`, undefined, cause);
  }
}

function attributeMessage(name: string, attribute: Attribute): AttributeMessage {
  const type = attributeCodes[attribute.type];
  switch (attribute.type) {
    case 'float':
      return { name, type, f: attribute.value };
    case 'int':
      return { name, type, i: toInt64(attribute.value) };
    case 'string':
      return { name, type, s: new TextEncoder().encode(attribute.value) };
    case 'tensor':
      return { name, type, t: writeTensor('', attribute.value) };
    case 'graph':
      return { name, type, g: graphMessage(attribute.value) };
    case 'floats':
      return { name, type, floats: attribute.value };
    case 'ints':
      return { name, type, ints: attribute.value.map(toInt64) };
    case 'strings':
      return { name, type, strings: attribute.value.map(s => new TextEncoder().encode(s)) };
  }
}
const valueMessage = ({ name, type }: ValueInfo): ValueInfoMessage => ({
  name,
  type: { tensor_type: { elem_type: codeOf(type.dataType), shape: { dim: type.dims.map(dim => (typeof dim === 'number' ? { dim_value: dim } : { dim_param: dim })) } } },
});
const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number => (a < b ? -1 : a > b ? 1 : 0);
const graphMessage = (graph: Graph): GraphMessage => ({
  name: graph.name,
  node: graph.nodes.map(node => ({
    input: node.inputs,
    output: node.outputs,
    name: node.name,
    op_type: node.type,
    domain: node.domain,
    attribute: Object.entries(node.attributes)
      .sort(byName)
      .map(([name, attribute]) => attributeMessage(name, attribute)),
  })),
  initializer: [...graph.initializers].map(([name, tensor]) => writeTensor(name, tensor)),
  input: graph.inputs.map(valueMessage),
  output: graph.outputs.map(valueMessage),
});

/** The graph as an ONNX file: equal graphs give equal bytes. Throws `limit-exceeded` at protobuf's 2 GiB. */
export function writeOnnx(graph: Graph): Uint8Array {
  let size = 0;
  for (const tensor of graph.initializers.values()) size += tensor.data.byteLength;
  if (size > 2_000_000_000)
    throw new EdgeError('limit-exceeded', `The weights of "${graph.name}" are ${size} bytes; an ONNX file holds at most 2 GB.`, {
      hint: 'Prune the network, or use a smaller one.',
    });
  const opset = graph.opsets[''] ?? 1;
  const message: ModelMessage = {
    ir_version: opset >= 21 ? 10 : opset >= 19 ? 9 : 8,
    producer_name: 'edgeforge',
    opset_import: Object.entries(graph.opsets)
      .sort(byName)
      .map(([domain, version]) => ({ domain, version })),
    metadata_props: Object.entries(graph.metadata)
      .sort(byName)
      .map(([key, value]) => ({ key, value })),
    graph: graphMessage(graph),
  };
  return modelType()
    .encode(message as Record<string, unknown>)
    .finish();
}
