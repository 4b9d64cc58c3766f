// The measuring program that runs on the device: no packages, only Node and onnxruntime's own binding beside it.
// argv: mode and one JSON word. Prints one JSON line per event on stdout; an {"event":"failed"} line and exit code 1 say why not.
process.env.ORT_DISABLE_TELEMETRY = '1'; // before the library loads: it reports to its maker otherwise

import { createHash } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, readSync, renameSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';

const say = event => process.stdout.write(`${JSON.stringify(event)}\n`);
const typeNames = { 1: 'float32', 2: 'uint8', 3: 'int8', 6: 'int32', 7: 'int64', 9: 'bool', 10: 'float16', 11: 'float64' };

/** What the binding asks of a tensor: it makes results with this class and reads feeds from it. */
class Tensor {
  constructor(type, data, dims) {
    this.type = type;
    this.data = data;
    this.dims = dims;
    this.location = 'cpu';
  }
}

let binding;
function session(path, library, options) {
  if (!binding) {
    binding = createRequire(import.meta.url)(resolve(library, 'onnxruntime_binding.node'));
    binding.initOrtOnce(3, Tensor, true);
  }
  const made = new binding.InferenceSession();
  // On x86 without VNNI the u8·s8 kernels sum pairs in 16 bits and saturate; with this the optimizer takes u8·u8 ones there, which do not.
  made.loadModel(resolve(path), { interOpNumThreads: 1, executionMode: 'sequential', extra: { session: { x64quantprecision: '1' } }, ...options });
  return made;
}
const count = shape => shape.reduce((product, dim) => product * dim, 1);

/** Optimizes the model for this processor and keeps the result: that file is the engine. */
function build({ library, model, engine, threads, precision }) {
  const start = performance.now();
  mkdirSync(dirname(engine), { recursive: true });
  const part = `${engine}.part`;
  rmSync(part, { force: true });
  say({ event: 'progress', done: 1, total: 3, message: `optimizing for this processor (${precision})` });
  session(model, library, { graphOptimizationLevel: 'all', optimizedModelFilePath: resolve(part), intraOpNumThreads: threads });
  const handle = openSync(part, 'r');
  fsyncSync(handle);
  closeSync(handle);
  const bytes = readFileSync(part);
  say({ event: 'progress', done: 2, total: 3, message: 'loading what was built' });
  // The same options as later: an engine that does not load is no engine.
  const again = session(part, library, { graphOptimizationLevel: 'disabled', intraOpNumThreads: threads });
  renameSync(part, engine);
  const text = bytes.toString('latin1');
  say({
    event: 'built',
    bytes: bytes.length,
    digest: createHash('sha256').update(bytes).digest('hex'),
    seconds: (performance.now() - start) / 1000,
    upcast: text.includes('InsertedPrecisionFreeCast_'),
    integer: /QLinearConv|QGemm|QLinearMatMul|MatMulInteger|ConvInteger|DynamicQuantize/.test(text),
    inputs: again.inputMetadata.map(({ name, type, shape }) => ({ name, type: typeNames[type] ?? 'other', shape })),
    outputs: again.outputMetadata.map(({ name, type, shape }) => ({ name, type: typeNames[type] ?? 'other', shape })),
  });
}

/** Repeatable pseudo-random pixels in 0..1: zeros would make some kernels too fast, denormals too slow. */
function filled(size) {
  const data = new Float32Array(size);
  let state = 1;
  for (let index = 0; index < size; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[index] = state / 4294967296;
  }
  return data;
}

function timer({ engine, inputs, threads }, library) {
  const made = session(engine, library, { graphOptimizationLevel: 'disabled', intraOpNumThreads: threads });
  const feeds = Object.fromEntries(Object.entries(inputs).map(([name, shape]) => [name, new Tensor('float32', filled(count(shape)), shape)]));
  const fetches = Object.fromEntries(made.outputMetadata.map(({ name }) => [name, null]));
  return () => {
    const start = process.hrtime.bigint();
    made.run(feeds, fetches, {});
    return Number(process.hrtime.bigint() - start) / 1e6;
  };
}

/** Seconds of all processors so far: in all, busy (stolen by a hypervisor counts), and this process's own. Undefined without /proc/stat. */
function processorTime() {
  try {
    const [user, nice, system, idle, iowait, irq, softirq, steal = 0] = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0].trim().split(/\s+/).slice(1).map(Number);
    const busy = user + nice + system + irq + softirq + steal;
    const own = process.cpuUsage();
    return { all: (busy + idle + iowait) / 100, busy: busy / 100, own: (own.user + own.system) / 1e6 };
  } catch {
    return undefined;
  }
}

