/**
 * How a channel proves that a message is Sallyport's and fresh: HMAC-SHA256 over the time and the body, in one header.
 *
 *     Sallyport-Signature: t=1790000000,v1=5257a8…
 *
 * Receivers compute the HMAC of `t.body` with the secret that they share with the channel, compare in constant time, and refuse a
 * time that is more than five minutes away from theirs.
 */
import { createHmac } from 'node:crypto';

export const SIGNATURE_HEADER = 'sallyport-signature';

export function sign(secret: Uint8Array, body: Uint8Array, atMs: number): string {
  const time = Math.floor(atMs / 1000);
  const mac = createHmac('sha256', secret).update(`${time}.`).update(body).digest('hex');
  return `t=${time},v1=${mac}`;
}
