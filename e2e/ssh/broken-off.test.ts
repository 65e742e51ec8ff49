/** What is left of a session when something dies in the middle of it, and hosts that are not who they should be. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { OpenFlag } from '@sallyport/agent/ssh/sftp/messages.ts';
import { type Bastion, logOf, startBastion } from '../components/bastion.ts';
import { RawSftp } from '../components/raw-sftp.ts';
import { withPassword } from '../components/ssh-client.ts';
import { PROMPT, Terminal } from '../components/terminal.ts';

const running: Bastion[] = [];
after(async () => {
  for (const each of running) await each.stop();
});

async function bastionWith(options: Parameters<typeof startBastion>[0]): Promise<Bastion> {
  const bastion = await startBastion(options);
  running.push(bastion);
  return bastion;
}

const statusOf = (bastion: Bastion, text: string, wanted: (row: { status: string; session_status: string }) => boolean) =>
  bastion.gateway.eventually<{ status: string; session_status: string; error_code: string; reason: string }>(
    `select c.status as status, c.error_code as error_code, s.status as session_status, s.reason as reason
     from sallyport.commands c join sallyport.sessions s on s.session_id = c.session_id where c.text = '${text}'`,
    rows => rows.length > 0 && rows.every(wanted),
  );

test('a client, a host and an agent that are killed leave a closed record', async () => {
  const bastion = await bastionWith({});
  const begun = (text: string) =>
    bastion.gateway.eventually(`select 1 from sallyport.commands where text = '${text}'`, rows => rows.length > 0);
  const closed = (row: { status: string; session_status: string }) => row.status === 'aborted' && row.session_status !== 'open';

  const client = bastion.ssh(['sleep 301'], { started: child => void begun('sleep 301').then(() => child.kill('SIGKILL')) });
  await client;
  await statusOf(bastion, 'sleep 301', closed);

  // The host's own process for this connection.
  const host = bastion.ssh(['kill -9 $PPID; sleep 302']);
  assert.equal((await host).code, 255);
  const [gone] = await statusOf(bastion, 'kill -9 $PPID; sleep 302', closed);
  assert.equal(gone?.error_code, 'SSH_HOST_GONE');

  const cut = bastion.ssh(['sleep 303']);
  await begun('sleep 303');
  process.kill(bastion.gateway.endpoints().pids['agent'] ?? 0, 'SIGKILL');
  assert.notEqual((await cut).code, 0);
  await statusOf(bastion, 'sleep 303', closed);
  // And it serves again, with the same host key.
  await serves(bastion);
});

async function serves(bastion: Bastion): Promise<void> {
  for (const deadline = Date.now() + 180_000; ; await new Promise(resolve => setTimeout(resolve, 500))) {
    const { code, stderr } = await bastion.ssh(['true']);
    if (code === 0) return;
    assert.ok(Date.now() < deadline, `it does not serve again: ${stderr}`);
  }
}

/** The host's own processes for its connections, with all that they have started. */
function connectionsOf(listener: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc').filter(each => /^\d+$/.test(each))) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // It has ended meanwhile.
    }
  }
  const below = (pid: number): number[] => (children.get(pid) ?? []).flatMap(child => [child, ...below(child)]);
  return below(listener);
}

