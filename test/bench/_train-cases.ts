import { f32, sizeOf, type Tensor } from '../../src/graph/ir.ts';
import { openClassification } from '../../src/tasks/classification.ts';
import { openDetectnet } from '../../src/tasks/detectnet.ts';
import type { Annotation, Network, Task } from '../../src/tasks/task.ts';
import { buildNetwork } from '../../src/zoo/network.ts';
import { mobilenet } from './_mobilenet.ts';

/** One training that is timed: the same network, batch and optimizer here and in PyTorch. */
export interface TrainCase {
  readonly title: string;
  readonly batch: number;
  readonly optimizer: 'adam' | 'sgd';
  open(): { readonly network: Network; readonly task: Task; readonly images: Tensor; readonly annotations: readonly Annotation[] };
}
export const learningRate = 1e-4;

function noise(dims: readonly number[]): Tensor {
  let state = 7;
  const draw = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  return f32(
    dims,
    Float32Array.from({ length: sizeOf(dims) }, () => draw()),
  );
}

const named = (count: number): string[] => Array.from({ length: count }, (_, at) => `class${at}`);
const detector = (height: number, width: number, batch: number, widthMultiplier = 1): TrainCase => ({
  title: `DetectNet_v2-ResNet10 ${height}×${width}, ${widthMultiplier === 1 ? '' : `${widthMultiplier} wide, `}batch ${batch}, Adam`,
  batch,
  optimizer: 'adam',
  open() {
    const labels = named(3);
    const boxes = Array.from(
      { length: batch },
      (_, at): Annotation => ({ kind: 'boxes', ignored: [], boxes: [{ classIndex: at % 3, x1: 20 + 9 * at, y1: 20, x2: 90 + 9 * at, y2: 80 }] }),
    );
    const network = buildNetwork({ architecture: 'detectnet_v2_resnet10', labels, height, width, widthMultiplier });
    return { network, task: openDetectnet({ labels, width, height }), images: noise([batch, 3, height, width]), annotations: boxes };
  },
});
const classifier = (title: string, classes: number, batch: number, network: (labels: string[]) => Network): TrainCase => ({
  title: `${title} 224×224, batch ${batch}, SGD with momentum`,
  batch,
  optimizer: 'sgd',
  open() {
    const labels = named(classes);
    const annotations = Array.from({ length: batch }, (_, at): Annotation => ({ kind: 'class', classIndex: at % classes }));
    return { network: network(labels), task: openClassification({ labels }), images: noise([batch, 3, 224, 224]), annotations };
  },
});

const resnet18 = (labels: string[]): Network => buildNetwork({ architecture: 'classification_resnet18', labels, height: 224, width: 224, usePooling: true });

/** The cases by name; `full` ones only where asked for. */
export const trainCases: Readonly<Record<string, TrainCase & { readonly full?: true }>> = {
  resnet18: classifier('ResNet-18', 1000, 8, resnet18),
  'resnet18-16': classifier('ResNet-18', 1000, 16, resnet18),
  'detectnet-192': detector(192, 320, 8),
  'detectnet-384': detector(384, 640, 4),
  mobilenet: classifier('MobileNetV1', 1000, 16, labels => mobilenet(labels, 224)),
  demo: { ...detector(192, 320, 4, 0.5), full: true },
};
