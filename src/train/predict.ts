import { openSession, type SessionOptions } from '../compute/session.ts';
import { EdgeError } from '../core/errors.ts';
import { writeOnnx } from '../formats/onnx.ts';
import { freeBatch } from '../graph/clean.ts';
import { foldBatchNorm } from '../graph/fold.ts';
import { type Graph, sizeOf, type Tensor } from '../graph/ir.ts';
import type { NamedTensors, Prediction, Task } from '../tasks/task.ts';

/** A network ready to answer: batches of preprocessed images in, raw outputs or predictions in input pixels out. */
export interface Predictor {
  outputs(images: Tensor): Promise<NamedTensors>;
  predict(images: Tensor): Promise<readonly Prediction[]>;
  close(): Promise<void>;
}

/** Opens the inference graph (batch norms folded into convolutions) in onnxruntime; the batch size may change from call to call. */
export async function openPredictor(graph: Graph, task: Task, options: SessionOptions = {}): Promise<Predictor> {
  const [input, ...more] = graph.inputs;
  if (!input || more.length > 0) {
    throw new EdgeError('graph-invalid', `The network "${graph.name}" has ${graph.inputs.length} inputs; prediction knows one.`, {
      hint: 'See what it holds with: edgeforge inspect FILE',
    });
  }
  const session = await openSession(writeOnnx(freeBatch(foldBatchNorm(graph))), options);
  const outputs = (images: Tensor): Promise<NamedTensors> => session.run(new Map([[input.name, images]]));
  return { outputs, predict: async images => task.decode(await outputs(images)), close: () => session.close() };
}

/** The first n rows of every tensor. */
export const firstRows = (tensors: NamedTensors, n: number): NamedTensors =>
  new Map(
    [...tensors].map(([name, tensor]) => {
      const dims = [n, ...tensor.dims.slice(1)];
      return [name, { ...tensor, dims, data: tensor.data.subarray(0, sizeOf(dims)) }];
    }),
  );

/** Predictions for every real image of the batches (rows beyond a batch's `n` are padding), in order. */
export async function predict(
  graph: Graph,
  task: Task,
  batches: AsyncIterable<{ readonly images: Tensor; readonly n: number }>,
  options: SessionOptions & { readonly onBatch?: (done: number) => void; readonly signal?: AbortSignal } = {},
): Promise<readonly Prediction[]> {
  const { onBatch, signal, ...session } = options;
  const predictor = await openPredictor(graph, task, session);
  const predictions: Prediction[] = [];
  try {
    for await (const { images, n } of batches) {
      if (signal?.aborted) throw new EdgeError('cancelled', 'The prediction was cancelled.', { hint: 'Run the same command again to go on.' });
      predictions.push(...task.decode(firstRows(await predictor.outputs(images), n)));
      onBatch?.(predictions.length);
    }
  } finally {
    await predictor.close();
  }
  return predictions;
}
