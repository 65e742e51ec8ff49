import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Peer, TokenBounds } from '@sallyport/shared/identity/token-bounds.ts';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import { POSTGRES_DEPTH } from '../postgres/depth.ts';
import { authorise, type Grant, SessionAuthorization, type TokenVerdict } from './authorisation.ts';
import type { LeaseState } from './lease-state.ts';
import { RateLimit } from './rate-limit.ts';

const principal: Principal = { kind: 'person', name: 'alice', issuer: 'i', subject: 's', groups: [], delegation: [] };
const accepted: TokenVerdict = { ok: true, principal, tokenId: 't', expiresAtMs: Number.MAX_SAFE_INTEGER };
const lease = (more: Partial<Record<keyof LeaseState, unknown>> = {}) =>
  ({
    expiresAtMs: Number.MAX_SAFE_INTEGER,
    resources: new Map([['crm', {}]]),
    admit: () => ({ admitted: true, role: 'r', session: {} }),
    principalOf: (verified: Principal) => verified,
    ...more,
  }) as unknown as LeaseState;

const ask = (more: Partial<Parameters<typeof authorise>[0]> = {}) =>
  authorise({
    token: 'x',
    resource: 'crm',
    depth: POSTGRES_DEPTH,
    lease: lease(),
    verify: () => Promise.resolve(accepted),
    peer: { address: '192.0.2.1', certificate: null },
    isRevoked: () => false,
    now: new Date(),
    ...more,
  });

describe('authorisation', () => {
  test('is asked of somebody in the groups in which the lease has them, and keeps what the token said', async () => {
    const groupsAsked: (readonly string[])[] = [];
    const admit: LeaseState['admit'] = asked => {
      groupsAsked.push(asked.groups);
      return { admitted: true, role: 'r', session: {} };
    };
    const outcome = await ask({ lease: lease({ admit, principalOf: (verified: Principal) => ({ ...verified, groups: ['dba'] }) }) });
    assert.ok(outcome.authorised);
    const grant = outcome.authorization.consume();
    assert.deepEqual([groupsAsked, grant.principal.groups, grant.verified.groups], [[['dba']], ['dba'], []]);
  });

  test('opens one session', async () => {
    const outcome = await ask();
    assert.ok(outcome.authorised);
    assert.equal(outcome.authorization.consume().principal, principal);
    assert.throws(() => outcome.authorization.consume(), { code: 'AUTHORIZATION_CONSUMED' });
  });

  test('a bound token is good for its network, its certificate and its role alone', async () => {
    const bound = (bounds: TokenBounds, peer: Peer, admit?: LeaseState['admit']) =>
      ask({ verify: () => Promise.resolve({ ...accepted, bounds }), peer, ...(admit === undefined ? {} : { lease: lease({ admit }) }) });
    const code = async (...of: Parameters<typeof bound>) => {
      const outcome = await bound(...of);
      return outcome.authorised ? 'authorised' : outcome.code;
    };
    const here: Peer = { address: '192.0.2.1', certificate: 'A'.repeat(43) };
    assert.equal(await code({ networks: ['192.0.2.0/24'] }, here), 'authorised');
    assert.equal(await code({ networks: ['198.51.100.0/24'] }, here), 'TOKEN_OTHER_NETWORK');
    assert.equal(await code({ networks: ['0.0.0.0/0'] }, { ...here, address: '' }), 'TOKEN_OTHER_NETWORK');
    assert.equal(await code({ certificate: 'A'.repeat(43) }, here), 'authorised');
    assert.equal(await code({ certificate: 'B'.repeat(43) }, here), 'TOKEN_OTHER_CERTIFICATE');
    assert.equal(await code({ certificate: 'A'.repeat(43) }, { ...here, certificate: null }), 'TOKEN_OTHER_CERTIFICATE');
    const asked: unknown[] = [];
    const admit: LeaseState['admit'] = (_principal, _resource, _depth, _now, onlyRole) => {
      asked.push(onlyRole);
      return { admitted: true, role: 'r', session: {} };
    };
    const outcome = await bound({ role: 'reader' }, here, admit);
    assert.ok(outcome.authorised);
    assert.equal(outcome.authorization.consume().onlyRole, 'reader', 'for the leases to come');
    assert.deepEqual(asked, ['reader']);
  });

  test('cannot be made by anybody else', () => {
    const forge = (maker: unknown) => new SessionAuthorization(maker as never, {} as Grant);
    for (const maker of [undefined, null, Symbol('only authorise() makes authorisations'), {}])
      assert.throws(() => forge(maker), { code: 'AUTHORIZATION_FORGED' });
  });

  test('every reason to refuse, and faults are refusals', async () => {
    const cases: [string, Partial<Parameters<typeof authorise>[0]>][] = [
      ['TOKEN_X', { verify: () => Promise.resolve({ ok: false, code: 'TOKEN_X', reason: '' }) }],
      ['TOKEN_CHECK_FAILED', { verify: () => Promise.reject(new Error('fault')) }],
      ['TOKEN_REVOKED', { isRevoked: () => true }],
      ['TICKET_OTHER_RESOURCE', { verify: () => Promise.resolve({ ...accepted, ticketResource: 'other' }) }],
      ['NO_LEASE', { lease: null }],
      ['LEASE_EXPIRED', { lease: lease({ expiresAtMs: 1 }) }],
      ['UNKNOWN_RESOURCE', { resource: 'hidden' }],
      ['NO_GRANT', { lease: lease({ admit: () => ({ admitted: false, code: 'NO_GRANT', reason: '' }) }) }],
      [
        'ADMISSION_FAILED',
        {
          lease: lease({
            admit: () => {
              throw new Error('fault');
            },
          }),
        },
      ],
    ];
    for (const [code, more] of cases) {
      const outcome = await ask(more);
      assert.ok(!outcome.authorised);
      assert.equal(outcome.code, code);
    }
  });
});

test('the rate limit gives one second\u2019s worth at once, and refills', () => {
  const limit = new RateLimit(10);
  assert.equal(Array.from({ length: 20 }, () => limit.take(1000)).filter(Boolean).length, 10);
  assert.equal(limit.take(1050), false);
  assert.equal(limit.take(1100), true);
  assert.equal(Array.from({ length: 50 }, () => limit.take(60_000)).filter(Boolean).length, 10);
});
