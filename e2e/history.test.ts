/** Who changed what, when, from where and why, and what was in force at a time: over the command line and the API, as people ask. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type ControlPlane, startControlPlane } from '@sallyport/control-plane/control-plane.ts';
import pino from 'pino';
import { type Issuer, startIssuer } from './components/issuer.ts';

let dir: string;
let issuer: Issuer;
let plane: ControlPlane;
let nowMs = Date.UTC(2026, 9, 20, 10);

const canary = 'canary-of-a-password';
const base = () => `
kind: IdentityProvider
metadata: { name: corp }
spec: { oidc: { issuer: "${issuer.url}", audiences: [sallyport], subjectClaim: email, groupsClaim: groups } }
---
kind: AccessPolicy
metadata: { name: admins }
spec: { roles: [admin], members: { groups: [admins] } }
---
kind: Credential
metadata: { name: app }
spec: { username: app, password: { env: APP_PASSWORD } }
`;
const role = (groups: string) => `kind: Role\nmetadata: { name: support }\nspec: { members: { groups: [${groups}] }, resources: {} }\n`;
const env: Record<string, string> = { APP_PASSWORD: canary };

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'sallyport-history-'));
  issuer = await startIssuer();
  plane = await start();
});
after(async () => {
  await plane?.close();
  await issuer?.stop();
  await rm(dir, { recursive: true });
});

function start(): Promise<ControlPlane> {
  return startControlPlane({
    ...{ dataDir: path.join(dir, 'data'), http: '127.0.0.1:0', grpc: '127.0.0.1:0', env, version: 'test', clock: () => nowMs },
    logger: pino({ level: 'silent' }),
    onFault: error => {
      throw error;
    },
  });
}

async function api(method: string, route: string, token = plane.adminToken, body?: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(plane.httpUrl + route, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return (await response.json()) as Record<string, unknown>;
}

async function apply(text: string, token?: string, reason?: string): Promise<void> {
  const answer = await api('POST', '/v1/apply', token, {
    manifests: [{ file: path.join(dir, 'm.yaml'), text }],
    ...(reason === undefined ? {} : { reason }),
  });
  assert.ok(Array.isArray(answer.changes), JSON.stringify(answer));
}

function sallyport(...args: string[]): Promise<{ stdout: string; stderr: string; code: number }> {
  const cli = path.join(import.meta.dirname, '..', 'cli', 'bin', 'sallyport.js');
  const child = { ...process.env, HOME: dir, SALLYPORT_TOKEN: plane.adminToken, SALLYPORT_API: plane.httpUrl, NO_COLOR: '1' };
  return new Promise(resolve =>
    execFile(process.execPath, [cli, ...args], { env: child }, (error, stdout, stderr) =>
      resolve({ stdout, stderr, code: error === null ? 0 : Number(error.code) }),
    ),
  );
}

test('every change of a role, by whom, from where, why and what; what was in force at a time; after a restart too', async () => {
  await apply(`${base()}---\n${role('support')}`);
  nowMs = Date.UTC(2026, 9, 25, 9);
  const ann = await issuer.token({ sub: 'a-1', email: 'ann@example.com', groups: ['admins'], iat: nowMs / 1000, exp: nowMs / 1000 + 600 });
  await apply(role('support, sales'), ann, 'sales help out in November');
  nowMs = Date.UTC(2026, 10, 5, 9);
  await api('DELETE', '/v1/manifests/Role/support');
  nowMs = Date.UTC(2026, 10, 6, 9);
  await apply(role('support'));
  await plane.close();
  plane = await start();

  const { changes } = (await api('GET', '/v1/history/Role/support')) as { changes: Record<string, unknown>[] };
  assert.deepEqual(
    changes.map(({ version, change, at, author, reason }) => [version, change, at, author, reason]),
    [
      [4, 'created', '2026-11-06T09:00:00.000Z', 'admin', 'apply'],
      [3, 'deleted', '2026-11-05T09:00:00.000Z', 'admin', 'delete'],
      [2, 'changed', '2026-10-25T09:00:00.000Z', 'ann@example.com', 'sales help out in November'],
      [1, 'created', '2026-10-20T10:00:00.000Z', 'admin', 'apply'],
    ],
  );
  assert.deepEqual(changes[2]?.diff, [{ path: 'spec.members.groups', before: ['support'], after: ['support', 'sales'] }]);
  assert.match(String(changes[2]?.address), /^127\.0\.0\.1:\d+$/);

  const shown = await sallyport('history', 'role', 'support');
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(
    shown.stdout,
    /version 2 {2}2026-10-25 09:00:00 {2}changed by ann@example\.com from 127\.0\.0\.1:\d+\n {2}reason: sales help out in November\n/,
  );
  assert.match(shown.stdout, / {2}- spec\.members\.groups: \["support"\]\n {2}\+ spec\.members\.groups: \["support","sales"\]\n/);
  const limited = JSON.parse((await sallyport('history', 'roles', 'support', '--limit', '1', '--json')).stdout);
  assert.deepEqual([limited.changes.length, limited.truncated], [1, true]);

  const then = await sallyport('get', 'role', 'support', '--at', '2026-11-01');
  assert.match(then.stdout, /groups:\n {6}- support\n {6}- sales\n/);
  assert.match(then.stdout, /version: 2\n {2}updatedAt: 2026-10-25T09:00:00\.000Z\n {2}author: ann@example\.com/);
  const gone = await sallyport('get', 'role', 'support', '--at', '2026-11-05T10:00Z');
  assert.deepEqual([gone.code, gone.stdout], [1, '']);
  assert.match(gone.stderr, /There is no Role support/);
  assert.match((await sallyport('get', 'roles', '--at', '2026-10-21')).stdout, /^NAME.*\nsupport /);
  assert.match((await sallyport('get', 'roles', '--at', '2026-10-19')).stdout, /no Role was configured at 2026-10-19T00:00:00\.000Z/);
  assert.equal((await sallyport('get', 'roles', '--at', 'tomorrow')).code, 2);
  assert.match((await sallyport('get', 'roles', '--at', '2099-01-01')).stderr, /Nobody knows/);
  const never = await sallyport('history', 'role', 'nobody');
  assert.deepEqual([never.code, never.stdout], [1, '']);
});

test('a changed secret shows as changed, and nowhere as a value', async () => {
  env.APP_PASSWORD = `${canary}-2`;
  nowMs += 1000;
  await apply(base());
  const answer = await api('GET', '/v1/history/Credential/app');
  const changes = answer.changes as { diff: unknown[]; secrets: string[] }[];
  assert.deepEqual(
    changes.map(({ diff, secrets }) => [diff.length > 0, secrets]),
    [
      [false, ['password']],
      [true, ['password']],
    ],
  );
  const shown = await sallyport('history', 'credential', 'app');
  assert.match(shown.stdout, /~ password: the secret's value/);
  for (const text of [JSON.stringify(answer), shown.stdout, (await sallyport('get', 'credential', 'app', '--at', '1s')).stdout]) {
    assert.ok(!text.includes(canary) && !text.includes('sealed'), text);
  }
});

test('history is for those who run the place', async () => {
  const token = await issuer.token({ sub: 'x', email: 'x@example.com', groups: ['support'], iat: nowMs / 1000, exp: nowMs / 1000 + 600 });
  assert.equal((await api('GET', '/v1/history/Role/support', token)).code, 'ROLE_MISSING');
  assert.equal((await api('GET', '/v1/history/Role?at=2026-11-01T00:00:00Z', token)).code, 'ROLE_MISSING');
  assert.equal((await api('GET', '/v1/history/Secret/x')).code, 'REQUEST_INVALID');
});
