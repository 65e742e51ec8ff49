import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { Capability, type ControlMessage } from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import type { SharedContent } from '@sallyport/shared/policy/lease-parts.ts';
import type { ActiveAgent, LeaseBuilder } from '../leases/lease-bundle.ts';
import { SharedLease } from '../leases/shared-lease.ts';
import { AgentLease, type LeaseSources } from './agent-lease.ts';

const { privateKey } = generateKeyPairSync('ed25519');
const LIFETIME_MS = 1_000_000;
const agent = { invitation: { labels: {}, everyResource: true } } as unknown as ActiveAgent;

function content(roles: object[]): SharedContent {
  return {
    ...{ tickets: { issuer: 's', keys: [] }, identityProviders: [], serviceAccounts: [], resources: [], roles, guards: [] },
    ...{ dataPolicies: [], auditPolicies: [], knownCredentials: { key: '', fingerprints: [] }, revokedTokens: [] },
  } as unknown as SharedContent;
}

function setUp() {
  const shared = new SharedLease('group', () => privateKey, LIFETIME_MS);
  const roles = [
    { name: 'a', spec: 1 },
    { name: 'b', spec: 1 },
  ];
  const sealed: Record<string, string> = { app: 'sealed-1' };
  let ownBuilt = 0;
  const builder = {
    own: () => {
      ownBuilt++;
      return { credentials: { ...sealed }, servingKeys: {}, maskKeys: {}, hostCertificates: {} };
    },
    build: () => ({ agentId: 'x', roles: [...roles], credentials: { ...sealed } }),
  } as unknown as LeaseBuilder;
  const sources: LeaseSources = {
    ...{ builder, leaseKey: privateKey, state: {} as LeaseSources['state'], version: 1, nowMs: 1 },
    ...{ lifetimeMs: LIFETIME_MS, ownEpoch: 0, groupOf: () => ({ resources: [], shared }) },
  };
  shared.update(content(roles), 1, 1);
  return { shared, roles, sealed, sources, built: () => ownBuilt };
}

function greeted(id: string, digest = '', capabilities: number[] = [Capability.LEASE_DIFFERENCES, 4711]) {
  const lease = new AgentLease(id, 0);
  lease.greeted(capabilities, digest, 0);
  return lease;
}

function update(message: ControlMessage | null) {
  assert.equal(message?.body.case, 'leaseUpdate');
  const keys = (half: { whole: boolean; put: { key: string }[]; removed: string[] } | undefined) =>
    half && { whole: half.whole, put: half.put.map(({ key }) => key), removed: half.removed };
  return message?.body.case === 'leaseUpdate' ? { shared: keys(message.body.value.shared), own: keys(message.body.value.own) } : {};
}

test('first everything, then nothing, then what differs; one message for all who serve the same', () => {
  const { shared, roles, sources, built } = setUp();
  const [one, two] = [greeted('1'), greeted('2')];
  const first = update(one.compose(agent, sources));
  assert.deepEqual(first.shared, { whole: true, put: ['tickets', 'role/a', 'role/b', 'known-credentials-key'], removed: [] });
  assert.deepEqual(first.own, { whole: true, put: ['credential/app'], removed: [] });
  two.compose(agent, sources);
  assert.equal(one.compose(agent, sources), null);
  const before = built();
  shared.update(content([{ name: 'a', spec: 2 }, roles[1] as object]), 2, 2);
  const message = one.compose(agent, { ...sources, nowMs: 2 });
  assert.deepEqual(update(message), { shared: { whole: false, put: ['role/a'], removed: [] }, own: undefined });
  assert.equal(two.compose(agent, { ...sources, nowMs: 2 }), message, 'the same object, which is encoded once');
  assert.ok(Object.isFrozen(message));
  assert.equal(built(), before, 'nothing is sealed for a change of policy');
});

