/**
 * Any one process may be killed at any time: what a client was answered is recorded exactly once. The client's own list of
 * acknowledged commands is the judge.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { clients, eachOnce, random } from './components/acknowledged.ts';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { shopManifests, shopSql } from './components/shop.ts';

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

test('kill -9 of any process loses and doubles nothing that a client was answered', async t => {
  const seed = Number(process.env['SALLYPORT_SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`seed ${seed} (SALLYPORT_SEED)`);
  const next = random(seed);
  const mark = `kill_${seed}`;
  const { acknowledged, stop } = clients(gateway, issuer, mark, 4);
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
  const before = acknowledged.length;
  // There has to be something to lose, too.
  const isServed = () => acknowledged.length > Math.max(before + 20, 200);
  for (const deadline = Date.now() + 180_000; !isServed(); await new Promise(resolve => setTimeout(resolve, 100)))
    assert.ok(Date.now() < deadline, `clients are served again after the last kill: ${before}, then ${acknowledged.length}`);
  await stop();
  t.diagnostic(`killed ${killed.join(', ')}; ${acknowledged.length} commands acknowledged`);
  await eachOnce(gateway, mark, acknowledged, counts => t.diagnostic(JSON.stringify({ seed, kills: killed.length, ...counts })));
});
