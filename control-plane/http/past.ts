/** Times that somebody asks about. */
import { GatewayError } from '@sallyport/shared/errors.ts';

/**
 * @param time RFC 3339.
 * @returns milliseconds since 1970.
 * @throws {GatewayError} TIME_IN_FUTURE.
 */
export function pastOrThrow(time: string, nowMs: number): number {
  const atMs = Date.parse(time);
  if (!(atMs <= nowMs)) throw new GatewayError('TIME_IN_FUTURE', 'invalid', `Nobody knows what will be at ${time}.`);
  return atMs;
}