test('whoever is killed in the middle of a shell or of a file, the record is closed, and true as far as it goes', async () => {
  const bastion = await bastionWith({ role: '{ shell: recorded }' });
  const { host } = bastion.address();
  const killers: Record<string, (client: ChildProcess | Terminal) => void> = {
    client: client => (client instanceof Terminal ? client.stop() : void client.kill('SIGKILL')),
    host: () => {
      for (const pid of connectionsOf(bastion.sshd.pid)) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch (error) {
          // It has ended with the one before.
          assert.equal((error as NodeJS.ErrnoException).code, 'ESRCH');
        }
      }
    },
    agent: () => process.kill(bastion.gateway.endpoints().pids['agent'] ?? 0, 'SIGKILL'),
  };
  const closed = (session: string) =>
    bastion.gateway.eventually<{ kind: string; text: string; status: string; tag: string; session_status: string }>(
      `select c.kind as kind, c.text as text, c.status as status, c.tag as tag, s.status as session_status
       from sallyport.commands c join sallyport.sessions s on s.session_id = c.session_id where c.session_id = '${session}' order by c.seq`,
      rows => rows.length > 0 && rows.every(row => row.status !== 'running' && row.session_status !== 'open'),
    );
  for (const [victim, kill] of Object.entries(killers)) {
    const terminal = await bastion.terminal([]);
    await terminal.until(PROMPT);
    terminal.type(`echo shell-${victim}\r`);
    await terminal.until(new RegExp(`\rshell-${victim}\r`));
    const [line] = await bastion.gateway.eventually<{ session_id: string }>(
      `select session_id from sallyport.commands where text = 'echo shell-${victim}' and status = 'ok'`,
      rows => rows.length > 0,
    );
    kill(terminal);
    await terminal.ended;
    terminal.stop();
    const shell = await closed(line?.session_id ?? '');
    assert.deepEqual([shell[0]?.kind, shell[0]?.status], ['ssh-shell', 'aborted'], victim);
    assert.equal(shell.find(row => row.text === `echo shell-${victim}`)?.status, 'ok', victim);
    await serves(bastion);

    const { port } = bastion.address();
    const raw = new RawSftp(
      withPassword(await bastion.token(), 'ssh', [...bastion.options, '-p', String(port), '-l', 'web', '-s', host, 'sftp']),
    );
    await raw.ready;
    const name = `half-${victim}`;
    rmSync(path.join(bastion.sshd.home, name), { force: true });
    const handle = await raw.open(name, OpenFlag.write | OpenFlag.create);
    assert.ok(typeof handle !== 'number', raw.stderr);
    assert.equal(await raw.write(handle, 0, Buffer.alloc(30_000)), 0);
    const [write] = await bastion.gateway.eventually<{ session_id: string }>(
      `select session_id from sallyport.commands where kind = 'sftp-write' and text like '%/${name}'`,
      rows => rows.length > 0,
    );
    kill(raw.child);
    await raw.ended;
    const rows = await closed(write?.session_id ?? '');
    const file = rows.find(row => row.kind === 'sftp-write');
    assert.equal(file?.status, 'aborted', victim);
    // An agent that was killed had nobody to count what went through.
    if (victim !== 'agent') assert.equal(file?.tag, 'read 0 wrote 30000', victim);
    await serves(bastion);
  }
});

test('a session that an operator terminates ends at once', async () => {
  const bastion = await bastionWith({ credential: sshd => `{ username: ${sshd.account}, password: { value: "${sshd.password}" } }` });
  // The password with which the agent logs in upstream is shown to nobody, though no policy asks for masks here.
  const halves = `${bastion.sshd.password.slice(0, 10)}' '${bastion.sshd.password.slice(10)}`;
  for (const flags of [[], ['-tt']]) {
    const shown = await bastion.ssh([`printf 'it is %s%s.\\n' '${halves}'; printf '%s%s' '${halves}' | base64`], { flags });
    assert.equal(shown.code, 0, shown.stderr);
    assert.match(shown.stdout.toString(), /^it is \S*redacted\S*\.\r?\n\S*redacted/i);
    assert.ok(!shown.stdout.includes(bastion.sshd.password.slice(4)));
  }
  const run = bastion.ssh(['sleep 304']);
  const [row] = await bastion.gateway.eventually<{ session_id: string }>(
    `select session_id from sallyport.commands where text = 'sleep 304'`,
    rows => rows.length > 0,
  );
  const { api, adminToken } = bastion.gateway.endpoints();
  const response = await fetch(`${api}/v1/sessions/${row?.session_id}/kill`, {
    method: 'POST',
    headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ reason: 'enough' }),
  });
  assert.ok(response.ok, await response.text());
  const { code, stderr } = await run;
  assert.equal(code, 255);
  assert.match(stderr, /terminated by an operator/);
  await statusOf(bastion, 'sleep 304', each => each.status === 'aborted');
});

test('a host with another key than the pinned one gets no credential', async () => {
  const other = (await import('../components/openssh.ts')).startSshServer;
  const stranger = await other();
  try {
    const bastion = await bastionWith({ hostKeys: () => stranger.hostKeys });
    const { code, stderr } = await bastion.ssh(['true']);
    assert.notEqual(code, 0);
    assert.match(stderr, /the host shows the key SHA256:.*but the resource pins ssh-.* SHA256:/);
    assert.doesNotMatch(bastion.sshd.log(), /Accepted/);
    await bastion.gateway.eventually(
      `select 1 from sallyport.sessions where error_code = 'SSH_HOST_KEY_MISMATCH'`,
      rows => rows.length > 0,
    );
  } finally {
    await stranger.stop();
  }
});

