import type { Graph } from '../graph/ir.ts';
export interface OnnxReadOptions {
  /** Bytes of an external data file named by the model (a relative location, checked). */
  readonly externalData?: (location: string) => Uint8Array;
}
export function readOnnx(_bytes: Uint8Array, _options: OnnxReadOptions = {}): Graph {
  throw new Error('not yet');
}
export function writeOnnx(_graph: Graph): Uint8Array {
  throw new Error('not yet');
}
