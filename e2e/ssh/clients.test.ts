/** Other clients, and another server, with a corpus of evasions sent through one of them. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { EVASIONS, EVERYDAY, SAMPLE_POLICY } from '@sallyport/shared/shell/corpus.ts';
import { type Bastion, startBastion } from '../components/bastion.ts';
import { freePort } from '../components/postgres.ts';
import { runProgram } from '../components/ssh-client.ts';

let bastion: Bastion;
let dropbear: ChildProcess;
let folder = '';
const fixture = (name: string) => path.join(import.meta.dirname, 'fixtures', name);

before(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'sallyport-clients-'));
  chmodSync(folder, 0o777);
  const port = await freePort();
  const key = path.join(folder, 'dropbear-host');
  const made = await runProgram('dropbearkey', ['-t', 'ed25519', '-f', key]);
  const hostKey = /ssh-ed25519 \S+/.exec(made.stdout.toString())?.[0] ?? assert.fail(made.stderr);
  dropbear = spawn('dropbear', ['-F', '-E', '-p', `127.0.0.1:${port}`, '-r', key, '-P', path.join(folder, 'pid')], { stdio: 'ignore' });
  for (const deadline = Date.now() + 120_000; !(await listens(port)); await new Promise(resolve => setTimeout(resolve, 50)))
    assert.ok(Date.now() < deadline, 'dropbear does not listen');
  bastion = await startBastion({
    extra: `---
apiVersion: sallyport.dev/v1
kind: Resource
metadata: { name: small }
spec: { protocol: ssh, upstream: { address: "127.0.0.1:${port}", hostKeys: ["${hostKey}"] }, credential: small-account }
---
apiVersion: sallyport.dev/v1
kind: Credential
metadata: { name: small-account }
spec: { username: sallyport-guest, password: { value: "guest-Pa55-of-the-host" } }
---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: small }
spec: { members: { groups: [operators] }, resources: { names: [small] } }
---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: sample }
spec:
  resources: {}
  rules:
    - { name: automation, match: { opaque: true }, when: "'unmasked' in principal.groups", action: allow }
${Object.entries(SAMPLE_POLICY)
  .map(
    ([name, match]) =>
      `    - { name: ${name}, match: ${JSON.stringify(match)}, when: "!('unmasked' in principal.groups)", action: deny }\n`,
  )
  .join('')}`,
  });
});
after(async () => {
  dropbear?.kill('SIGKILL');
  await bastion?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function listens(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function python(name: string, where: string, commands: readonly string[] = [], resource = 'web') {
  const { host, port } = bastion.gateway.address(resource);
  const run = await runProgram('/usr/bin/python3', [fixture(name), host, String(port), resource, where], {
    env: { SSHPASS: await bastion.token() },
    input: JSON.stringify(commands),
    limitMs: 600_000,
  });
  assert.equal(run.code, 0, run.stderr);
  return JSON.parse(run.stdout.toString());
}

test('paramiko: commands, a file, a shell', async () => {
  const { runs, file, shell } = await python('with_paramiko.py', folder, ['echo out; echo err >&2; exit 4', 'rm -rf /']);
  assert.deepEqual(runs[0], [4, 'out\n', 'err\n']);
  assert.equal(runs[1][0], 126);
  assert.equal(file, true);
  assert.match(shell, /from 42 in a shell/);
});

test('asyncssh: many commands at once, statuses, signals, a file', async () => {
  const { sums, status, signal, file } = await python('with_asyncssh.py', folder);
  assert.deepEqual(
    sums,
    Array.from({ length: 20 }, (_, i) => (i + 1) ** 2),
  );
  assert.deepEqual([status, signal, file], [9, 'KILL', true]);
});

test('evasions by the hundred end in a refusal, and everyday commands do not', async () => {
  const lines = Object.values(EVASIONS)
    .flat()
    .map(line => line.slice(line.indexOf(' ') + 1))
    // What a client cannot send as the text of a command is not asked here.
    .filter(line => !/[\uD800-\uDFFF]/.test(line));
  assert.ok(lines.length >= 300);
  const started = bastion.sshd.log().split('Starting session').length;
  const { runs } = await python('with_paramiko.py', '-', lines);
  const passed = lines.filter((_, i) => runs[i][0] !== 126 || !runs[i][2].startsWith('sallyport: '));
  assert.deepEqual(passed, []);
  assert.equal(bastion.sshd.log().split('Starting session').length, started, 'the host saw none of them');
  // Only judged, for what they do belongs on no machine of a test: a shell that runs nothing reads them.
  const harmless = EVERYDAY.filter(line =>
    /^(ls|echo|cat|grep|head|tail|wc|sort|df|du|ps|uptime|date|id|whoami|uname|free|find|stat|pwd|env|printf)\b/.test(line),
  );
  assert.ok(harmless.length >= 20, `${harmless.length}`);
  const everyday = await python('with_paramiko.py', '-', harmless);
  assert.deepEqual(
    everyday.runs.filter((run: [number, string, string]) => run[2].startsWith('sallyport: ')),
    [],
  );
});

test('dropbear as client, and as the host', async () => {
  for (const resource of ['web', 'small']) {
    const { host, port } = bastion.gateway.address(resource);
    const run = await runProgram('dbclient', ['-y', '-y', '-p', String(port), '-l', resource, host, 'cat; echo err >&2; exit 5'], {
      env: { DROPBEAR_PASSWORD: await bastion.token(), HOME: folder },
      input: 'through dropbear',
    });
    assert.equal(run.stdout.toString(), 'through dropbear', run.stderr);
    assert.match(run.stderr, /err\n/);
    assert.equal(run.code, 5);
  }
  const { runs } = await python('with_paramiko.py', '-', ['seq 100000 | tail -1', 'rm -rf /'], 'small');
  assert.deepEqual(runs[0].slice(0, 2), [0, '100000\n']);
  assert.equal(runs[1][0], 126);
});

test('git clones, commits and pushes', async () => {
  const { host, port } = bastion.address();
  assert.equal((await bastion.ssh(['rm -rf e2e-repository && git init -q --bare e2e-repository'])).code, 0);
  const env = {
    SSHPASS: await bastion.token(),
    HOME: folder,
    GIT_SSH_COMMAND: ['sshpass', '-e', 'ssh', ...bastion.options, '-o', 'PreferredAuthentications=password'].join(' '),
    GIT_AUTHOR_NAME: 'Olga',
    GIT_AUTHOR_EMAIL: 'olga@example.com',
    GIT_COMMITTER_NAME: 'Olga',
    GIT_COMMITTER_EMAIL: 'olga@example.com',
  };
  const git = async (...args: string[]) => {
    const run = await runProgram('git', args, { env, cwd: folder });
    assert.equal(run.code, 0, `git ${args.join(' ')}: ${run.stderr}`);
    return run.stdout.toString();
  };
  const url = `ssh://web@${host}:${port}/~/e2e-repository`;
  await git('clone', '-q', url, 'one');
  writeFileSync(path.join(folder, 'one', 'file'), 'content\n'.repeat(10_000));
  await git('-C', 'one', 'add', 'file');
  await git('-C', 'one', 'commit', '-q', '-m', 'first');
  await git('-C', 'one', 'push', '-q', 'origin', 'HEAD');
  await git('clone', '-q', url, 'two');
  assert.match(await git('-C', 'two', 'log', '--oneline'), /first/);
  await bastion.ssh(['rm -rf e2e-repository']);
});

test('ansible, where a rule lets automation run what cannot be judged', async () => {
  const { host, port } = bastion.address();
  const args = bastion.options.join(' ');
  writeFileSync(
    path.join(folder, 'inventory'),
    `web ansible_host=${host} ansible_port=${port} ansible_user=web ansible_ssh_common_args='${args}' ansible_python_interpreter=/usr/bin/python3\n`,
  );
  const ansible = async (as: 'operator' | 'auditor') =>
    runProgram('ansible', ['-i', path.join(folder, 'inventory'), 'web', '-m', 'copy', '-a', `content=by-${as} dest=${folder}/by-${as}`], {
      // A connection that another call left open would be used again.
      env: { HOME: folder, ANSIBLE_SSH_ARGS: '-o ControlMaster=no', ANSIBLE_CONNECTION_PASSWORD_FILE: await passwordFile(as) },
      limitMs: 600_000,
    });
  const run = await ansible('auditor');
  assert.equal(run.code, 0, `${run.stdout.toString()}${run.stderr}`);
  assert.equal(readFileSync(path.join(folder, 'by-auditor'), 'utf8'), 'by-auditor');
  assert.notEqual((await ansible('operator')).code, 0);
  assert.ok(!existsSync(path.join(folder, 'by-operator')));
});

/** ansible reads it from a file that is a program. */
async function passwordFile(as: 'operator' | 'auditor'): Promise<string> {
  const file = path.join(folder, `password-${as}`);
  writeFileSync(file, `#!/bin/sh\nprintf %s '${await bastion.token(as)}'\n`, { mode: 0o700 });
  return file;
}
