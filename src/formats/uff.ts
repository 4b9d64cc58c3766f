import protobuf from 'protobufjs';
import { EdgeError } from '../core/errors.ts';

const metaGraphType = protobuf
  .parse(
    `syntax = "proto3";
     message IntList { repeated int64 val = 1; }
     message Data { IntList i_list = 8; }
     message Node { string id = 1; repeated string inputs = 2; string operation = 3; map<string, Data> fields = 4; }
     message Graph { string id = 1; repeated Node nodes = 2; }
     message MetaGraph { repeated Graph graphs = 4; }`,
    new protobuf.Root(),
    { keepCase: true },
  )
  .root.lookupType('MetaGraph');

interface DecodedNode {
  readonly id: string;
  readonly inputs: readonly string[];
  readonly operation: string;
  readonly fields: Readonly<Record<string, { readonly i_list?: { readonly val: readonly number[] } }>>;
}

/** What a UFF network takes and gives: its inputs with their dimensions after the batch, and its marked outputs. */
export interface UffOutline {
  readonly inputs: readonly { readonly name: string; readonly dims: readonly number[] }[];
  readonly outputs: readonly string[];
}

/** Reads the outline of a UFF graph; weights are passed over. `outputs` is empty where none is marked. Throws `file-corrupt` where it is no UFF or has no input. */
export function readUff(bytes: Uint8Array): UffOutline {
  const corrupt = (message: string, cause?: unknown) => new EdgeError('file-corrupt', message, { hint: 'Export the model again, best as ONNX (TAO 5 writes plain .onnx).', cause });
  let graphs: readonly { readonly nodes: readonly DecodedNode[] }[];
  try {
    const object = metaGraphType.toObject(metaGraphType.decode(bytes), { longs: Number, arrays: true, objects: true, defaults: true });
    graphs = (object as { graphs: typeof graphs }).graphs;
  } catch (cause) {
    throw corrupt('This UFF graph cannot be read.', cause);
  }
  const nodes = graphs.flatMap(graph => graph.nodes);
  const inputs = nodes.filter(({ operation }) => operation === 'Input').map(({ id, fields }) => ({ name: id, dims: (fields.shape?.i_list?.val ?? []).slice(1) }));
  if (inputs.length === 0) throw corrupt('This UFF graph has no input node.');
  return { inputs, outputs: nodes.filter(({ operation }) => operation === 'MarkOutput').flatMap(node => node.inputs) };
}
