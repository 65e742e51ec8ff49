/** How random a token looks. */

const counts = new Uint16Array(256);

/**
 * Shannon entropy of the bytes [start, end), in bits a byte. A random base62 token of 32 characters has about 4.5, an English
 * word less than 3.5, hex at most 4. At most the first 256 bytes are measured.
 */
export function entropy(bytes: Uint8Array, start: number, end: number): number {
  const stop = Math.min(end, start + 256);
  const length = stop - start;
  if (length <= 0) return 0;
  counts.fill(0);
  for (let i = start; i < stop; i++) counts[bytes[i] as number] = (counts[bytes[i] as number] as number) + 1;
  let bits = 0;
  for (let i = start; i < stop; i++) {
    const count = counts[bytes[i] as number] as number;
    if (count === 0) continue;
    const share = count / length;
    bits -= share * Math.log2(share);
    counts[bytes[i] as number] = 0;
  }
  return bits;
}
