/**
 * A session is watched by way of a control plane that its agent is not connected to: what is seen, and that the agent knows of whoever
 * watches, and of their going, by the control log that replicas share.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Bastion, startBastion } from '../components/bastion.ts';
import { type KafkaCluster, startKafka } from '../components/kafka.ts';
import { type Replica, replica } from '../components/replicas.ts';

const dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-watching-'));
let kafka: KafkaCluster;
let bastion: Bastion;
let second: Replica;

before(async () => {
  kafka = await startKafka();
  bastion = await startBastion({
    args: ['--kafka', kafka.brokers.join(','), '--kafka-partitions', '2', '--agent-relay'],
    extra: `---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: four-eyes }
spec: { members: { groups: [sales] }, resources: { names: [web] }, ssh: { shell: recorded, fourEyes: true } }
---
apiVersion: sallyport.dev/v1
kind: AccessPolicy
metadata: { name: auditors }
spec: { roles: [auditor], members: { groups: [leads] } }
`,
  });
  const { clickhouse } = bastion.gateway.endpoints();
  second = await replica(
    'second',
    path.join(dir, 'second'),
    [
      ...['--kafka', kafka.brokers.join(','), '--kafka-partitions', '2', '--clickhouse', clickhouse.url],
      ...['--kek', path.join(bastion.gateway.data, 'control-plane', 'pki', 'kek')],
    ],
    { SALLYPORT_STORE_USER: clickhouse.user, SALLYPORT_STORE_PASSWORD: clickhouse.password },
  );
  await second.start();
});
after(async () => {
  await second?.kill();
  await bastion?.stop();
  await kafka?.stop();
  rmSync(dir, { recursive: true, force: true });
});

test('four eyes by way of another replica: it runs while they watch, and no longer, also when that replica dies', async () => {
  for (const end of ['they go', 'the replica dies'] as const) {
    const run = bastion.ssh([`echo ran while somebody watches; sleep 300`], { as: 'stranger', limitMs: 300_000 });
    const [session] = await bastion.gateway.eventually<{ session_id: string }>(
      `select session_id from sallyport.sessions where principal = 'sid@example.com' and status = 'open'`,
      rows => rows.length === 1,
      120_000,
    );
    const id = session?.session_id ?? '';
    const own = await fetch(`http://${second.http}/v1/sessions/${id}/live`, {
      headers: { authorization: `Bearer ${await bastion.token('stranger')}` },
    });
    assert.equal(own.status, 403);
    const stopping = new AbortController();
    const response = await fetch(`http://${second.http}/v1/sessions/${id}/live`, {
      headers: { authorization: `Bearer ${await bastion.token('approver')}` },
      signal: stopping.signal,
    });
    assert.equal(response.status, 200, end);
    const read = (async () => {
      for await (const _ of response.body ?? []);
    })().catch(() => undefined); // It is broken off below, from either side.
    await bastion.gateway.eventually(
      `select 1 from sallyport.commands where session_id = '${id}' and text like 'echo ran while%'`,
      rows => rows.length === 1,
      120_000,
    );
    const [watch] = await bastion.gateway.query<{ text: string }>(
      `select text from sallyport.commands where session_id = '${id}' and kind = 'ssh-watch'`,
    );
    assert.equal(watch?.text, 'watched by ada@example.com');
    if (end === 'they go') {
      // Longer than one word of it counts: it is said again, and not by way of the control log.
      const beganAtMs = Date.now();
      await new Promise(resolve => setTimeout(resolve, 40_000));
      const [still] = await bastion.gateway.query<{ status: string }>(`select status from sallyport.sessions where session_id = '${id}'`);
      assert.equal(still?.status, 'open', `after ${Date.now() - beganAtMs} ms`);
    }
    if (end === 'they go') stopping.abort();
    else await second.kill();
    const { code, stdout, stderr } = await run;
    assert.equal(code, 255);
    assert.match(stdout.toString(), /ran while somebody watches/);
    assert.match(stderr, /nobody watches the session any more/);
    await read;
    await bastion.gateway.eventually(
      `select 1 from sallyport.sessions where session_id = '${id}' and error_code = 'SSH_UNOBSERVED'`,
      rows => rows.length === 1,
      120_000,
    );
  }
  const types = await bastion.gateway.eventually<{ type: string; n: number }>(
    `select type, toUInt32(count()) as n from sallyport.control_events where type like 'SessionWatch%' group by type order by type`,
    rows => rows.reduce((sum, { n }) => sum + n, 0) >= 3,
    120_000,
  );
  // Who goes with their replica has not said so.
  assert.deepEqual(
    types.map(({ type, n }) => [type, n]),
    [
      ['SessionWatchEnded', 1],
      ['SessionWatched', 2],
    ],
  );
});