test('an agent that comes back is told what differs from what it says it has, or everything when nobody knows that', () => {
  const { shared, roles, sources } = setUp();
  const had = shared.digest;
  shared.update(content([roles[0] as object]), 2, 2);
  assert.deepEqual(update(greeted('1', had).compose(agent, sources)).shared, { whole: false, put: [], removed: ['role/b'] });
  assert.equal(update(greeted('1', 'f00d').compose(agent, sources)).shared?.whole, true);
  // After many changes nobody knows it any more.
  for (let spec = 0; spec < 20; spec++) shared.update(content([{ name: 'a', spec }]), 3, 3);
  assert.equal(update(greeted('1', had).compose(agent, sources)).shared?.whole, true);
});

test('an agent that read none of several changes is told the last state only', () => {
  const { shared, sources } = setUp();
  const lease = greeted('1');
  lease.compose(agent, sources);
  for (const spec of [5, 6, 7]) shared.update(content([{ name: 'a', spec }]), spec, spec);
  const message = lease.compose(agent, sources);
  assert.deepEqual(update(message).shared, { whole: false, put: ['role/a'], removed: ['role/b'] });
  assert.match(Buffer.from(message?.body.case === 'leaseUpdate' ? (message.body.value.shared?.put[0]?.value ?? '') : '').toString(), /7/);
});

test('what is sealed is sent when it changes; an agent that lost the thread gets everything', () => {
  const { sealed, sources } = setUp();
  const lease = greeted('1');
  lease.compose(agent, sources);
  sealed['app'] = 'sealed-2';
  assert.deepEqual(update(lease.compose(agent, { ...sources, ownEpoch: 1 })), {
    shared: undefined,
    own: { whole: false, put: ['credential/app'], removed: [] },
  });
  lease.wanted();
  const all = update(lease.compose(agent, sources));
  assert.equal(all.shared?.whole && all.own?.whole, true);
});

test('renewals come at a different moment for each agent, and hold no parts', () => {
  const { shared, sources } = setUp();
  const [early, late] = [new AgentLease('1', 0), new AgentLease('2', 1)];
  for (const lease of [early, late]) {
    lease.greeted([Capability.LEASE_DIFFERENCES], '', 0);
    lease.compose(agent, sources);
  }
  const nowMs = LIFETIME_MS * 0.22;
  assert.deepEqual([early.isDue(nowMs, LIFETIME_MS), late.isDue(nowMs, LIFETIME_MS)], [true, false]);
  assert.equal(late.isDue(LIFETIME_MS * 0.26, LIFETIME_MS), true);
  shared.update(
    content([
      { name: 'a', spec: 1 },
      { name: 'b', spec: 1 },
    ]),
    1,
    nowMs,
  );
  const renewed = early.compose(agent, { ...sources, nowMs });
  assert.deepEqual(update(renewed).own, { whole: false, put: [], removed: [] });
  assert.deepEqual(update(renewed).shared, { whole: false, put: [], removed: [] });
  assert.equal(early.issuedAtMs, nowMs);
});

test('an agent of the version before, which knows no differences, gets bundles', () => {
  const { roles, sources } = setUp();
  const lease = greeted('1', '', []);
  assert.equal(lease.compose(agent, sources)?.body.case, 'lease');
  assert.equal(lease.compose(agent, sources), null);
  roles.push({ name: 'c', spec: 1 });
  assert.equal(lease.compose(agent, sources)?.body.case, 'lease');
});

test('an agent that has seen more elsewhere is told nothing older', () => {
  const { shared, sources } = setUp();
  const lease = new AgentLease('1', 0);
  lease.greeted([Capability.LEASE_DIFFERENCES], shared.digest, 40);
  const message = lease.compose(agent, { ...sources, version: 41 });
  const statement = message?.body.case === 'leaseUpdate' ? Buffer.from(message.body.value.shared?.statement ?? '').toString() : '';
  assert.equal((JSON.parse(statement) as { version: number }).version, 41);
  assert.deepEqual(update(message).shared, { whole: false, put: [], removed: [] });
});
