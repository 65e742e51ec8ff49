/**
 * Join tokens: what an operator hands to a new agent. One use, short life, and the CA's fingerprint inside, so that the agent knows
 * the control plane before it trusts it. Only a hash of the secret is kept.
 *
 *     spj_<agent id>_<secret, 32 bytes base64url>_<SHA-256 of the CA certificate's DER, base64url>
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

export interface JoinToken {
  agentId: string;
  secret: string;
  caFingerprint: string;
}

export function mintJoinToken(agentId: string, caFingerprint: string): { token: string; secretHash: string } {
  const secret = randomBytes(32).toString('base64url');
  return { token: `spj_${agentId}_${secret}_${caFingerprint}`, secretHash: hashSecret(secret) };
}

/** Null when the text does not have a join token's form. Secret and fingerprint may contain `_`: their lengths tell them apart. */
export function parseJoinToken(text: string): JoinToken | null {
  const match = /^spj_([0-9a-f]{32})_([A-Za-z0-9_-]{43})_([A-Za-z0-9_-]{43})$/.exec(text.trim());
  const [, agentId, secret, caFingerprint] = match ?? [];
  return agentId && secret && caFingerprint ? { agentId, secret, caFingerprint } : null;
}

/** The secret has 256 random bits: a plain hash cannot be searched, and needs no salt. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(`sallyport-join-v1\0${secret}`).digest('base64url');
}

/** Compares in constant time. */
export function secretMatches(secret: string, secretHash: string): boolean {
  const given = Buffer.from(hashSecret(secret));
  const kept = Buffer.from(secretHash);
  return given.length === kept.length && timingSafeEqual(given, kept);
}
