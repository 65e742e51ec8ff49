/** Commands, and lines of shells, that wait for people. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Bastion, startBastion } from '../components/bastion.ts';
import { PROMPT } from '../components/terminal.ts';

let bastion: Bastion;

before(async () => {
  bastion = await startBastion({
    extra: `---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: hosts }
spec:
  resources: {}
  rules:
    - name: changes
      match: { programs: [touch] }
      action: hold
      message: Changes need a lead.
      approval: { from: { groups: [leads] }, quorum: 1, expiresIn: 5m }
    - name: short
      match: { programs: [mkdir] }
      action: hold
      approval: { from: { groups: [leads] }, quorum: 1, expiresIn: 2s }
`,
  });
});
after(() => bastion?.stop());

const file = (name: string) => {
  const full = path.join(bastion.sshd.home, name);
  rmSync(full, { force: true, recursive: true });
  return full;
};

async function answer(id: string, how: 'approve' | 'deny', reason: string): Promise<void> {
  const token = await bastion.token('approver');
  const url = `${bastion.gateway.endpoints().api}/v1/approvals/${id}/${how}`;
  // The client hears of it before the control plane does.
  for (let attempt = 0; ; attempt++) {
    const response = await fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ reason }),
    });
    if (response.ok) return;
    if (response.status !== 404 || attempt > 600) assert.fail(`${url}: ${response.status} ${await response.text()}`);
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

/** The approval's id, once the client was told of it. */
function idOf(child: ChildProcess): Promise<string> {
  let text = '';
  return new Promise(resolve => {
    child.stderr?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const id = /approvals show ([0-9a-f-]{36})/.exec(text)?.[1];
      if (id !== undefined) resolve(id);
    });
  });
}

const rowOf = async (text: string) => {
  const [row] = await bastion.gateway.eventually<{ status: string; approvers: string[]; held_us: string; approval_id: string }>(
    `select status, approvers, held_us, approval_id from sallyport.commands where text = '${text}' and status not in ('held', 'running')`,
    rows => rows.length > 0,
  );
  assert.ok(row !== undefined);
  return row;
};

test('a held command waits, runs when somebody else releases it, and the record says who', async () => {
  const made = file('held-1');
  let id = '';
  const run = bastion.ssh(['touch held-1; echo made'], {
    started: child => {
      void idOf(child).then(async found => {
        id = found;
        assert.ok(!existsSync(made));
        await answer(found, 'approve', 'go');
      });
    },
  });
  const { code, stdout, stderr } = await run;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^sallyport: waiting for approval by leads until .* UTC: Changes need a lead\.\n/);
  assert.equal(stdout.toString(), 'made\n');
  assert.ok(existsSync(made));
  const row = await rowOf('touch held-1; echo made');
  assert.deepEqual([row.status, row.approvers, row.approval_id], ['ok', ['ada@example.com'], id]);
  assert.ok(Number(row.held_us) > 0);
});

test('a denied one is not run, nor one that nobody answers, nor one whose client goes', async () => {
  const denied = file('held-2');
  const run = await bastion.ssh(['touch held-2'], { started: child => void idOf(child).then(id => answer(id, 'deny', 'not today')) });
  assert.equal(run.code, 126);
  assert.match(run.stderr, /the approval was denied by ada@example\.com: not today/);
  assert.ok(!existsSync(denied));
  const late = file('held-3');
  const expired = await bastion.ssh(['mkdir held-3']);
  assert.equal(expired.code, 126);
  assert.match(expired.stderr, /not approved in time/);
  assert.ok(!existsSync(late));
  await bastion.ssh(['touch held-4'], { started: child => void idOf(child).then(() => child.kill('SIGKILL')) });
  const gone = await rowOf('touch held-4');
  assert.equal(gone.status, 'aborted');
  await bastion.gateway.eventually(
    `select 1 from sallyport.approvals where approval_id = '${gone.approval_id}' and state = 'withdrawn'`,
    rows => rows.length > 0,
  );
});

test('a line of a shell waits, too, and Ctrl-C takes it back', async () => {
  const made = file('held-5');
  const taken = file('held-6');
  const terminal = await bastion.terminal([]);
  try {
    let at = await terminal.until(PROMPT);
    terminal.type('touch held-5\r');
    await terminal.until(/approvals show [0-9a-f-]{36}/, at);
    const id = /approvals show ([0-9a-f-]{36})/.exec(terminal.output.slice(at))?.[1] ?? '';
    at = terminal.output.length;
    await answer(id, 'approve', 'go');
    at = await terminal.until(PROMPT, at);
    assert.ok(existsSync(made), terminal.output);
    terminal.type('touch held-6\r');
    at = await terminal.until(/approvals show/, at);
    terminal.type('\u0003');
    at = await terminal.until(PROMPT, await terminal.until(/taken back/, at));
    terminal.type('echo fine\r');
    await terminal.until(/\rfine\r/, at);
    assert.ok(!existsSync(taken));
    assert.equal((await rowOf('touch held-6')).status, 'cancelled');
  } finally {
    terminal.stop();
  }
});
