/** Join tokens: `spj_<agent id>_<secret>_<SHA-256 of the CA certificate's DER>`, the last two base64url of 32 bytes. */
import { GatewayError } from '@sallyport/shared/errors.ts';

export interface JoinToken {
  agentId: string;
  /** SHA-256 of the control plane's CA certificate, 32 bytes. */
  caFingerprint: Buffer;
}

/** @throws {GatewayError} JOIN_TOKEN_MALFORMED; the message does not repeat the token. */
export function parseJoinToken(text: string): JoinToken {
  // Secret and fingerprint may contain `_`: their lengths tell them apart.
  const match = /^spj_([0-9a-f]{32})_[A-Za-z0-9_-]{43}_([A-Za-z0-9_-]{43})$/.exec(text);
  const [, agentId, fingerprint] = match ?? [];
  if (agentId === undefined || fingerprint === undefined) {
    throw new GatewayError('JOIN_TOKEN_MALFORMED', 'invalid', 'the join token is incomplete: copy all of it, from `spj_` to the end');
  }
  return { agentId, caFingerprint: Buffer.from(fingerprint, 'base64url') };
}
