/**
 * Public keys that people have registered, with OpenSSH's own client: whose they are, what they open, and that they end: by time, by
 * removal, with the person and with the account, also for sessions that live; with the control plane there and not.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Bastion, type sshPeople, startBastion } from '../components/bastion.ts';
import { type RunOptions, runProgram, type SshRun } from '../components/ssh-client.ts';

type Person = keyof typeof sshPeople;
interface Key {
  id: string;
  fingerprint: string;
  principal: string;
  lastUsedAt: string | null;
}

let bastion: Bastion;
let dir = '';
const cli = path.join(import.meta.dirname, '..', '..', 'cli', 'bin', 'sallyport.js');

before(async () => {
  dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-keys-'));
  chmodSync(dir, 0o700);
  bastion = await startBastion({
    resource: '  publicKeys: registered',
    extra: `---
apiVersion: sallyport.dev/v1
kind: Resource
metadata: { name: closed }
spec:
  protocol: ssh
  upstream: { address: "$ADDRESS", hostKeys: $HOSTKEYS }
  credential: web-account
---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: everywhere }
spec: { members: { groups: [operators] }, resources: { names: [closed] } }
---
apiVersion: sallyport.dev/v1
kind: ServiceAccount
metadata: { name: deployer }
spec: { groups: [operators] }
---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: admitted-by-the-directory }
spec: { members: { groups: [on-call] }, resources: { names: [web] } }
`,
  });
});
after(async () => {
  await bastion?.stop();
  rmSync(dir, { recursive: true, force: true });
});

function makeKey(name: string, ...type: string[]): string {
  const file = path.join(dir, name);
  execFileSync('ssh-keygen', ['-q', '-N', '', '-C', name, '-f', file, ...(type.length === 0 ? ['-t', 'ed25519'] : type)], {
    stdio: 'pipe',
  });
  return file;
}

async function sallyport(args: string[], as?: Person): Promise<SshRun> {
  const env = as === undefined ? {} : { SALLYPORT_TOKEN: await bastion.token(as) };
  return runProgram(process.execPath, [cli, ...args.slice(0, 2), '--data', bastion.gateway.data, ...args.slice(2)], { env });
}

async function add(key: string, as?: Person, more: string[] = []): Promise<Key> {
  const run = await sallyport(['ssh-key', 'add', `${key}.pub`, '--expires-in', '1h', '--json', ...more], as);
  assert.equal(run.code, 0, run.stderr);
  return JSON.parse(run.stdout.toString()) as Key;
}

/** `ssh` with keys alone. */
function ssh(keys: string | string[], args: string[], options: RunOptions & { flags?: string[]; to?: string } = {}): Promise<SshRun> {
  const resource = options.to ?? 'web';
  const { host, port } = bastion.gateway.address(resource);
  const identities = [keys].flat().flatMap(key => ['-i', key]);
  const known = resource === 'web' ? [] : ['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'];
  const flags = ['-o', 'BatchMode=yes', ...(options.flags ?? []), ...identities, '-p', String(port), '-l', resource];
  return runProgram('ssh', [...known, ...bastion.options, ...flags, host, ...args], options);
}

