import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checked, expiry, fine, skew } from './finding.ts';
import { agentFindings, credentialFindings, editionFindings } from './installation.ts';

const now = Date.UTC(2026, 10, 1);
const hour = 3_600_000;

test('certificates and clocks: fine, soon, too late; whatever is wrong says how to mend it', async () => {
  const outcome = (leftMs: number) => expiry('c', now + leftMs, now, { noteMs: 24 * hour }, 'renew it');
  assert.deepEqual(
    [outcome(48 * hour), outcome(hour), outcome(-hour)].map(each => [each.outcome, each.detail, each.mend]),
    [
      ['fine', 'good for 48 h', undefined],
      ['note', 'good for 60 min', 'renew it'],
      ['wrong', 'expired 60 min ago', 'renew it'],
    ],
  );
  assert.deepEqual(
    [800, -12_000, 45_000].map(ms => [skew('clock', ms, 'it').outcome, skew('clock', ms, 'it').detail]),
    [
      ['fine', 'it agrees with this machine'],
      ['note', 'it is 12 s behind this machine'],
      ['wrong', 'it is 45 s ahead of this machine'],
    ],
  );
  const failed = await checked('x', 'do this', async () => Promise.reject(new Error('no such thing')));
  assert.deepEqual(failed, [{ check: 'x', outcome: 'wrong', detail: 'no such thing', mend: 'do this' }]);
  assert.deepEqual(await checked('x', '', async () => fine('x', 'ok')), [fine('x', 'ok')]);
});

test('an agent: not connected, not serving, records piling up, a certificate that was not renewed', () => {
  const agent = {
    id: 'a',
    name: 'eu-1',
    status: 'online' as const,
    version: '1',
    problems: {},
    certificateExpiresAt: new Date(now + 20 * hour).toISOString(),
  };
  const brief = (more: object) => agentFindings({ ...agent, ...more }, now).map(({ outcome, detail }) => `${outcome}: ${detail}`);
  assert.deepEqual(brief({}), ['fine: connected, version 1']);
  assert.deepEqual(
    brief({ problems: { crm: 'port\u001b[2J taken' }, spoolRecords: 20_000, certificateExpiresAt: new Date(now + 60_000).toISOString() }),
    [
      'fine: connected, version 1',
      'wrong: does not serve crm: port·[2J taken',
      'note: good for 60 s',
      'note: 20000 records wait on its disk',
    ],
  );
  const [gone, ...more] = agentFindings({ ...agent, status: 'offline', certificateExpiresAt: new Date(now - hour).toISOString() }, now);
  assert.deepEqual([gone?.outcome, more.length], ['wrong', 0]);
  assert.match(`${gone?.detail} ${gone?.mend}`, /certificate has expired, so it cannot come back .*agents invite/);
});

test('a control log that waits for the end of an upgrade', () => {
  assert.deepEqual(
    [undefined, { inForce: 2, known: 2 }, { inForce: 1, known: 2 }].map(edition => editionFindings(edition).map(({ mend }) => mend)),
    [[], [], ['when every control plane runs it: `sallyport control-plane raise-edition`']],
  );
});

test('credentials that come from elsewhere: read, not readable, leased and about to end', () => {
  const source = (more: object) => ({
    ...{ credential: 'c', kinds: ['Vault'], problem: null, since: null, leaseEndsAt: null },
    ...more,
  });
  assert.deepEqual(credentialFindings([], now), []);
  assert.deepEqual(
    credentialFindings([source({}), source({ kinds: ['file', 'Vault'] })], now).map(({ outcome, detail }) => [outcome, detail]),
    [['fine', '2 read at their sources (Vault, file)']],
  );
  const since = new Date(now - 5 * 60_000).toISOString();
  const broken = (leaseEndsAt: string | null) =>
    credentialFindings([source({}), source({ credential: 'd', problem: 'Vault is sealed.', since, leaseEndsAt })], now);
  const [kept, ends, over] = [null, new Date(now + hour).toISOString(), new Date(now - 1).toISOString()].map(broken);
  assert.deepEqual([kept?.length, kept?.[0]?.outcome, kept?.[0]?.check], [1, 'wrong', 'credential d']);
  assert.match(kept?.[0]?.detail ?? '', /\(Vault\), for 5 min: Vault is sealed\. agents go on/);
  assert.match(ends?.[0]?.detail ?? '', /ends in 60 min$/);
  assert.match(over?.[0]?.detail ?? '', /is over$/);
});
