/** Uniform numbers in [0, 1), decided by seed and key alone, so that one layer's weights do not depend on another's (sfc32 over an FNV-1a of the key). */
export function randomOf(seed: number, key: string): () => number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  let [a, b, c, d] = [hash | 0, seed | 0, Math.floor(seed / 0x1_0000_0000) | 0, 1];
  const next = (): number => {
    const sum = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return (sum >>> 0) / 0x1_0000_0000;
  };
  for (let i = 0; i < 15; i++) next();
  return next;
}
