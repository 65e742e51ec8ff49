/** Time stamps by a real authority: OpenSSL's `ts` behind HTTP. What it stamps holds; what is altered, of another log, or of somebody else does not. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { sha256, signEd25519, verifyEd25519 } from '@sallyport/shared/crypto/sha256.ts';
import { timeStampRequest, tokenOf, verifyTimeStamp } from '@sallyport/shared/crypto/time-stamp.ts';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Report } from '@sallyport/shared/evidence/report.ts';
import { parseLogKey, signTreeHead } from '@sallyport/shared/evidence/tree-head.ts';
import { EvidenceVerifier } from '@sallyport/shared/evidence/verify.ts';
import pino from 'pino';
import { Projection } from '../aggregates/projection.ts';
import type { TimestampedRoot } from '../aggregates/timestamp.ts';
import { anchorsOf } from './anchors.ts';
import { Installation, type Line } from './installation.testing.ts';
import { TimeStamping } from './time-stamping.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-tsa-'));
const at = (name: string) => path.join(dir, name);
const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });
let server: Server;
let url = '';
/** Which authority answers. */
let signer = 'rsa';
let asked = 0;
/** An answer that is given whatever is asked. */
let replayed: Buffer | null = null;

/** A CA, and a certificate of it that may stamp time. */
function authority(name: string, algorithm: string[]): void {
  openssl(
    'req',
    '-x509',
    ...algorithm,
    '-nodes',
    '-days',
    '30',
    '-subj',
    `/CN=CA ${name}`,
    '-keyout',
    `${name}-ca.key`,
    '-out',
    `${name}-ca.crt`,
  );
  openssl('req', ...algorithm, '-nodes', '-subj', `/CN=TSA ${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
  writeFileSync(at(`${name}.ext`), `extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n`);
  openssl(
    'x509',
    '-req',
    '-in',
    `${name}.csr`,
    '-CA',
    `${name}-ca.crt`,
    '-CAkey',
    `${name}-ca.key`,
    '-CAcreateserial',
    '-days',
    '20',
    '-extfile',
    `${name}.ext`,
    '-out',
    `${name}.crt`,
  );
}

function reply(name: string, query: Uint8Array): Buffer {
  writeFileSync(at('query'), query);
  openssl(
    'ts',
    '-reply',
    '-config',
    'tsa.cnf',
    '-section',
    'tsa',
    '-queryfile',
    'query',
    '-signer',
    `${name}.crt`,
    '-inkey',
    `${name}.key`,
    '-chain',
    `${name}-ca.crt`,
    '-out',
    'reply',
  );
  return readFileSync(at('reply'));
}

const trusted = (name = signer) => readFileSync(at(`${name}-ca.crt`), 'utf8');

before(async () => {
  writeFileSync(at('serial'), '01\n');
  writeFileSync(
    at('tsa.cnf'),
    '[tsa]\nserial=serial\ndefault_policy=1.2.3.4.1\ndigests=sha256\nsigner_digest=sha256\naccuracy=secs:1\nordering=no\ntsa_name=yes\ness_cert_id_alg=sha256\n',
  );
  authority('rsa', ['-newkey', 'rsa:2048']);
  authority('ec', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']);
  server = createServer((request, response) => {
    asked++;
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const isQuery = request.method === 'POST' && request.headers['content-type'] === 'application/timestamp-query';
      response
        .writeHead(isQuery ? 200 : 400, { 'content-type': 'application/timestamp-reply' })
        .end(isQuery ? (replayed ?? reply(signer, Buffer.concat(parts))) : '');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});
after(() => {
  server?.close();
  rmSync(dir, { recursive: true, force: true });
});

function stamping(installation: Installation, ca = trusted()): TimeStamping {
  return new TimeStamping({
    control: {
      state: { timestamps: () => ({ roots: installation.stamps }) },
      execute: ([added]) => {
        const decision = added?.decide({ roots: [] }, new Projection());
        assert.ok(decision?.accepted);
        for (const { type, payload } of decision.events) {
          installation.log('timestamp/log', type, payload);
          installation.stamps.push(payload as TimestampedRoot);
        }
        return Promise.resolve({ accepted: true, events: [] });
      },
    },
    tree: installation.tree,
    url,
    trusted: ca,
    logger: pino({ level: 'silent' }),
  });
}

async function verified(installation: Installation, lines: Line[], ca: string | null): Promise<Report> {
  const key = parseLogKey(installation.tree.verifierKey, sha256);
  assert.ok(key !== null);
  const verifyTimeStampOf = (token: Uint8Array, hash: Uint8Array) => verifyTimeStamp(token, hash, ca ?? '');
  const verifier = new EvidenceVerifier({ sha256, verifyEd25519, key, ...(ca === null ? {} : { verifyTimeStamp: verifyTimeStampOf }) });
  for (const line of lines) await verifier.take(JSON.stringify(line));
  return verifier.finish();
}

const codes = ({ findings }: Report) => findings.map(({ code }) => code);

test('a head is stamped once while the log does not grow; the stamp is in the file and holds', async () => {
  for (const name of ['rsa', 'ec']) {
    signer = name;
    asked = 0;
    const installation = new Installation(Date.now() - 3000);
    const agent = installation.agent('one');
    installation.session(agent, 'sam@example.com', 'crm');
    const before = installation.tree.size;
    await stamping(installation).stamp();
    await stamping(installation).stamp();
    assert.equal(asked, 1);
    installation.session(agent, 'sam@example.com', 'crm');
    await stamping(installation).stamp();
    assert.equal(asked, 2);
    installation.nowMs = Date.now();
    const lines = await installation.lines({});
    const report = await verified(installation, lines, trusted());
    assert.deepEqual(report.findings, []);
    assert.deepEqual(
      report.timestamps.map(({ entries, authority: by }) => [entries, by]),
      [
        [before, `CN=TSA ${name}`],
        [before + 2, `CN=TSA ${name}`],
      ],
    );
    assert.ok(Math.abs(Date.parse(report.timestamps[0]?.at ?? '') - Date.now()) < 600_000);
    const unchecked = await verified(installation, lines, null);
    assert.ok(unchecked.ok && unchecked.timestamps.length === 0);
    assert.ok(unchecked.notes.some(({ code }) => code === 'TIMESTAMP_UNCHECKED'));
  }
});

test('what is shown of a stamp was verified: not without a trusted authority, not by another one, not of another head', async () => {
  signer = 'rsa';
  const installation = new Installation(Date.now() - 3000);
  installation.log('role/support', 'RoleApplied', {});
  await stamping(installation).stamp();
  const shown = (roots: readonly TimestampedRoot[], ca: string | null) =>
    anchorsOf({ checkpoints: () => ({ ledgers: {} }), timestamps: () => ({ roots }) }, ca).stamps.map(({ stamp, problem }) => [
      stamp?.authority,
      problem === '',
    ]);
  assert.deepEqual(shown(installation.stamps, trusted()), [['CN=TSA rsa', true]]);
  assert.deepEqual(shown(installation.stamps, trusted('ec')), [[undefined, false]]);
  assert.deepEqual(shown(installation.stamps, null), [[undefined, false]]);
  const altered = installation.stamps.map(root => ({ ...root, note: root.note.replace('\n1\n', '\n2\n') }));
  assert.deepEqual(shown(altered, trusted()), [[undefined, false]]);
});

test('a stamp that was altered, of other contents, or by somebody who is not trusted does not hold', async () => {
  signer = 'rsa';
  const installation = new Installation(Date.now() - 3000);
  for (let each = 0; each < 6; each++) installation.log('role/support', 'RoleApplied', { each });
  await stamping(installation).stamp();
  installation.nowMs = Date.now();
  const lines = await installation.lines({});
  assert.deepEqual(codes(await verified(installation, lines, trusted('ec'))), ['TIMESTAMP_FORGED']);
  const stamp = lines.find(line => line.type === 'timestamp');
  assert.ok(stamp !== undefined);
  const token = Buffer.from(String(stamp['token']), 'base64');
  // Every byte counts, but for those of the CA that is in it for convenience, which are checked against what is trusted.
  const hash = sha256(Buffer.from(String(stamp['note'])));
  const authorityAt = token.indexOf(Buffer.from(openssl('x509', '-in', 'rsa-ca.crt', '-outform', 'DER')));
  for (let place = 0; place < token.length; place += 7) {
    if (authorityAt >= 0 && place >= authorityAt && place < authorityAt + 1200) continue;
    const altered = Buffer.from(token);
    altered[place] = (altered[place] ?? 0) ^ 1;
    let result: unknown = null;
    try {
      result = verifyTimeStamp(altered, hash, trusted()).atMs;
    } catch (error) {
      assert.ok(error instanceof GatewayError && error.code === 'TIMESTAMP_INVALID');
    }
    // What is left over is not signed and says nothing: version numbers and lists of algorithms.
    if (result !== null) assert.equal(result, verifyTimeStamp(token, hash, trusted()).atMs);
  }
  assert.throws(() => verifyTimeStamp(token, sha256(Buffer.from('another')), trusted()), /about something else/);
  for (let length = 0; length < token.length; length += 97)
    assert.throws(() => verifyTimeStamp(token.subarray(0, length), hash, trusted()), GatewayError);
});

test('whoever holds the key of the control plane cannot have yesterday stamped again', async () => {
  signer = 'ec';
  const installation = new Installation(Date.now() - 60_000);
  for (let each = 0; each < 6; each++) installation.log('role/support', 'RoleApplied', { each });
  await stamping(installation).stamp();
  const other = new Installation(Date.now() - 60_000);
  for (let each = 0; each < 9; each++) other.log('role/support', 'RoleApplied', { rewritten: each });
  other.nowMs = installation.nowMs = Date.now();
  const { origin } = installation.tree.key;
  const resigned = (await other.lines({})).map(line => {
    if (line.type !== 'tree-head') return line;
    const head = { origin, size: other.tree.size, root: other.tree.tree.root(), at: new Date().toISOString() };
    return { ...line, note: signTreeHead(head, installation.tree.key, text => signEd25519(installation.controlKey, text), sha256) };
  });
  const stamp = (await installation.lines({})).find(line => line.type === 'timestamp') as Line;
  const rest = resigned.filter(line => line.type !== 'report' && line.type !== 'end');
  const forged = [...rest, stamp, { type: 'end', lines: rest.length + 2 }];
  assert.deepEqual(codes(await verified(installation, forged, trusted())), ['TIMESTAMP_FORGED']);
});

test('answers that are none: refused, of another request, by an authority that is not trusted', async () => {
  const { request } = timeStampRequest(sha256(Buffer.from('x')));
  assert.throws(() => tokenOf(Buffer.from('3003020102', 'hex')), /TIMESTAMP_REFUSED|gave no time stamp/);
  assert.throws(() => tokenOf(Buffer.from('nonsense')), /gave no time stamp/);
  assert.ok(verifyTimeStamp(tokenOf(reply('ec', request)), sha256(Buffer.from('x')), trusted('ec')).nonce !== '');
  const installation = new Installation(Date.now());
  installation.log('role/support', 'RoleApplied', {});
  installation.log('role/support', 'RoleApplied', {});
  signer = 'rsa';
  await assert.rejects(stamping(installation, trusted('ec')).stamp(), /does not lead to an authority that is trusted here/);
  replayed = reply('rsa', timeStampRequest(sha256(Buffer.from(installation.tree.head().note))).request);
  await assert.rejects(stamping(installation).stamp(), /answers another request/);
  replayed = Buffer.from('nonsense');
  await assert.rejects(stamping(installation).stamp(), /gave no time stamp/);
  replayed = null;
  assert.deepEqual(installation.stamps, []);
});
