import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { GatewayError } from '@sallyport/shared/errors.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import { openFileLog } from '../log/file-log.ts';
import { agentAggregate } from './agent.ts';
import { action, ControlLog, type ControlLogOptions, type Provenance } from './control-log.ts';
import type { Aggregate } from './decider.ts';
import { editions } from './editions.ts';
import { manifestAggregates } from './manifest.ts';
import { ticketAggregate } from './ticket-revocation.ts';

const me: Provenance = { author: 'test', authorAddress: '127.0.0.1', reason: 'because', requestId: 'r1' };
const role = (name: string, groups: string[]): Manifest => ({
  kind: 'Role',
  name,
  labels: {},
  spec: { members: { groups, serviceAccounts: [], principals: [] }, resources: {}, session: {} },
});
const apply = (name: string, groups: string[]) =>
  action(manifestAggregates.Role, name, { type: 'apply' as const, manifest: role(name, groups), secrets: {} });

async function withLog(
  body: (open: (options?: Partial<ControlLogOptions>) => Promise<ControlLog>, dir: string) => Promise<void>,
): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'sallyport-control-'));
  const dir = join(root, 'sallyport.control');
  const log = await openFileLog({ dir });
  const opened: ControlLog[] = [];
  try {
    await body(async options => {
      const control = await ControlLog.open(log, {
        onFault: error => {
          throw error;
        },
        ...options,
      });
      opened.push(control);
      return control;
    }, dir);
  } finally {
    for (const control of opened) await control.close();
    await log.close();
    await rm(root, { recursive: true });
  }
}

test('a change is seen by whoever reads after its answer, with its author, and a repeat yields no event', () =>
  withLog(async open => {
    const control = await open();
    const first = await control.execute([apply('support', ['a']), apply('dba', ['b'])], me);
    assert.ok(first.accepted);
    assert.deepEqual(
      first.events.map(event => [event.stream, event.type, event.expectedVersion, event.author, event.reason]),
      [
        ['role/support', 'RoleApplied', 0n, 'test', 'because'],
        ['role/dba', 'RoleApplied', 0n, 'test', 'because'],
      ],
    );
    assert.deepEqual(
      control.state.manifests('Role').map(stored => stored.manifest.name),
      ['dba', 'support'],
    );
    const again = await control.execute([apply('support', ['a'])], me);
    assert.deepEqual(again, { accepted: true, events: [] });
    assert.equal(control.position, 2n);
  }));

test('the state after a restart equals the state before', () =>
  withLog(async open => {
    const control = await open();
    for (let i = 0; i < 20; i++) await control.execute([apply(`r${i % 7}`, [`g${i}`])], me);
    await control.execute([action(manifestAggregates.Role, 'r3', { type: 'delete' })], me);
    await control.execute([action(ticketAggregate, 'jti-1', { type: 'revoke', expiresAtMs: Date.now() + 60_000 })], me);
    await control.execute(
      [
        action(agentAggregate, 'a1', {
          type: 'invite',
          invitation: { secretHash: 'x', labels: { n: 'x' }, everyResource: false, expiresAtMs: 1 },
        }),
      ],
      me,
    );
    const restarted = await open();
    assert.deepEqual(restarted.state.dump(), control.state.dump());
    assert.deepEqual(restarted.state.revokedTickets(Date.now()), ['jti-1']);
    assert.equal(restarted.state.manifest('Role', 'r3'), undefined);
    assert.equal(restarted.state.agent('a1').status, 'invited');
  }));

test('if one request of several is rejected, nothing is appended', () =>
  withLog(async open => {
    const control = await open();
    const outcome = await control.execute([apply('support', ['a']), action(agentAggregate, 'nobody', { type: 'revoke', reason: '' })], me);
    assert.ok(!outcome.accepted);
    assert.equal(outcome.rejection.code, 'AGENT_UNKNOWN');
    assert.equal(control.position, 0n);
  }));

/** Adds to a number that starts at 0; used under a real aggregate's name so that the projection folds it. */
test('racing writers on the same streams end in one history, with every acknowledged change in it once', () =>
  withLog(async open => {
    const replicas = [await open(), await open(), await open()];
    // Each writer adds its own group to what it saw: a lost update would show.
    const add = (group: string, name: string) => {
      const aggregate: Aggregate<unknown, { group: string }, { type: 'RoleApplied'; payload: unknown }> = {
        name: 'role',
        initialState: { status: 'absent' },
        decide: (request, state) => {
          const seen = (state as { manifest?: Manifest<'Role'> }).manifest?.spec.members.groups ?? [];
          return {
            accepted: true,
            events: [{ type: 'RoleApplied', payload: { manifest: role(name, [...seen, request.group]), secrets: {} } }],
          };
        },
        evolve: state => state,
      };
      return action(aggregate, name, { group });
    };
    const acknowledged: string[] = [];
    await Promise.all(
      replicas.flatMap((replica, r) =>
        Array.from({ length: 4 }, async (_, w) => {
          for (let n = 0; n < 5; n++) {
            const group = `${r}.${w}.${n}`;
            const outcome = await replica.execute([add(group, `role-${n % 2}`)], me);
            assert.ok(outcome.accepted && outcome.events.length === 1);
            acknowledged.push(group);
          }
        }),
      ),
    );
    const last = await open();
    const groups = last.state.manifests('Role').flatMap(stored => (stored.manifest as Manifest<'Role'>).spec.members.groups);
    assert.deepEqual(groups.toSorted(), acknowledged.toSorted());
    assert.equal(last.state.stream('role/role-0').version + last.state.stream('role/role-1').version, 60n);
    for (const replica of replicas) {
      while (replica.position < last.position) await new Promise(resolve => setImmediate(resolve));
      assert.deepEqual(replica.state.dump(), last.state.dump());
    }
  }));