test('the first key of a host that pins none is kept and recorded, and another is refused from then on', async () => {
  const bastion = await bastionWith({ hostKeys: () => null });
  assert.equal((await bastion.ssh(['true'])).code, 0);
  const [row] = await bastion.gateway.eventually<{ text: string }>(
    `select text from sallyport.commands where kind = 'ssh-host-key'`,
    rows => rows.length > 0,
  );
  assert.match(row?.text ?? '', /SHA256:/);
  assert.equal((await bastion.ssh(['true'])).code, 0);
  assert.equal((await bastion.gateway.query(`select 1 from sallyport.commands where kind = 'ssh-host-key'`)).length, 1);
  assert.doesNotMatch(logOf(bastion.gateway), /"level":50/);
});

test('where a guard asks people about the first key of a host, no credential is sent before they have answered', async () => {
  const bastion = await bastionWith({
    hostKeys: () => null,
    extra: `---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: hosts }
spec:
  resources: {}
  rules:
    - name: new-host
      match: { statements: [ssh-host-key] }
      action: hold
      approval: { from: { groups: [leads] }, quorum: 1, expiresIn: 5m }
`,
  });
  const { api } = bastion.gateway.endpoints();
  const answered = async (how: 'approve' | 'deny', known: string[]): Promise<string> => {
    const [row] = await bastion.gateway.eventually<{ approval_id: string; text: string }>(
      `select approval_id, text from sallyport.commands where kind = 'ssh-host-key' and approval_id not in (${['', ...known].map(id => `'${id}'`).join(', ')})`,
      rows => rows.length > 0,
    );
    assert.match(row?.text ?? '', /SHA256:/);
    assert.doesNotMatch(bastion.sshd.log(), /Accepted/);
    for (let attempt = 0; ; attempt++) {
      const response = await fetch(`${api}/v1/approvals/${row?.approval_id}/${how}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${await bastion.token('approver')}`, 'content-type': 'application/json' },
        body: JSON.stringify({ reason: 'compared with the console' }),
      });
      if (response.ok) return row?.approval_id ?? '';
      if (response.status !== 404 || attempt > 600) assert.fail(`${response.status} ${await response.text()}`);
      await new Promise(resolve => setTimeout(resolve, 100));
    }
  };
  const refused = bastion.ssh(['true'], { limitMs: 180_000 });
  const first = await answered('deny', []);
  const denied = await refused;
  assert.equal(denied.code, 255);
  assert.match(denied.stderr, /the host's key is not trusted.*no credential was sent/);
  const waiting = bastion.ssh(['echo in'], { limitMs: 180_000 });
  const second = await answered('approve', [first]);
  const run = await waiting;
  assert.equal(run.stdout.toString(), 'in\n', run.stderr);
  // It is known from now on.
  assert.equal((await bastion.ssh(['true'])).code, 0);
  const rows = await bastion.gateway.eventually<{ approval_id: string; status: string; tag: string }>(
    `select approval_id, status, tag from sallyport.commands where kind = 'ssh-host-key' order by at`,
    found => found.length === 2 && found.every(row => row.status === 'refused' || row.status === 'ok'),
  );
  assert.deepEqual(
    rows.map(row => [row.approval_id, row.status, row.tag]),
    [
      [first, 'refused', ''],
      [second, 'ok', 'kept'],
    ],
  );
});

test('where a guard refuses first keys, the host is sent nothing, the key is not kept, and the record says why', async () => {
  const bastion = await bastionWith({
    hostKeys: () => null,
    extra: `---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: hosts }
spec:
  resources: {}
  rules:
    - { name: only-known-hosts, match: { statements: [ssh-host-key] }, action: deny, message: "Pin the key of a new host first." }
`,
  });
  // Twice: what was refused is no more known than before.
  for (const attempt of [1, 2]) {
    const run = await bastion.ssh(['echo in']);
    assert.equal(run.code, 255);
    assert.equal(run.stdout.length, 0);
    assert.match(run.stderr, /the host's key is not trusted: Pin the key of a new host first\..*no credential was sent/);
    const rows = await bastion.gateway.eventually<{ text: string; decision: string; rule: string; status: string; error_code: string }>(
      `select text, decision, rule, status, error_code from sallyport.commands where kind = 'ssh-host-key'`,
      found => found.length === attempt && found.every(row => row.status === 'refused'),
    );
    for (const row of rows) {
      assert.match(row.text, /^ssh-\S+ SHA256:/);
      assert.deepEqual([row.decision, row.rule, row.error_code], ['deny', 'hosts/only-known-hosts', 'SSH_HOST_KEY_REFUSED']);
    }
  }
  assert.doesNotMatch(bastion.sshd.log(), /Accepted|userauth-request for user/);
});
