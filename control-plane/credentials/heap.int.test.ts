/**
 * What is left of credentials on the control plane's heap after they were applied, sealed into leases, fingerprinted and rotated:
 * nothing. docs/guides/credentials.md says what a heap does not show, and what stays by its nature.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

let dir = '';
const canaries = {
  'the secret of a file': `canary-${randomBytes(12).toString('hex')}`,
  'the one after it was rotated': `canary-${randomBytes(12).toString('hex')}`,
  'a value in a manifest': `canary-${randomBytes(12).toString('hex')}`,
};
/** Is kept on purpose: proof that the search finds what is there. */
const kept = `crm-${randomBytes(12).toString('hex')}`;
let leased = 0;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sallyport-heap-'));
  const [file = '', next = '', value = ''] = Object.values(canaries);
  await writeFile(join(dir, 'secret'), file);
  await writeFile(join(dir, 'secret-next'), next);
  const resource = (name: string, credential: string) =>
    `kind: Resource\nmetadata: { name: ${name} }\nspec: { protocol: postgres, upstream: { address: "127.0.0.1:1", tls: { mode: require } }, credential: ${credential} }\n`;
  const manifests = [
    `kind: Credential\nmetadata: { name: by-file }\nspec: { username: u, password: { file: ${join(dir, 'secret')} } }\n`,
    `kind: Credential\nmetadata: { name: by-value }\nspec: { username: u, password: { value: ${value} } }\n`,
    resource(kept, 'by-file'),
    resource('other', 'by-value'),
  ];
  await writeFile(join(dir, 'manifests.yaml'), manifests.join('---\n'));
  const script = join(import.meta.dirname, 'heap.testing.ts');
  const told = execFileSync(process.execPath, ['--expose-gc', script, dir], { encoding: 'utf8', timeout: 800_000 });
  ({ leased } = JSON.parse(told) as { leased: number });
});
after(() => rm(dir, { recursive: true, force: true }));

/** How often a text is in the snapshot, also across the reader's chunks. */
async function found(text: string): Promise<number> {
  let count = 0;
  let tail = '';
  for await (const chunk of createReadStream(join(dir, 'heap.heapsnapshot'), { encoding: 'latin1', highWaterMark: 1 << 20 })) {
    const part = tail + String(chunk);
    count += part.split(text).length - 1;
    tail = part.slice(1 - text.length);
  }
  return count;
}

test('the search finds what is kept, and the secrets were in use', async () => {
  assert.ok((await found(kept)) > 0);
  assert.equal(leased, 2);
});

for (const [what, canary] of Object.entries(canaries)) {
  test(`${what} is not on the heap`, async () => {
    const base64 = Buffer.from(canary).toString('base64').slice(0, -4);
    assert.deepEqual([await found(canary), await found(base64)], [0, 0]);
  });
}
