/**
 * How manifests came to be what they are: every change that counted, with who, when, from where, why and what; and the state at an
 * earlier time. Read from `sallyport.control` when somebody asks. What is kept is where each manifest's events lie, no event itself.
 *
 * Times are those of the replica that wrote the event. The log's order decides: an event that says an earlier time than the one before
 * it is taken at its place.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { ControlEventSchema } from '@sallyport/proto/gen/sallyport/control/v1/control_pb.js';
import type { Kind, Manifest } from '@sallyport/shared/policy/model.ts';
import { Acceptance } from '../aggregates/acceptance.ts';
import { decodeEvent } from '../aggregates/control-log.ts';
import { type ManifestState, manifestAggregates, manifestKinds } from '../aggregates/manifest.ts';
import type { RecordedEvent, StoredManifest } from '../aggregates/projection.ts';
import { upcast } from '../aggregates/upcast.ts';
import type { LogReader } from '../log/event-log.ts';
import type { document } from '../manifests/apply.ts';
import { type Difference, differences } from '../manifests/diff.ts';

export interface ManifestChange {
  /** Counts the changes of this manifest from 1. */
  version: number;
  change: 'created' | 'changed' | 'deleted';
  at: string;
  author: string;
  address: string;
  reason: string;
  requestId: string;
  /** Paths in the manifest; values of secrets are in none. */
  diff: Difference[];
  /** Paths of secrets whose values came, went or changed. */
  secrets: string[];
}

/** Entries read at once. */
const page = 500;

export class ManifestHistory {
  readonly #log: LogReader;
  readonly #position: () => bigint;
  /** Stream → offsets of its events that count. */
  readonly #offsets = new Map<string, bigint[]>();
  readonly #acceptance = new Acceptance();
  #indexed = 0n;
  #indexing: Promise<void> = Promise.resolve();

  /** @param position how far the control log is folded: what is asked for is as new as the state is. */
  constructor(log: LogReader, position: () => bigint) {
    this.#log = log;
    this.#position = position;
  }

  /** @returns the changes, the newest first; none for what never was. */
  async changes(kind: Kind, name: string): Promise<ManifestChange[]> {
    const changes: ManifestChange[] = [];
    let before: ManifestState = { status: 'absent' };
    for (const event of await this.#eventsOf(streamOf(kind, name))) {
      const after = evolved(kind, before, event);
      changes.push({
        version: changes.length + 1,
        change: after.status === 'absent' ? 'deleted' : before.status === 'absent' ? 'created' : 'changed',
        at: new Date(atMs(event)).toISOString(),
        ...{ author: event.author, address: event.authorAddress, reason: event.reason, requestId: event.requestId },
        diff: differences(shownOf(before), shownOf(after)),
        secrets: changedSecrets(before, after),
      });
      before = after;
    }
    return changes.reverse();
  }

  /** The manifest as it was then. */
  async at(kind: Kind, name: string, timeMs: number): Promise<StoredManifest | undefined> {
    return this.#at(kind, streamOf(kind, name), timeMs);
  }

  /** All of a kind as they were then, by name. */
  async allAt(kind: Kind, timeMs: number): Promise<StoredManifest[]> {
    await this.#index();
    const prefix = `${manifestKinds[kind]}/`;
    const found: StoredManifest[] = [];
    for (const stream of [...this.#offsets.keys()].filter(each => each.startsWith(prefix)).sort()) {
      const stored = await this.#at(kind, stream, timeMs);
      if (stored !== undefined) found.push(stored);
    }
    return found;
  }

  async #at(kind: Kind, stream: string, timeMs: number): Promise<StoredManifest | undefined> {
    let state: ManifestState = { status: 'absent' };
    let last: RecordedEvent | undefined;
    for (const event of await this.#eventsOf(stream)) {
      if (atMs(event) > timeMs) break;
      state = evolved(kind, state, event);
      last = event;
    }
    if (last === undefined || state.status === 'absent') return undefined;
    const { manifest, secrets } = state;
    return { manifest, secrets, version: last.expectedVersion + 1n, updatedAtMs: atMs(last), author: last.author };
  }

  /** The stream's events that count, in order. */
  async #eventsOf(stream: string): Promise<RecordedEvent[]> {
    await this.#index();
    const events: RecordedEvent[] = [];
    for (const offset of this.#offsets.get(stream) ?? []) {
      const [entry] = await this.#log.read(offset, 1);
      if (entry === undefined) break;
      events.push(decodeEvent(entry));
    }
    return events;
  }

  /** Reads what has come since the last question; questions at the same time share it. */
  #index(): Promise<void> {
    // A question that failed told its asker; the next one reads on from where that one stopped.
    this.#indexing = this.#indexing.catch(() => undefined).then(() => this.#indexTo(this.#position()));
    return this.#indexing;
  }

  async #indexTo(end: bigint): Promise<void> {
    const prefixes = new Set(Object.values(manifestKinds));
    while (this.#indexed < end) {
      const entries = await this.#log.read(this.#indexed, page);
      if (entries.length === 0) return;
      for (const { offset, value } of entries) {
        this.#indexed = offset + 1n;
        const event = fromBinary(ControlEventSchema, value);
        const { stream } = event;
        if (!this.#acceptance.counts(event)) continue;
        if (!prefixes.has(stream.slice(0, stream.indexOf('/')))) continue;
        const offsets = this.#offsets.get(stream);
        if (offsets === undefined) this.#offsets.set(stream, [offset]);
        else offsets.push(offset);
      }
    }
  }
}

function streamOf(kind: Kind, name: string): string {
  return `${manifestKinds[kind]}/${name}`;
}

function evolved(kind: Kind, state: ManifestState, event: RecordedEvent): ManifestState {
  const aggregate = manifestAggregates[kind];
  return aggregate.evolve(state, upcast(aggregate.name, event));
}

function atMs(event: RecordedEvent): number {
  return Number(event.atUnixUs / 1000n);
}

function shownOf(state: ManifestState): Partial<Pick<ReturnType<typeof document>, 'spec'>> & { labels?: Manifest['labels'] } {
  if (state.status === 'absent') return {};
  return { labels: state.manifest.labels, spec: state.manifest.spec };
}

function changedSecrets(before: ManifestState, after: ManifestState): string[] {
  const [old, now] = [before, after].map(state => (state.status === 'present' ? state.secrets : {}));
  const paths = new Set([...Object.keys(old ?? {}), ...Object.keys(now ?? {})]);
  return [...paths].filter(path => old?.[path]?.fingerprint !== now?.[path]?.fingerprint).sort();
}
