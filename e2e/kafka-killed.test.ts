/**
 * With Kafka, an agent that writes to it itself, and two ingesters that share the partitions: any process may be killed at any time, the
 * broker too, and what a client was answered is recorded exactly once. The client's own list of acknowledged commands is the judge.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { clients, eachOnce, random } from './components/acknowledged.ts';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type KafkaCluster, startKafka } from './components/kafka.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { shopManifests, shopSql } from './components/shop.ts';

let kafka: KafkaCluster;
let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;
let second: ChildProcess | undefined;
let stopping = false;

before(async () => {
  kafka = await startKafka();
  postgres = await startPostgres({ sql: shopSql });
  issuer = await startIssuer();
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url }) },
    env: { CRM_PASSWORD: postgres.app.password },
    args: ['--kafka', kafka.brokers.join(','), '--kafka-partitions', '4'],
  });
  secondIngester();
});
after(async () => {
  stopping = true;
  second?.kill('SIGKILL');
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
  await kafka?.stop();
});

/** Beside the one of the gateway; started again whenever it ends. */
function secondIngester(): void {
  const { url, user, password } = gateway.endpoints().clickhouse;
  second = spawn(
    process.execPath,
    [
      path.join(import.meta.dirname, '..', 'control-plane', 'ingest', 'main.ts'),
      ...['--kafka', kafka.brokers.join(','), '--kafka-partitions', '4', '--clickhouse', url],
    ],
    { env: { ...process.env, SALLYPORT_STORE_USER: user, SALLYPORT_STORE_PASSWORD: password }, stdio: ['ignore', 'ignore', 'ignore'] },
  );
  second.once('exit', () => setTimeout(() => (stopping ? undefined : secondIngester()), 300));
}

test('kill -9 of any process, the broker included, loses and doubles nothing that a client was answered', async t => {
  const seed = Number(process.env['SALLYPORT_SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`seed ${seed} (SALLYPORT_SEED)`);
  const next = random(seed);
  const mark = `kafka_kill_${seed}`;
  const { acknowledged, stop } = clients(gateway, issuer, mark, 4);
  const victims = ['kafka', 'ingest', 'agent', 'second-ingest', 'control-plane', 'session-store'];
  const killed: string[] = [];
  for (let i = 0; i < 9; i++) {
    await new Promise(resolve => setTimeout(resolve, 1000 + next() * 2000));
    const victim = victims[(i + Math.floor(next() * 2)) % victims.length] ?? 'agent';
    killed.push(victim);
    if (victim === 'kafka') {
      await kafka.kill(1);
      await new Promise(resolve => setTimeout(resolve, 500));
      await kafka.revive(1);
    } else if (victim === 'second-ingest') second?.kill('SIGKILL');
    else {
      const pid = gateway.endpoints().pids[victim];
      assert.ok(pid, `endpoints.json names the process ${victim}`);
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        // It is being restarted this moment: killed before, not up again.
        assert.equal((error as NodeJS.ErrnoException).code, 'ESRCH');
      }
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

test('while Kafka is down sessions go on; afterwards the spool drains in order', async t => {
  const mark = 'kafka_away';
  await kafka.kill(1);
  const { acknowledged, stop } = clients(gateway, issuer, mark, 2);
  // Longer than one attempt of the agent to deliver a batch.
  await new Promise(resolve => setTimeout(resolve, 20_000));
  for (const deadline = Date.now() + 180_000; acknowledged.length <= 200; await new Promise(resolve => setTimeout(resolve, 100)))
    assert.ok(Date.now() < deadline, `sessions go on: ${acknowledged.length}`);
  await stop();
  t.diagnostic(`${acknowledged.length} commands acknowledged while Kafka was down`);
  assert.deepEqual(await gateway.query(`select text from sallyport.commands where text like '%${mark}%'`), []);
  await kafka.revive(1);
  await eachOnce(gateway, mark, acknowledged);
  // In its partition, what came first in a session lies first.
  const disorder = await gateway.query(
    `select session_id, groupArray(seq) as seqs from (select session_id, seq from sallyport.records
     where session_id in (select session_id from sallyport.commands where text like '%${mark}%') order by session_id, log_offset, log_index)
     group by session_id having seqs != arraySort(seqs)`,
  );
  assert.deepEqual(disorder, []);
});
