/**
 * The gateway with its logs in Apache Kafka, as a user starts it (`sallyport up --kafka …`), over TLS and with a name and a password:
 * the same job and the same evidence. The agent goes by the control plane here; kafka-killed.test.ts has one that writes itself.
 */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type KafkaCluster, startKafka } from './components/kafka.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { canaries, people, shopManifests, shopSql } from './components/shop.ts';

const run = promisify(execFile);
let kafka: KafkaCluster;
let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;
/** Of what is sent on. */
let dir = '';

before(async () => {
  kafka = await startKafka();
  postgres = await startPostgres({ sql: shopSql });
  issuer = await startIssuer();
  dir = mkdtempSync(path.join(tmpdir(), 'sallyport-kafka-outputs-'));
  const outputs = path.join(dir, 'outputs.yaml');
  writeFileSync(outputs, `outputs: [{ name: disk, file: { path: "${path.join(dir, 'events.jsonl')}" } }]\n`);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url }) },
    env: { CRM_PASSWORD: postgres.app.password, SALLYPORT_KAFKA_PASSWORD: kafka.user.password },
    args: [
      ...['--kafka', kafka.secureBrokers.join(','), '--kafka-ca', kafka.ca, '--kafka-user', kafka.user.name, '--kafka-partitions', '3'],
      ...['--agent-relay', '--outputs', outputs],
    ],
  });
});
after(async () => {
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
  await kafka?.stop();
  if (dir !== '') rmSync(dir, { recursive: true, force: true });
});

async function psql(...sql: string[]): Promise<string> {
  const { host, port } = gateway.address('crm');
  const args = ['-X', '-A', '-t', '-h', host, '-p', String(port), '-U', 'anyone', '-d', 'app', ...sql.flatMap(one => ['-c', one])];
  const password = await issuer.token(people.support);
  const env = { ...process.env, PGPASSWORD: password, PGSSLMODE: 'verify-full', PGSSLROOTCERT: gateway.endpoints().ca };
  return (await run('psql', args, { env })).stdout;
}

test('psql through the gateway: masked answers, and the records in ClickHouse by way of Kafka', async () => {
  const output = await psql("select 'by way of kafka', email from customers where id = 1", 'select count(*) from customers');
  assert.match(output, /^by way of kafka\|c\*+@example\.com\n\d+\n$/);
  const [row] = await gateway.eventually<{ rows: string; session_id: string }>(
    "select rows, session_id from sallyport.commands where text like '%by way of kafka%' and status = 'ok'",
    rows => rows.length === 1,
  );
  assert.equal(Number(row?.rows), 1);
  // The whole session, in order and in one partition.
  const [session] = await gateway.eventually<{ n: string; last: string; partitions: string }>(
    `select count() as n, max(seq) as last, uniqExact(bitShiftRight(log_offset, 48)) as partitions
     from sallyport.records where session_id = '${row?.session_id}' having countIf(type = 'session_ended') = 1`,
    rows => rows.length === 1,
  );
  assert.equal(Number(session?.last) + 1, Number(session?.n));
  assert.equal(Number(session?.partitions), 1);
  // Changes of the configuration came by the control topic.
  const [events] = await gateway.eventually<{ n: string }>(
    "select count() as n from sallyport.control_events where kind = 'resource' and accepted",
    rows => Number(rows[0]?.n) >= 1,
  );
  assert.ok(Number(events?.n) >= 1);
});

interface Sent {
  metadata: { uid: string; event_code: string };
  unmapped: Record<string, unknown>;
}

/** What the output has written, once it holds. */
async function sent(holds: (events: Sent[]) => boolean): Promise<Sent[]> {
  for (const deadline = Date.now() + 180_000; ; ) {
    const file = path.join(dir, 'events.jsonl');
    const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
    const events = lines.map(line => JSON.parse(line) as Sent);
    if (holds(events)) return events;
    assert.ok(Date.now() < deadline, `the output has not sent it; it has ${lines.length} events`);
    await delay(200);
  }
}
const texts = (events: Sent[]) => events.map(({ unmapped: { text } }) => (typeof text === 'string' ? text : ''));

