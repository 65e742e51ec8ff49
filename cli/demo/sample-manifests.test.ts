import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { parseManifests } from '@sallyport/shared/policy/manifests.ts';
import { loopbackCertificate } from './certificate.ts';
import { sampleData } from './sample-data.ts';
import { PREFERRED_PORTS, placeSampleManifests, withPorts } from './sample-manifests.ts';

async function place(
  folder: string,
  before = PREFERRED_PORTS as Record<keyof typeof PREFERRED_PORTS, number>,
  now = before,
): Promise<string> {
  const ca = path.join(folder, '..', 'ca.crt');
  await writeFile(ca, (await loopbackCertificate('test')).ca);
  return placeSampleManifests(folder, before, now, ca);
}

test('the packaged manifests are valid, complete, and show every kind', async () => {
  const folder = path.join(await mkdtemp(path.join(os.tmpdir(), 'sallyport-demo-')), 'manifests');
  await place(folder);
  const names = (await readdir(folder)).filter(name => name.endsWith('.yaml')).sort();
  const files = await Promise.all(names.map(async name => ({ path: name, text: await readFile(path.join(folder, name), 'utf8') })));
  const { readFileSync } = await import('node:fs');
  const { manifests, problems, warnings } = parseManifests(files, { readFile: file => readFileSync(path.join(folder, file), 'utf8') });
  assert.deepEqual(problems, []);
  assert.deepEqual(warnings, []);
  assert.deepEqual(
    [...new Set(manifests.map(({ kind }) => kind))].sort(),
    ['AccessPolicy', 'AuditPolicy', 'Credential', 'DataPolicy', 'Guard', 'IdentityProvider', 'Resource', 'Role', 'ServiceAccount'].sort(),
  );
});

test('other ports: the copies are changed and nothing else in them, edits and deletions stay', async () => {
  const folder = path.join(await mkdtemp(path.join(os.tmpdir(), 'sallyport-demo-')), 'manifests');
  await place(folder);
  const resource = path.join(folder, '1-resource.yaml');
  await writeFile(resource, `# mine\n${await readFile(resource, 'utf8')}`);
  await rm(path.join(folder, '5-audit.yaml'));
  const now = { database: 1111, identityProvider: 2222, gateway: PREFERRED_PORTS.database };
  await place(folder, PREFERRED_PORTS, now);
  const text = await readFile(resource, 'utf8');
  assert.match(text, /^# mine\n/);
  assert.match(text, /address: 127\.0\.0\.1:1111 /);
  assert.match(text, /listen: 127\.0\.0\.1:8432 /);
  assert.match(await readFile(path.join(folder, '2-people.yaml'), 'utf8'), /issuer: http:\/\/127\.0\.0\.1:2222\n/);
  assert.equal((await readdir(folder)).includes('5-audit.yaml'), false);
});

test('ports may change places', () => {
  const before = { database: 1, identityProvider: 2, gateway: 3 };
  assert.equal(
    withPorts('127.0.0.1:1 127.0.0.1:2 127.0.0.1:11', before, { database: 2, identityProvider: 1, gateway: 3 }),
    '127.0.0.1:2 127.0.0.1:1 127.0.0.1:11',
  );
});

test('the sample rows are the same on every machine', () => {
  const data = sampleData('secret');
  assert.deepEqual(sampleData('secret'), data);
  assert.equal(data.customers.length, 2000);
  assert.equal(new Set(data.customers.map(({ email }) => email)).size, 2000);
  assert.match(String(data.customers[0]?.card_number), /^4\d{3} \d{4} \d{4} \d{4}$/);
  const values = data.app_secrets.map(({ value }) => String(value));
  assert.ok(values.some(value => /^AKIA[A-Z2-7]{16}$/.test(value)));
  assert.ok(values.includes('secret'));
});
