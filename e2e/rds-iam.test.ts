/** Databases that take tokens of IAM in place of passwords: from keys in the lease, from the agent's own role, and with nobody to ask. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { type Rds, startRds } from './components/rds.ts';
import { people, shopManifests, shopSql } from './components/shop.ts';

const region = 'eu-central-1';
// Put together at run time: a repository should hold nothing that looks like a key.
const user = { accessKeyId: ['AK', 'IAUSERCANARY'].join(''), secretAccessKey: 'user/canary+secret+of+an+iam+user+0001' };
const role = {
  ...{ accessKeyId: ['AS', 'IAROLECANARY'].join(''), secretAccessKey: 'role/canary+secret+of+a+role+000000002' },
  sessionToken: 'canary/session+token==',
};

let postgres: PostgresServer;
let issuer: Issuer;
let rds: Rds;
let container: Server;
let gateway: Gateway;

const served = (name: string, spec: string) => `---
apiVersion: sallyport.dev/v1
kind: Resource
metadata: { name: ${name} }
spec: { protocol: postgres, upstream: { address: "${rds.address}", database: app, tls: { ca: { file: "${rds.ca}" } } }, credential: ${name} }
---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: ${name} }
spec: { members: { groups: [support] }, resources: { names: [${name}] } }
---
apiVersion: sallyport.dev/v1
kind: Credential
metadata: { name: ${name} }
spec: ${spec}
`;
const keys = (secret = 'IAM_SECRET') => `keys: { accessKeyId: ${user.accessKeyId}, secretAccessKey: { env: ${secret} } }`;

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
  rds = await startRds(postgres, region, [user, role]);
  container = createServer((request, response) => {
    if (request.headers.authorization !== 'canary-pod-token') return void response.writeHead(403).end('{}');
    const { accessKeyId, secretAccessKey, sessionToken } = role;
    const Expiration = new Date(Date.now() + 3_600_000).toISOString();
    response.end(JSON.stringify({ AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: sessionToken, Expiration }));
  });
  await new Promise<void>(resolve => container.listen(0, '127.0.0.1', resolve));
  const address = container.address();
  const extra = [
    served('by-keys', `{ username: direct, awsRdsIam: { region: ${region}, ${keys()} } }`),
    served('by-role', `{ username: direct, awsRdsIam: { region: ${region} } }`),
    served('elsewhere', `{ username: direct, awsRdsIam: { region: us-east-1, ${keys()} } }`),
    served('wrong-key', `{ username: direct, awsRdsIam: { region: ${region}, ${keys('CRM_PASSWORD')} } }`),
    served('no-iam', `{ username: app, awsRdsIam: { region: ${region}, ${keys()} } }`),
  ].join('');
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url, extra }) },
    env: {
      CRM_PASSWORD: postgres.app.password,
      IAM_SECRET: user.secretAccessKey,
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/keys`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN: 'canary-pod-token',
    },
  });
});
after(async () => {
  await gateway?.stop();
  container?.closeAllConnections();
  container?.close();
  await rds?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

async function connected(name: string): Promise<pg.Client> {
  const { host, port } = gateway.address(name);
  const client = new pg.Client({
    ...{ host, port, user: 'sam', database: 'app', password: await issuer.token(people.support) },
    ssl: { ca: readFileSync(gateway.endpoints().ca, 'utf8') },
  });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function works(name: string): Promise<void> {
  const client = await connected(name);
  const { rows } = await client.query('select session_user::text as who, count(*)::int as n from customers');
  assert.deepEqual(rows, [{ who: 'direct', n: 500 }]);
  await client.end();
}

test('each login has a token of its own, of the keys in the lease or of the agent’s role', async () => {
  const before = rds.seen.length;
  await works('by-keys');
  await works('by-role');
  const tokens = rds.seen.slice(before);
  assert.ok(tokens.length >= 2);
  for (const { refusal } of tokens) assert.equal(refusal, null);
  assert.ok(tokens.some(({ token }) => token.includes(user.accessKeyId)) && tokens.some(({ token }) => token.includes(role.accessKeyId)));
});

test('with the control plane stopped, new sessions get tokens all the same', async () => {
  const pid = gateway.endpoints().pids['control-plane'] ?? 0;
  assert.ok(pid > 0);
  process.kill(pid, 'SIGSTOP');
  try {
    await works('by-keys');
    await works('by-role');
  } finally {
    process.kill(pid, 'SIGCONT');
  }
});

test('what the database does not take is said with what to do', async () => {
  await assert.rejects(connected('elsewhere'), /28P01.*rds_iam.*rds-db:connect.*`region`.*clock/);
  assert.equal(rds.seen.at(-1)?.refusal, 'another scope');
  await assert.rejects(connected('wrong-key'), /28P01.*rds_iam/);
  assert.equal(rds.seen.at(-1)?.refusal, 'another signature');
  await assert.rejects(connected('no-iam'), /asks for a password and no token of IAM.*GRANT rds_iam/);
});

test('no key and no token in what is written, logged or recorded', async () => {
  await gateway.eventually(`SELECT session_id FROM sallyport.sessions WHERE resource = 'by-role'`, rows => rows.length > 0);
  const signatures = rds.seen.map(({ token }) => token.split('X-Amz-Signature=')[1] ?? '');
  assert.ok(signatures.every(signature => /^[0-9a-f]{64}$/.test(signature)));
  const secrets = [user.secretAccessKey, role.secretAccessKey, role.sessionToken, 'canary-pod-token', 'X-Amz-Signature', ...signatures];
  for (const secret of secrets) {
    assert.throws(() => execFileSync('grep', ['-r', '-l', '-F', '-e', secret, gateway.data], { stdio: 'pipe' }), secret);
    assert.ok(!gateway.output().includes(secret));
  }
});
