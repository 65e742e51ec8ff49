/** Rotation of the keys that sign tickets and leases, over days of a clock that is turned. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VerifyContext, verifyToken } from '@sallyport/shared/identity/verify.ts';
import type { LeaseBundle, PublicJwk } from '@sallyport/shared/policy/bundle.ts';
import { decodeProtectedHeader } from 'jose';
import { hello, nextMessage, TestAgent } from '../grpc/test-agent.ts';
import { type Api, withApi } from '../http/test-api.ts';

const manifests = (issuer: string) => `
kind: IdentityProvider
metadata: { name: corp }
spec: { oidc: { issuer: "${issuer}", audiences: [sallyport], subjectClaim: email, groupsClaim: groups } }
---
kind: AccessPolicy
metadata: { name: ops }
spec: { roles: [operator], members: { groups: [ops] } }
---
kind: Credential
metadata: { name: c }
spec: { username: u, password: { env: PW } }
---
kind: Resource
metadata: { name: crm }
spec: { protocol: postgres, upstream: { address: "127.0.0.1:5432", tls: { mode: require } }, credential: c }
---
kind: Role
metadata: { name: support }
spec: { members: { groups: [support] }, resources: { names: [crm] } }
`;
const hourMs = 3_600_000;
const minuteMs = 60_000;

interface Key {
  kind: string;
  id: string;
  state: string;
  signsFrom: string | null;
  verifiesUntil: string | null;
  old: boolean;
}
const keysOf = async (api: Api, kind: string) =>
  ((await api.call('GET', '/v1/signing-keys')).body.keys as Key[]).filter(key => key.kind === kind);
const states = async (api: Api, kind: string) => (await keysOf(api, kind)).map(({ state }) => state);
const rotate = (api: Api, kind: string, body: object = { reason: 'yearly' }) =>
  api.call('POST', `/v1/signing-keys/${kind}/rotate`, { body });

/** A control plane whose clock stands until it is turned. Certificates must be good by the machine's clock as well. */
async function withClock(
  body: (api: Api, turn: (byMs: number) => void, nowMs: () => number) => Promise<void>,
  { beforeMs = 0, clientCertificateLifetimeMs = 2 * hourMs } = {},
): Promise<void> {
  let nowMs = Date.now() - beforeMs;
  const lifetimes = { leaseLifetimeMs: hourMs, clientCertificateLifetimeMs };
  const turn = (byMs: number) => {
    nowMs += byMs;
  };
  await withApi(manifests, api => body(api, turn, () => nowMs), { clock: () => nowMs, ...lifetimes });
}

test('a ticket key is announced before it signs; tickets of the one before are good until they end', () =>
  withClock(async (api, turn, nowMs) => {
    const ticket = async () => {
      const token = await api.provider.token(
        { sub: 'a', email: 'ann@example.com', groups: ['support'] },
        { nowMs: nowMs(), lifetimeSeconds: 90_000 },
      );
      const { body } = await api.call('POST', '/v1/tickets', { token, body: { resource: 'crm', expiresInSeconds: 3600 } });
      return String(body.ticket);
    };
    const jwks = async () => (await api.call('GET', '/oauth/jwks', { token: null })).body.keys as PublicJwk[];
    /** As an agent with a lease of some moment. */
    const verified = async (text: string, keys: PublicJwk[]) => {
      const context = new VerifyContext({ now: nowMs });
      context.useLease({ tickets: { issuer: 'sallyport', keys }, identityProviders: [], serviceAccounts: [], revokedTokens: [] });
      const outcome = await verifyToken(text, context);
      return outcome.ok ? 'good' : outcome.code;
    };
    const first = decodeProtectedHeader(await ticket()).kid;
    const before = await jwks();
    const made = await rotate(api, 'ticket');
    assert.equal(made.status, 201, JSON.stringify(made.body));
    assert.deepEqual(await states(api, 'ticket'), ['signs', 'announced']);
    assert.equal((await rotate(api, 'ticket')).body.code, 'ROTATION_PENDING');
    const announced = await jwks();
    assert.deepEqual(
      announced.map(({ kid }) => kid),
      [first, made.body.id],
    );
    turn(hourMs + 4 * minuteMs);
    // The last lease that has not heard of it was signed an hour ago, and is over.
    const old = await ticket();
    assert.deepEqual([decodeProtectedHeader(old).kid, await verified(old, before)], [first, 'good']);
    turn(minuteMs + 1);
    const next = await ticket();
    assert.deepEqual([decodeProtectedHeader(next).kid, await verified(next, before)], [made.body.id, 'TOKEN_KEY_UNKNOWN']);
    for (const each of [old, next]) assert.equal(await verified(each, announced), 'good');
    await api.restart();
    assert.deepEqual(await states(api, 'ticket'), ['verifies', 'signs'], 'the key is in the log');
    turn(50 * minuteMs);
    assert.equal(await verified(old, await jwks()), 'good');
    turn(9 * hourMs);
    assert.deepEqual(
      (await jwks()).map(({ kid }) => kid),
      [made.body.id],
    );
    // One that somebody else may have is good no more when the next one signs.
    const stolen = await ticket();
    const hurried = await rotate(api, 'ticket', { inSeconds: 5, reason: 'a backup was lost' });
    assert.equal(hurried.status, 201);
    turn(5_000);
    assert.deepEqual([await states(api, 'ticket'), await verified(stolen, await jwks())], [['signs'], 'TOKEN_KEY_UNKNOWN']);
    assert.equal(await verified(await ticket(), await jwks()), 'good');
  }));

