/**
 * With Kafka, an agent that writes to it itself, and two ingesters that share the partitions: any process may be killed at any time, the
 * broker too, and what a client was answered is recorded exactly once. The client's own list of acknowledged commands is the judge.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type KafkaCluster, startKafka } from './components/kafka.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { RawClient } from './components/raw-postgres.ts';
import { people, shopManifests, shopSql } from './components/shop.ts';

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

/** A small generator with a seed, so that a failing order of kills can be had again. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Clients that ask until they are stopped, and keep what was answered. */
function clients(mark: string, count: number): { acknowledged: string[]; stop: () => Promise<void> } {
  const acknowledged: string[] = [];
  let asked = 0;
  let ended = false;
  const { host, port } = gateway.address('crm');
  const ca = readFileSync(gateway.endpoints().ca, 'utf8');
  const running = Array.from({ length: count }, async (_, worker) => {
    while (!ended) {
      let client: RawClient | undefined;
      try {
        client = await RawClient.connect({ host, port, user: 'w', database: 'app', password: await issuer.token(people.support), ca });
        while (!ended) {
          const text = `select '${mark}_${worker}_${asked++}'`;
          const frames = await client.simple(text);
          if (frames.some(frame => frame.type === 'D')) acknowledged.push(text);
          await new Promise(resolve => setTimeout(resolve, 2));
        }
      } catch {
        // The agent is down: come back when it is up again. What was in flight was not acknowledged.
        await new Promise(resolve => setTimeout(resolve, 200));
      }
      client?.close();
    }
  });
  return {
    acknowledged,
    stop: async () => {
      ended = true;
      await Promise.all(running);
    },
  };
}

async function eachOnce(mark: string, acknowledged: readonly string[]): Promise<void> {
  const rows = await gateway.eventually<{ text: string; n: string }>(
    `select text, count() as n from sallyport.commands where text like '%${mark}%' group by text`,
    found => {
      const seen = new Set(found.map(row => row.text));
      return acknowledged.every(text => seen.has(text));
    },
    180_000,
  );
  assert.deepEqual(
    rows.filter(row => Number(row.n) !== 1),
    [],
    'nothing is doubled',
  );
  const holes = await gateway.query(
    'select session_id, count() as n, uniqExact(seq) as u, max(seq) as m from sallyport.records group by session_id having n != u or m + 1 != n',
  );
  assert.deepEqual(holes, []);
  assert.deepEqual(await gateway.query('select code, reason from sallyport.dead_letters'), []);
}

test('kill -9 of any process, the broker included, loses and doubles nothing that a client was answered', async t => {
  const seed = Number(process.env['SALLYPORT_SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`seed ${seed} (SALLYPORT_SEED)`);
  const next = random(seed);
  const mark = `kafka_kill_${seed}`;
  const { acknowledged, stop } = clients(mark, 4);
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
  for (let tries = 0; acknowledged.length === before && tries < 600; tries++) await new Promise(resolve => setTimeout(resolve, 100));
  assert.ok(acknowledged.length > before, 'clients are served again after the last kill');
  await stop();
  t.diagnostic(`killed ${killed.join(', ')}; ${acknowledged.length} commands acknowledged`);
  assert.ok(acknowledged.length > 200, 'there was something to lose');
  await eachOnce(mark, acknowledged);
});

test('while Kafka is down sessions go on; afterwards the spool drains in order', async t => {
  const mark = 'kafka_away';
  await kafka.kill(1);
  const { acknowledged, stop } = clients(mark, 2);
  // Longer than one attempt of the agent to deliver a batch.
  await new Promise(resolve => setTimeout(resolve, 20_000));
  await stop();
  t.diagnostic(`${acknowledged.length} commands acknowledged while Kafka was down`);
  assert.ok(acknowledged.length > 200);
  assert.deepEqual(await gateway.query(`select text from sallyport.commands where text like '%${mark}%'`), []);
  await kafka.revive(1);
  await eachOnce(mark, acknowledged);
  // In its partition, what came first in a session lies first.
  const disorder = await gateway.query(
    `select session_id, groupArray(seq) as seqs from (select session_id, seq from sallyport.records
     where session_id in (select session_id from sallyport.commands where text like '%${mark}%') order by session_id, log_offset, log_index)
     group by session_id having seqs != arraySort(seqs)`,
  );
  assert.deepEqual(disorder, []);
});
