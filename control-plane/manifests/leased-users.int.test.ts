/** Users that Vault leases, from an apply to the agent's lease: renewed, replaced with overlap, kept while Vault is down, given back. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import type { ControlMessage } from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { open } from '@sallyport/shared/crypto/seal.ts';
import { hello, TestAgent } from '../grpc/test-agent.ts';
import { withApi } from '../http/test-api.ts';

/** As Vault answers; `renewedFor` is what a renewal gives, null: the lease is not known. */
async function withVault(
  body: (vault: { url: string; asked: string[]; renewedFor: number | null; isSealed: boolean; issued: number }) => Promise<void>,
) {
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => (text += chunk));
    request.on('end', () => {
      const say = (status: number, value: unknown) => response.writeHead(status).end(value === null ? '' : JSON.stringify(value));
      if (vault.isSealed) return say(503, { errors: ['Vault is sealed'] });
      if (request.headers['x-vault-token'] !== 't') return say(403, { errors: ['permission denied'] });
      if (request.url === '/v1/database/creds/crm') {
        const n = ++vault.issued;
        return say(200, { lease_id: `lease-${n}`, lease_duration: 1, data: { username: `v-${n}`, password: `canary-password-${n}` } });
      }
      if (request.method === 'GET') return say(400, { errors: ['unknown role'] });
      const { lease_id: leaseId } = JSON.parse(text) as { lease_id: string };
      vault.asked.push(`${request.url?.split('/').at(-1)} ${leaseId}`);
      if (request.url === '/v1/sys/leases/revoke') return say(204, null);
      return vault.renewedFor === null ? say(400, { errors: ['lease not found'] }) : say(200, { lease_duration: vault.renewedFor });
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const vault = {
    url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    ...{ asked: [] as string[], renewedFor: 1 as number | null, isSealed: false, issued: 0 },
  };
  try {
    await body(vault);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 120_000;
  while (!holds()) {
    assert.ok(Date.now() < deadline, `never came: ${holds.toString()}`);
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

const credential = 'kind: Credential\nmetadata: { name: c }\nspec: { vaultDatabase: { role: crm } }\n';
const resource =
  'kind: Resource\nmetadata: { name: crm }\nspec: { protocol: postgres, upstream: { address: "127.0.0.1:5432" }, credential: c }\n';

test('from an apply to the agent, through renewals, another user, and an end', t =>
  withVault(vault =>
    withApi(
      issuer => `kind: IdentityProvider\nmetadata: { name: corp }\nspec: { oidc: { issuer: "${issuer}", audiences: [sallyport] } }\n`,
      async api => {
        const both = `${credential}---\n${resource}`;
        assert.equal((await api.apply(both, { dryRun: true })).status, 200);
        assert.equal(vault.issued, 0, 'a rehearsal makes no user');
        const wrong = await api.apply(both.replace('role: crm', 'role: none'));
        assert.equal(wrong.status, 422);
        assert.match(String(wrong.body.detail), /Vault answered 400 .*database\/creds\/none.*database engine at this mount/);
        assert.equal((await api.apply(both)).status, 200);
        assert.equal((await api.apply(both)).status, 200);
        assert.equal(vault.issued, 1, 'the same again makes no other');

        const invited = await api.call('POST', '/v1/agents/invitations', { body: { everyResource: true } });
        const agent = new TestAgent(api.plane.grpcAddress);
        await agent.join(String(invited.body.token));
        await agent.connectChannel();
        const stream = agent.control();
        stream.on('error', () => undefined); // It is cancelled.
        t.after(() => {
          stream.cancel();
          agent.close();
        });
        // Listened to from the first message on: leases come while nobody asks for the next one.
        const leases: Record<string, string>[] = [];
        stream.on('data', ({ body }: ControlMessage) => {
          if (body.case !== 'lease') return;
          const { credentials } = JSON.parse(Buffer.from(body.value.bundle).toString()) as { credentials: Record<string, string> };
          if (credentials['c'] === undefined) return; // It was deleted.
          const sealed = Buffer.from(credentials['c'], 'base64');
          leases.push(JSON.parse(Buffer.from(open(agent.sealing.privateKey, sealed, 'credential:c')).toString()) as Record<string, string>);
        });
        stream.write(hello());
        const user = (n: number) => ({ username: `v-${n}`, password: `canary-password-${n}`, vaultDatabase: 'database/creds/crm' });
        await until(() => leases.length > 0);
        assert.deepEqual(leases[0], user(1));
        await until(() => vault.asked.filter(each => each === 'renew lease-1').length > 1);
        assert.equal(vault.issued, 1, 'what can be renewed is kept');

        vault.isSealed = true;
        await until(() => api.lines.join('').includes('could not be read at its source'));
        vault.isSealed = false;
        assert.equal(vault.issued, 1, 'and so it is while Vault is down');

        vault.renewedFor = 0.4; // Its longest time comes near.
        await until(() => vault.issued > 1);
        vault.renewedFor = 1;
        await until(() => leases.at(-1)?.['username'] !== 'v-1');
        assert.match(leases.at(-1)?.['password'] ?? '', /^canary-password-[2-9]\d*$/);
        assert.ok(!vault.asked.includes('revoke lease-1'), 'sessions of the first go on');

        assert.equal((await api.call('DELETE', '/v1/manifests/Resource/crm')).status, 200);
        assert.equal((await api.call('DELETE', '/v1/manifests/Credential/c')).status, 200);
        await until(() => vault.asked.includes(`revoke lease-${vault.issued}`));
        assert.ok(!api.lines.join('').includes('canary-password'));
      },
      { env: { VAULT_ADDR: vault.url, VAULT_TOKEN: 't' }, secretsRefreshMs: 50 },
    ),
  ));

test('a token that may not make users is refused with the permission that it needs, at the apply', () =>
  withVault(vault =>
    withApi(
      issuer => `kind: IdentityProvider\nmetadata: { name: corp }\nspec: { oidc: { issuer: "${issuer}", audiences: [sallyport] } }\n`,
      async api => {
        const refused = await api.apply(`${credential}---\n${resource}`);
        assert.equal(refused.status, 422);
        assert.match(String(refused.body.detail), /m\.yaml:3:\d+: .*database\/creds\/crm.*needs `read`/);
        assert.equal((await api.call('GET', '/v1/manifests/Credential/c')).status, 404);
      },
      { env: { VAULT_ADDR: vault.url, VAULT_TOKEN: 'another' }, secretsRefreshMs: 50 },
    ),
  ));
