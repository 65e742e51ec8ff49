/** SFTP requests that no tool makes: ways around rules about paths, sizes and contents, and clients that do not take their answers. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { OpenFlag, packet, Sftp, Status } from '@sallyport/agent/ssh/sftp/messages.ts';
import { type Bastion, startBastion } from '../components/bastion.ts';
import { RawSftp } from '../components/raw-sftp.ts';
import { withPassword } from '../components/ssh-client.ts';

const MAX = 100_000;
const DENIED = Status.permissionDenied;
let bastion: Bastion;
let there = '';
const secret = ['AKIA', 'QX5ZT7CANARYKEY2'].join('');

before(async () => {
  there = mkdtempSync(path.join(os.tmpdir(), 'sallyport-requests-'));
  chmodSync(there, 0o777);
  for (const name of ['private', 'open', 'held']) {
    mkdirSync(path.join(there, name));
    chmodSync(path.join(there, name), 0o777);
  }
  writeFileSync(path.join(there, 'private', 'plan'), 'the plan\n');
  bastion = await startBastion({
    role: '{ uploadMax: 100KB }',
    extra: `---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: hosts }
spec:
  resources: {}
  rules:
    - { name: private-reads, match: { reads: ["${there}/private/**"] }, action: deny, message: "The folder is private." }
    - { name: private-writes, match: { writes: ["${there}/private/**"] }, action: deny, message: "The folder is private." }
    - { name: keys, match: { writes: ["${there}/open/home/.ssh/authorized_keys"] }, action: deny, message: "Keys are given by others." }
    - name: held
      match: { reads: ["${there}/held/**"] }
      action: hold
      approval: { from: { groups: [leads] }, quorum: 1, expiresIn: 5m }
---
apiVersion: sallyport.dev/v1
kind: DataPolicy
metadata: { name: hosts }
spec: { resources: {}, detectors: [secrets], exempt: { groups: [unmasked] } }
`,
  });
});
after(async () => {
  await bastion?.stop();
  rmSync(there, { recursive: true, force: true });
});

const at = (...parts: string[]) => path.join(there, ...parts);

async function sftp(as: 'operator' | 'auditor' = 'operator'): Promise<RawSftp> {
  const { host, port } = bastion.address();
  const raw = new RawSftp(
    withPassword(await bastion.token(as), 'ssh', [...bastion.options, '-p', String(port), '-l', 'web', '-s', host, 'sftp']),
  );
  await raw.ready;
  return raw;
}

async function opened(raw: RawSftp, file: string, flags: number): Promise<Buffer> {
  const handle = await raw.open(file, flags);
  assert.ok(typeof handle !== 'number', `${file}: ${raw.stderr}`);
  return handle;
}

const renamed = (raw: RawSftp, from: string, to: string) => raw.status(Sftp.rename, writer => void writer.string(from).string(to));
const posixRenamed = (raw: RawSftp, from: string, to: string) =>
  raw.status(Sftp.extended, writer => void writer.string('posix-rename@openssh.com').string(from).string(to));
const linked = (raw: RawSftp, to: string, link: string) => raw.status(Sftp.symlink, writer => void writer.string(to).string(link));

test('nothing is planted under a protected path by moving or linking what is above it', async () => {
  mkdirSync(at('open', 'home'));
  chmodSync(at('open', 'home'), 0o777);
  const raw = await sftp();
  assert.equal(await raw.status(Sftp.mkdir, writer => void writer.string(at('open', 'kit')).uint32(0)), 0);
  const file = await opened(raw, at('open', 'kit', 'authorized_keys'), OpenFlag.write | OpenFlag.create);
  await raw.close(file);
  const ssh = at('open', 'home', '.ssh');
  assert.equal(await renamed(raw, at('open', 'kit'), ssh), DENIED);
  assert.equal(await posixRenamed(raw, at('open', 'kit'), ssh), DENIED);
  assert.equal(await linked(raw, at('open', 'kit'), ssh), DENIED);
  assert.equal(await linked(raw, '../kit', ssh), DENIED);
  assert.equal(await linked(raw, at('open', 'not-there-yet'), ssh), DENIED);
  // A link is no plain file either.
  assert.equal(await linked(raw, 'kit', at('open', 'to-kit')), 0);
  assert.equal(await renamed(raw, at('open', 'to-kit'), ssh), DENIED);
  // What is moved is all that is above: the folder above the folder.
  mkdirSync(at('open', 'deep'));
  chmodSync(at('open', 'deep'), 0o777);
  assert.equal(await renamed(raw, at('open', 'deep'), at('open', 'home')), DENIED);
  // A link is a way to what it leads to, also for programs that are not looked at.
  for (const to of [at('private'), at('private', 'plan'), '../private', '../open/../private/plan', at('private', 'to-come'), '/'])
    assert.equal(await linked(raw, to, at('open', 'way')), DENIED, to);
  assert.ok(!existsSync(ssh) && !readdirSync(at('open')).includes('way'));
  // What has nothing to do with it passes.
  writeFileSync(at('open', 'plain'), 'x');
  chmodSync(at('open', 'plain'), 0o666);
  assert.equal(await renamed(raw, at('open', 'plain'), at('open', 'home', 'plain')), 0);
  assert.equal(await renamed(raw, at('open', 'deep'), at('open', 'deeper')), 0);
  assert.equal(await linked(raw, 'deeper', at('open', 'current')), 0);
  await raw.end();
});

test('a path that leads elsewhere once people have answered is not what they were asked about', async () => {
  writeFileSync(at('held', 'report'), 'a report\n');
  symlinkSync('../held', at('open', 'folder'));
  const raw = await sftp();
  const opening = raw.open(at('open', 'folder', 'report'), OpenFlag.read);
  const [row] = await bastion.gateway.eventually<{ approval_id: string }>(
    `select approval_id from sallyport.commands where text = 'read ${at('held', 'report')}' and approval_id != ''`,
    rows => rows.length > 0,
  );
  mkdirSync(at('open', 'other'));
  writeFileSync(at('open', 'other', 'report'), 'another\n');
  symlinkSync('other', at('open', 'folder.new'));
  renameSync(at('open', 'folder.new'), at('open', 'folder'));
  await approved(row?.approval_id ?? '');
  assert.equal(await opening, DENIED);
  await bastion.gateway.eventually(
    `select 1 from sallyport.commands where approval_id = '${row?.approval_id}' and error_code = 'SFTP_PATH_CHANGED' and status = 'refused'`,
    rows => rows.length > 0,
  );
  // The same again, and nothing is exchanged.
  const again = raw.open(at('held', 'report'), OpenFlag.read);
  const [held] = await bastion.gateway.eventually<{ approval_id: string }>(
    `select approval_id from sallyport.commands where text = 'read ${at('held', 'report')}' and approval_id != '' and approval_id != '${row?.approval_id}'`,
    rows => rows.length > 0,
  );
  await approved(held?.approval_id ?? '');
  const handle = await again;
  assert.ok(typeof handle !== 'number', raw.stderr);
  assert.equal((await raw.read(handle, 0, 100))?.toString(), 'a report\n');
  await raw.end();
});

async function approved(id: string): Promise<void> {
  const { api } = bastion.gateway.endpoints();
  for (let attempt = 0; ; attempt++) {
    const response = await fetch(`${api}/v1/approvals/${id}/approve`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await bastion.token('approver')}`, 'content-type': 'application/json' },
      body: JSON.stringify({ reason: 'looked at' }),
    });
    if (response.ok) return;
    // Records reach the session store before the control plane has folded the question.
    if (response.status !== 404 || attempt > 600) assert.fail(`${response.status} ${await response.text()}`);
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

test('requests that change paths do not slip between another’s resolving and its opening', async () => {
  writeFileSync(at('open', 'harmless'), 'harmless\n');
  chmodSync(at('open', 'harmless'), 0o666);
  const raw = await sftp();
  const flip = at('open', 'flip');
  for (let round = 0; round < 20; round++) {
    // All at once, without waiting for answers.
    const deeds = [
      raw.status(Sftp.mkdir, writer => void writer.string(flip).uint32(0)),
      raw.open(`${flip}/plan`, OpenFlag.read),
      raw.status(Sftp.rmdir, writer => void writer.string(flip)),
      linked(raw, at('private'), flip),
      raw.open(`${flip}/plan`, OpenFlag.read),
      raw.status(Sftp.remove, writer => void writer.string(flip)),
      linked(raw, at('open', 'harmless'), flip),
      posixRenamed(raw, flip, `${flip}2`),
      raw.open(`${flip}2`, OpenFlag.read),
      raw.status(Sftp.remove, writer => void writer.string(`${flip}2`)),
    ];
    for (const deed of await Promise.all(deeds)) {
      if (typeof deed === 'number') continue;
      const text = await raw.read(deed, 0, 100);
      assert.notEqual(text?.toString(), 'the plan\n');
      await raw.close(deed);
    }
  }
  await raw.end();
});

test('a value is masked however a file is read', async () => {
  const text = `${'words and words, '.repeat(1000)}key ${secret} end\n${'more words, '.repeat(2000)}`;
  writeFileSync(at('open', 'text'), text);
  const from = text.indexOf(secret);
  const raw = await sftp();
  const handle = await opened(raw, at('open', 'text'), OpenFlag.read);
  const orders: [string, number[], number][] = [
    ['letter by letter', Array.from({ length: 24 }, (_, i) => from - 2 + i), 1],
    ['backwards', Array.from({ length: 24 }, (_, i) => from + 22 - i), 1],
    ['overlapping', Array.from({ length: 24 }, (_, i) => from - 2 + i), 3],
    ['from its middle', [from + 10], 16_384],
    ['up to its middle', [from - 16_374], 16_384],
    ['more than one answer holds', [0, Math.max(from - 30_000, 0), from - 1], 262_144],
  ];
  for (const [how, offsets, length] of orders) {
    // All are asked for before the first answer.
    const answers = await Promise.all(offsets.map(offset => raw.read(handle, Math.max(0, offset), length)));
    const seen = Buffer.from(text.replaceAll(/[^\n]/g, '.'));
    answers.forEach((answer, i) => {
      assert.ok(answer !== null && answer.length <= 16_384, how);
      answer.copy(seen, Math.max(0, offsets[i] ?? 0));
    });
    const shown = seen.subarray(from, from + secret.length).toString();
    assert.match(shown, /^[*.]+$/, how);
  }
  assert.equal(await raw.read(handle, text.length, 10), null);
  assert.equal((await raw.read(handle, text.length - 5, 10))?.toString(), text.slice(-5));
  await raw.end();
});

test('a private key longer than what is read at a time is masked in every part, in whatever order', async () => {
  const random = (bytes: number): string => randomBytes(bytes).toString('base64').replaceAll(/.{64}/g, '$&\n');
  const [begin, end] = ['BEGIN', 'END'].map(word => `-----${word} PRIVATE KEY-----`);
  const body = random(36_000);
  const text = `before it, in plain words: {x}\n${random(3000)}!\n${begin}\n${body}\n${end}\nafter it, in plain words, ${'and more of them, '.repeat(4000)}`;
  writeFileSync(at('open', 'long'), text);
  const [from, to] = [text.indexOf(body), text.indexOf(body) + body.length];
  const raw = await sftp();
  const offsets = Array.from({ length: Math.ceil(text.length / 5000) }, (_, i) => i * 5000);
  const orders: [string, number[], number][] = [
    ['in order, all asked for at once', offsets, 5000],
    ['backwards', offsets.toReversed(), 5000],
    ['at odd places', [from + 20_001, from + 33_333, from + 9_999, to - 100, from + 1, to + 10, 0], 16_384],
    ['only its middle', [from + 24_000], 100],
    ['only its end', [to - 30], 200],
  ];
  for (const [how, places, length] of orders) {
    const handle = await opened(raw, at('open', 'long'), OpenFlag.read);
    const answers = await Promise.all(places.map(offset => raw.read(handle, offset, length)));
    answers.forEach((answer, i) => {
      const offset = places[i] ?? 0;
      assert.ok(answer !== null && answer.length > 0, `${how}: ${offset}`);
      const shown = answer.toString('latin1');
      const real = text.slice(offset, offset + shown.length);
      for (let j = 0; j < shown.length; j++) {
        const place = offset + j;
        if (place >= from && place < to) assert.match(shown.charAt(j), /[*\n]/, `${how}: ${place - from} of ${body.length}`);
        else if (place < from - 40 || place > to + 40) assert.equal(shown.charAt(j), real.charAt(j), `${how}: ${place}`);
      }
    });
    await raw.close(handle);
  }
  await raw.end();
  // As tools read it.
  const target = path.join(there, 'fetched');
  const { host, port } = bastion.address();
  const copied = await bastion.tool('scp', [...bastion.options, '-P', String(port), `web@${host}:${at('open', 'long')}`, target]);
  assert.equal(copied.code, 0, copied.stderr);
  const fetched = readFileSync(target, 'latin1');
  assert.equal(fetched.length, text.length);
  assert.doesNotMatch(fetched.slice(from, to), /[^*\n]/);
  assert.equal(fetched.slice(0, from - 40), text.slice(0, from - 40));
  assert.equal(fetched.slice(to + 40), text.slice(to + 40));
});

test('a file becomes no larger than the role lets it, whatever says its size', async () => {
  const raw = await sftp();
  const file = at('open', 'growing');
  const setSize = (
    writer: { string(value: string | Buffer): { uint32(value: number): { uint64(value: bigint): unknown } } },
    what: string | Buffer,
  ) =>
    void writer
      .string(what)
      .uint32(1)
      .uint64(BigInt(MAX + 1));
  // Appending, with offsets that say nothing, through two handles at once.
  const flags = OpenFlag.write | OpenFlag.append | OpenFlag.create;
  const [one, two] = [await opened(raw, file, flags), await opened(raw, file, flags)];
  const piece = Buffer.alloc(30_000, 0x61);
  const statuses: number[] = [];
  for (const handle of [one, two, one, two, one, two]) statuses.push(await raw.write(handle, 0, piece));
  assert.deepEqual(
    statuses.map(status => status === 0),
    [true, true, true, false, false, false],
  );
  assert.equal(lstatSync(file).size, 90_000);
  await raw.close(one);
  await raw.close(two);
  const later = await opened(raw, file, flags);
  assert.notEqual(await raw.write(later, 0, piece), 0);
  assert.equal(await raw.write(later, 0, piece.subarray(0, 10_000)), 0);
  await raw.close(later);
  assert.equal(lstatSync(file).size, MAX);
  const [row] = await bastion.gateway.eventually<{ tag: string }>(
    `select tag from sallyport.commands where text = 'write ${file}' and tag = 'read 0 wrote 10000'`,
    rows => rows.length > 0,
  );
  assert.ok(row);
  // By attributes, of a path and of a handle.
  const other = at('open', 'sized');
  const handle = await opened(raw, other, OpenFlag.write | OpenFlag.create);
  assert.notEqual(await raw.status(Sftp.fsetstat, writer => setSize(writer, handle)), 0);
  assert.notEqual(await raw.status(Sftp.setstat, writer => setSize(writer, other)), 0);
  assert.notEqual(await raw.status(Sftp.extended, writer => setSize(writer.string('lsetstat@openssh.com'), other)), 0);
  assert.equal(await raw.status(Sftp.setstat, writer => void writer.string(other).uint32(1).uint64(1000n)), 0);
  assert.equal(lstatSync(other).size, 1000);
  await raw.end();
});

test('a client that does not take its answers stops its host, and costs the agent little', async () => {
  const file = at('open', 'huge');
  writeFileSync(file, '');
  chmodSync(file, 0o666);
  truncateSync(file, 2 ** 31);
  const raw = await sftp('auditor');
  const handle = await opened(raw, file, OpenFlag.read);
  const agent = bastion.gateway.endpoints().pids['agent'] ?? 0;
  const residentMiB = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${agent}/status`, 'utf8'))?.[1]) / 1024;
  const before = residentMiB();
  raw.child.stdout?.pause();
  for (let i = 0; i < 1000; i++)
    raw.child.stdin?.write(
      packet(
        Sftp.read,
        writer =>
          void writer
            .uint32(10_000 + i)
            .string(handle)
            .uint64(BigInt(i) * 261_120n)
            .uint32(261_120),
      ),
    );
  // Until nothing moves any more: 250 MB were asked for.
  const moved = () => Number(/rchar: (\d+)/.exec(readFileSync(`/proc/${agent}/io`, 'utf8'))?.[1]);
  for (let last = -1, now = moved(), quiet = 0; quiet < 4; last = now, now = moved(), quiet = now - last < 500_000 ? quiet + 1 : 0)
    await new Promise(resolve => setTimeout(resolve, 500));
  const grown = residentMiB() - before;
  assert.ok(grown < 100, `${grown} MiB`);
  // Others are served meanwhile, and it gets all when it goes on.
  assert.equal((await bastion.ssh(['true'])).code, 0);
  let bytes = 0;
  raw.child.stdout?.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  raw.child.stdout?.resume();
  assert.equal(await raw.close(handle), 0);
  assert.ok(bytes > 1000 * 250_000, `${bytes}`);
  await raw.end();
});

test('requests out of order, twice begun, and too long', async () => {
  const raw = await sftp();
  const long = await raw.ask(Sftp.setstat, writer => void writer.string('x').raw(Buffer.alloc(40_000)));
  assert.equal(long.type === Sftp.status ? long.fields.uint32() : 0, Status.badMessage);
  raw.child.stdin?.write(packet(Sftp.init, writer => writer.uint32(3)));
  assert.notEqual(await raw.ended, 0);
  assert.equal((await bastion.ssh(['true'])).code, 0);
});

test('a token longer than what is read at a time is masked in every part, in whatever order', async () => {
  const part = (bytes: number) => randomBytes(bytes).toString('base64url').slice(0, bytes);
  const header = Buffer.from(JSON.stringify({ alg: 'RS256', typ: 'JWT' })).toString('base64url');
  const token = `${header}.${part(16_000)}.${part(16_000)}`;
  const text = `${'words before it, '.repeat(1500)}token: ${token}\n${'and words behind it, '.repeat(1500)}`;
  writeFileSync(at('open', 'token'), text);
  const [from, to] = [text.indexOf(token), text.indexOf(token) + token.length];
  const offsets = Array.from({ length: Math.ceil(text.length / 3000) }, (_, i) => i * 3000);
  const orders: [string, number[], number][] = [
    ['in order, all asked for at once', offsets, 3000],
    ['backwards', offsets.toReversed(), 3000],
    ['only its beginning', [from], 40],
    ['only its middle', [from + 16_000], 100],
    ['only its end', [to - 30], 200],
  ];
  const raw = await sftp();
  for (const [how, places, length] of orders) {
    const handle = await opened(raw, at('open', 'token'), OpenFlag.read);
    const answers = await Promise.all(places.map(offset => raw.read(handle, offset, length)));
    answers.forEach((answer, i) => {
      const offset = places[i] ?? 0;
      assert.ok(answer !== null && answer.length > 0, `${how}: ${offset}`);
      const shown = answer.toString('latin1');
      const real = text
        .slice(offset, offset + shown.length)
        .split('')
        .map((character, j) => {
          const place = offset + j;
          return place >= from && place < to ? '*' : character;
        });
      assert.equal(shown, real.join(''), `${how}: ${offset}`);
    });
    await raw.close(handle);
  }
  await raw.end();
});
