import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { RecordedEvent } from '../aggregates/projection.ts';
import type { Entry, EventLog, NewEntry } from '../log/event-log.ts';
import { WatchPresence } from './watch-presence.ts';

/** A topic in memory, shared by replicas. */
class Topic implements EventLog {
  readonly entries: Entry[] = [];
  nowMs = 0;
  failing: GatewayError | null = null;
  #arrival = Promise.withResolvers<void>();

  append(entries: readonly NewEntry[]): Promise<bigint> {
    if (this.failing !== null) return Promise.reject(this.failing);
    const first = BigInt(this.entries.length);
    for (const entry of entries) this.entries.push({ ...entry, offset: BigInt(this.entries.length), timestampMs: this.nowMs });
    this.wake();
    return Promise.resolve(first);
  }
  #waiting: bigint[] = [];
  wake(): void {
    this.#waiting = [];
    this.#arrival.resolve();
    this.#arrival = Promise.withResolvers();
  }
  read(from: bigint, max: number): Promise<Entry[]> {
    return Promise.resolve(this.entries.slice(Number(from), Number(from) + max));
  }
  endOffset(): Promise<bigint> {
    return Promise.resolve(BigInt(this.entries.length));
  }
  /** Resolves when every replica has taken what there is. */
  async taken(replicas: number): Promise<void> {
    while (this.#waiting.filter(offset => offset === BigInt(this.entries.length)).length < replicas)
      await new Promise(resolve => setImmediate(resolve));
  }
  async waitFor(offset: bigint, _timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    this.#waiting.push(offset);
    const stopped = new Promise<void>(resolve => signal?.addEventListener('abort', () => resolve(), { once: true }));
    while (offset >= this.entries.length && signal?.aborted !== true) await Promise.race([this.#arrival.promise, stopped]);
    return signal?.aborted !== true;
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

function replica(beats: Topic | null, clock = () => beats?.nowMs ?? 0) {
  const told: [session: string, watch: string, observer: string, forMs: number][] = [];
  const warnings: string[] = [];
  let heard = Promise.withResolvers<void>();
  let accepted: (events: RecordedEvent[]) => void = () => undefined;
  const presence = new WatchPresence({
    beats,
    control: {
      onAccepted(listener) {
        accepted = listener;
        return () => undefined;
      },
    },
    fleet: {
      observeSession(...args) {
        told.push(args);
        heard.resolve();
        heard = Promise.withResolvers();
      },
    },
    logger: { warn: (_: object, text: string) => warnings.push(text) } as never,
    clock,
  });
  presence.start();
  const until = async (count: number) => {
    while (told.length < count) await heard.promise;
  };
  const ended = (watchId: string) => accepted([{ type: 'SessionWatchEnded', payload: { watch: { watchId } } } as RecordedEvent]);
  return { presence, told, warnings, until, ended };
}

test('a beat reaches every replica’s agents for what is left of its time', async () => {
  const topic = new Topic();
  topic.nowMs = 100_000;
  await topic.append([{ key: Buffer.from('s'), value: Buffer.from('before it was there') }]);
  let laterMs = 4_000;
  const [here, there] = [replica(topic), replica(topic, () => topic.nowMs + laterMs)];
  await topic.taken(2);
  await here.presence.tell('s', 'w', 'ann', 30_000);
  await there.until(1);
  assert.deepEqual(there.told, [['s', 'w', 'ann', 26_000]]);
  laterMs = -60_000;
  await here.presence.tell('s', 'w', 'ann', 3_600_000);
  await there.until(2);
  assert.deepEqual(there.told[1], ['s', 'w', 'ann', 30_000], 'neither a clock that goes wrong nor a large word lengthens it');
  laterMs = 31_000;
  await here.presence.tell('s', 'w', 'ann', 30_000);
  await topic.append([{ key: Buffer.from('s'), value: Buffer.from([0xff]) }]);
  await topic.taken(2);
  laterMs = 0;
  await here.presence.tell('s', 'w2', 'bob', 30_000);
  await there.until(3);
  assert.equal(there.told.length, 3);
  assert.ok(
    there.told.every(([, , , forMs]) => forMs > 0),
    'a late one ends nothing',
  );
  // They have gone by the control log, and a beat of theirs comes after that.
  there.ended('w');
  await here.presence.tell('s', 'w', 'ann', 30_000);
  await here.presence.tell('s', 'w2', 'bob', 30_000);
  await there.until(4);
  assert.equal(there.told[3]?.[1], 'w2');
  await Promise.all([here.presence.close(), there.presence.close()]);
});

test('where nobody can be told, nothing is waited for and nothing thrown', async () => {
  const alone = replica(null);
  await alone.presence.tell('s', 'w', 'ann', 1);
  await alone.presence.close();
  const topic = new Topic();
  topic.failing = new GatewayError('KAFKA_UNAVAILABLE', 'unavailable', 'no');
  const cut = replica(topic);
  await cut.presence.tell('s', 'w', 'ann', 1);
  await cut.presence.tell('s', 'w', 'ann', 1);
  assert.equal(cut.warnings.length, 2);
  await cut.presence.close();
});