async function api(method: string, url: string, body?: unknown, token?: string): Promise<Response> {
  const { api: base, adminToken } = bastion.gateway.endpoints();
  const isScim = url.startsWith('/scim');
  return fetch(base + url, {
    method,
    headers: {
      authorization: `Bearer ${token ?? adminToken}`,
      ...(body === undefined ? {} : { 'content-type': isScim ? 'application/scim+json' : 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

/** The agent is told without being asked: soon. */
async function opens(key: string, wanted: boolean): Promise<SshRun> {
  for (const deadline = Date.now() + 300_000; ; ) {
    const run = await ssh(key, ['echo in']);
    if ((run.code === 0) === wanted || Date.now() > deadline) {
      assert.equal(run.code, wanted ? 0 : 255, run.stderr);
      return run;
    }
    await new Promise(resolve => setTimeout(resolve, 200));
  }
}

test('a registered key opens what its holder may use, among others that open nothing; the record has its fingerprint', async () => {
  const other = makeKey('other');
  const kinds = [makeKey('ed25519'), makeKey('ecdsa', '-t', 'ecdsa', '-b', '384'), makeKey('rsa', '-t', 'rsa', '-b', '3072')];
  assert.equal((await ssh(kinds, ['true'])).code, 255, 'none is registered yet');
  for (const key of kinds) {
    const { fingerprint, principal } = await add(key, 'operator');
    assert.equal(principal, 'olga@example.com');
    assert.equal(execFileSync('ssh-keygen', ['-l', '-f', `${key}.pub`], { encoding: 'utf8' }).split(' ')[1], fingerprint);
    await opens(key, true);
    const run = await ssh([other, key], ['echo', `by ${path.basename(key)}`], { flags: ['-v', '-o', 'LogLevel=DEBUG1'] });
    assert.equal(run.stdout.toString(), `by ${path.basename(key)}\n`, run.stderr);
    assert.match(run.stderr, new RegExp(`Server accepts key: ${key}`));
    assert.doesNotMatch(run.stderr, new RegExp(`Server accepts key: ${other}`), 'what nobody has registered is told apart before it signs');
    const [row] = await bastion.gateway.eventually<{ principal: string; client: Record<string, string>; token_id: string }>(
      `select s.principal as principal, s.client as client from sallyport.sessions s
       join sallyport.commands c on c.session_id = s.session_id where c.text = 'echo by ${path.basename(key)}'`,
      rows => rows.length > 0,
    );
    assert.deepEqual([row?.principal, row?.client['method'], row?.client['key']], ['olga@example.com', 'publickey', fingerprint]);
  }
  const listed = await sallyport(['ssh-key', 'list', '--mine', '--json'], 'operator');
  const { keys } = JSON.parse(listed.stdout.toString()) as { keys: Key[] };
  assert.equal(keys.length, 3, listed.stderr);
  assert.ok(keys.every(({ lastUsedAt }) => lastUsedAt !== null));
  assert.match((await sallyport(['ssh-key', 'list'])).stdout.toString(), /FINGERPRINT[\s\S]*SHA256:[\s\S]*olga@example\.com/);

  assert.equal((await ssh(kinds, ['true'], { to: 'closed' })).code, 255, 'a resource that does not say so takes no keys');
  // Whoever has no role is known, and not let in.
  const stranger = makeKey('stranger');
  await add(stranger, 'stranger');
  await bastion.gateway.eventually(
    `select 1 from sallyport.control_events where type = 'SshKeyRegistered' and author = 'sid@example.com'`,
    rows => rows.length > 0,
  );
  assert.equal((await ssh(stranger, ['true'])).code, 255);

  // An access review shows which keys have opened nothing.
  const unused = await sallyport(['review', '--unused', '--json'], 'auditor');
  const { sshKeys } = JSON.parse(unused.stdout.toString()) as { sshKeys: { principal: string; lastUsedAt: string | null }[] };
  assert.deepEqual(
    sshKeys.map(({ principal, lastUsedAt }) => [principal, lastUsedAt]),
    [['sid@example.com', null]],
    unused.stderr,
  );
  const review = await sallyport(['review'], 'auditor');
  assert.match(review.stdout.toString(), /ssh key of olga@example\.com +ed25519, ends .* [1-9]/, review.stderr);
  assert.match(review.stdout.toString(), /ssh key of sid@example\.com +stranger, ends .* 0 +not since/);
});

test('a key is one person’s, and one’s own', async () => {
  const key = makeKey('shared');
  await add(key, 'operator');
  const second = await sallyport(['ssh-key', 'add', `${key}.pub`, '--expires-in', '1h'], 'auditor');
  assert.equal(second.code, 1);
  assert.match(second.stderr, /registered for somebody else.*ssh-keygen -t ed25519/);
  // Somebody else's public key, which anybody can have, with a proof by another one.
  const mine = makeKey('mine');
  const theirs = makeKey('theirs');
  const proofOf = (file: string, name: string, namespace = 'sallyport') =>
    execFileSync('ssh-keygen', ['-q', '-Y', 'sign', '-n', namespace, '-f', file], {
      input: `sallyport ssh-key of ${name}\n`,
      encoding: 'utf8',
    });
  const publicKey = readFileSync(`${theirs}.pub`, 'utf8');
  const token = await bastion.token('auditor');
  const proofs = ['', proofOf(mine, 'aron@example.com'), proofOf(theirs, 'olga@example.com'), proofOf(theirs, 'aron@example.com', 'git')];
  for (const proof of proofs) {
    const refused = await api('POST', '/v1/ssh/keys', { publicKey, expiresInSeconds: 3600, proof }, token);
    assert.deepEqual([refused.status, ((await refused.json()) as { code: string }).code], [400, 'SSH_KEY_UNPROVED']);
  }
  const weak = makeKey('weak', '-t', 'rsa', '-b', '2048');
  assert.match((await sallyport(['ssh-key', 'add', `${weak}.pub`, '--expires-in', '1h'], 'auditor')).stderr, /3072 bits at least/);
  const stolen = (await add(theirs, 'auditor')).id;
  for (const who of ['operator', 'stranger'] as const)
    assert.equal((await api('POST', `/v1/ssh/keys/${stolen}/remove`, {}, await bastion.token(who))).status, 404, who);
  const account = { publicKey: readFileSync(`${mine}.pub`, 'utf8'), expiresInSeconds: 3600, serviceAccount: 'deployer' };
  assert.equal((await api('POST', '/v1/ssh/keys', account, token)).status, 403);
});

test('with the control plane gone keys go on; removed, they end at once, and their sessions with them', async () => {
  const key = makeKey('lasting');
  const { id } = await add(key, 'operator');
  await opens(key, true);
  const { pids } = bastion.gateway.endpoints();
  const controlPlane = pids['control-plane'] ?? 0;
  process.kill(controlPlane, 'SIGSTOP');
  try {
    assert.equal((await ssh(key, ['echo offline'])).stdout.toString(), 'offline\n');
    assert.equal((await ssh(makeKey('never'), ['true'])).code, 255);
  } finally {
    process.kill(controlPlane, 'SIGCONT');
  }
  const running = ssh(key, ['echo started; sleep 600'], { limitMs: 300_000 });
  await bastion.gateway.eventually(
    `select 1 from sallyport.commands where text = 'echo started; sleep 600'`,
    rows => rows.length > 0,
    120_000,
  );
  const removed = await sallyport(['ssh-key', 'remove', id, '--mine', '--reason', 'lost the laptop'], 'operator');
  assert.equal(removed.code, 0, removed.stderr);
  assert.equal((await running).code, 255);
  await opens(key, false);
  await bastion.gateway.eventually(
    `select 1 from sallyport.control_events where type = 'SshKeyRemoved' and reason = 'lost the laptop' and author = 'olga@example.com'`,
    rows => rows.length > 0,
  );
  // Free again, and the revoked registration stays revoked.
  await add(key, 'operator');
  await opens(key, true);
});

test('keys of a service account are an administrator’s to register, and end with the account', async () => {
  const key = makeKey('deployer');
  const made = await add(key, undefined, ['--service-account', 'deployer']);
  assert.equal(made.principal, 'deployer');
  await opens(key, true);
  const [row] = await bastion.gateway.eventually<{ kind: string; groups: string[] }>(
    `select principal_kind as kind, groups from sallyport.sessions where principal = 'deployer'`,
    rows => rows.length > 0,
  );
  assert.deepEqual([row?.kind, row?.groups], ['workload', ['operators']]);
  assert.ok((await api('DELETE', '/v1/manifests/ServiceAccount/deployer')).ok);
  await opens(key, false);
});

test('who the directory takes out has no key any more; its groups are those that count', async () => {
  const key = makeKey('guest');
  await add(key, 'guest');
  assert.equal((await ssh(key, ['true'])).code, 255);
  const user = { schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'], userName: 'gus@example.com', active: true };
  const { id } = (await (await api('POST', '/scim/v2/Users', user)).json()) as { id: string };
  const group = { schemas: ['urn:ietf:params:scim:schemas:core:2.0:Group'], displayName: 'on-call', members: [{ value: id }] };
  assert.equal((await api('POST', '/scim/v2/Groups', group)).status, 201);
  await opens(key, true);
  const running = ssh(key, ['echo guest; sleep 600'], { limitMs: 300_000 });
  await bastion.gateway.eventually(
    `select 1 from sallyport.commands where text = 'echo guest; sleep 600'`,
    rows => rows.length > 0,
    120_000,
  );
  assert.ok((await api('PUT', `/scim/v2/Users/${id}`, { ...user, active: false })).ok);
  assert.equal((await running).code, 255);
  await opens(key, false);
  assert.ok((await api('PUT', `/scim/v2/Users/${id}`, user)).ok);
  const { keys } = (await (await api('GET', '/v1/ssh/keys')).json()) as { keys: Key[] };
  assert.ok(keys.length > 0 && keys.every(({ principal }) => principal !== 'gus@example.com'), 'who comes back registers anew');
  assert.equal((await ssh(key, ['true'])).code, 255);
});

test('a key ends by itself', async () => {
  const key = makeKey('short');
  await add(key, 'operator', ['--expires-in', '90s']);
  await opens(key, true);
  await opens(key, false);
});
