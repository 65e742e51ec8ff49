/** Three brokers, three replicas of every partition: one after another is killed during load. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { clients, eachOnce } from './components/acknowledged.ts';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type KafkaCluster, startKafka } from './components/kafka.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { shopManifests, shopSql } from './components/shop.ts';

let kafka: KafkaCluster;
let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;

before(async () => {
  kafka = await startKafka({ nodes: 3 });
  postgres = await startPostgres({ sql: shopSql });
  issuer = await startIssuer();
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url }) },
    env: { CRM_PASSWORD: postgres.app.password },
    args: ['--kafka', kafka.brokers.join(','), '--kafka-partitions', '6'],
  });
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
  await kafka?.stop();
});

test('one broker of three killed during load: lost 0, doubled 0', async t => {
  const mark = 'broker_killed';
  const { acknowledged, stop } = clients(gateway, issuer, mark, 4);
  for (const node of [1, 3]) {
    await new Promise(resolve => setTimeout(resolve, 4_000));
    await kafka.kill(node);
    // Longer than it takes to elect other leaders.
    await new Promise(resolve => setTimeout(resolve, 10_000));
    await kafka.revive(node);
  }
  await new Promise(resolve => setTimeout(resolve, 4_000));
  for (const deadline = Date.now() + 180_000; acknowledged.length <= 500; await new Promise(resolve => setTimeout(resolve, 100)))
    assert.ok(Date.now() < deadline, `clients are served: ${acknowledged.length}`);
  await stop();
  t.diagnostic(`${acknowledged.length} commands acknowledged`);
  await eachOnce(gateway, mark, acknowledged);
});