test('a lease key: agents that were away over the announcement, or over its first use, come back', () =>
  withClock(
    async (api, turn) => {
      const joined = async () => {
        const invited = await api.call('POST', '/v1/agents/invitations', { body: { everyResource: true } });
        const agent = new TestAgent(api.plane.grpcAddress);
        await agent.join(String(invited.body.token));
        return agent;
      };
      const leased = async (agent: TestAgent) => {
        await agent.connectChannel();
        const stream = agent.control();
        stream.on('error', () => undefined); // It is closed below.
        stream.write(hello());
        const { body } = await nextMessage(stream, message => message.body.case === 'lease');
        agent.close();
        assert.ok(body.case === 'lease');
        return body.value;
      };
      const raw = (key: string | undefined) => new Uint8Array(Buffer.from(key ?? '', 'base64'));
      const [present, away] = [await joined(), await joined()];
      const pinned = Buffer.from(away.joined?.leaseKey ?? []).toString('base64');
      assert.equal(present.openLease(await leased(present)).leaseKeys, undefined, 'nothing is said until there is something to say');
      assert.equal((await rotate(api, 'lease')).status, 201);
      const announced: LeaseBundle = present.openLease(await leased(present));
      assert.equal(announced.leaseKeys?.length, 2);
      assert.equal(announced.leaseKeys?.[0], pinned);
      // It comes back shortly before its certificate ends: the key that it knows still signs, and says who follows.
      turn(18 * hourMs);
      assert.deepEqual(away.openLease(await leased(away)).leaseKeys, announced.leaseKeys);
      const renewing = async (agent: TestAgent) => {
        await agent.connectChannel();
        const { certificate } = await agent.renew();
        if (agent.joined !== null) agent.joined.certificate = certificate;
        agent.close();
      };
      await renewing(away);
      turn(2 * hourMs + 6 * minuteMs);
      assert.deepEqual(await states(api, 'lease'), ['verifies', 'signs']);
      const after = await leased(away);
      assert.throws(() => away.openLease(after), /not signed/, 'no longer by the first key');
      assert.deepEqual(away.openLease(after, raw(announced.leaseKeys?.[1])).leaseKeys, announced.leaseKeys);
      const late = await joined();
      assert.deepEqual(
        Buffer.from(late.joined?.leaseKey ?? []).toString('base64'),
        announced.leaseKeys?.[1],
        'who joins now pins the new one',
      );
      turn(hourMs + 6 * minuteMs);
      assert.deepEqual(away.openLease(await leased(away), raw(announced.leaseKeys?.[1])).leaseKeys, announced.leaseKeys?.slice(1));
    },
    { beforeMs: 19 * hourMs, clientCertificateLifetimeMs: 20 * hourMs },
  ));

test('who may rotate, what the log says of it, and when a key is old', () =>
  withClock(async (api, turn, nowMs) => {
    const operator = await api.provider.token({ sub: 'o', email: 'oscar@example.com', groups: ['ops'] });
    assert.equal((await api.call('GET', '/v1/signing-keys', { token: operator })).status, 200);
    assert.equal((await api.call('POST', '/v1/signing-keys/ticket/rotate', { token: operator, body: {} })).status, 403);
    for (const [kind, body] of [
      ['ca', {}],
      ['ticket', { inSeconds: 4 }],
      ['ticket', { inSeconds: 1e9 }],
      ['ticket', { now: true }],
    ] as const)
      assert.equal((await rotate(api, kind, body)).status, 400, JSON.stringify([kind, body]));
    assert.ok((await keysOf(api, 'ticket')).every(({ old }) => !old));
    turn(366 * 24 * hourMs);
    assert.deepEqual(
      (await keysOf(api, 'lease')).map(({ old }) => old),
      [true],
    );
    assert.equal((await rotate(api, 'lease', { inSeconds: 5, reason: 'old' })).status, 201);
    turn(6_000);
    assert.deepEqual(
      (await keysOf(api, 'lease')).map(({ old }) => old),
      [false],
    );
    assert.ok(nowMs() > 0);
    const shown = JSON.stringify((await api.call('GET', '/v1/signing-keys')).body) + api.lines.join('');
    assert.ok(!shown.includes('sealed') && !shown.includes('PRIVATE'));
  }));
