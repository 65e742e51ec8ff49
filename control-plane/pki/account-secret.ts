/**
 * The text of a service account's secret, which detectors know by its beginning (shared/detectors/secrets/vendor-tokens.ts). Only a hash
 * of the random half is kept.
 *
 *     sps_<id, 32 hexadecimal digits>_<secret, 32 bytes base64url>
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

export interface AccountSecretText {
  id: string;
  secret: string;
}

export function mintAccountSecret(): { text: string; id: string; secretHash: string } {
  const id = randomBytes(16).toString('hex');
  const secret = randomBytes(32).toString('base64url');
  return { text: `sps_${id}_${secret}`, id, secretHash: hashAccountSecret(secret) };
}

/** Null when the text does not have the form. */
export function parseAccountSecret(text: string): AccountSecretText | null {
  const [, id, secret] = /^sps_([0-9a-f]{32})_([A-Za-z0-9_-]{43})$/.exec(text) ?? [];
  return id === undefined || secret === undefined ? null : { id, secret };
}

/** The secret has 256 random bits, more than anybody can search: a slow hash would add nothing but a way to make us busy. */
export function hashAccountSecret(secret: string): string {
  return createHash('sha256').update(`sallyport-account-secret-v1\0${secret}`).digest('base64url');
}

/** Compares in constant time. */
export function accountSecretMatches(secret: string, secretHash: string): boolean {
  const given = Buffer.from(hashAccountSecret(secret));
  const kept = Buffer.from(secretHash);
  return given.length === kept.length && timingSafeEqual(given, kept);
}
