/**
 * Any one process may be killed at any time: what a client was answered is recorded exactly once. The client's own list of
 * acknowledged commands is the judge.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { RawClient } from './components/raw-postgres.ts';
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

/** A small generator with a seed, so that a failing order of kills can be had again. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

test('kill -9 of any process loses and doubles nothing that a client was answered', async t => {
  const seed = Number(process.env['SALLYPORT_SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`seed ${seed} (SALLYPORT_SEED)`);
  const next = random(seed);
  const acknowledged: string[] = [];
  let asked = 0;
  let stopping = false;
  const { host, port } = gateway.address('crm');
  const ca = readFileSync(gateway.endpoints().ca, 'utf8');
  const clients = Array.from({ length: 4 }, async (_, worker) => {
    while (!stopping) {
      let client: RawClient | undefined;
      try {
        client = await RawClient.connect({ host, port, user: 'w', database: 'app', password: await issuer.token(people.support), ca });
        while (!stopping) {
          const mark = `kill_${seed}_${worker}_${asked++}`;
          const frames = await client.simple(`select '${mark}'`);
          if (frames.some(frame => frame.type === 'D')) acknowledged.push(mark);
          await new Promise(resolve => setTimeout(resolve, 2));
        }
      } catch {
        // The agent is down: come back when it is up again. What was in flight was not acknowledged.
        await new Promise(resolve => setTimeout(resolve, 200));
      }
      client?.close();
    }
  });
  const victims = ['agent', 'control-plane', 'session-store', 'ingest'];
  const killed: string[] = [];
  for (let i = 0; i < 8; i++) {
    await new Promise(resolve => setTimeout(resolve, 1500 + next() * 1500));
    // Each is met at least twice, in an order that the seed decides.
    const victim = victims[(i + Math.floor(next() * 2)) % victims.length] ?? 'agent';
    const pid = gateway.endpoints().pids[victim];
    assert.ok(pid, `endpoints.json names the process ${victim}`);
    try {
      process.kill(pid, 'SIGKILL');
      killed.push(victim);
    } catch (error) {
      // It is being restarted this moment: killed before, not up again.
      assert.equal((error as NodeJS.ErrnoException).code, 'ESRCH');
    }
  }
  await new Promise(resolve => setTimeout(resolve, 6000));
  const before = acknowledged.length;
  await new Promise(resolve => setTimeout(resolve, 3000));
  assert.ok(acknowledged.length > before, 'clients are served again after the last kill');
  stopping = true;
  await Promise.all(clients);
  t.diagnostic(`killed ${killed.join(', ')}; ${acknowledged.length} commands acknowledged of ${asked} asked`);
  assert.ok(acknowledged.length > 200, 'there was something to lose');
  const rows = await gateway.eventually<{ text: string; n: string }>(
    `select text, count() as n from sallyport.commands where text like '%kill_${seed}_%' group by text`,
    found => {
      const seen = new Set(found.map(row => row.text));
      return acknowledged.every(mark => seen.has(`select '${mark}'`));
    },
    60_000,
  );
  assert.deepEqual(
    rows.filter(row => Number(row.n) !== 1),
    [],
    'nothing is doubled',
  );
  // Numbers in a session run from 0 without a hole, and a session that ended says so once.
  const holes = await gateway.query(
    'select session_id, count() as n, uniqExact(seq) as u, max(seq) as m from sallyport.records group by session_id having n != u or m + 1 != n',
  );
  assert.deepEqual(holes, []);
});
