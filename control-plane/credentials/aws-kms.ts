/**
 * AWS KMS: it encrypts and decrypts short values, and its key never leaves it. The role needs kms:Encrypt and kms:Decrypt, which may be
 * bound to the encryption context `{"application":"sallyport"}`. AWS_ENDPOINT_URL_KMS asks elsewhere, as with AWS's own tools.
 *
 * @see https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html
 */

import { signedHeaders } from '@sallyport/shared/crypto/aws-signature.ts';
import { awsKeys } from './aws-secrets-manager.ts';
import { fetchJson, member, secretMissing } from './fetch-secret.ts';

type Env = Readonly<Record<string, string | undefined>>;

const context = { application: 'sallyport' };

/** @param keyId id, ARN or alias; of an ARN the region is its own. Throws {GatewayError} SECRET_MISSING. */
export function awsEncryption(keyId: string, env: Env) {
  const ask = async (operation: 'Encrypt' | 'Decrypt', values: Record<string, string>, answer: string): Promise<string> => {
    const region = (keyId.startsWith('arn:') ? keyId.split(':')[3] : undefined) ?? env['AWS_REGION'] ?? env['AWS_DEFAULT_REGION'];
    if (!region) throw secretMissing('the region of AWS KMS is not known: name the key by its ARN, or set AWS_REGION.');
    const url = new URL(env['AWS_ENDPOINT_URL_KMS'] ?? `https://kms.${region}.amazonaws.com/`);
    // The key is named for decryption as well: a ciphertext of another key of the account is not taken.
    const body = JSON.stringify({ KeyId: keyId, EncryptionContext: context, ...values });
    const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': `TrentService.${operation}` };
    const signed = signedHeaders({ method: 'POST', url, headers, body }, { region, service: 'kms' }, await awsKeys(env), Date.now());
    const { status, json } = await fetchJson(url, { method: 'POST', headers: signed, body }, 'AWS KMS');
    const value = member(json, answer);
    if (status === 200 && typeof value === 'string') return value;
    const type = member(json, '__type');
    const why = typeof type === 'string' ? ` (${type.slice(0, 80)})` : '';
    throw secretMissing(`AWS KMS answered ${status}${why} when it was asked to ${operation.toLowerCase()} with ${keyId}.`);
  };
  return {
    wrap: (plain: Buffer) => ask('Encrypt', { Plaintext: plain.toString('base64') }, 'CiphertextBlob'),
    unwrap: async (wrapped: string) => Buffer.from(await ask('Decrypt', { CiphertextBlob: wrapped }, 'Plaintext'), 'base64'),
  };
}
