import { costOf } from '../graph/cost.ts';
import type { Graph, Tensor } from '../graph/ir.ts';
import { constantOf } from './absorb.ts';
import { type ActivationStatistics, readersOf } from './activation-statistics.ts';
import type { ChannelClasses } from './channel-groups.ts';
import { filterNorms, layersOf } from './importance.ts';

/**
 * What is lost with a channel, per multiply-accumulate that goes with it: the share of each reader's output energy that varies with the channel, Σ w²·variance
 * over the reader's whole (its mean can stay in a bias, `absorb`), summed over readers, over the share of the network's multiply-accumulates in the kernels
 * that write and read it. Needs no gradients; comparable between layers, however their norms differ.
 */
export function energyImportance(graph: Graph, statistics: ActivationStatistics, classes: ChannelClasses): ReadonlyMap<number, number> {
  const cost = costOf(graph);
  const macs = new Map(cost.nodes.map(({ node, macs }) => [node, macs]));
  const lost = new Map<number, number>();
  const price = new Map<number, number>();
  const raise = (map: Map<number, number>, channel: number, by: number) => map.set(channel, (map.get(channel) ?? 0) + by);
  for (const layer of layersOf(graph)) {
    const weight = graph.initializers.get(layer.weight) as Tensor;
    weight.dims.slice(0, 2).forEach((dim, axis) => {
      for (let i = 0; dim > 1 && i < dim; i++) raise(price, classes.classOf(layer.weight, axis, i), (macs.get(layer.node.name) ?? 0) / dim / cost.macs);
    });
  }
  for (const layer of readersOf(graph)) {
    const seen = statistics.get(layer.node.inputs[0] as string);
    if (!seen) continue;
    const energies = filterNorms(graph.initializers.get(layer.weight) as Tensor, layer.inputAxis).map(
      (norm, c) => norm * norm * ((seen.variance[c] as number) + (constantOf(graph, layer.node) ? 0 : (seen.mean[c] as number) ** 2)),
    );
    const whole = energies.reduce((a, b) => a + b, 0);
    energies.forEach((energy, c) => {
      raise(lost, classes.classOf(layer.weight, layer.inputAxis, c), whole > 0 ? energy / whole : 0);
    });
  }
  return new Map([...price].map(([channel, share]) => [channel, (lost.get(channel) ?? 0) / Math.max(share, 1e-12)]));
}
