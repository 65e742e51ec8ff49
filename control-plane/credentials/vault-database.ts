/**
 * Users of databases that the database engine of HashiCorp Vault or OpenBao makes and leases. Where Vault is and with what it is asked
 * is the control plane's own configuration, as for secrets (vault.ts). The token needs `read` on MOUNT/creds/ROLE; renewing and
 * revoking need `update` on sys/leases/renew and sys/leases/revoke.
 *
 * @see https://developer.hashicorp.com/vault/api-docs/secret/databases#generate-credentials
 * @see https://developer.hashicorp.com/vault/api-docs/system/leases
 */
import type { VaultDatabase } from '@sallyport/shared/policy/model.ts';
import { fetchJson, member, secretMissing } from './fetch-secret.ts';
import { vaultHeaders, vaultUrl } from './vault.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface LeasedUser {
  username: string;
  password: string;
  leaseId: string;
  /** How long it was leased for at first, before any renewal. */
  seconds: number;
  /** MOUNT/creds/ROLE. */
  from: string;
}

export function credsPath({ mount, role }: VaultDatabase): string {
  return `${mount}/creds/${role}`;
}

/** Has a user made. @throws {GatewayError} SECRET_MISSING. */
export async function issueUser(engine: VaultDatabase, env: Env): Promise<LeasedUser> {
  const from = credsPath(engine);
  const url = await vaultUrl(env, `/v1/${from.split('/').map(encodeURIComponent).join('/')}`);
  const { status, json } = await fetchJson(url, { method: 'GET', headers: await vaultHeaders(env) }, 'Vault');
  if (status === 403) throw secretMissing(`Vault makes no user by ${from} for the control plane: its token needs \`read\` on it.`);
  if (status !== 200) {
    const hint = status === 400 || status === 404 ? ' Is there a database engine at this mount, with this role?' : '';
    throw secretMissing(`Vault answered ${status} when it was asked for a user by ${from}.${hint}`);
  }
  const [leaseId, seconds] = [member(json, 'lease_id'), member(json, 'lease_duration')];
  const [username, password] = ['username', 'password'].map(name => member(member(json, 'data'), name));
  if (typeof leaseId !== 'string' || typeof seconds !== 'number' || !(seconds > 0))
    throw secretMissing(`what Vault answered for ${from} is no lease.`);
  if (typeof username !== 'string' || username === '' || typeof password !== 'string' || password === '')
    throw secretMissing(`what Vault answered for ${from} is no user with a password.`);
  return { username, password, leaseId, seconds, from };
}

/**
 * @returns seconds that it lasts from now on; null: it is over, or cannot be renewed.
 * @throws {GatewayError} SECRET_MISSING: Vault cannot be asked now.
 */
export async function renewLease(leaseId: string, env: Env): Promise<number | null> {
  const { status, json } = await put('renew', leaseId, env);
  // 400 is what Vault says of leases that it does not know and of those that cannot be renewed; 403 is for the token alone.
  if (status === 400 || status === 403 || status === 404) return null;
  const seconds = member(json, 'lease_duration');
  if (status !== 200 || typeof seconds !== 'number') throw secretMissing(`Vault answered ${status} when a lease was to be renewed.`);
  return seconds;
}

/** Has the user taken away. @throws {GatewayError} SECRET_MISSING: it ends with its lease then. */
export async function revokeLease(leaseId: string, env: Env): Promise<void> {
  const { status } = await put('revoke', leaseId, env);
  if (status !== 200 && status !== 204) throw secretMissing(`Vault answered ${status} when a lease was to be revoked.`);
}

async function put(act: 'renew' | 'revoke', leaseId: string, env: Env): ReturnType<typeof fetchJson> {
  const headers = { ...(await vaultHeaders(env)), 'content-type': 'application/json' };
  const url = await vaultUrl(env, `/v1/sys/leases/${act}`);
  return fetchJson(url, { method: 'PUT', headers, body: JSON.stringify({ lease_id: leaseId }) }, 'Vault');
}
