/** Files over SSH with sftp, scp and rsync: what passes whole, what is refused, masked, limited and recorded. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Bastion, startBastion } from '../components/bastion.ts';
import { type RunOptions, runProgram, type SshRun } from '../components/ssh-client.ts';

let bastion: Bastion;
/** A folder that the host's account may use, and one of ours. */
let there = '';
let here = '';
const secret = ['AKIA', 'QX5ZT7CANARYKEY2'].join('');
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex').toUpperCase();

before(async () => {
  there = mkdtempSync(path.join(os.tmpdir(), 'sallyport-there-'));
  here = mkdtempSync(path.join(os.tmpdir(), 'sallyport-here-'));
  chmodSync(there, 0o777);
  mkdirSync(path.join(there, 'private'));
  mkdirSync(path.join(there, 'open'));
  chmodSync(path.join(there, 'open'), 0o777);
  chmodSync(path.join(there, 'private'), 0o777);
  writeFileSync(path.join(there, 'private', 'plan'), 'the plan\n');
  symlinkSync('../private', path.join(there, 'open', 'way'));
  symlinkSync(path.join(there, 'private', 'plan'), path.join(there, 'open', 'plan'));
  bastion = await startBastion({
    role: '{ uploadMax: 30MB }',
    extra: `---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: hosts }
spec:
  resources: {}
  rules:
    - { name: private-reads, match: { reads: ["${there}/private/**"] }, action: deny, message: "The folder is private." }
    - { name: private-writes, match: { writes: ["${there}/private/**"] }, action: deny, message: "The folder is private." }
---
apiVersion: sallyport.dev/v1
kind: DataPolicy
metadata: { name: hosts }
spec: { resources: {}, detectors: [email, aws-access-key], exempt: { groups: [unmasked] } }
`,
  });
});
after(async () => {
  await bastion?.stop();
  rmSync(there, { recursive: true, force: true });
  rmSync(here, { recursive: true, force: true });
});

function batch(lines: string[], options: RunOptions & { as?: 'operator' | 'auditor' } = {}): Promise<SshRun> {
  const { host, port } = bastion.address();
  // Not `-b`: it forbids passwords.
  return bastion.tool('sftp', ['-P', String(port), `web@${host}`], { ...options, input: `${lines.join('\n')}\n` });
}

const recorded = async (kind: string, text: string) => {
  const [row] = await bastion.gateway.eventually<{
    status: string;
    tag: string;
    response_sha256: string;
    bytes: string;
    rule: string;
    data_classes: string[];
  }>(
    `select status, tag, response_sha256, bytes, rule, data_classes from sallyport.commands where kind = '${kind}' and text = '${text}' and status != 'running'`,
    rows => rows.length > 0,
  );
  assert.ok(row !== undefined);
  return row;
};

test('files go both ways whole, and their sizes and hashes are recorded', async () => {
  const bytes = randomBytes(20 * 1024 * 1024 + 17);
  writeFileSync(path.join(here, 'big'), bytes);
  const run = await batch([`put ${here}/big ${there}/big`, `get ${there}/big ${here}/back`, `ls -l ${there}`, 'bye'], { as: 'auditor' });
  assert.equal(run.code, 0, run.stderr);
  assert.ok(readFileSync(path.join(there, 'big')).equals(bytes));
  assert.ok(readFileSync(path.join(here, 'back')).equals(bytes));
  const put = await recorded('sftp-write', `write ${there}/big`);
  assert.deepEqual([put.status, put.tag, put.response_sha256.toUpperCase()], ['ok', `read 0 wrote ${bytes.length}`, sha256(bytes)]);
  const got = await recorded('sftp-read', `read ${there}/big`);
  assert.deepEqual([got.status, got.tag, got.response_sha256.toUpperCase()], ['ok', `read ${bytes.length} wrote 0`, sha256(bytes)]);
  await recorded('sftp-list', `list ${there}`);
});

test('changes pass and are recorded', async () => {
  const run = await batch([
    `mkdir ${there}/dir`,
    `put ${here}/big ${there}/dir/a`,
    `rename ${there}/dir/a ${there}/dir/b`,
    `chmod 600 ${there}/dir/b`,
    `symlink b ${there}/dir/c`,
    `ln ${there}/dir/b ${there}/dir/d`,
    `rm ${there}/dir/d`,
    `rm ${there}/dir/c`,
    `rm ${there}/dir/b`,
    `rmdir ${there}/dir`,
  ]);
  assert.doesNotMatch(run.stderr, /denied|fail/i);
  assert.ok(!existsSync(path.join(there, 'dir')));
  for (const text of [`rename ${there}/dir/a to ${there}/dir/b`, `link ${there}/dir/c to b`, `remove ${there}/dir/c`]) {
    assert.equal((await recorded('sftp-change', text)).status, 'ok');
  }
});

