/**
 * From the click of an approver to the answer of the command that waited, on one machine with everything real: the API, the event
 * log with its syncs, the agent's stream, the agent's spool, PostgreSQL, and back to the client.
 *
 *     npm run -s bench:approvals [-- --rounds 200] [--previews]
 *
 * A click is POST /v1/approvals/ID/approve as it leaves the approver; released is the command's CommandComplete at the client. The
 * time that people need is not in it.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { startGateway } from '../../e2e/components/gateway.ts';
import { startIssuer } from '../../e2e/components/issuer.ts';
import { startPostgres } from '../../e2e/components/postgres.ts';
import { shopManifests, shopSql } from '../../e2e/components/shop.ts';
import { figure, table } from '../harness/figures.ts';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '200' }, previews: { type: 'boolean', default: false } } });
const rounds = Number(values.rounds);
if (!Number.isSafeInteger(rounds) || rounds < 10) throw new Error('--rounds is a whole number of at least 10');
const TARGET_MS = 100;

const rules = (preview: boolean) => `---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: releases }
spec:
  resources: { names: [crm] }
  rules:
    - { name: updates, match: { statements: [update] }, action: hold, message: "Ask.", approval: { from: { groups: [dba] }, expiresIn: 5m, preview: ${preview} } }
`;

const [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
const gateway = await startGateway({
  manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url, extra: rules(values.previews) }) },
  env: { CRM_PASSWORD: postgres.app.password },
});
try {
  const { host, port } = gateway.address('crm');
  const endpoints = gateway.endpoints();
  const client = new pg.Client({
    ...{ host, port, user: 'x', database: 'app' },
    password: await issuer.token({ sub: 'u-1', email: 'sam@example.com', groups: ['support'] }),
    ssl: { ca: readFileSync(endpoints.ca, 'utf8'), servername: 'localhost' },
  });
  const ids: string[] = [];
  let heard: (() => void) | null = null;
  client.on('notice', notice => {
    const id = /Approval ([0-9a-f-]{36}) by/.exec(notice.hint ?? '')?.[1];
    if (id === undefined) return;
    ids.push(id);
    heard?.();
  });
  await client.connect();
  const headers = {
    authorization: `Bearer ${await issuer.token({ sub: 'd-1', email: 'dan@example.com', groups: ['dba'] })}`,
    'content-type': 'application/json',
  };
  const call = (path: string, method: 'GET' | 'POST') =>
    fetch(`${endpoints.api}${path}`, { method, headers, ...(method === 'POST' ? { body: '{}' } : {}) });
  const times: number[] = [];
  const warmUp = 10;
  for (let round = 0; round < rounds + warmUp; round++) {
    const answered = client.query('update orders set quantity = $1 where id = $2', [round, 1 + (round % 100)]);
    const told = new Promise<void>(resolve => {
      heard = resolve;
    });
    if (ids.length <= round) await told;
    const id = ids[round] ?? '';
    // The client is told a moment before the control plane has the question.
    while ((await call(`/v1/approvals/${id}`, 'GET')).status !== 200) await new Promise(resolve => setTimeout(resolve, 5));
    const clicked = performance.now();
    const released = answered.then(() => performance.now() - clicked);
    const answer = await call(`/v1/approvals/${id}/approve`, 'POST');
    if (answer.status !== 200) throw new Error(`approve answered ${answer.status}: ${await answer.text()}`);
    await answer.body?.cancel();
    const took = await released;
    if (round >= warmUp) times.push(took);
  }
  await client.end();
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.min(times.length - 1, Math.ceil(share * times.length) - 1)] ?? Number.NaN;
  const bench = { bench: 'approvals', case: values.previews ? 'click to release, with previews' : 'click to release', unit: 'ms' };
  figure({ ...bench, subject: 'p50', value: at(0.5) });
  figure({ ...bench, subject: 'p99', value: at(0.99), target: `p99 under ${TARGET_MS} ms`, met: at(0.99) < TARGET_MS });
  table();
} finally {
  await gateway.stop();
  await issuer.stop();
  await postgres.stop();
}
process.exit(0);
