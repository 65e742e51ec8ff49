/** Where an agent in AWS has its keys from: stand-ins that answer as AWS's documents say, and look at what they are asked with. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { OwnAwsKeys } from './own-keys.ts';

const keys = { accessKeyId: 'ASIAOWN', secretAccessKey: 'canary-secret', sessionToken: 'canary-session' };
const hourMs = 3_600_000;

async function withServer(answer: (request: IncomingMessage, body: string) => string | number, body: (url: string) => Promise<void>) {
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => (text += chunk));
    request.on('end', () => {
      const said = answer(request, text);
      response.writeHead(typeof said === 'number' ? said : 200).end(typeof said === 'number' ? '"canary-secret"' : said);
    });
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

const given = (expiresAtMs = Date.now() + hourMs) =>
  JSON.stringify({
    ...{ Code: 'Success', AccessKeyId: keys.accessKeyId, SecretAccessKey: keys.secretAccessKey, Token: keys.sessionToken },
    Expiration: new Date(expiresAtMs).toISOString(),
  });

test('of the environment, before everything else', async () => {
  const env = { AWS_ACCESS_KEY_ID: 'AK', AWS_SECRET_ACCESS_KEY: 's', AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://127.0.0.1:1/' };
  assert.deepEqual(await new OwnAwsKeys(env).keys('eu-west-1'), { accessKeyId: 'AK', secretAccessKey: 's' });
  const session = { ...env, AWS_SESSION_TOKEN: 't' };
  assert.deepEqual(await new OwnAwsKeys(session).keys('eu-west-1'), { accessKeyId: 'AK', secretAccessKey: 's', sessionToken: 't' });
});

test('of a workload, by its token', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-aws-'));
  await writeFile(join(dir, 'token'), 'the.workload.token\n');
  await withServer(
    (request, body) => {
      const form = Object.fromEntries(new URLSearchParams(body));
      assert.equal(request.headers.accept, 'application/json');
      assert.deepEqual(form, {
        ...{ Action: 'AssumeRoleWithWebIdentity', Version: '2011-06-15', RoleArn: 'arn:aws:iam::1:role/gate' },
        ...{ RoleSessionName: 'sallyport-agent', WebIdentityToken: 'the.workload.token' },
      });
      const { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken } = keys;
      const Credentials = { AccessKeyId, SecretAccessKey, SessionToken, Expiration: Math.floor((Date.now() + hourMs) / 1000) };
      return JSON.stringify({ AssumeRoleWithWebIdentityResponse: { AssumeRoleWithWebIdentityResult: { Credentials } } });
    },
    async url => {
      const env = {
        ...{ AWS_WEB_IDENTITY_TOKEN_FILE: join(dir, 'token'), AWS_ROLE_ARN: 'arn:aws:iam::1:role/gate', AWS_ENDPOINT_URL_STS: url },
      };
      assert.deepEqual(await new OwnAwsKeys(env).keys('eu-west-1'), keys);
      await assert.rejects(new OwnAwsKeys({ ...env, AWS_WEB_IDENTITY_TOKEN_FILE: join(dir, 'none') }).keys('eu-west-1'), /cannot be read/);
    },
  );
  await rm(dir, { recursive: true });
});

test('of an EC2 instance, with a session of its metadata service', async () => {
  const asked: string[] = [];
  await withServer(
    request => {
      asked.push(`${request.method} ${request.url}`);
      if (request.method === 'PUT') return request.headers['x-aws-ec2-metadata-token-ttl-seconds'] === '60' ? 'metadata-session' : 400;
      if (request.headers['x-aws-ec2-metadata-token'] !== 'metadata-session') return 401;
      return request.url?.endsWith('/security-credentials/') ? 'gate-role' : given();
    },
    async url => {
      const own = new OwnAwsKeys({ AWS_EC2_METADATA_SERVICE_ENDPOINT: `${url}/` });
      assert.deepEqual(await Promise.all([own.keys('eu-west-1'), own.keys('eu-west-1')]), [keys, keys]);
      assert.deepEqual(asked, [
        'PUT /latest/api/token',
        'GET /latest/meta-data/iam/security-credentials/',
        'GET /latest/meta-data/iam/security-credentials/gate-role',
      ]);
    },
  );
  await assert.rejects(new OwnAwsKeys({ AWS_EC2_METADATA_DISABLED: 'true' }).keys('eu-west-1'), { code: 'AWS_KEYS_MISSING' });
});

test('keys are renewed before they end, and those that are good stay while no new ones can be had', async () => {
  let now = Date.now();
  let count = 0;
  let isDown = false;
  await withServer(
    () => {
      count++;
      return isDown ? 500 : given(now + hourMs);
    },
    async url => {
      const own = new OwnAwsKeys({ AWS_CONTAINER_CREDENTIALS_FULL_URI: url }, () => now);
      await own.keys('r');
      now += hourMs - 6 * 60_000;
      await own.keys('r');
      assert.equal(count, 1);
      isDown = true;
      now += 2 * 60_000;
      assert.deepEqual(await own.keys('r'), keys);
      assert.deepEqual(await own.keys('r'), keys);
      assert.equal(count, 2, 'not asked again at once');
      isDown = false;
      now += 60_000;
      await own.keys('r');
      assert.equal(count, 3);
      isDown = true;
      now += hourMs;
      await assert.rejects(own.keys('r'), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'AWS_KEYS_MISSING');
        assert.match(error.message, /answered 500.*awsRdsIam\.keys/);
        assert.ok(!error.message.includes('canary'));
        return true;
      });
    },
  );
});

test('nobody is asked over plain http beyond this machine, and no answer is repeated', async () => {
  const of = (address: string) => new OwnAwsKeys({ AWS_CONTAINER_CREDENTIALS_FULL_URI: address }).keys('r');
  await assert.rejects(of('http://keys.example/'), /only be asked over https/);
  await assert.rejects(of('no address'), /only be asked over https/);
  for (const answer of ['canary-secret', '{"AccessKeyId":"canary-secret"}', 'x'.repeat(100_000)]) {
    await withServer(
      () => answer,
      async url => {
        await assert.rejects(of(url), (error: Error & { code?: string }) => {
          assert.equal(error.code, 'AWS_KEYS_MISSING');
          assert.ok(!error.message.includes('canary'));
          return true;
        });
      },
    );
  }
});
