/** A database's users made by Vault: in use, with nobody to ask, taken away, and replaced. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import pg from 'pg';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { people, shopManifests, shopSql } from './components/shop.ts';
import { startVaultDatabase, type VaultDatabaseServer } from './components/vault-database.ts';

const run = promisify(execFile);

let postgres: PostgresServer;
let issuer: Issuer;
let vault: VaultDatabaseServer;
let gateway: Gateway;

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
  // A lease of seconds: every round of the control plane asks about it.
  vault = await startVaultDatabase(postgres.adminUrl(), 'app', 6);
  const extra = `---
apiVersion: sallyport.dev/v1
kind: Resource
metadata: { name: leased }
spec: { protocol: postgres, upstream: { address: "localhost:${postgres.port}", database: app, tls: { ca: { file: "${postgres.ca}" } } }, credential: leased }
---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: leased }
spec: { members: { groups: [support] }, resources: { names: [leased] } }
---
apiVersion: sallyport.dev/v1
kind: Credential
metadata: { name: leased }
spec: { vaultDatabase: { role: readonly } }
`;
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url, extra }) },
    env: { CRM_PASSWORD: postgres.app.password, VAULT_ADDR: vault.url, VAULT_TOKEN: vault.token },
  });
});
after(async () => {
  await gateway?.stop();
  await vault?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

async function user(): Promise<string> {
  const { host, port } = gateway.address('leased');
  const client = new pg.Client({
    ...{ host, port, user: 'sam', database: 'app', password: await issuer.token(people.support) },
    ssl: { ca: readFileSync(gateway.endpoints().ca, 'utf8') },
  });
  client.on('error', () => undefined);
  await client.connect();
  const { rows } = await client.query('select session_user::text as who, count(*)::int as n from customers');
  await client.end();
  assert.equal(rows[0]?.n, 500);
  return String(rows[0]?.who);
}

/** The control plane asks when a third of the lease is over. */
async function doctor(expected: RegExp): Promise<void> {
  const cli = path.join(import.meta.dirname, '..', 'cli', 'bin', 'sallyport.js');
  for (const deadline = Date.now() + 240_000; ; ) {
    const { stdout } = await run(process.execPath, [cli, 'doctor', '--data', gateway.data]).catch(
      (error: unknown) => error as { stdout: string },
    );
    if (expected.test(stdout) || Date.now() > deadline) {
      assert.match(stdout, expected);
      return;
    }
  }
}

const leased = () => [...vault.leases.values()].map(({ username }) => username);

test('sessions are the user that Vault has made, also with the control plane stopped and Vault sealed', async () => {
  assert.deepEqual([await user()], leased());
  const pid = gateway.endpoints().pids['control-plane'] ?? 0;
  assert.ok(pid > 0);
  vault.isSealed = true;
  process.kill(pid, 'SIGSTOP');
  try {
    assert.deepEqual([await user()], leased());
  } finally {
    process.kill(pid, 'SIGCONT');
    vault.isSealed = false;
  }
});

test('a user that was taken away: what clients are told, and another without an apply', async () => {
  const [leaseId = ''] = vault.leases.keys();
  const first = await user();
  await doctor(/✓ credentials +1 read at its source \(Vault database\)/);
  vault.isSealed = true; // Nothing is replaced meanwhile.
  await doctor(/✗ credential leased +cannot be read \(Vault database\).*503.*the user that Vault leased/);
  await vault.end(leaseId);
  await assert.rejects(user(), /28P01.*Vault leased \(database\/creds\/readonly\).*takes another/);
  vault.isSealed = false;
  const deadline = Date.now() + 240_000;
  let second: string | undefined;
  while (second === undefined) {
    second = await user().catch((error: unknown) => {
      if (Date.now() > deadline) throw error;
      return undefined;
    });
    await new Promise(resolve => setTimeout(resolve, 200));
  }
  assert.notEqual(second, first);
  assert.ok(leased().includes(second));
});

test('no password and no token of Vault’s in what is written, logged or recorded', async () => {
  await gateway.eventually(`SELECT session_id FROM sallyport.sessions WHERE resource = 'leased'`, rows => rows.length > 0);
  for (const secret of [vault.token, ...vault.passwords]) {
    assert.throws(() => execFileSync('grep', ['-r', '-l', '-F', '-e', secret, gateway.data], { stdio: 'pipe' }), secret);
    assert.ok(!gateway.output().includes(secret));
  }
});
