/**
 * Secrets of HashiCorp Vault's or OpenBao's KV store, version 2. Where it is and with what it is asked is the control plane's own
 * configuration (VAULT_ADDR, VAULT_TOKEN or VAULT_TOKEN_FILE, VAULT_NAMESPACE), never a manifest's: whoever writes manifests must not
 * choose where the token goes. What the token may read, Vault's policy says.
 *
 * The token file is read each time: an agent of Vault's renews it.
 *
 * @see https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2#read-secret-version
 */
import { readFile } from 'node:fs/promises';
import { errorText } from '@sallyport/shared/errors.ts';
import type { VaultSource } from '@sallyport/shared/policy/model.ts';
import { fetchJson, member, secretMissing } from './fetch-secret.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** @throws {GatewayError} SECRET_MISSING. */
export async function readVault(source: VaultSource, env: Env): Promise<string> {
  const { mount, path, field, version } = source;
  const what = `the secret ${mount}/${path} in Vault`;
  const url = await vaultUrl(env, `/v1/${encoded(mount)}/data/${encoded(path)}`);
  if (version !== undefined) url.searchParams.set('version', String(version));
  const { status, json } = await fetchJson(url, { method: 'GET', headers: await vaultHeaders(env) }, 'Vault');
  if (status === 404) throw secretMissing(`there is no ${what.replace('the ', '')}, or it was deleted.`);
  if (status === 403)
    throw secretMissing(`Vault does not let the control plane read ${what}: its token needs \`read\` on ${mount}/data/${path}.`);
  if (status !== 200) throw secretMissing(`Vault answered ${status} when it was asked for ${what}.`);
  const value = member(member(member(json, 'data'), 'data'), field);
  if (typeof value !== 'string') throw secretMissing(`${what} has no text in the field ${field}.`);
  return value;
}

/** @throws {GatewayError} SECRET_MISSING. */
export async function vaultUrl(env: Env, path: string): Promise<URL> {
  const address = env['VAULT_ADDR'];
  const base = address === undefined ? null : URL.parse(address);
  if (base === null) throw secretMissing('the control plane does not know where Vault is: set VAULT_ADDR and start it again.');
  return new URL(`${base.pathname.replace(/\/+$/, '')}${path}`, base.origin);
}

export async function vaultHeaders(env: Env): Promise<Record<string, string>> {
  const namespace = env['VAULT_NAMESPACE'];
  const token = env['VAULT_TOKEN'] ?? (await tokenFrom(env['VAULT_TOKEN_FILE']));
  if (token === undefined || token === '')
    throw secretMissing('the control plane has no token for Vault: set VAULT_TOKEN or VAULT_TOKEN_FILE.');
  return {
    'x-vault-token': token,
    'x-vault-request': 'true',
    ...(namespace === undefined || namespace === '' ? {} : { 'x-vault-namespace': namespace }),
  };
}

async function tokenFrom(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (cause) {
    throw secretMissing(`the token for Vault cannot be read from ${file}: ${errorText(cause)}.`, cause);
  }
}

function encoded(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}
