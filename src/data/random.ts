/** A stream of random numbers that is a pure function of its keys: equal keys give equal numbers in any process, worker or order. */
export interface Random {
  /** The next 32 random bits as an unsigned integer. */
  bits(): number;
  /** Uniform in [low, high); [0, 1) by default. */
  uniform(low?: number, high?: number): number;
  /** Uniform integer in [low, high], both included. */
  integer(low: number, high: number): number;
  chance(probability: number): boolean;
  normal(): number;
  /** Normal(0, sigma) drawn again until it lies within `cut` sigmas: TensorFlow's truncated normal. */
  truncatedNormal(sigma: number, cut?: number): number;
  pick<T>(items: readonly T[]): T;
}

/** Murmur3's finalizer: every bit of the input moves every bit of the output. */
function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** Keys (integers; 53 bits of each count) folded into two words, so that neighbouring keys share nothing. */
function fold(keys: readonly number[]): [number, number] {
  let a = 0x243f6a88;
  let b = 0x85a308d3;
  for (const key of keys) {
    a = mix(a ^ mix(key | 0)) + 0x9e3779b9;
    b = mix(b + Math.imul(mix(Math.floor(key / 4294967296) ^ (key | 0)) ^ a, 0x27d4eb2f));
  }
  return [a | 0, b | 0];
}

/** A stream keyed by integers, usually (seed, purpose, epoch, sample index). Counter-based: state is the key and how many were drawn. */
export function randomAt(...keys: readonly number[]): Random {
  const [a, b] = fold(keys);
  let counter = 0;
  const bits = (): number => {
    counter = (counter + 1) | 0;
    return (mix(mix(Math.imul(counter, 0x9e3779b9) + a) ^ b) + Math.imul(counter, 0x61c88647)) >>> 0;
  };
  const uniform = (low = 0, high = 1): number => low + (high - low) * (bits() / 4294967296);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return {
    bits,
    uniform,
    normal,
    integer: (low, high) => low + Math.floor(uniform() * (high - low + 1)),
    chance: probability => uniform() < probability,
    truncatedNormal(sigma, cut = 2) {
      let z = normal();
      while (Math.abs(z) > cut) z = normal();
      return z * sigma;
    },
    pick: items => items[Math.floor(uniform() * items.length)]!,
  };
}

/** 0…count−1 in the order that the stream decides (Fisher–Yates). */
export function shuffled(count: number, random: Random): number[] {
  const order = Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = random.integer(0, last);
    [order[last], order[other]] = [order[other]!, order[last]!];
  }
  return order;
}
