/** Keepers of the key-encryption key: Vault's transit engine and AWS KMS as stand-ins that answer like them, and what is refused. */
import assert from 'node:assert/strict';
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { withApi } from '../http/test-api.ts';
import { kekProblem, openKek, rewrap } from './key-encryption.ts';

type Asked = { url: string; headers: IncomingMessage['headers']; body: Record<string, unknown> };

/** AES-GCM by versions of a key, as both keepers have them: old versions decrypt, the newest encrypts. */
class Versions {
  readonly #keys = [randomBytes(32)];
  rotate(): void {
    this.#keys.push(randomBytes(32));
  }
  encrypt(plain: Buffer, aad = ''): { version: number; text: string } {
    const version = this.#keys.length;
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#keys[version - 1] ?? Buffer.alloc(0), nonce).setAAD(Buffer.from(aad));
    return { version, text: Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]).toString('base64') };
  }
  decrypt(version: number, text: string, aad = ''): Buffer {
    const bytes = Buffer.from(text, 'base64');
    const decipher = createDecipheriv('aes-256-gcm', this.#keys[version - 1] ?? Buffer.alloc(0), bytes.subarray(0, 12), {
      authTagLength: 16,
    });
    decipher.setAAD(Buffer.from(aad)).setAuthTag(bytes.subarray(-16));
    return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
  }
}

