import 'reflect-metadata';
import assert from 'node:assert/strict';
import { type webcrypto, X509Certificate } from 'node:crypto';
import { chmod, copyFile, mkdtemp, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import * as x509 from '@peculiar/x509';
import { controlPlaneServerName, openAuthority } from './authority.ts';
import { mintJoinToken, parseJoinToken, secretMatches } from './join-token.ts';

const tempDir = () => mkdtemp(join(tmpdir(), 'sallyport-pki-'));
const p256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const hourMs = 3_600_000;

async function csr(alg: { name: string; namedCurve?: string; hash?: string }, name = 'CN=evil, O=admin'): Promise<Uint8Array> {
  const keys = (await crypto.subtle.generateKey(alg, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name,
    keys,
    signingAlgorithm: alg,
    extensions: [
      new x509.BasicConstraintsExtension(true, 5, true),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'evil.example' }]),
    ],
  });
  return new Uint8Array(request.rawData);
}

test('the authority is made once, its key is private, and it is the same after a restart', async () => {
  const dir = await tempDir();
  const first = await openAuthority(dir);
  const second = await openAuthority(dir);
  assert.equal(first.caFingerprint, second.caFingerprint);
  assert.equal((await stat(join(dir, 'ca.key'))).mode & 0o777, 0o600);
  const ca = new X509Certificate(first.caPem);
  assert.ok(ca.ca && ca.checkIssued(ca) && ca.verify(ca.publicKey));
});

test('a key that others may read, and a key of another authority, are refused', async () => {
  const [dir, other] = [await tempDir(), await tempDir()];
  await openAuthority(dir);
  await openAuthority(other);
  await chmod(join(dir, 'ca.key'), 0o640);
  await assert.rejects(openAuthority(dir), { code: 'SECRET_FILE_OPEN' });
  await copyFile(join(other, 'ca.key'), join(dir, 'ca.key'));
  await chmod(join(dir, 'ca.key'), 0o600);
  await assert.rejects(openAuthority(dir), { code: 'CA_INVALID' });
});

test('an agent’s certificate names what the control plane says, not what the request says', async () => {
  const authority = await openAuthority(await tempDir());
  for (const alg of [p256, { name: 'Ed25519' }]) {
    const issued = await authority.issueAgentClient('agent-1', await csr(alg), 24 * hourMs);
    const certificate = new X509Certificate(issued.der);
    assert.equal(certificate.subject, 'CN=agent-1');
    assert.equal(certificate.ca, false);
    assert.equal(certificate.subjectAltName, undefined);
    assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.2']);
    assert.ok(certificate.verify(new X509Certificate(authority.caPem).publicKey));
    assert.equal(certificate.serialNumber, issued.serial);
    assert.ok(Math.abs(certificate.validToDate.getTime() - Date.now() - 24 * hourMs) < hourMs);
  }
});

test('a serving certificate has the names of the request’s fields, checked', async () => {
  const authority = await openAuthority(await tempDir());
  const issued = await authority.issueAgentServing(['DB.example', '127.0.0.1', '::1', 'localhost', 'localhost'], await csr(p256), hourMs);
  const certificate = new X509Certificate(issued.der);
  assert.ok(
    certificate.checkHost('db.example') &&
      certificate.checkHost('localhost') &&
      certificate.checkIP('127.0.0.1') &&
      certificate.checkIP('::1'),
  );
  assert.equal(certificate.checkHost('evil.example'), undefined);
  assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  const bad = ['*.example', 'a b', '', '-a', 'a-', 'a..b', '1.2.3', 'x'.repeat(64), 'a,DNS:b', 'a\0b', 'user@host', 'http://x'];
  for (const name of bad) {
    await assert.rejects(authority.issueAgentServing(['ok.example', name], await csr(p256), hourMs), { code: 'HOSTNAME_INVALID' }, name);
  }
  await assert.rejects(authority.issueAgentServing([], await csr(p256), hourMs), { code: 'HOSTNAME_INVALID' });
  await assert.rejects(authority.issueAgentServing([controlPlaneServerName.toUpperCase()], await csr(p256), hourMs), {
    code: 'HOSTNAME_INVALID',
  });
});

test('requests with another kind of key, another’s signature, or changed or cut bytes are refused', async () => {
  const authority = await openAuthority(await tempDir());
  const refused = { code: 'CSR_INVALID' };
  await assert.rejects(
    authority.issueAgentClient('a', await csr({ name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' }), hourMs),
    refused,
  );
  await assert.rejects(authority.issueAgentServing(['a.example'], await csr({ name: 'Ed25519' }), hourMs), refused);
  const good = await csr(p256);
  for (const at of [10, 40, 120, 200, good.length - 5]) {
    const changed = Uint8Array.from(good);
    changed[at] = (changed[at] ?? 0) ^ 1;
    await assert.rejects(authority.issueAgentClient('a', changed, hourMs), refused, `byte ${at}`);
  }
  for (const length of [0, 1, 100, good.length - 1]) {
    await assert.rejects(authority.issueAgentClient('a', good.subarray(0, length), hourMs), refused);
  }
  await assert.rejects(authority.issueAgentClient('a', new Uint8Array(100_000), hourMs), refused);
});

test('the server’s certificate carries its chain and the reserved name', async () => {
  const authority = await openAuthority(await tempDir());
  const { chainPem, keyPem } = await authority.issueServer(['localhost', '127.0.0.1'], hourMs);
  const pems = chainPem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  assert.equal(pems.length, 2);
  const [server, ca] = pems.map(pem => new X509Certificate(pem));
  assert.ok(server?.checkHost(controlPlaneServerName) && server.checkIP('127.0.0.1'));
  assert.deepEqual(new Uint8Array(ca?.raw ?? []), authority.caDer);
  assert.match(keyPem, /BEGIN PRIVATE KEY/);
});

test('join tokens: form, hash, comparison', () => {
  const fingerprint = 'a_-b'.repeat(11).slice(0, 43);
  for (let i = 0; i < 50; i++) {
    const { token, secretHash } = mintJoinToken('0123456789abcdef0123456789abcdef', fingerprint);
    const parsed = parseJoinToken(` ${token}\n`);
    assert.ok(parsed);
    assert.equal(parsed.caFingerprint, fingerprint);
    assert.ok(secretMatches(parsed.secret, secretHash));
    assert.equal(secretMatches(`${parsed.secret.slice(1)}x`, secretHash), false);
    assert.equal(secretMatches('', secretHash), false);
    assert.equal(token.includes(secretHash), false);
  }
  for (const bad of ['', 'spj_', 'spj_x_y_z', `spj_${'a'.repeat(32)}_${'b'.repeat(42)}_${'c'.repeat(43)}`])
    assert.equal(parseJoinToken(bad), null);
});
