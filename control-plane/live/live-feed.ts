/**
 * What happens, as it happens, for those who watch: changes in the control log, sessions and commands from the records' log, and the
 * agents that are connected to this replica. Nothing is read while nobody watches.
 *
 * Events of the logs have a position, from which a watcher can go on later, at any replica. A repeat does no harm: an event carries
 * the thing as it is, not a difference. That an agent came or went is in no log: who comes back asks for the agents anew.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Kind } from '@sallyport/shared/policy/model.ts';
import type { Logger } from 'pino';
import type { ControlLog } from '../aggregates/control-log.ts';
import { manifestKinds } from '../aggregates/manifest.ts';
import type { Fleet } from '../grpc/fleet.ts';
import type { LogReader } from '../log/event-log.ts';
import { type KnownSession, type RecordEvent, RecordEvents } from './record-events.ts';

/** Offsets of the next entries of both logs. */
export interface FeedPosition {
  control: bigint;
  records: bigint;
}

export type LiveEvent =
  | RecordEvent
  | { type: 'approval'; approvalId: string }
  | { type: 'change'; changeId: string }
  | { type: 'agent'; agentId: string }
  | { type: 'policy'; kind: Kind; name: string };

export type LiveListener = (event: LiveEvent) => void;

export interface LiveFeedOptions {
  control: ControlLog;
  controlTopic: LogReader;
  records: LogReader;
  fleet: Fleet;
  logger: Logger;
  clock: () => number;
}

/** Entries read at once. */
const page = 200;
/** Entries before the position that are read for the commands which they ask: the answers come later. */
const lookBack = 200n;
/** Further back than this nobody goes on: the answer is to read everything anew. */
export const resumeEntriesMax = 5000n;
const tickMs = 500;
/** Agents told of in one tick: thousands may come back at once. */
const agentsPerTick = 200;
const retryMs = 500;
const kindOf = new Map<string, Kind>(Object.entries(manifestKinds).map(([kind, name]) => [name, kind as Kind]));

export class LiveFeed {
  readonly #options: LiveFeedOptions;
  readonly #listeners = new Set<LiveListener>();
  readonly #changedAgents = new Set<string>();
  #running: { stop: () => void; started: Promise<void> } | null = null;
  #records = 0n;

  constructor(options: LiveFeedOptions) {
    this.#options = options;
  }

  get watchers(): number {
    return this.#listeners.size;
  }

