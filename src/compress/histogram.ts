/** Counts of |x| in equal bins over [0, limit]; values above the limit fall into the last bin. */
export interface Histogram {
  readonly counts: Float64Array;
  readonly limit: number;
}

/** TensorRT's histogram size for entropy calibration, and the levels an int8 magnitude has. */
export const entropyBins = 2048;
export const entropyLevels = 128;

/** Adds |x| of a tensor to a histogram in place. */
export function addTo({ counts, limit }: Histogram, data: Float32Array): void {
  if (limit <= 0) return;
  const [last, scale] = [counts.length - 1, counts.length / limit];
  for (let i = 0; i < data.length; i++) {
    const bin = Math.min(Math.floor(Math.abs(data[i] as number) * scale), last);
    counts[bin] = (counts[bin] as number) + 1;
  }
}

/**
 * The saturation limit that loses least information: for every candidate width i in 128…bins, the clipped distribution P (outliers in its last bin)
 * against the same bins quantized to 128 levels and expanded again, Q; the i with the smallest KL(P‖Q) wins (NVIDIA's entropy calibration, GTC 2017 S7310).
 * Bin 0, which holds exact zeros of ReLU, counts like its neighbour so that sparsity does not decide.
 */
export function entropyLimit({ counts, limit }: Histogram): number {
  const bins = counts.slice();
  bins[0] = bins[1] ?? bins[0] ?? 0;
  const sums = prefixSums(bins);
  if ((sums.count[bins.length] as number) === 0) return limit;
  let [best, bestWidth] = [Number.POSITIVE_INFINITY, bins.length];
  for (let width = entropyLevels; width <= bins.length; width++) {
    const divergence = klAt(bins, sums, width);
    if (divergence < best) [best, bestWidth] = [divergence, width];
  }
  return bestWidth === bins.length ? limit : ((bestWidth + 0.5) * limit) / bins.length;
}

/** Sums over bins 0…i−1: counts, bins that are not empty, and c·ln c. They make one candidate cost 128 levels instead of all its bins. */
interface Sums {
  readonly count: Float64Array;
  readonly filled: Float64Array;
  readonly entropy: Float64Array;
}

function prefixSums(bins: Float64Array): Sums {
  const [count, filled, entropy] = [new Float64Array(bins.length + 1), new Float64Array(bins.length + 1), new Float64Array(bins.length + 1)];
  for (let i = 0; i < bins.length; i++) {
    const c = bins[i] as number;
    count[i + 1] = (count[i] as number) + c;
    filled[i + 1] = (filled[i] as number) + (c > 0 ? 1 : 0);
    entropy[i + 1] = (entropy[i] as number) + (c > 0 ? c * Math.log(c) : 0);
  }
  return { count, filled, entropy };
}

/** What a bin of Q counts that only outliers fill: it has no counterpart, so such a clip loses. */
const nothing = Math.log(1e-12);

/** KL(P‖Q) in nats, up to a constant, for a clip after `width` bins; the outliers join P's last bin but not Q. */
function klAt(bins: Float64Array, { count, filled, entropy }: Sums, width: number): number {
  const inside = count[width] as number;
  if (inside === 0) return Number.POSITIVE_INFINITY;
  const outliers = (count[bins.length] as number) - inside;
  const last = bins[width - 1] as number;
  const joined = last + outliers;
  const ownEntropy = (entropy[width] as number) - (last > 0 ? last * Math.log(last) : 0) + (joined > 0 ? joined * Math.log(joined) : 0);
  let cross = 0;
  let lastLevel = nothing;
  for (let level = 0; level < entropyLevels; level++) {
    const start = Math.floor((level * width) / entropyLevels);
    const end = level === entropyLevels - 1 ? width : Math.floor(((level + 1) * width) / entropyLevels);
    const sum = (count[end] as number) - (count[start] as number);
    if (sum === 0) continue;
    const logQ = Math.log(sum / ((filled[end] as number) - (filled[start] as number)) / inside);
    cross += sum * logQ;
    if (level === entropyLevels - 1) lastLevel = logQ;
  }
  return (ownEntropy - cross - outliers * (last > 0 ? lastLevel : nothing)) / (count[bins.length] as number);
}

/** The |x| below which a fraction of all values lies, linear within its bin. */
export function percentileLimit({ counts, limit }: Histogram, fraction: number): number {
  const total = counts.reduce((a, b) => a + b, 0);
  let below = 0;
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i] as number;
    if (below + count >= fraction * total && count > 0) return ((i + (fraction * total - below) / count) * limit) / counts.length;
    below += count;
  }
  return limit;
}
