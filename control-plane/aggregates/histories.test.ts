/**
 * Histories that installations of earlier versions have in their logs (capture-history.ts): each still folds, and to what it folded to. A
 * history without its `.expected.json` fails, and says what it folds to.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { editionOfEvent } from './editions.ts';
import { Projection, type RecordedEvent } from './projection.ts';

const folder = join(import.meta.dirname, 'histories');

function eventsOf(file: string): RecordedEvent[] {
  return readFileSync(join(folder, file), 'utf8')
    .trimEnd()
    .split('\n')
    .map(
      line =>
        JSON.parse(line, (_key, value: unknown) =>
          typeof value === 'string' && /^\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value,
        ) as RecordedEvent,
    );
}

/** What a replica would say of the state: enough that a change of meaning shows. */
function summary(events: readonly RecordedEvent[]): unknown {
  const state = new Projection();
  const accepted = events.filter(event => state.fold(event)).length;
  const atMs = Number((events.at(-1)?.atUnixUs ?? 0n) / 1000n);
  return {
    events: events.length,
    accepted,
    resources: state.manifests('Resource').map(({ manifest, version }) => `${manifest.name}@${version}`),
    roles: state.manifests('Role').map(({ manifest, version }) => `${manifest.name}@${version}`),
    guards: state.manifests('Guard').map(({ manifest }) => manifest.name),
    credentials: state.manifests('Credential').map(({ manifest, secrets }) => `${manifest.name}: ${Object.keys(secrets).join()}`),
    agents: state.agents().map(([, agent]) => agent.status),
    users: state.users().map(([, user]) => user.status),
    blocked: state.blockedPeople(),
    pendingApprovals: state.pendingApprovals().length,
    issuedTickets: state.issuedTickets(atMs).length,
    revokedTickets: state.revokedTickets(atMs).length,
    holds: Object.keys(state.retention().holds).length,
    ledgers: Object.keys(state.checkpoints().ledgers).length,
    answeredApprovals: state.answeredApprovals().map(([, approval]) => approval.status),
    accessGrants: state.accessGrants(atMs).length,
    changes: state.changes().map(([, change]) => change.status),
    groups: state.groups().map(([, group]) => group.status),
    accountSecrets: state.accountSecrets().map(({ account }) => account),
    sshKeys: state.sshKeys.all().map(key => `${key.holder.name}: ${key.type}`),
    edition: state.edition(),
  };
}

for (const file of readdirSync(folder).filter(name => name.endsWith('.jsonl'))) {
  test(`the history ${file} folds to what it did`, () => {
    const found = JSON.stringify(summary(eventsOf(file)), null, 2);
    const expectations = join(folder, file.replace('.jsonl', '.expected.json'));
    assert.ok(existsSync(expectations), `look at it, and write it into ${expectations}:\n${found}`);
    assert.deepEqual(JSON.parse(found), JSON.parse(readFileSync(expectations, 'utf8')));
  });
}

test('a second delivery of any event counts for nothing', () => {
  for (const file of readdirSync(folder).filter(name => name.endsWith('.jsonl'))) {
    const [doubled, once] = [new Projection(), new Projection()];
    for (const event of eventsOf(file)) {
      once.fold(event);
      doubled.fold(event);
      assert.equal(doubled.fold(event), false);
    }
    assert.deepEqual(doubled.dump(), once.dump());
  }
});

/** Not recorded yet: they take an authority for time stamps, an approval that nobody answers, a replica of an earlier version, a second edition. */
const notRecorded: readonly string[] = ['RootTimestamped', 'ApprovalExpired', 'SessionWatchContinued', 'EditionRaised'];

test('every event that this version knows is in a history', () => {
  const recorded = new Set(
    readdirSync(folder)
      .filter(name => name.endsWith('.jsonl'))
      .flatMap(file => eventsOf(file).map(({ type }) => type)),
  );
  assert.deepEqual(
    Object.keys(editionOfEvent).filter(type => !recorded.has(type) !== notRecorded.includes(type)),
    [],
    'make a history that has them (capture-history.ts)',
  );
});
