import { createInterface } from 'node:readline';
import { openEngine } from './engine-runner.ts';

// Runs a stand-in's engine for the stand-in's Python module. argv: the engine. First line out: its tensors; then a line out per line in.
const engine = await openEngine(process.argv[2]!);
const run = async (input: Uint8Array) => [...(await engine.run(new Map([[engine.inputs[0]!, input]])))];
const size = engine.head.shapes[engine.inputs[0]!]!.reduce((product, dim) => product * dim, 1);
const first = await run(new Uint8Array(4 * size));
process.stdout.write(
  `${JSON.stringify({ inputs: engine.inputs.map(name => ({ name, dims: engine.head.shapes[name] })), outputs: first.map(([name, { dims }]) => ({ name, dims })) })}\n`,
);
for await (const line of createInterface({ input: process.stdin })) {
  const { input } = JSON.parse(line) as { input: string };
  const outputs = await run(new Uint8Array(Buffer.from(input, 'base64')));
  process.stdout.write(`${JSON.stringify({ outputs: outputs.map(([, { values }]) => Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64')) })}\n`);
}
