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
  const prefix = new Float64Array(bins.length + 1);
  for (let i = 0; i < bins.length; i++) prefix[i + 1] = (prefix[i] as number) + (bins[i] as number);
  const total = prefix[bins.length] as number;
  if (total === 0) return limit;
  let [best, bestWidth] = [Number.POSITIVE_INFINITY, bins.length];
  for (let width = entropyLevels; width <= bins.length; width++) {
    const divergence = klAt(bins, width, total - (prefix[width] as number), total);
    if (divergence < best) [best, bestWidth] = [divergence, width];
  }
  return bestWidth === bins.length ? limit : ((bestWidth + 0.5) * limit) / bins.length;
}

/** KL(P‖Q) in nats for a clip after `width` bins; `outliers` join P's last bin but not Q. */
function klAt(bins: Float64Array, width: number, outliers: number, total: number): number {
  let inside = 0;
  for (let i = 0; i < width; i++) inside += bins[i] as number;
  if (inside === 0) return Number.POSITIVE_INFINITY;
  let divergence = 0;
  for (let level = 0; level < entropyLevels; level++) {
    const start = Math.floor((level * width) / entropyLevels);
    const end = level === entropyLevels - 1 ? width : Math.floor(((level + 1) * width) / entropyLevels);
    let [sum, filled] = [0, 0];
    for (let i = start; i < end; i++) {
      sum += bins[i] as number;
      if ((bins[i] as number) > 0) filled++;
    }
    const q = filled > 0 ? sum / filled / inside : 0;
    for (let i = start; i < end; i++) {
      const count = (bins[i] as number) + (i === width - 1 ? outliers : 0);
      if (count === 0) continue;
      const p = count / total;
      // A bin that only outliers fill has no counterpart in Q: a tiny probability stands in, so such a clip loses.
      divergence += p * Math.log(p / Math.max(q, 1e-12));
    }
  }
  return divergence;
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