/** Rounds over all engines in turn, the order shifting each round, so that heat and drift hit all alike. */
function bench({ library, entries }) {
  const timers = entries.map(entry => timer(entry, library));
  entries.forEach(({ warmUpMs }, index) => {
    const until = performance.now() + warmUpMs;
    do timers[index]();
    while (performance.now() < until);
  });
  const latencies = entries.map(() => []);
  const loads = entries.map(() => ({ foreign: 0, all: 0 }));
  const rounds = Math.max(...entries.map(entry => entry.rounds), 1);
  for (let round = 0; round < rounds; round++) {
    for (let step = 0; step < entries.length; step++) {
      const index = (step + round) % entries.length;
      const { durationMs, minIterations, rounds: own } = entries[index];
      if (round >= own) continue;
      const until = performance.now() + durationMs / own;
      const least = Math.ceil(minIterations / own);
      // The first run after another engine's finds cold caches: it belongs to the change, not to the engine.
      timers[index]();
      const before = processorTime();
      for (let n = 0; n < least || performance.now() < until; n++) latencies[index].push(timers[index]());
      const after = processorTime();
      if (before && after) {
        loads[index].foreign += Math.max(0, after.busy - before.busy - (after.own - before.own));
        loads[index].all += after.all - before.all;
      }
    }
    say({ event: 'progress', done: round + 1, total: rounds, message: `round ${round + 1} of ${rounds}` });
  }
  for (const [index, all] of latencies.entries()) {
    const { foreign, all: capacity } = loads[index];
    say({ event: 'latencies', index, ms: all.map(each => Math.round(each * 1e4) / 1e4), ...(capacity > 0 ? { foreignLoad: Math.round((foreign / capacity) * 1000) / 1000 } : {}) });
  }
}

/** n samples through the engine, a batch at a time; the last batch is filled up and the filling dropped. Outputs: one raw file each and an index. */
function infer({ library, engine, input, shape, batch, n, input_file, output, threads }) {
  const made = session(engine, library, { graphOptimizationLevel: 'disabled', intraOpNumThreads: threads });
  const sample = count(shape.slice(1));
  const size = statSync(input_file).size;
  if (size !== 4 * sample * n) throw new Error(`the input file has ${size} bytes, ${n} samples of ${shape.slice(1).join('x')} float32 need ${4 * sample * n}`);
  rmSync(output, { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  const names = made.outputMetadata.map(({ name }) => name);
  const fetches = Object.fromEntries(names.map(name => [name, null]));
  const source = openSync(input_file, 'r');
  const files = names.map((_, index) => openSync(join(output, `${index}.bin`), 'w'));
  const index = names.map((name, at) => ({ name, file: `${at}.bin`, type: 'float32', dims: [] }));
  const data = new Float32Array(batch * sample);
  for (let done = 0; done < n; done += batch) {
    const now = Math.min(batch, n - done);
    const bytes = new Uint8Array(data.buffer, 0, now * sample * 4);
    for (let at = 0; at < bytes.length; ) at += readSync(source, bytes, at, bytes.length - at, done * sample * 4 + at);
    data.fill(0, now * sample);
    const result = made.run({ [input]: new Tensor('float32', data, [batch, ...shape.slice(1)]) }, fetches, {});
    names.forEach((name, at) => {
      const { data: values, dims, type } = result[name];
      if (dims[0] !== batch) throw new Error(`output ${name} has ${dims.join('x')}: its first axis is not the batch of ${batch}`);
      index[at].type = type;
      index[at].dims = [n, ...dims.slice(1)];
      const each = values.byteLength / batch;
      writeSync(files[at], new Uint8Array(values.buffer, values.byteOffset, each * now));
    });
    say({ event: 'progress', done: done + now, total: n, message: 'images' });
  }
  for (const file of [source, ...files]) closeSync(file);
  writeFileSync(join(output, 'outputs.json'), JSON.stringify({ n, outputs: index }));
  say({ event: 'inferred', n });
}

const [mode, text] = process.argv.slice(2);
try {
  const word = JSON.parse(text);
  const file = word.model ?? word.engine;
  if (file && !existsSync(file)) throw new Error(`${file} is not there`);
  ({ build, bench, infer })[mode](word);
} catch (error) {
  say({ event: 'failed', message: String(error?.message ?? error) });
  process.exitCode = 1;
}
