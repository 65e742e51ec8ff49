/** Budgets of bytes for hosts: exact to the byte over output, shared by sessions, files and forwarded connections; said as people need it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Bastion, startBastion } from '../components/bastion.ts';
import { freePort } from '../components/postgres.ts';
import { PROMPT } from '../components/terminal.ts';

const MAX = 100_000;
const SPENT = /the budget of role metered is spent: 100000 of 100000 bytes in 1h are used; it frees again from .*Z on/;
const there = mkdtempSync(path.join(os.tmpdir(), 'sallyport-budget-'));
chmodSync(there, 0o777);
let bastion: Bastion;

// Each test spends the budget of one person: it is spent for good.
before(async () => {
  bastion = await startBastion({
    extra: `---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: metered }
spec:
  members: { groups: [sales, guests] }
  resources: { names: [web] }
  budget: { bytes: ${MAX}, per: 1h }
  ssh: { shell: recorded, forward: ["127.0.0.1:*"] }
---
apiVersion: sallyport.dev/v1
kind: DataPolicy
metadata: { name: hosts }
spec: { resources: {}, detectors: [email], exempt: { groups: [sales] } }
`,
  });
});
after(async () => {
  await bastion?.stop();
  rmSync(there, { recursive: true, force: true });
});

test('output ends at the last byte of the budget, and nothing is run after it, in whatever session', async () => {
  const first = await bastion.ssh(['head -c 60000 /dev/zero'], { as: 'stranger' });
  assert.deepEqual([first.code, first.stdout.length], [0, 60_000]);
  const second = await bastion.ssh(['head -c 70000 /dev/zero; echo over > /dev/null'], { as: 'stranger' });
  assert.equal(second.stdout.length, 40_000);
  assert.equal(second.code, 126);
  assert.match(second.stderr, SPENT);
  const third = await bastion.ssh(['echo once more'], { as: 'stranger' });
  assert.deepEqual([third.code, third.stdout.length], [126, 0]);
  assert.match(third.stderr, SPENT);
  // Files neither; and nobody else is the poorer for it.
  const file = path.join(there, 'small');
  writeFileSync(file, 'contents\n');
  const { host, port } = bastion.address();
  const copied = await bastion.tool('scp', ['-P', String(port), `web@${host}:${file}`, path.join(there, 'copied')], { as: 'stranger' });
  assert.notEqual(copied.code, 0);
  assert.match(copied.stderr, SPENT);
  assert.equal((await bastion.ssh(['head -c 200000 /dev/zero'])).stdout.length, 200_000);
  const rows = await bastion.gateway.eventually<{
    text: string;
    rule: string;
    decision: string;
    status: string;
    error_code: string;
    bytes: string;
  }>(
    `select text, rule, decision, status, error_code, bytes from sallyport.commands
     where principal = 'sid@example.com' and kind in ('ssh-exec', 'ssh-subsystem') order by at`,
    found => found.length === 4 && found.every(row => row.status !== 'running'),
  );
  const brief = rows.map(row => [row.decision, row.rule.replace(/^(?!role).*/, ''), row.status, row.error_code, Number(row.bytes)]);
  assert.deepEqual(brief, [
    ['allow', '', 'ok', '', 60_000],
    ['allow', '', 'refused', 'SSH_BUDGET_SPENT', 40_000],
    ['deny', 'role/metered/budget', 'refused', 'SSH_DENIED', 0],
    ['deny', 'role/metered/budget', 'refused', 'SSH_DENIED', 0],
  ]);
});

test('contents of files count where they are looked at', async () => {
  const { host, port } = bastion.address();
  const file = path.join(there, 'large');
  const target = path.join(there, 'fetched');
  const text = 'plain words \n'.repeat(20_000);
  writeFileSync(file, text);
  const fetched = await bastion.tool('scp', ['-P', String(port), `web@${host}:${file}`, target], { as: 'guest' });
  assert.notEqual(fetched.code, 0);
  assert.match(fetched.stderr, /the budget of role metered is spent/);
  const got = readFileSync(target, 'latin1');
  assert.ok(got.length > 0 && got.length <= MAX, `${got.length}`);
  assert.equal(text.slice(0, got.length), got);
  const [row] = await bastion.gateway.eventually<{ error_code: string; bytes: string }>(
    `select error_code, bytes from sallyport.commands where kind = 'sftp-read' and text = 'read ${file}' and status = 'refused'`,
    found => found.length === 1,
  );
  assert.equal(row?.error_code, 'SSH_BUDGET_SPENT');
  assert.ok(Number(row?.bytes) <= MAX);
});

test('a terminal ends at the budget and says so', async () => {
  const terminal = await bastion.terminal([], { as: 'visitor' });
  await terminal.until(PROMPT);
  terminal.type('yes | head -c 300000\r');
  assert.equal(await terminal.ended, 126);
  assert.match(terminal.output, SPENT);
});

test('what forwarded connections bring counts', async () => {
  const server = net.createServer(socket => {
    socket.on('error', () => undefined); // It is cut off: that is what is tested.
    socket.write(Buffer.alloc(500_000));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const to = (server.address() as net.AddressInfo).port;
  const local = await freePort();
  let stop = (): void => undefined;
  const forwarding = bastion.ssh(['sleep 300'], {
    as: 'caller',
    flags: ['-L', `127.0.0.1:${local}:127.0.0.1:${to}`, '-o', 'ExitOnForwardFailure=yes'],
    started: child => {
      stop = () => child.kill('SIGTERM');
    },
  });
  let bytes = 0;
  for (let attempt = 0; bytes === 0; attempt++) {
    assert.ok(attempt < 1800, 'nothing was forwarded');
    const socket = net.connect(local, '127.0.0.1');
    socket.on('data', chunk => (bytes += chunk.length));
    socket.on('error', () => undefined); // Not listening yet, or cut off.
    await new Promise(resolve => socket.once('close', resolve));
    if (bytes === 0) await new Promise(resolve => setTimeout(resolve, 100));
  }
  assert.equal(bytes, MAX);
  await bastion.gateway.eventually(
    `select 1 from sallyport.commands where kind = 'ssh-forward' and error_code = 'SSH_BUDGET_SPENT' and bytes = ${MAX}`,
    found => found.length === 1,
  );
  stop();
  await forwarding;
  server.close();
});
