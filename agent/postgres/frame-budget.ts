/**
 * One worker's memory for messages that must be seen whole: small ones are not counted, large ones share a bound, so that many
 * sessions with a large row each cannot take what all others need.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';

const COUNTED_FROM = 64 * 1024;
const BYTES_MAX = 128 * 1024 * 1024;

let taken = 0;

/**
 * Counts a buffer that is about to be made.
 * @returns what to give back.
 * @throws {GatewayError} PG_MEMORY when too much is in use; the session ends, and may try again.
 */
export function takeFrameMemory(bytes: number): number {
  if (bytes < COUNTED_FROM) return 0;
  if (taken + bytes > BYTES_MAX) {
    throw new GatewayError(
      'PG_MEMORY',
      'invalid',
      'too many large rows or parameters are being checked at once; try again, or read large values in parts',
    );
  }
  taken += bytes;
  return bytes;
}

export function giveFrameMemory(bytes: number): void {
  taken -= bytes;
}
