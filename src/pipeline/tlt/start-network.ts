import { resolve } from 'node:path';
import type { z } from 'zod';
import { EdgeError } from '../../core/errors.ts';
import { networkInfoOf, sizeOfInput } from '../../graph/network-info.ts';
import type { Network } from '../../tasks/task.ts';
import type { freezeSchema } from '../../zoo/freeze.ts';
import { buildNetwork } from '../../zoo/network.ts';
import { networkOf } from '../../zoo/network-file.ts';
import { networkFromOnnx } from '../../zoo/onnx-backbone.ts';
import { backboneSummary, loadSummary, loadWeights } from '../../zoo/weights.ts';
import type { SpecPlan } from '../training-plan.ts';
import { readModel } from './model-file.ts';

export interface StartingNetwork {
  readonly network: Network;
  readonly freeze: z.input<typeof freezeSchema>;
  /** Where its weights come from, in words. */
  readonly origin: string;
  readonly notes: readonly string[];
}

/**
 * The network that a spec starts from: a stored one whole (`load_graph`, or a classifier of ours for the same classes), weights by name into a fresh one,
 * any other ONNX classifier as the backbone, or fresh weights.
 */
export async function startingNetwork(plan: SpecPlan, labels: readonly string[], key: string | undefined): Promise<StartingNetwork> {
  const { network: wanted } = plan;
  const freeze = { freezeBlocks: [...wanted.freezeBlocks], freezeBn: wanted.freezeBn, freezeBackbone: wanted.freezeBackbone };
  const start = (network: Network, origin: string, notes: readonly string[] = []): StartingNetwork => ({ network, freeze, origin, notes });
  const file = wanted.pretrained;
  if (file === undefined) {
    if (wanted.loadGraph)
      throw new EdgeError('spec-invalid', 'load_graph is set, but pretrained_model_file is not.', {
        hint: 'Name the pruned network: pretrained_model_file: "…pruned.tlt".',
        where: { path: 'model_config.load_graph' },
      });
    return start(fresh(plan, labels), `${wanted.architecture} from scratch`);
  }
  const source = await readModel(resolve(file), key);
  const info = networkInfoOf(source);
  if (wanted.loadGraph || (info?.task === 'classification' && plan.training.task.name === 'classification' && info.labels.join('\n') === labels.join('\n'))) {
    const network = networkOf(source, freeze);
    checkFits(network, plan, labels, file);
    return start(network, `the whole graph of ${file}`);
  }
  if (info?.task === plan.training.task.name && info.architecture === wanted.architecture) {
    const { network, report } = loadWeights(fresh(plan, labels), source);
    // TLT: a classifier whose layers have other shapes (a pruned one) is used as it is, under a new head; a detector takes what fits.
    const asItIs = info.task === 'classification' && report.reasons.some(({ name }) => !name.startsWith('predictions'));
    if (!asItIs && report.loaded > 0) return start(network, loadSummary(report, file));
    if (!asItIs) {
      throw new EdgeError('weights-mismatch', `None of the ${report.total} weights of this network is in ${file}.`, {
        hint: 'A pruned network needs load_graph: true; otherwise name a network of the same architecture.',
        where: { path: 'pretrained_model_file' },
      });
    }
  }
  const { height, width, preprocess } = wanted;
  const own = info === undefined ? { preprocess } : {};
  const network = networkFromOnnx({ task: plan.training.task.name, labels: [...labels], height, width, seed: wanted.seed, freezeBn: wanted.freezeBn, graph: source, ...own });
  const { scale, offset, order } = network.info.preprocess;
  const pixels =
    info === undefined
      ? [
          `${file} gets its pixels as this spec says: (${order} − [${offset.join(', ')}]) · ${Number(scale.toPrecision(6))}. A network trained otherwise needs a project with model.preprocess.`,
        ]
      : [];
  return start(network, backboneSummary(network, file), pixels);
}

function fresh(plan: SpecPlan, labels: readonly string[]): Network {
  const { pretrained: _, loadGraph: __, freezeBlocks, ...settings } = plan.network;
  return buildNetwork({ ...settings, freezeBlocks: [...freezeBlocks], labels: [...labels] });
}

/** Refuses a stored network that is not what the spec describes: other task, classes or input size. */
export function checkFits({ graph, info }: Pick<Network, 'graph' | 'info'>, plan: SpecPlan, labels: readonly string[], file: string): void {
  const { task, input } = plan.training;
  if (info.task !== task.name)
    throw new EdgeError('spec-invalid', `${file} is a ${info.task} network; the spec is for ${task.name}.`, { hint: `Use: edgeforge ${info.task} …`, where: { file } });
  if (info.labels.join('\n') !== labels.join('\n')) {
    throw new EdgeError('class-unmapped', `${file} knows the classes ${info.labels.join(', ')}; the spec has ${labels.join(', ')}.`, {
      hint: 'Name the same classes in the same order.',
      where: { file },
    });
  }
  const [width, height] = sizeOfInput(graph);
  if (width !== input.width || height !== input.height) {
    throw new EdgeError('shape-mismatch', `${file} takes images of ${width}×${height}; the spec makes them ${input.width}×${input.height}.`, {
      hint: `Set the spec’s size to ${width}×${height}, or train again.`,
      where: { file },
    });
  }
}
