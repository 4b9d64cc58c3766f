/** Lower Cholesky factor of a positive definite k×k matrix, over its lower half. */
export function choleskyInPlace(a: Float64Array, k: number): void {
  for (let i = 0; i < k; i++)
    for (let j = 0; j <= i; j++) {
      let sum = a[i * k + j] as number;
      for (let m = 0; m < j; m++) sum -= (a[i * k + m] as number) * (a[j * k + m] as number);
      a[i * k + j] = i === j ? Math.sqrt(Math.max(sum, 1e-12)) : sum / (a[j * k + j] as number);
    }
}

/** The x of L·Lᵀ·x = b, in b's place. */
export function solved(factor: Float64Array, b: Float64Array): Float64Array {
  const k = b.length;
  for (let i = 0; i < k; i++) {
    let sum = b[i] as number;
    for (let m = 0; m < i; m++) sum -= (factor[i * k + m] as number) * (b[m] as number);
    b[i] = sum / (factor[i * k + i] as number);
  }
  for (let i = k - 1; i >= 0; i--) {
    // Down the column by rows: value known, taken out of all above it.
    const value = (b[i] as number) / (factor[i * k + i] as number);
    b[i] = value;
    for (let m = 0; m < i; m++) b[m] = (b[m] as number) - (factor[i * k + m] as number) * value;
  }
  return b;
}