test('a second delivery of an accepted event changes nothing', () =>
  withLog(async (open, dir) => {
    const control = await open();
    await control.execute([apply('support', ['a'])], me);
    await control.close();
    const log = await openFileLog({ dir: `${dir}-copy` });
    const source = await openFileLog({ dir });
    const [entry] = await source.read(0n, 1);
    await source.close();
    assert.ok(entry);
    await log.append([entry, entry]);
    const copy = await ControlLog.open(log, { onFault: () => undefined });
    assert.equal(copy.state.stream('role/support').version, 1n);
    await copy.close();
    await log.close();
  }));

test('an entry that this version does not understand ends the fold with a fault', () =>
  withLog(async open => {
    const control = await open();
    const unknown: Aggregate<unknown, null, { type: string; payload: unknown }> = {
      name: 'role',
      initialState: {},
      decide: () => ({ accepted: true, events: [{ type: 'RoleBlessed', payload: {} }] }),
      evolve: state => state,
    };
    const faults: string[] = [];
    const root = await mkdtemp(join(tmpdir(), 'sallyport-control-'));
    const log = await openFileLog({ dir: join(root, 'l') });
    const other = await ControlLog.open(log, {
      onFault: error => faults.push(error.code),
      editions: { known: 1, of: type => (type === 'RoleBlessed' ? 1 : editions.of(type)) },
    });
    await assert.rejects(other.execute([action(unknown, 'x', null)], me), { code: 'EVENT_IMPOSSIBLE' });
    assert.deepEqual(faults, ['EVENT_IMPOSSIBLE']);
    await assert.rejects(other.execute([apply('support', ['a'])], me), { code: 'EVENT_IMPOSSIBLE' });
    await assert.rejects(ControlLog.open(log, { onFault: () => undefined }), { code: 'EVENT_UNKNOWN' });
    await assert.rejects(control.execute([action(unknown, 'x', null)], me), { code: 'CONTROL_LOG_FAULT' });
    await other.close();
    await log.close();
    await control.execute([apply('support', ['a'])], me);
  }));

test('replicas of two neighbouring versions on one log: what the earlier one does not know is written when the log was raised', () =>
  withLog(async open => {
    const of = (type: string) => (type === 'TicketRevoked' ? 2 : editions.of(type));
    const faults: GatewayError[] = [];
    const before = await open({ editions: { known: 1, of }, onFault: error => faults.push(error) });
    const next = await open({ editions: { known: 2, of } });
    const revoke = () => next.execute([action(ticketAggregate, 'jti-1', { type: 'revoke', expiresAtMs: Date.now() + 60_000 })], me);
    const early = await revoke();
    assert.equal(early.accepted ? '' : early.rejection.code, 'EDITION_TOO_LOW');
    assert.match(early.accepted ? '' : early.rejection.message, /edition 2 .* is at 1 .*raise-edition/);
    await Promise.all([before, next].flatMap((replica, r) => [1, 2, 3].map(n => replica.execute([apply(`r${n}`, [`${r}`])], me))));
    assert.equal(await next.catchUp(30_000), true);
    assert.equal(await before.catchUp(30_000), true);
    assert.deepEqual(before.state.dump(), next.state.dump());
    assert.deepEqual([before.edition, next.edition, faults], [{ inForce: 1, known: 1 }, { inForce: 1, known: 2 }, []]);

    assert.equal((await next.raiseEdition(me)).accepted, true);
    assert.deepEqual(await next.raiseEdition(me), { accepted: true, events: [] }, 'a repeat is none');
    assert.equal((await revoke()).accepted, true);
    await assert.rejects(before.execute([apply('late', [])], me), { code: 'EVENT_UNKNOWN' });
    assert.match(faults[0]?.message ?? '', /edition 2, which this version does not know. Upgrade it/);
    await assert.rejects(open({ editions: { known: 1, of } }), { code: 'EVENT_UNKNOWN' });
    assert.equal((await open({ editions: { known: 2, of } })).edition.inForce, 2);
  }));
