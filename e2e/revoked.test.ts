/** An agent that is revoked while it runs: it stops at once, not when its lease would have expired. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { people, shopManifests, shopSql } from './components/shop.ts';

let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url }) },
    env: { CRM_PASSWORD: postgres.app.password },
  });
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

async function connect(): Promise<pg.Client> {
  const { host, port } = gateway.address('crm');
  const ca = readFileSync(gateway.endpoints().ca, 'utf8');
  const client = new pg.Client({
    host,
    port,
    user: 'x',
    database: 'app',
    password: await issuer.token(people.support),
    ssl: { ca, servername: 'localhost' },
  });
  await client.connect();
  return client;
}

test('its live sessions end, nobody gets in any more, and the record of the session is closed', async () => {
  const client = await connect();
  assert.equal((await client.query('select 1 as one')).rows[0].one, 1);
  const ended = new Promise<Error>(resolve => client.on('error', resolve));
  const { api, adminToken } = gateway.endpoints();
  const call = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(`${api}${path}`, {
      method,
      headers: { authorization: `Bearer ${adminToken}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    assert.ok(response.ok, `${method} ${path}: ${response.status}`);
    return (await response.json()) as { agents: { id: string }[] };
  };
  const { agents } = await call('GET', '/v1/agents');
  const id = agents[0]?.id ?? assert.fail('no agent');
  await call('POST', `/v1/agents/${id}/revoke`, { reason: 'stolen' });
  const error = (await ended) as pg.DatabaseError;
  assert.match(`${error.code} ${error.message}`, /57P01|terminat/i);
  await assert.rejects(connect());
  const isLogged = () => readFileSync(`${gateway.data}/logs/agent.log`, 'utf8').includes('this agent was revoked');
  const isForgotten = () => !existsSync(`${gateway.data}/agent/lease.json`);
  for (const deadline = Date.now() + 120_000; !isLogged() || !isForgotten(); await new Promise(resolve => setTimeout(resolve, 100)))
    assert.ok(Date.now() < deadline, `the log says so: ${isLogged()}; the lease is kept no longer: ${isForgotten()}`);
});
