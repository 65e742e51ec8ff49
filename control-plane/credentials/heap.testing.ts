/**
 * A control plane that uses secrets and then writes what is on its heap, for heap.int.test.ts: `heap.testing.ts DIR`, where DIR has
 * `manifests.yaml`. The secrets are in files and in manifests, never in this process's arguments or environment.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { writeHeapSnapshot } from 'node:v8';
import pino from 'pino';
import { startControlPlane } from '../control-plane.ts';
import { hello, nextMessage, TestAgent } from '../grpc/test-agent.ts';

const [dir = ''] = process.argv.slice(2);
const { gc } = globalThis;
if (gc === undefined) throw new Error('run with --expose-gc');

const plane = await startControlPlane({
  ...{ dataDir: join(dir, 'data'), http: '127.0.0.1:0', grpc: '127.0.0.1:0', env: {}, version: 'test', secretsRefreshMs: 100 },
  logger: pino({ level: 'fatal' }),
  onFault: error => {
    throw error;
  },
});

let calls = 0;

async function call(method: string, path: string, body: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(plane.httpUrl + path, {
    method,
    headers: { authorization: `Bearer ${plane.adminToken}`, 'content-type': 'application/json', 'idempotency-key': `key-${++calls}` },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return (await response.json()) as Record<string, unknown>;
}

/** In functions of their own, so that no local variable of the module keeps a text. */
async function apply(): Promise<void> {
  const file = join(dir, 'manifests.yaml');
  await call('POST', '/v1/apply', { manifests: [{ file, text: await readFile(file, 'utf8') }] });
}

async function lease(): Promise<number> {
  const { token } = await call('POST', '/v1/agents/invitations', { everyResource: true });
  const agent = new TestAgent(plane.grpcAddress);
  await agent.join(String(token));
  await agent.connectChannel();
  const stream = agent.control();
  stream.on('error', () => undefined); // It is closed below.
  stream.write(hello());
  const { body } = await nextMessage(stream, message => message.body.case === 'lease');
  agent.close();
  return body.case === 'lease' ? Object.keys(agent.openLease(body.value).credentials).length : 0;
}

async function rotated(): Promise<void> {
  await writeFile(join(dir, 'secret'), await readFile(join(dir, 'secret-next'), 'utf8'));
  await delay(1_000);
}

await apply();
const leased = await lease();
await rotated();
await lease();
// What belongs to no-one any more is on the heap until it is collected; connections end in between.
for (let round = 0; round < 10; round++) {
  await delay(100);
  await gc({ execution: 'async', type: 'major' });
}
writeHeapSnapshot(join(dir, 'heap.heapsnapshot'));
await plane.close();
process.stdout.write(JSON.stringify({ leased }));
