/**
 * The property that replaces a leader: writers that race, wait, crash and send twice end in one history. Called from a test file with
 * a way to open the log, as a process of its own would.
 *
 * Every writer adds its own word to the list that it saw, so a lost update, a doubled one and an acknowledged one that is missing all
 * show in the lists. Delays and faults come from a seed.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import type { EventLog } from '../log/event-log.ts';
import { action, ControlLog, type Provenance } from './control-log.ts';
import type { Aggregate } from './decider.ts';

export interface RacingWritersOptions {
  /** Opens the same log once more; closing what it gives must leave the log as it is. */
  open: () => Promise<EventLog>;
  seed: number;
  replicas: number;
  writersPerReplica: number;
  changesPerWriter: number;
  streams: number;
}

const me: Provenance = { author: 'test', authorAddress: '127.0.0.1', reason: '', requestId: '' };

/** @throws {AssertionError} when the histories differ, or a change is missing or there twice. */
export async function racingWriters(options: RacingWritersOptions): Promise<{ acknowledged: number; uncertain: number; entries: bigint }> {
  const random = seeded(options.seed);
  const acknowledged = new Set<string>();
  /** Their writers were told that it is not known. */
  const uncertain = new Set<string>();
  const opened: { control: ControlLog; log: EventLog }[] = [];
  const openReplica = async (faulty: boolean) => {
    const log = await options.open();
    const control = await ControlLog.open(faulty ? unreliable(log, random) : log, {
      onFault: error => {
        throw error;
      },
    });
    const replica = { control, log };
    opened.push(replica);
    return replica;
  };
  const close = async (replica: { control: ControlLog; log: EventLog }) => {
    opened.splice(opened.indexOf(replica), 1);
    await replica.control.close();
    await replica.log.close();
  };
  try {
    await Promise.all(
      Array.from({ length: options.replicas }, async (_, r) => {
        let replica = await openReplica(true);
        for (let life = 0; life < 2; life++) {
          await Promise.all(
            Array.from({ length: options.writersPerReplica }, async (_unused, w) => {
              for (let n = 0; n < options.changesPerWriter / 2; n++) {
                const word = `${r}.${w}.${life}.${n}`;
                await delay(random() * 5);
                try {
                  const outcome = await replica.control.execute([add(word, `role-${Math.floor(random() * options.streams)}`)], me);
                  assert.ok(outcome.accepted);
                  acknowledged.add(word);
                } catch (error) {
                  if (!(error instanceof GatewayError)) throw error;
                  uncertain.add(word);
                }
              }
            }),
          );
          // A crash: another life begins from the log alone.
          await close(replica);
          replica = await openReplica(true);
        }
      }),
    );
    const reference = await openReplica(false);
    const words: string[] = [];
    for (const { manifest } of reference.control.state.manifests('Role')) words.push(...(manifest as Manifest<'Role'>).spec.members.groups);
    const there = new Set(words);
    assert.equal(there.size, words.length, 'no change is there twice');
    for (const word of acknowledged) assert.ok(there.has(word), `${word} was acknowledged and is missing`);
    for (const word of there) assert.ok(acknowledged.has(word) || uncertain.has(word), `${word} came from nowhere`);
    for (const { control } of opened) {
      while (control.position < reference.control.position) await delay(5);
      assert.deepEqual(control.state.dump(), reference.control.state.dump());
    }
    assert.ok(acknowledged.size > 0);
    return { acknowledged: acknowledged.size, uncertain: uncertain.size, entries: reference.control.position };
  } finally {
    for (const replica of [...opened]) await close(replica);
  }
}

/** Under a real aggregate's name, so that the projection folds it. */
function add(word: string, name: string) {
  const aggregate: Aggregate<unknown, null, { type: 'RoleApplied'; payload: unknown }> = {
    name: 'role',
    initialState: { status: 'absent' },
    decide: (_request, state) => {
      const seen = (state as { manifest?: Manifest<'Role'> }).manifest?.spec.members.groups ?? [];
      const manifest: Manifest = {
        kind: 'Role',
        name,
        labels: {},
        spec: { members: { groups: [...seen, word], serviceAccounts: [], principals: [] }, resources: {}, session: {} },
      };
      return { accepted: true, events: [{ type: 'RoleApplied', payload: { manifest, secrets: {} } }] };
    },
    evolve: state => state,
  };
  return action(aggregate, name, null);
}

/** A log that is slow, writes twice, writes without saying so, and says that it does not know without having written. */
function unreliable(log: EventLog, random: () => number): EventLog {
  const uncertain = () => new GatewayError('LOG_UNCERTAIN', 'unavailable', 'The test does not say.');
  return {
    async append(entries) {
      if (random() < 0.3) await delay(random() * 20);
      const fate = random();
      if (fate < 0.05) throw uncertain();
      const offset = await log.append(entries);
      if (fate < 0.1) throw uncertain();
      if (fate < 0.2) await log.append(entries);
      return offset;
    },
    read: (from, max) => log.read(from, Math.max(1, Math.floor(random() * max))),
    endOffset: () => log.endOffset(),
    waitFor: (offset, timeoutMs, signal) => log.waitFor(offset, timeoutMs, signal),
    close: () => log.close(),
  };
}

function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 4294967296;
  };
}
