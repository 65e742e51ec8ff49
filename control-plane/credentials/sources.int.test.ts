/** Vault and AWS Secrets Manager, as stand-ins that answer like them over HTTP and look at what they are asked with. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { open } from '@sallyport/shared/crypto/seal.ts';
import { hello, nextMessage, TestAgent } from '../grpc/test-agent.ts';
import { withApi } from '../http/test-api.ts';
import { secretSources } from '../manifests/secret-sources.ts';

async function withServer(
  answer: (request: IncomingMessage, body: string, response: ServerResponse) => void,
  body: (url: string) => Promise<void>,
) {
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => (text += chunk));
    request.on('end', () => answer(request, text, response));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  try {
    await body(`http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** As Vault 1.21 answers GET /v1/secret/data/crm/app. */
const vaultAnswer = (data: object) =>
  JSON.stringify({
    request_id: 'r',
    lease_id: '',
    renewable: false,
    data: { data, metadata: { version: 3, deletion_time: '', destroyed: false } },
  });

test('Vault: the field of a secret, with the control plane’s token and namespace', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-vault-'));
  const asked: string[] = [];
  await withServer(
    (request, _body, response) => {
      asked.push(
        `${request.method} ${request.url} ${String(request.headers['x-vault-token'])} ${String(request.headers['x-vault-namespace'] ?? '-')}`,
      );
      if (request.url === '/v1/secret/data/away') response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end();
      else if (request.url === '/v1/secret/data/huge') response.end(`"${'x'.repeat(2_000_000)}"`);
      else if (request.url === '/v1/secret/data/rubbish') response.end('<html>');
      else if (request.headers['x-vault-token'] !== 'the-token') response.writeHead(403).end('{"errors":["permission denied"]}');
      else if (!request.url?.startsWith('/v1/secret/data/crm/app')) response.writeHead(404).end('{"errors":[]}');
      else response.end(vaultAnswer({ password: 'from-vault', n: 1 }));
    },
    async url => {
      await writeFile(join(dir, 'token'), 'the-token\n');
      const env = { VAULT_ADDR: `${url}/`, VAULT_TOKEN_FILE: join(dir, 'token'), VAULT_NAMESPACE: 'team' };
      const read = async (more: object, environment: Record<string, string> = env) =>
        (
          await secretSources(environment, dir).secret({ vault: { mount: 'secret', path: 'crm/app', field: 'password', ...more } }, '/')
        ).toString();
      assert.equal(await read({}), 'from-vault');
      assert.equal(await read({ version: 2 }), 'from-vault');
      assert.deepEqual(asked, ['GET /v1/secret/data/crm/app the-token team', 'GET /v1/secret/data/crm/app?version=2 the-token team']);
      const refused: [object, Record<string, string>, RegExp][] = [
        [{ field: 'n' }, env, /no text in the field n/],
        [{ field: 'toString' }, env, /no text in the field/],
        [{ path: 'other' }, env, /there is no secret secret\/other/],
        [{ path: 'away' }, env, /cannot be asked/],
        [{ path: 'huge' }, env, /too long/],
        [{ path: 'rubbish' }, env, /no JSON/],
        [{}, { ...env, VAULT_TOKEN: 'stale' }, /does not let .* `read` on secret\/data\/crm\/app/],
        [{}, { VAULT_ADDR: url }, /no token for Vault/],
        [{}, { VAULT_TOKEN: 'x' }, /VAULT_ADDR/],
        [{}, { ...env, VAULT_ADDR: 'http://vault.example:8200' }, /only asked over https/],
      ];
      for (const [source, environment, says] of refused) {
        await assert.rejects(read(source, environment), (error: Error & { code?: string }) => {
          assert.equal(error.code, 'SECRET_MISSING');
          assert.match(error.message, says);
          assert.ok(!error.message.includes('the-token') && !error.message.includes('from-vault'), error.message);
          return true;
        });
      }
      // What the control plane logs in with is nobody's password.
      for (const source of [{ env: 'VAULT_TOKEN' }, { env: 'aws_secret_access_key' }, { file: join(dir, 'token') }]) {
        const sources = secretSources({ ...env, VAULT_TOKEN: 'the-token', aws_secret_access_key: 'x' }, await mkdtemp(join(dir, 'data-')));
        await assert.rejects(sources.secret(source, '/'), { code: 'SECRET_MISSING' }, JSON.stringify(source));
      }
    },
  );
  await rm(dir, { recursive: true });
});