async function withKeeper(
  answer: (asked: Asked, response: ServerResponse) => void,
  body: (url: string, asked: Asked[], dir: string) => Promise<void>,
): Promise<void> {
  const all: Asked[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    request.on('end', () => {
      const asked = { url: request.url ?? '', headers: request.headers, body: JSON.parse(text) as Record<string, unknown> };
      all.push(asked);
      response.setHeader('content-type', 'application/json');
      answer(asked, response);
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-kek-'));
  try {
    await body(`http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`, all, dir);
  } finally {
    server.closeAllConnections();
    server.close();
    await rm(dir, { recursive: true });
  }
}

/** As Vault 1.21 answers POST /v1/transit/encrypt/KEY and /decrypt/KEY. */
function vaultLike(keys: Versions) {
  return ({ url, headers, body }: Asked, response: ServerResponse) => {
    const say = (status: number, value: object) => response.writeHead(status).end(JSON.stringify(value));
    if (headers['x-vault-token'] !== 'the-token') return say(403, { errors: ['permission denied'] });
    if (url === '/v1/security/transit/encrypt/sallyport') {
      const { version, text } = keys.encrypt(Buffer.from(String(body['plaintext']), 'base64'));
      return say(200, { data: { ciphertext: `vault:v${version}:${text}`, key_version: version } });
    }
    const parts = /^vault:v(\d+):(.+)$/.exec(String(body['ciphertext']));
    if (url !== '/v1/security/transit/decrypt/sallyport' || parts === null) return say(404, { errors: [] });
    try {
      return say(200, { data: { plaintext: keys.decrypt(Number(parts[1]), parts[2] ?? '').toString('base64') } });
    } catch {
      return say(400, { errors: ['cipher: message authentication failed'] });
    }
  };
}

test('Vault’s transit engine: the key comes back at every start, is nowhere in the folder, and is wrapped anew when the keeper’s key is rotated', async () => {
  const keys = new Versions();
  await withKeeper(vaultLike(keys), async (url, asked, dir) => {
    const options = {
      dataDir: dir,
      kek: 'vault:security/transit/sallyport',
      env: { VAULT_ADDR: url, VAULT_TOKEN: 'the-token', VAULT_NAMESPACE: 'team' },
    };
    const key = await openKek(options);
    assert.equal(key.length, 32);
    assert.deepEqual(await openKek(options, false), key);
    assert.equal(asked[0]?.headers['x-vault-namespace'], 'team');
    const file = join(dir, 'pki', 'kek.wrapped');
    const before = await readFile(file, 'utf8');
    assert.match(before, /"wrapped":"vault:v1:/);
    assert.deepEqual(await readdir(join(dir, 'pki')), ['kek.wrapped']);
    assert.ok(!before.includes(key.toString('base64')) && ((await stat(file)).mode & 0o077) === 0);
    keys.rotate();
    assert.equal(await rewrap(options, options), file);
    assert.match(await readFile(file, 'utf8'), /"wrapped":"vault:v2:/);
    assert.deepEqual(await openKek(options, false), key);
    assert.deepEqual(await readdir(join(dir, 'pki')), ['kek.wrapped']);

    const refused = async (over: object, code: string, says: RegExp) =>
      assert.rejects(openKek({ ...options, ...over }, false), (error: Error & { code?: string }) => {
        assert.equal(error.code, code);
        assert.match(error.message, says);
        assert.ok(!error.message.includes(key.toString('base64')) && !error.message.includes('the-token'));
        return true;
      });
    await refused(
      { env: { ...options.env, VAULT_TOKEN: 'stale' } },
      'KEK_UNAVAILABLE',
      /`update` on security\/transit\/decrypt\/sallyport/,
    );
    await refused({ env: { VAULT_ADDR: 'http://127.0.0.1:1', VAULT_TOKEN: 'x' } }, 'KEK_UNAVAILABLE', /cannot be asked/);
    await refused({ env: { ...options.env, VAULT_ADDR: 'http://vault.example' } }, 'KEK_UNAVAILABLE', /only asked over https/);
    await refused({ kek: 'aws-kms:alias/x' }, 'KEK_UNWRAPPABLE', /was wrapped by vault:/);
    await refused({ wrappedFile: join(dir, 'none') }, 'KEK_MISSING', /is not at/);
    await writeFile(file, (await readFile(file, 'utf8')).replace(/.{8}"\}/, 'AAAAAAAA"}'));
    await refused({}, 'KEK_UNAVAILABLE', /Vault answered 400/);
    await writeFile(file, 'rubbish');
    await refused({}, 'KEK_UNWRAPPABLE', /damaged/);
  });
});

test('AWS KMS: signed requests that name the key and the context, for decryption as well', async () => {
  const keys = new Versions();
  const arn = 'arn:aws:kms:eu-central-1:111122223333:key/0d990263-018e-4e65-a703-eff731de951e';
  await withKeeper(
    ({ headers, body }, response) => {
      const say = (status: number, value: object) => response.writeHead(status).end(JSON.stringify(value));
      const aad = JSON.stringify(body['EncryptionContext']);
      const signed = String(headers['authorization']);
      if (!/^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d{8}\/eu-central-1\/kms\/aws4_request, SignedHeaders=[^ ]*x-amz-target/.test(signed))
        return say(400, { __type: 'IncompleteSignatureException' });
      if (body['KeyId'] !== arn) return say(400, { __type: 'NotFoundException', message: 'Key is not there' });
      if (headers['x-amz-target'] === 'TrentService.Encrypt')
        return say(200, { KeyId: arn, CiphertextBlob: keys.encrypt(Buffer.from(String(body['Plaintext']), 'base64'), aad).text });
      try {
        return say(200, { KeyId: arn, Plaintext: keys.decrypt(1, String(body['CiphertextBlob']), aad).toString('base64') });
      } catch {
        return say(400, { __type: 'InvalidCiphertextException' });
      }
    },
    async (url, asked, dir) => {
      const env = {
        AWS_ENDPOINT_URL_KMS: url,
        AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
        AWS_SECRET_ACCESS_KEY: 'secret',
        AWS_SESSION_TOKEN: 'session',
      };
      const options = { dataDir: dir, kek: `aws-kms:${arn}`, env };
      const key = await openKek(options);
      assert.deepEqual(await openKek(options, false), key);
      assert.deepEqual(
        asked.map(({ body }) => body['EncryptionContext']),
        Array(3).fill({ application: 'sallyport' }),
      );
      assert.equal(asked[1]?.headers['x-amz-security-token'], 'session');
      await assert.rejects(openKek({ ...options, kek: `aws-kms:${arn}0` }, false), {
        code: 'KEK_UNAVAILABLE',
        message: /NotFoundException/,
      });
      await assert.rejects(openKek({ ...options, kek: 'aws-kms:alias/x' }, false), { code: 'KEK_UNAVAILABLE', message: /region/ });
    },
  );
});

test('a key in the environment; from file to environment and back, the same key all the way', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-kek-'));
  const env = { KEK: randomBytes(32).toString('base64'), HEX: randomBytes(32).toString('hex'), SHORT: 'abc' };
  const inFile = { dataDir: dir, env };
  const key = await openKek(inFile);
  assert.deepEqual(await readFile(join(dir, 'pki', 'kek')), key);
  await rewrap(inFile, { ...inFile, kek: 'env:KEK' });
  assert.deepEqual(await openKek({ ...inFile, kek: 'env:KEK' }, false), key);
  await rewrap({ ...inFile, kek: 'env:KEK' }, { ...inFile, kek: 'env:HEX' });
  assert.deepEqual(await openKek({ ...inFile, kek: 'env:HEX' }, false), key);
  await assert.rejects(openKek({ ...inFile, kek: 'env:KEK' }, false), { code: 'KEK_UNWRAPPABLE' });
  for (const name of ['SHORT', 'NONE']) await assert.rejects(openKek({ ...inFile, kek: `env:${name}` }, false), { code: 'KEK_MISSING' });
  await rewrap({ ...inFile, kek: 'env:HEX' }, { ...inFile, kek: join(dir, 'again') });
  assert.deepEqual(await readFile(join(dir, 'again')), key);
  await writeFile(join(dir, 'taken'), Buffer.alloc(32, 1), { mode: 0o600 });
  await assert.rejects(rewrap({ ...inFile, kek: 'env:HEX' }, { ...inFile, kek: `file:${join(dir, 'taken')}` }), { code: 'KEK_TARGET' });
  await rm(dir, { recursive: true });
  for (const bad of ['env:', 'env:a-b', 'vault:transit', 'vault:', 'aws-kms:', '']) assert.notEqual(kekProblem(bad), null, bad);
  for (const good of ['env:KEK', 'vault:transit/k', 'vault:a/b/c', 'aws-kms:alias/x', '/etc/kek', 'file:/etc/kek', 'kek'])
    assert.equal(kekProblem(good), null, good);
});

test('a control plane with its key in Vault keeps what was sealed over restarts, and does not start without it', async () => {
  const keys = new Versions();
  await withKeeper(vaultLike(keys), async url => {
    const secret = 'a-password-0';
    const options = { kek: 'vault:security/transit/sallyport', env: { PW: secret, VAULT_ADDR: url, VAULT_TOKEN: 'the-token' } };
    await withApi(
      () => `
kind: Credential
metadata: { name: c }
spec: { username: u, password: { env: PW } }
`,
      async api => {
        await api.restart(options);
        const diff = await api.call('POST', '/v1/apply', {
          body: {
            dryRun: true,
            manifests: [
              { file: '/m.yaml', text: 'kind: Credential\nmetadata: { name: c }\nspec: { username: u, password: { env: PW } }\n' },
            ],
          },
        });
        assert.deepEqual(
          (diff.body.changes as { change: string }[]).map(({ change }) => change),
          ['unchanged'],
          'the same keys',
        );
        const files = await readdir(join(api.dir, 'data', 'pki'));
        assert.ok(files.includes('kek.wrapped') && !files.includes('kek'), files.join());
        await rm(join(api.dir, 'data', 'pki', 'kek.wrapped'));
        await assert.rejects(api.restart(options), { code: 'KEK_MISSING' });
        // For the end of the test.
        await writeFile(join(api.dir, 'data', 'pki', 'kek'), createHash('sha256').update('x').digest(), { mode: 0o600 });
        await api.restart({ env: options.env });
      },
      options,
    );
  });
});
