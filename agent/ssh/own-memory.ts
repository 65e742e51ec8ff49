/**
 * Memory that one call of Node’s crypto made for its result, given back when the result is done with.
 *
 * Left to the collector, such memory is what most of its work is for: at 32 KiB a packet, V8 counts 64 MB of it every few hundred
 * packets, and marks all that the process holds to find out whether some may go. That took more time than the ciphers themselves.
 */

/** Less is not worth the call. */
const BYTES_MIN = 1024;

/** @param bytes whoever still holds them sees an empty buffer. What shares its memory with others is left alone. */
export function giveBack(bytes: Buffer): void {
  const { buffer, length } = bytes;
  if (length >= BYTES_MIN && buffer.byteLength === length && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

/**
 * The same for a deciphered packet by its payload: padding length, payload and padding (RFC 4253, 6) are all that its memory holds.
 * Where the packet shares its memory with others, their lengths do not come to that of the memory, and nothing is done.
 */
export function giveBackPayload(payload: Buffer): void {
  const { buffer, byteOffset, length } = payload;
  if (length < BYTES_MIN || byteOffset !== 1 || !(buffer instanceof ArrayBuffer)) return;
  if (buffer.byteLength - length - 1 === new Uint8Array(buffer, 0, 1)[0]) buffer.transfer(0);
}
