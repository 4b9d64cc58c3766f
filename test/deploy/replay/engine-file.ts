import { readFileSync } from 'node:fs';

// What the stand-in calls an engine: one line of JSON, then the ONNX model itself, which onnxruntime runs. No NVIDIA format, and nothing real would load it.

/** The first line of a stand-in's engine. */
export interface EngineHead {
  readonly standIn: true;
  readonly tensorrt: string;
  readonly sm: string;
  readonly precision: 'fp32' | 'fp16' | 'int8';
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  readonly nonce: string;
  /** Relative spread between builds. */
  readonly spread?: number;
}
export const engineBytes = (head: EngineHead, onnx: Uint8Array): Uint8Array => Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), onnx]);

export function readEngine(path: string): { readonly head: EngineHead; readonly onnx: Uint8Array } {
  const bytes = readFileSync(path);
  const end = bytes.indexOf(10);
  const head = JSON.parse(bytes.subarray(0, end).toString()) as EngineHead;
  if (head.standIn !== true) throw new Error('no engine of the stand-in');
  return { head, onnx: bytes.subarray(end + 1) };
}