test('AWS Secrets Manager: signed with the control plane’s keys, of the environment or the container', async () => {
  const asked: { target: unknown; authorization: string; body: string; token: unknown }[] = [];
  await withServer(
    (request, body, response) => {
      if (request.url === '/keys') {
        if (request.headers.authorization !== 'pod-token') response.writeHead(403).end('{}');
        else
          response.end(
            JSON.stringify({ AccessKeyId: 'AKPOD', SecretAccessKey: 's', Token: 'session', Expiration: '2099-01-01T00:00:00Z' }),
          );
        return;
      }
      asked.push({
        target: request.headers['x-amz-target'],
        authorization: String(request.headers.authorization),
        body,
        token: request.headers['x-amz-security-token'],
      });
      const { SecretId } = JSON.parse(body) as { SecretId: string };
      if (SecretId === 'none') response.writeHead(400).end('{"__type":"ResourceNotFoundException","Message":"x"}');
      else
        response.end(
          JSON.stringify({ ARN: 'a', Name: SecretId, SecretString: SecretId === 'plain' ? 'just text' : '{"password":"from-aws"}' }),
        );
    },
    async url => {
      const env = {
        AWS_ENDPOINT_URL_SECRETS_MANAGER: url,
        AWS_REGION: 'eu-central-1',
        AWS_ACCESS_KEY_ID: 'AKID',
        AWS_SECRET_ACCESS_KEY: 'sk',
      };
      const read = async (source: { secretId: string; field?: string; region?: string }, environment: Record<string, string> = env) =>
        (await secretSources(environment, tmpdir()).secret({ awsSecret: source }, '/')).toString();
      assert.equal(await read({ secretId: 'crm', field: 'password' }), 'from-aws');
      assert.equal(await read({ secretId: 'plain', region: 'us-east-1' }), 'just text');
      assert.equal(asked[0]?.target, 'secretsmanager.GetSecretValue');
      assert.equal(asked[0]?.body, '{"SecretId":"crm"}');
      assert.match(
        asked[0]?.authorization ?? '',
        /^AWS4-HMAC-SHA256 Credential=AKID\/\d{8}\/eu-central-1\/secretsmanager\/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=[0-9a-f]{64}$/,
      );
      assert.match(asked[1]?.authorization ?? '', /us-east-1/);
      const pod = {
        AWS_ENDPOINT_URL_SECRETS_MANAGER: url,
        AWS_REGION: 'r',
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/keys`,
        AWS_CONTAINER_AUTHORIZATION_TOKEN: 'pod-token',
      };
      assert.equal(await read({ secretId: 'plain' }, pod), 'just text');
      assert.equal(asked[2]?.token, 'session');
      await assert.rejects(read({ secretId: 'none' }), /ResourceNotFoundException/);
      await assert.rejects(read({ secretId: 'plain', field: 'x' }), /no JSON/);
      await assert.rejects(read({ secretId: 'crm', field: 'x' }), /no text in the field x/);
      await assert.rejects(read({ secretId: 'crm' }, { ...env, AWS_ACCESS_KEY_ID: '' }), /no keys for AWS/);
      await assert.rejects(
        read({ secretId: 'crm' }, { ...pod, AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://keys.example/' }),
        /only asked over https/,
      );
    },
  );
});

test('a secret that changes at its source reaches the agents without an apply, and one that cannot be read stays', async () => {
  let password: string | null = 'first';
  await withServer(
    (_request, _body, response) => {
      if (password === null) response.writeHead(503).end('{"errors":["sealed"]}');
      else response.end(vaultAnswer({ password }));
    },
    url =>
      withApi(
        issuer => `
kind: IdentityProvider
metadata: { name: corp }
spec: { oidc: { issuer: "${issuer}", audiences: [sallyport] } }
---
kind: Credential
metadata: { name: c }
spec: { username: u, password: { vault: { path: crm/app } } }
---
kind: Resource
metadata: { name: crm }
spec: { protocol: postgres, upstream: { address: "127.0.0.1:5432", tls: { mode: require } }, credential: c }
`,
        async api => {
          const invited = await api.call('POST', '/v1/agents/invitations', { body: { everyResource: true } });
          const agent = new TestAgent(api.plane.grpcAddress);
          await agent.join(String(invited.body.token));
          await agent.connectChannel();
          const stream = agent.control();
          stream.write(hello());
          const leased = async () => {
            const { body } = await nextMessage(stream, message => message.body.case === 'lease');
            assert.ok(body.case === 'lease');
            const { credentials } = JSON.parse(Buffer.from(body.value.bundle).toString()) as { credentials: Record<string, string> };
            return JSON.parse(
              Buffer.from(open(agent.sealing.privateKey, Buffer.from(credentials['c'] ?? '', 'base64'), 'credential:c')).toString(),
            ) as { password: string };
          };
          assert.equal((await leased()).password, 'first');
          const health = async () =>
            ((await api.call('GET', '/v1/credential-sources')).body['sources'] as Record<string, unknown>[]).map(
              ({ checkedAt, since, ...rest }) => ({ ...rest, isChecked: typeof checkedAt === 'string', isLasting: since !== null }),
            );
          const read = { credential: 'c', kinds: ['Vault'], leaseEndsAt: null, isChecked: true };
          password = 'second';
          assert.equal((await leased()).password, 'second');
          while ((await health()).length === 0) await new Promise(resolve => setTimeout(resolve, 20));
          assert.deepEqual(await health(), [{ ...read, problem: null, isLasting: false }]);
          password = null;
          while (!api.lines.join('').includes('could not be read at its source')) await new Promise(resolve => setTimeout(resolve, 20));
          const sealed = 'Vault answered 503 when it was asked for the secret secret/crm/app in Vault.';
          assert.deepEqual(await health(), [{ ...read, problem: sealed, isLasting: true }]);
          assert.match(await (await fetch(`${api.plane.httpUrl}/metrics`)).text(), /^sallyport_credential_source_problems 1$/m);
          const { body } = await api.call('GET', '/v1/manifests/Credential/c');
          assert.deepEqual((body.status as { author: string; version: number }).author, 'system');
          assert.ok(!JSON.stringify(body).includes('second') && !api.lines.join('').includes('second'));
          const rehearsed = await api.apply(
            'kind: Credential\nmetadata: { name: c }\nspec: { username: u, password: { vault: { path: crm/app } } }\n',
            { dryRun: true },
          );
          assert.equal(rehearsed.status, 422);
          assert.match(String(rehearsed.body.detail), /m\.yaml:3:\d+: Vault answered 503/);
          stream.end();
          agent.close();
        },
        { env: { VAULT_ADDR: url, VAULT_TOKEN: 't' }, secretsRefreshMs: 50 },
      ),
  );
});
