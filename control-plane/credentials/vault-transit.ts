/**
 * The transit engine of HashiCorp Vault or OpenBao: it encrypts and decrypts, and its key never leaves it. The token needs `update` on
 * MOUNT/encrypt/KEY and MOUNT/decrypt/KEY. Ciphertexts name the version of the key, so that one of before its rotation still opens.
 *
 * @see https://developer.hashicorp.com/vault/api-docs/secret/transit
 */
import { fetchJson, member, secretMissing } from './fetch-secret.ts';
import { vaultHeaders, vaultUrl } from './vault.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** Of short values. Throws {GatewayError} SECRET_MISSING. */
export function vaultEncryption(mount: string, key: string, env: Env) {
  const ask = async (act: 'encrypt' | 'decrypt', body: Record<string, string>, answer: 'ciphertext' | 'plaintext'): Promise<string> => {
    const path = [...mount.split('/'), act, key].map(encodeURIComponent).join('/');
    const headers = { ...(await vaultHeaders(env)), 'content-type': 'application/json' };
    const { status, json } = await fetchJson(
      await vaultUrl(env, `/v1/${path}`),
      { method: 'POST', headers, body: JSON.stringify(body) },
      'Vault',
    );
    if (status === 403)
      throw secretMissing(`Vault does not let the control plane ${act} with ${key}: its token needs \`update\` on ${mount}/${act}/${key}.`);
    const value = member(member(json, 'data'), answer);
    if (status !== 200 || typeof value !== 'string')
      throw secretMissing(`Vault answered ${status} when it was asked to ${act} with ${mount}/${key}.`);
    return value;
  };
  return {
    wrap: (plain: Buffer) => ask('encrypt', { plaintext: plain.toString('base64') }, 'ciphertext'),
    unwrap: async (wrapped: string) => Buffer.from(await ask('decrypt', { ciphertext: wrapped }, 'plaintext'), 'base64'),
  };
}
