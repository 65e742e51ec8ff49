/** Replicas of two neighbouring versions, as during an upgrade: whole control planes on one Kafka, and one on its files. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { kafkaConfig } from '@sallyport/kafka/config.ts';
import type { GatewayError } from '@sallyport/shared/errors.ts';
import pino from 'pino';
import { startKafka } from '../e2e/components/kafka.ts';
import { type Editions, editions } from './aggregates/editions.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

const kafka = await startKafka();
after(() => kafka.stop());

/** Invitations are what the next version brings. */
const of = (type: string) => (type === 'AgentInvited' ? 2 : editions.of(type));
const earlier: Editions = { known: 1, of };
const next: Editions = { known: 2, of };

const role = (name: string) => `kind: Role\nmetadata: { name: ${name} }\nspec: { members: { groups: [x] }, resources: {} }\n`;

async function call(plane: ControlPlane, method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(plane.httpUrl + path, {
    method,
    headers: {
      authorization: `Bearer ${plane.adminToken}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = (await response.json()) as { code?: string; controlEdition?: unknown; detail?: string; entries?: { author: string }[] };
  return { status: response.status, answer, offset: response.headers.get('sallyport-offset') ?? '' };
}
const edition = async (plane: ControlPlane) => (await call(plane, 'GET', '/v1/status')).answer.controlEdition;
const apply = (plane: ControlPlane, name: string) =>
  call(plane, 'POST', '/v1/apply', { manifests: [{ file: 'm.yaml', text: role(name) }] });

test('side by side on one log, each seeing what the other does; what is new waits until the log is raised, which stops the earlier one', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-editions-'));
  const kek = join(dir, 'kek');
  await writeFile(kek, randomBytes(32), { mode: 0o600 });
  const lines: string[] = [];
  const faults: GatewayError[] = [];
  const { promise: faulted, resolve: fault } = Promise.withResolvers<void>();
  const start = (name: string, known: Editions) =>
    startControlPlane({
      ...{ dataDir: join(dir, name), http: '127.0.0.1:0', grpc: '127.0.0.1:0', env: {}, version: name, kek, editions: known },
      kafka: kafkaConfig(
        { kafka: kafka.secureBrokers.join(','), 'kafka-ca': kafka.ca, 'kafka-user': kafka.user.name, 'kafka-topics': 'editions' },
        { SALLYPORT_KAFKA_PASSWORD: kafka.user.password },
        'test',
      ),
      logger: pino({ level: 'info' }, { write: line => lines.push(line) }),
      onFault: error => {
        faults.push(error);
        fault();
      },
    });
  const planes: ControlPlane[] = [];
  try {
    const before = await start('earlier', earlier);
    planes.push(before);
    assert.equal((await apply(before, 'one')).status, 200);
    const after = await start('next', next);
    planes.push(after);
    assert.ok(lines.some(line => line.includes('raise-edition')));
    assert.deepEqual(
      [await edition(before), await edition(after)],
      [
        { inForce: 1, known: 1 },
        { inForce: 1, known: 2 },
      ],
    );

    const invitation = { labels: { network: 'x' } };
    const early = await call(after, 'POST', '/v1/agents/invitations', invitation);
    assert.deepEqual([early.status, early.answer.code], [409, 'EDITION_TOO_LOW']);
    const applied = await apply(after, 'two');
    assert.equal(applied.status, 200);
    const seen = await call(before, 'GET', '/v1/manifests/Role/two', undefined, { 'sallyport-offset': applied.offset });
    assert.equal(seen.status, 200);
    assert.equal((await apply(before, 'three')).status, 200);
    assert.equal(faults.length, 0);

    const raised = await call(after, 'POST', '/v1/control-log/raise-edition', { reason: 'all are upgraded' });
    assert.deepEqual([raised.status, raised.answer], [200, { inForce: 2, known: 2 }]);
    await faulted;
    assert.equal(faults[0]?.code, 'EVENT_UNKNOWN');
    assert.equal((await call(after, 'POST', '/v1/agents/invitations', invitation)).status, 201);
    assert.equal((await call(after, 'GET', '/v1/manifests/Role/three')).status, 200, 'nothing of the earlier one is lost');
    await planes.shift()?.close();
    await assert.rejects(start('earlier', earlier), { code: 'EVENT_UNKNOWN' });
  } finally {
    for (const plane of planes) await plane.close();
    await rm(dir, { recursive: true, force: true });
  }
});

test('alone on its log, a control plane uses what it knows from its start, and one of the version before does not start again', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-editions-'));
  const start = (known: Editions) =>
    startControlPlane({
      ...{ dataDir: join(dir, 'data'), http: '127.0.0.1:0', grpc: '127.0.0.1:0', env: {}, version: 'test', editions: known },
      logger: pino({ level: 'silent' }),
      onFault: error => {
        throw error;
      },
    });
  try {
    for (const [known, expected] of [
      [earlier, { inForce: 1, known: 1 }],
      [next, { inForce: 2, known: 2 }],
    ] as const) {
      const plane = await start(known);
      assert.deepEqual(await edition(plane), expected);
      assert.equal((await apply(plane, `e${known.known}`)).status, 200);
      await plane.close();
    }
    await assert.rejects(start(earlier), { code: 'EVENT_UNKNOWN' });
    const again = await start(next);
    assert.equal((await call(again, 'POST', '/v1/agents/invitations', {})).status, 201);
    await again.close();
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
