/** Signal-to-quantization-noise ratio in dB: 10·log₁₀(Σ reference² / Σ (reference − other)²). Infinity where they are equal; lengths must agree. */
export function sqnr(reference: ArrayLike<number>, other: ArrayLike<number>): number {
  let [signal, noise] = [0, 0];
  for (let i = 0; i < reference.length; i++) {
    const value = reference[i] as number;
    const error = value - (other[i] as number);
    signal += value * value;
    noise += error * error;
  }
  return noise === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10(signal / noise);
}