  /** Everything before this position has been told to those who listen. */
  get position(): FeedPosition {
    return { control: this.#options.control.position, records: this.#records };
  }

  /**
   * Calls back for each event from now on, in the logs' order, until the returned function is called.
   * @throws {GatewayError} of the log.
   */
  async subscribe(listener: LiveListener): Promise<() => void> {
    this.#listeners.add(listener);
    const unsubscribe = () => {
      if (!this.#listeners.delete(listener) || this.#listeners.size > 0) return;
      this.#running?.stop();
      this.#running = null;
    };
    this.#running ??= this.#start();
    try {
      await this.#running.started;
    } catch (error) {
      unsubscribe();
      throw error;
    }
    return unsubscribe;
  }

  /**
   * What happened between two positions: one event for each thing that the control log changed, and the events of records.
   * @param signal when nobody wants to know any more: reading stops.
   * @returns null when that is too far to go, or no position of these logs, or nobody wants to know.
   */
  async between(from: FeedPosition, to: FeedPosition, signal: AbortSignal): Promise<LiveEvent[] | null> {
    if (from.control > to.control || from.records > to.records) return null;
    if (to.control - from.control > resumeEntriesMax || to.records - from.records > resumeEntriesMax) return null;
    const { controlTopic, records, clock } = this.#options;
    try {
      const changed = new Set<string>();
      for await (const entry of entries(controlTopic, from.control, to.control)) {
        if (signal.aborted) return null;
        changed.add(new TextDecoder().decode(entry.key));
      }
      const events: LiveEvent[] = [...changed].flatMap(stream => this.#changed(stream));
      const decoder = new RecordEvents(id => this.#lookUp(id));
      const start = from.records > lookBack ? from.records - lookBack : 0n;
      for await (const entry of entries(records, start, to.records)) {
        if (signal.aborted) return null;
        const told = decoder.take(entry, clock());
        if (entry.offset >= from.records) events.push(...told);
      }
      return events;
    } catch (error) {
      // Older entries may have been deleted since.
      if (error instanceof GatewayError && error.code === 'LOG_OFFSET_GONE') return null;
      throw error;
    }
  }

  close(): void {
    this.#listeners.clear();
    this.#running?.stop();
    this.#running = null;
  }

  #start(): { stop: () => void; started: Promise<void> } {
    const { control, fleet } = this.#options;
    const stopping = new AbortController();
    const decoder = new RecordEvents(id => this.#lookUp(id));
    const stops = [
      control.onAccepted(events => {
        for (const stream of new Set(events.map(event => event.stream))) for (const event of this.#changed(stream)) this.#tell(event);
      }),
      fleet.onAgentChanged(agentId => this.#changedAgents.add(agentId)),
    ];
    const timer = setInterval(() => this.#tick(decoder), tickMs);
    const stop = () => {
      stopping.abort();
      clearInterval(timer);
      for (const each of stops) each();
      this.#changedAgents.clear();
    };
    const started = this.#toTheEnd(decoder).then(() => {
      void this.#follow(decoder, stopping.signal);
    });
    return { stop, started };
  }

  /** Nothing is told of what was before, but the commands that are not answered yet are known. */
  async #toTheEnd(decoder: RecordEvents): Promise<void> {
    const { records, clock } = this.#options;
    const end = await records.endOffset();
    for await (const entry of entries(records, end > lookBack ? end - lookBack : 0n, end)) decoder.take(entry, clock());
    this.#records = end;
  }

  async #follow(decoder: RecordEvents, signal: AbortSignal): Promise<void> {
    const { records, clock, logger } = this.#options;
    while (!signal.aborted) {
      try {
        if (!(await records.waitFor(this.#records, 60_000, signal))) continue;
        for (const entry of await records.read(this.#records, page)) {
          if (signal.aborted) return;
          this.#records = entry.offset + 1n;
          for (const event of decoder.take(entry, clock())) this.#tell(event);
        }
      } catch (error) {
        if (error instanceof GatewayError && error.code === 'LOG_CLOSED') return;
        logger.warn({ err: errorText(error) }, 'the log of records cannot be followed for those who watch; trying again');
        await delay(retryMs, undefined, { signal }).catch(() => undefined); // Ended by the signal: the loop sees it.
      }
    }
  }

  #tick(decoder: RecordEvents): void {
    for (const event of decoder.announce(this.#options.clock())) this.#tell(event);
    let told = 0;
    for (const agentId of this.#changedAgents) {
      this.#changedAgents.delete(agentId);
      this.#tell({ type: 'agent', agentId });
      if (++told >= agentsPerTick) break;
    }
  }

  #tell(event: LiveEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }

  #changed(stream: string): LiveEvent[] {
    const slash = stream.indexOf('/');
    const [aggregate, id] = [stream.slice(0, slash), stream.slice(slash + 1)];
    if (aggregate === 'approval') return [{ type: 'approval', approvalId: id }];
    if (aggregate === 'change') return [{ type: 'change', changeId: id }];
    if (aggregate === 'agent') return [{ type: 'agent', agentId: id }];
    const kind = kindOf.get(aggregate);
    return kind === undefined ? [] : [{ type: 'policy', kind, name: id }];
  }

  #lookUp(sessionId: string): KnownSession | undefined {
    const session = this.#options.fleet.liveSession(sessionId);
    if (session === undefined) return undefined;
    return {
      startedAt: BigInt(session.startedAtMs) * 1000n,
      context: {
        ...{ agent: session.agent, resource: session.resource, protocol: '', principal: session.principal, groups: [], delegation: [] },
        ...{ principal_kind: session.principalKind, client_address: session.clientAddress, role: session.role, issuer: session.issuer },
      },
    };
  }
}

async function* entries(log: LogReader, from: bigint, to: bigint) {
  for (let next = from; next < to; ) {
    const read = await log.read(next, page);
    if (read.length === 0) return;
    for (const entry of read) {
      if (entry.offset >= to) return;
      yield entry;
      next = entry.offset + 1n;
    }
  }
}
