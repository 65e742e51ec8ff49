/** Reads private keys as people keep them: PEM, PKCS#8 or OpenSSH's own format, without a passphrase. */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { GatewayError } from '@sallyport/shared/errors.ts';
import keyParser from 'ssh2/lib/protocol/keyParser.js';

/** @throws {GatewayError} SSH_KEY_MALFORMED; neither message nor cause holds anything of the key. */
export function parsePrivateKey(text: string): KeyObject {
  const unreadable = new GatewayError('SSH_KEY_MALFORMED', 'invalid', 'the private key cannot be read, or it has a passphrase');
  try {
    if (!text.includes('OPENSSH PRIVATE KEY')) return createPrivateKey(text);
    const parsed = keyParser.parseKey(text);
    const key = Array.isArray(parsed) ? parsed[0] : parsed;
    const pem = key === undefined || key instanceof Error ? null : key.getPrivatePEM();
    if (pem === null) throw unreadable;
    return createPrivateKey(pem);
  } catch {
    // The cause may quote the key.
    throw unreadable;
  }
}