test('what a rule refuses is refused by whatever way it is reached', async () => {
  const ways = [
    `get ${there}/private/plan ${here}/stolen`,
    `get ${there}/open/../private/plan ${here}/stolen`,
    `get ${there}/open/way/plan ${here}/stolen`,
    `get ${there}/open/plan ${here}/stolen`,
    `get /proc/self/root${there}/private/plan ${here}/stolen`,
    `ln ${there}/private/plan ${there}/open/hard\nget ${there}/open/hard ${here}/stolen`,
    `rename ${there}/private ${there}/open/moved\nget ${there}/open/moved/plan ${here}/stolen`,
    `symlink ${there}/private/plan ${there}/open/link\nget ${there}/open/link ${here}/stolen`,
    `cd ${there}/open/way\nget plan ${here}/stolen`,
  ];
  for (const way of ways) {
    const run = await batch(way.split('\n'));
    assert.ok(!existsSync(path.join(here, 'stolen')), way);
    assert.match(run.stderr, /Permission denied|private/, way);
    rmSync(path.join(there, 'open', 'link'), { force: true });
  }
  const written = await batch([
    `put ${here}/big ${there}/open/way/new`,
    `put ${here}/big ${there}/private/new`,
    `rm ${there}/open/way/plan`,
  ]);
  assert.match(written.stderr, /sallyport: write .*private\/new: The folder is private\./);
  assert.ok(!existsSync(path.join(there, 'private', 'new')));
  assert.ok(existsSync(path.join(there, 'private', 'plan')));
  // The link itself may go: it lies elsewhere.
  await batch([`rm ${there}/open/plan`]);
  assert.ok(!existsSync(path.join(there, 'open', 'plan')));
  assert.ok(lstatSync(path.join(there, 'open', 'way')).isSymbolicLink());
  assert.equal((await recorded('sftp-list', `look at ${there}/private/plan`)).rule, 'hosts/private-reads');
});

test('uploads end where the role ends them', async () => {
  writeFileSync(path.join(here, 'large'), Buffer.alloc(31_000_000));
  const run = await batch([`put ${here}/large ${there}/large`]);
  assert.match(run.stderr, /larger than the 30000000 bytes/);
  assert.ok(!existsSync(path.join(there, 'large')) || lstatSync(path.join(there, 'large')).size <= 30_000_000);
});

test('downloads are looked at: text is masked letter for letter, other files are refused', async () => {
  const filler = 'words and words, '.repeat(1927).slice(0, 32_760);
  const text = `${filler}${secret} and ada@example.org end\n${filler}`;
  writeFileSync(path.join(there, 'text'), text);
  writeFileSync(path.join(there, 'binary'), Buffer.concat([Buffer.alloc(100), Buffer.from(` ${secret} `)]));
  await batch([`get ${there}/text ${here}/text`, `get ${there}/binary ${here}/binary`]);
  const got = readFileSync(path.join(here, 'text'), 'utf8');
  assert.equal(got.length, text.length);
  assert.ok(!got.includes('CANARY') && !got.includes('example.org'));
  assert.match(got, /, \*{20}|\*{20} and \*+ end/);
  assert.ok(!existsSync(path.join(here, 'binary')) || !readFileSync(path.join(here, 'binary')).includes('CANARY'));
  const row = await recorded('sftp-read', `read ${there}/text`);
  assert.deepEqual(row.data_classes.toSorted(), ['aws-access-key', 'email']);
  assert.equal(row.response_sha256.toUpperCase(), sha256(Buffer.from(got)));
});

test('scp by both of its protocols, and rsync', async () => {
  const { host, port } = bastion.address();
  const bytes = randomBytes(3_000_000);
  mkdirSync(path.join(here, 'tree', 'deep'), { recursive: true });
  writeFileSync(path.join(here, 'tree', 'deep', 'file'), bytes);
  const scp = await bastion.tool('scp', ['-r', '-P', String(port), `${here}/tree`, `web@${host}:${there}/scp`], { as: 'auditor' });
  assert.equal(scp.code, 0, scp.stderr);
  assert.ok(readFileSync(path.join(there, 'scp', 'deep', 'file')).equals(bytes));
  const old = await bastion.tool('scp', ['-O', '-P', String(port), `web@${host}:${there}/scp/deep/file`, `${here}/old`], { as: 'auditor' });
  assert.equal(old.code, 0, old.stderr);
  assert.ok(readFileSync(path.join(here, 'old')).equals(bytes));
  const denied = await bastion.tool('scp', ['-O', '-P', String(port), `web@${host}:${there}/private/plan`, `${here}/old-plan`]);
  assert.notEqual(denied.code, 0);
  assert.ok(!existsSync(path.join(here, 'old-plan')));
  const rsh = ['sshpass', '-e', 'ssh', ...bastion.options, '-o', 'PreferredAuthentications=password', '-p', String(port), '-l', 'web'].join(
    ' ',
  );
  const rsync = (from: string, to: string, token: string) => runProgram('rsync', ['-a', '-e', rsh, from, to], { env: { SSHPASS: token } });
  const token = await bastion.token('auditor');
  const up = await rsync(`${here}/tree/`, `${host}:${there}/rsync/`, token);
  assert.equal(up.code, 0, up.stderr);
  const down = await rsync(`${host}:${there}/rsync/`, `${here}/rsynced/`, token);
  assert.equal(down.code, 0, down.stderr);
  assert.ok(readFileSync(path.join(here, 'rsynced', 'deep', 'file')).equals(bytes));
  const refused = await rsync(`${host}:${there}/private/`, `${here}/private/`, token);
  assert.notEqual(refused.code, 0);
  assert.ok(!existsSync(path.join(here, 'private', 'plan')));
});
