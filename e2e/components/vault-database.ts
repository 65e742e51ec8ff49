/**
 * The database engine of Vault as its clients see it, over HTTP: it makes users in a real PostgreSQL, leases, renews and drops them, as
 * Vault does with `CREATE ROLE … VALID UNTIL …` and `DROP ROLE`. Loopback only. It ends no lease by itself: tests say when.
 *
 * @see https://developer.hashicorp.com/vault/docs/secrets/databases/postgresql
 */
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import pg from 'pg';

export interface VaultDatabaseServer {
  url: string;
  token: string;
  /** Users that are leased now, by lease. */
  leases: Map<string, { username: string; password: string }>;
  /** Everybody's passwords so far. */
  passwords: string[];
  /** Ends a lease, as an operator's revocation or its time does. */
  end(leaseId: string): Promise<void>;
  /** Whether it answers: a sealed Vault says 503. */
  isSealed: boolean;
  stop(): Promise<void>;
}

/** @param member the role that users are made members of. */
export async function startVaultDatabase(adminUrl: string, member: string, leaseSeconds: number): Promise<VaultDatabaseServer> {
  const admin = new pg.Client({ connectionString: adminUrl });
  await admin.connect();
  const token = `canary-vault-${randomBytes(12).toString('hex')}`;
  const leases: VaultDatabaseServer['leases'] = new Map();
  const passwords: string[] = [];
  const issue = async () => {
    const username = `v-token-readonly-${randomBytes(10).toString('hex')}`;
    const password = `canary-${randomBytes(15).toString('hex')}`;
    const until = new Date(Date.now() + 3_600_000).toISOString();
    await admin.query(`CREATE ROLE "${username}" WITH LOGIN PASSWORD '${password}' VALID UNTIL '${until}' IN ROLE ${member}`);
    const leaseId = `database/creds/readonly/${randomBytes(12).toString('hex')}`;
    leases.set(leaseId, { username, password });
    passwords.push(password);
    return { lease_id: leaseId, renewable: true, lease_duration: leaseSeconds, data: { username, password } };
  };
  const end = async (leaseId: string) => {
    const lease = leases.get(leaseId);
    leases.delete(leaseId);
    if (lease !== undefined) await admin.query(`DROP ROLE IF EXISTS "${lease.username}"`);
  };
  const answer = async (request: http.IncomingMessage, body: string): Promise<[number, unknown]> => {
    if (server.isSealed) return [503, { errors: ['Vault is sealed'] }];
    if (request.headers['x-vault-token'] !== token) return [403, { errors: ['permission denied'] }];
    if (request.method === 'GET' && request.url === '/v1/database/creds/readonly') return [200, await issue()];
    if (request.method === 'GET') return [400, { errors: ['unknown role'] }];
    const { lease_id: leaseId } = JSON.parse(body) as { lease_id: string };
    if (request.url === '/v1/sys/leases/revoke') {
      await end(leaseId);
      return [204, null];
    }
    if (request.url !== '/v1/sys/leases/renew') return [404, { errors: [] }];
    if (!leases.has(leaseId)) return [400, { errors: ['lease not found'] }];
    return [200, { lease_id: leaseId, renewable: true, lease_duration: leaseSeconds }];
  };
  const listener = http.createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      answer(request, body).then(
        ([status, value]) => response.writeHead(status).end(value === null ? '' : JSON.stringify(value)),
        (error: unknown) => response.writeHead(500).end(JSON.stringify({ errors: [String(error)] })),
      );
    });
  });
  await new Promise<void>(resolve => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  const server: VaultDatabaseServer = {
    url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    ...{ token, leases, passwords, end },
    isSealed: false,
    async stop() {
      listener.closeAllConnections();
      await new Promise(resolve => listener.close(resolve));
      await admin.end();
    },
  };
  return server;
}