test('outputs follow all partitions from a process of their own, which goes on where it was killed', async () => {
  const asked = async (count: number, name: string) => {
    const each = Array.from({ length: count }, (_, at) => `select '${name} ${at}'`);
    // A session each, so that several partitions have some.
    await Promise.all(each.map(one => psql(one)));
    return each;
  };
  const before = await asked(5, 'sent on');
  const first = await sent(events => before.every(text => texts(events).includes(text)));
  assert.ok(
    first.some(({ metadata }) => metadata.event_code.startsWith('change')),
    'changes are sent, too',
  );
  const { pids } = gateway.endpoints();
  const pid = pids['outputs'] ?? 0;
  process.kill(pid, 'SIGKILL');
  const after = await asked(5, 'after the kill');
  const second = await sent(events => after.every(text => texts(events).includes(text)));
  // At least once: what comes again has the same id, and what was sent long before the kill does not come again.
  const ids = new Set(second.map(({ metadata }) => metadata.uid));
  for (const text of before) assert.ok(texts(second).filter(each => each === text).length <= 2, text);
  assert.ok(ids.size >= before.length + after.length);
  for (const deadline = Date.now() + 180_000; gateway.endpoints().pids['outputs'] === pid; await delay(100))
    assert.ok(Date.now() < deadline, 'it has another process');
});

test('other programs find messages as documented: keyed by session, typed, without secrets; and nothing lies in files', async () => {
  const consumed = () =>
    kafka.tool(
      'org.apache.kafka.tools.consumer.ConsoleConsumer',
      ...['--bootstrap-server', kafka.brokers.join(','), '--topic', 'sallyport.records', '--from-beginning', '--timeout-ms', '20000'],
      ...[
        '--formatter-property',
        'print.key=true',
        '--formatter-property',
        'print.headers=true',
        '--formatter-property',
        'print.value=true',
      ],
    );
  let output = consumed();
  // It gives up when nothing comes for a time, and on a busy machine that may be before the first message.
  for (let attempt = 0; !output.includes('by way of kafka') && attempt < 5; attempt++) output = consumed();
  assert.match(output, /type:sallyport\.records\.v1\.RecordBatch\s+[0-9a-f]{8}-[0-9a-f]{4}-7/);
  assert.match(output, /by way of kafka/);
  for (const secret of Object.values(canaries)) assert.ok(!output.includes(secret), 'values are masked before they are recorded');
  assert.deepEqual(readdirSync(path.join(gateway.data, 'control-plane', 'log')), ['kafka.json']);
  const password = kafka.user.password;
  for (const name of readdirSync(path.join(gateway.data, 'logs'))) {
    assert.ok(!readFileSync(path.join(gateway.data, 'logs', name), 'utf8').includes(password), `${name} holds the password of Kafka`);
  }
  const commandLines = Object.values(gateway.endpoints().pids).map(pid => readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
  assert.ok(commandLines.some(line => line.includes('--kafka')) && !commandLines.some(line => line.includes(password)));
});

test('a data folder whose log is in Kafka is not opened without it', () => {
  const cli = path.join(import.meta.dirname, '..', 'cli', 'bin', 'sallyport.js');
  const dir = path.join(gateway.dir, 'other');
  execFileSync('mkdir', ['-p', path.join(dir, 'log')]);
  execFileSync('cp', [path.join(gateway.data, 'control-plane', 'log', 'kafka.json'), path.join(dir, 'log')]);
  assert.throws(
    () =>
      execFileSync(process.execPath, [cli, 'control-plane', '--data', dir, '--http', '127.0.0.1:0', '--grpc', '127.0.0.1:0'], {
        stdio: 'pipe',
      }),
    (error: Error & { stdout?: Buffer }) => /LOG_ELSEWHERE.*sallyport\.control.*--kafka/.test(String(error.stdout)),
  );
  assert.ok(!existsSync(path.join(dir, 'log', 'sallyport.control')));
});
