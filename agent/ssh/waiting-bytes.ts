/**
 * Bytes of a client that wait until something is decided, in the order in which they came. Small pieces are joined, so that what
 * waits costs about its length, however a client cuts it; the length is bounded by the channel's window, which is not given back.
 */
const JOINED_BYTES_MAX = 4096;

/** @param pieces changed: `bytes` come behind what it holds. The bytes must not change afterwards. */
export function waitWith(pieces: Buffer[], bytes: Buffer): void {
  const last = pieces.at(-1);
  if (last !== undefined && last.length + bytes.length <= JOINED_BYTES_MAX) pieces[pieces.length - 1] = Buffer.concat([last, bytes]);
  else pieces.push(bytes);
}
