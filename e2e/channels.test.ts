/** A webhook as somebody has it: a manifest with a secret, and a far side that checks what it gets. */
import assert from 'node:assert/strict';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { canaries, shopManifests, shopSql } from './components/shop.ts';

const secret = 'a secret that both sides know';
interface Told {
  delivery: string;
  approval: { id: string; state: string; kind: string; text: string; parameters: string[]; principal: { name: string } };
}
const told: Told[] = [];
const server = createServer((request, response) => {
  let body = '';
  request.on('data', (part: Buffer) => (body += part.toString()));
  request.on('end', () => {
    const [, time = '', mac = ''] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(request.headers['sallyport-signature'])) ?? [];
    const wanted = createHmac('sha256', secret).update(`${time}.${body}`).digest();
    const good = mac !== '' && timingSafeEqual(Buffer.from(mac, 'hex'), wanted) && Math.abs(Date.now() / 1000 - Number(time)) < 300;
    const one = good ? (JSON.parse(body) as Told) : null;
    // What is told again, because the answer was late, is the same delivery.
    if (one !== null && told.every(({ delivery }) => delivery !== one.delivery)) told.push(one);
    response.writeHead(good ? 204 : 401).end();
  });
});

let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;
before(async () => {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
  const extra = `---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: releases }
spec:
  resources: { names: [crm] }
  rules: [{ name: deletes, match: { statements: [delete] }, action: hold, message: "Ask.", approval: { from: { groups: [dba] } } }]
---
apiVersion: sallyport.dev/v1
kind: Channel
metadata: { name: ops }
spec: { webhook: { url: "http://127.0.0.1:${port}/hook", secret: { env: HOOK_SECRET } }, groups: [dba] }
`;
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url, extra }) },
    env: { CRM_PASSWORD: postgres.app.password, HOOK_SECRET: secret },
  });
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
  server.close();
});

async function until(done: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 3600 && !done(); i++) await new Promise(resolve => setTimeout(resolve, 50));
  assert.ok(done(), `${what}: ${JSON.stringify(told)}`);
}

test('a webhook is told, signed and masked, that somebody waits and how it ended', async () => {
  const { host, port } = gateway.address('crm');
  const client = new pg.Client({
    ...{ host, port, user: 'x', database: 'app' },
    password: await issuer.token({ sub: 'u-1', email: 'sam@example.com', groups: ['support'] }),
    ssl: { ca: readFileSync(gateway.endpoints().ca, 'utf8'), servername: 'localhost' },
  });
  await client.connect();
  const refused = assert.rejects(
    client.query('delete from orders where item = $1', [canaries.email]),
    (error: pg.DatabaseError) => error.code === '42501',
  );
  await until(() => told.length === 1, 'that somebody waits');
  const [{ approval } = assert.fail()] = told;
  assert.deepEqual([approval.state, approval.kind, approval.principal.name], ['pending', 'command', 'sam@example.com']);
  assert.equal(JSON.stringify(approval).includes(canaries.email), false);
  const token = await issuer.token({ sub: 'd-1', email: 'dan@example.com', groups: ['dba'] });
  const answer = await fetch(`${gateway.endpoints().api}/v1/approvals/${approval.id}/deny`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: '{"reason":"no"}',
  });
  assert.equal(answer.status, 200);
  await refused;
  await until(() => told.length === 2, 'how it ended');
  assert.deepEqual([told[1]?.approval.state, told[1]?.delivery], ['denied', `${approval.id}:denied`]);
  await client.end();
});
