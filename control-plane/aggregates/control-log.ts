/**
 * The only way to change the control plane's state: ask an aggregate, append what it decides, and see in the log whether that counts.
 *
 * The log has no compare-and-set. An event carries the version that it expects of its stream; whoever comes second in the log finds its
 * event not accepted, looks again, decides again. A decision that looks at other streams says at which state of them it was made
 * (`looksAt`), and counts only if they are as they were. A request's answer is given once its events have been read back, so a reader of
 * `state` who comes after the answer sees the change.
 */
import { randomUUIDv7 } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ControlEventSchema } from '@sallyport/proto/gen/sallyport/control/v1/control_pb.js';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Entry, EventLog, NewEntry } from '../log/event-log.ts';
import { kindOfStream } from './acceptance.ts';
import { type Aggregate, type Decision, type DomainEvent, type Rejection, reject } from './decider.ts';
import { editionAggregate, editionStreamId } from './edition.ts';
import { type Editions, editions } from './editions.ts';
import { Projection, type ProjectionState, type RecordedEvent } from './projection.ts';
import { currentSchema } from './upcast.ts';

/** Who asks, for the record. */
export interface Provenance {
  author: string;
  /** Who that is, whatever they are called; absent for agents, the system and the administrator's token. */
  authorIdentity?: { issuer: string; subject: string };
  authorAddress: string;
  reason: string;
  requestId: string;
}

/** A request to one stream, bound to its aggregate. */
export interface Action {
  stream: string;
  /**
   * Kinds of streams that the decision looks at besides its own. The event counts only if none of them has changed in between, at any
   * replica; else it is decided again.
   */
  looksAt?: readonly string[];
  decide(state: unknown, all: Projection): Decision<DomainEvent>;
}

export type Outcome = { accepted: true; events: RecordedEvent[] } | { accepted: false; rejection: Rejection; stream: string };

export function action<State, Request, Event extends DomainEvent>(
  aggregate: Aggregate<State, Request, Event>,
  id: string,
  request: Request,
): Action {
  return { stream: `${aggregate.name}/${id}`, decide: state => aggregate.decide(request, state as State) };
}

/** An action whose request is made of the state of other streams, anew whenever it is decided. */
export function informedAction<State, Request, Event extends DomainEvent>(
  aggregate: Aggregate<State, Request, Event>,
  id: string,
  looksAt: readonly string[],
  request: (all: Projection) => Request | Rejection,
): Action {
  return {
    stream: `${aggregate.name}/${id}`,
    looksAt,
    decide: (state, all) => {
      const made = request(all);
      return isRejection(made) ? { accepted: false, rejection: made } : aggregate.decide(made, state as State);
    },
  };
}

function isRejection(made: unknown): made is Rejection {
  return typeof made === 'object' && made !== null && 'code' in made && 'kind' in made && 'message' in made;
}

/** Entries folded between two turns of the event loop. */
const readMax = 500;
const attemptsMax = 50;
/** How often events are sent again of which the log could not say whether it has them. */
const deliveriesMax = 3;
/** How long a writer waits to see his own events come by. */
const verdictMsMax = 30_000;
const retryPauseMs = 250;

export interface ControlLogOptions {
  clock?: () => number;
  /** Called with every entry in log order, accepted or not, from the first on that is folded. */
  onEntry?: (entry: Entry, event: RecordedEvent) => void;
  /** Called once if the log can no longer be read or understood: the process must end, since its state is stale. */
  onFault: (error: GatewayError) => void;
  /** What was folded before, and the offset of the next entry. */
  from?: { position: bigint; state: ProjectionState };
  /** What this program understands; another than this version's for tests. */
  editions?: Editions;
}

export class ControlLog {
  readonly state: Projection;
  readonly #editions: Editions;
  readonly #log: EventLog;
  readonly #clock: () => number;
  readonly #onEntry: ((entry: Entry, event: RecordedEvent) => void) | undefined;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<(events: RecordedEvent[]) => void>();
  /** Events of our own that are on their way through the log. */
  readonly #awaited = new Map<string, (accepted: boolean) => void>();
  readonly #reaching = new Set<{ offset: bigint; resolve: () => void }>();
  #position = 0n;
  #following: Promise<void> = Promise.resolve();
  #fault: GatewayError | null = null;

  private constructor(log: EventLog, { clock = Date.now, onEntry, from, editions: known = editions }: ControlLogOptions) {
    this.#log = log;
    this.#editions = known;
    this.#clock = clock;
    this.#onEntry = onEntry;
    this.state = new Projection(from?.state, known);
    this.#position = from?.position ?? 0n;
  }

  /** Folds the whole log, or what came after a snapshot, then follows it. */
  static async open(log: EventLog, options: ControlLogOptions): Promise<ControlLog> {
    const control = new ControlLog(log, options);
    const { inForce, known } = control.edition;
    if (inForce > known)
      throw new GatewayError('EVENT_UNKNOWN', 'internal', `The snapshot is of edition ${inForce}; this version knows ${known}.`);
    const end = await log.endOffset();
    while (control.#position < end) await control.#foldNext();
    control.#following = control.#follow().catch((error: unknown) => {
      control.#fault =
        error instanceof GatewayError ? error : new GatewayError('CONTROL_LOG_FAULT', 'internal', errorText(error), { cause: error });
      for (const settle of control.#awaited.values()) settle(false);
      options.onFault(control.#fault);
    });
    return control;
  }

  /** The offset of the next entry to fold: rises with every entry, accepted or not. */
  get position(): bigint {
    return this.#position;
  }

  /**
   * Waits until everything below an offset is folded: for a reader who has seen that much at another replica.
   * @returns false when that takes longer.
   */
  async reach(offset: bigint, timeoutMs: number): Promise<boolean> {
    if (this.#position >= offset) return true;
    const { promise, resolve } = Promise.withResolvers<true>();
    const waiting = { offset, resolve: () => resolve(true) };
    this.#reaching.add(waiting);
    try {
      return (await within(promise, timeoutMs)) ?? false;
    } finally {
      this.#reaching.delete(waiting);
    }
  }

  /** Waits for what is in the log by now. @returns false when that takes longer, or the log cannot be asked. */
  async catchUp(timeoutMs: number): Promise<boolean> {
    const end = await within(
      this.#log.endOffset().catch(() => null),
      timeoutMs,
    );
    return end !== null && this.reach(end, timeoutMs);
  }

  /** The edition that the log is at, and the newest that this version knows (editions.ts). */
  get edition(): { inForce: number; known: number } {
    return { inForce: this.state.edition(), known: this.#editions.known };
  }

  /**
   * Brings the log to the newest edition that this version knows: from then on versions that do not know it stop.
   * @throws {GatewayError} of the log.
   */
  async raiseEdition(provenance: Provenance): Promise<Outcome> {
    return this.execute([action(editionAggregate, editionStreamId, { type: 'raise', edition: this.#editions.known })], provenance);
  }

  /** Calls back after each run of accepted events, when `state` has them. */
  onAccepted(listener: (events: RecordedEvent[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Decides all actions on the current state and appends their events together. If any is rejected nothing is appended. An action that
   * loses a race is decided again; a rejection at that point is returned, with the others' events accepted already.
   * @returns the accepted events, in the actions' order; none for repeats.
   * @throws {GatewayError} of the log, or CONTROL_LOG_CONTENTION after too many lost races.
   */
  async execute(actions: readonly Action[], provenance: Provenance): Promise<Outcome> {
    const accepted: RecordedEvent[] = [];
    let pending = [...actions];
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const proposals: { action: Action; event: RecordedEvent }[] = [];
      /** What the proposals before one will have made of the kinds when it is read. */
      const proposed = new Map<string, bigint>();
      for (const candidate of pending) {
        const { version, state } = this.state.stream(candidate.stream);
        const decision = candidate.decide(state, this.state);
        if (!decision.accepted) return { accepted: false, rejection: decision.rejection, stream: candidate.stream };
        if (decision.events.length > 1) {
          throw new GatewayError(
            'CONTROL_LOG_FAULT',
            'internal',
            `${candidate.stream}: a request may yield one event, not ${decision.events.length}.`,
          );
        }
        for (const event of decision.events) {
          const tooNew = this.#tooNew(event.type);
          if (tooNew !== null) return { accepted: false, rejection: tooNew, stream: candidate.stream };
          const kinds = (candidate.looksAt ?? []).map(kind => [kind, this.state.kindVersion(kind) + (proposed.get(kind) ?? 0n)] as const);
          proposals.push({ action: candidate, event: this.#envelope(candidate.stream, version, kinds, event, provenance) });
          const kind = kindOfStream(candidate.stream);
          proposed.set(kind, (proposed.get(kind) ?? 0n) + 1n);
        }
      }
      if (proposals.length === 0) return { accepted: true, events: accepted };
      const verdicts = await this.#append(proposals.map(proposal => proposal.event));
      pending = [];
      for (const [index, proposal] of proposals.entries()) {
        if (verdicts[index]) accepted.push(proposal.event);
        else pending.push(proposal.action);
      }
      if (pending.length === 0) return { accepted: true, events: accepted };
    }
    throw new GatewayError('CONTROL_LOG_CONTENTION', 'unavailable', 'Others keep changing the same thing at the same time: try again.');
  }

  /** Why an event may not be written: replicas of the version before, which may be there, would stop at it. */
  #tooNew(type: string): Rejection | null {
    const { inForce, known } = this.edition;
    const since = this.#editions.of(type);
    if (since === undefined || since > known)
      throw new GatewayError('CONTROL_LOG_FAULT', 'internal', `${type} is in no edition of the control log that this version knows.`);
    if (since <= inForce) return null;
    return reject(
      'EDITION_TOO_LOW',
      'conflict',
      `This needs edition ${since} of the control log, which is at ${inForce} as long as control planes of the version before may run. When all are upgraded: \`sallyport control-plane raise-edition\`.`,
    ).rejection;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#following;
  }

  #envelope(
    stream: string,
    expectedVersion: bigint,
    expectedKinds: readonly (readonly [string, bigint])[],
    event: DomainEvent,
    provenance: Provenance,
  ): RecordedEvent {
    return {
      eventId: randomUUIDv7(),
      stream,
      expectedVersion,
      ...(expectedKinds.length === 0 ? {} : { expectedKinds: Object.fromEntries(expectedKinds) }),
      type: event.type,
      schema: currentSchema,
      // The JSON round trip makes the writer's copy what every reader will have.
      payload: JSON.parse(JSON.stringify(event.payload)),
      atUnixUs: BigInt(this.#clock()) * 1000n,
      ...provenance,
    };
  }

  /** Appends and waits until each has been folded. */
  async #append(events: RecordedEvent[]): Promise<boolean[]> {
    if (this.#fault !== null) throw this.#fault;
    const verdicts = events.map(event => {
      const { promise, resolve } = Promise.withResolvers<boolean>();
      this.#awaited.set(event.eventId, resolve);
      return promise;
    });
    const seen = Promise.all(verdicts);
    try {
      await this.#deliver(events.map(encode), seen);
      const settled = await within(seen, verdictMsMax);
      if (this.#fault !== null) throw this.#fault;
      if (settled === null) {
        throw new GatewayError(
          'CONTROL_LOG_UNCERTAIN',
          'unavailable',
          'The change was sent to the log and has not come back: it may count or not. Look whether it is there before you try again.',
        );
      }
      return settled;
    } finally {
      for (const event of events) this.#awaited.delete(event.eventId);
    }
  }

  /**
   * Appends, again when the log could not say whether it has them: of two deliveries of an event at most one counts, for each expects
   * the same version. Done as soon as the events were seen.
   */
  async #deliver(entries: NewEntry[], seen: Promise<boolean[]>): Promise<void> {
    for (let delivery = 1; ; delivery++) {
      try {
        await this.#log.append(entries);
        return;
      } catch (error) {
        if (!(error instanceof GatewayError && error.code === 'LOG_UNCERTAIN')) throw error;
        if ((await within(seen, retryPauseMs)) !== null) return;
        if (delivery >= deliveriesMax) throw error;
      }
    }
  }

  async #follow(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        if (await this.#log.waitFor(this.#position, 60_000, this.#stop.signal)) await this.#foldNext();
      } catch (error) {
        // A log that cannot be reached for a while will be; the state is only old until then.
        if (!(error instanceof GatewayError && error.kind === 'unavailable' && error.code !== 'LOG_CLOSED')) throw error;
        await delay(retryPauseMs, undefined, { signal: this.#stop.signal }).catch(() => undefined); // Ended by the signal: the loop sees it.
      }
    }
  }

  async #foldNext(): Promise<void> {
    const entries = await this.#log.read(this.#position, readMax);
    const accepted: RecordedEvent[] = [];
    const verdicts: (() => void)[] = [];
    for (const entry of entries) {
      const event = decodeEvent(entry);
      const counts = this.state.fold(event);
      if (counts) accepted.push(event);
      this.#onEntry?.(entry, event);
      const settle = this.#awaited.get(event.eventId);
      if (settle !== undefined) verdicts.push(() => settle(counts));
      this.#position = entry.offset + 1n;
    }
    if (accepted.length > 0) for (const listener of this.#listeners) listener(accepted);
    for (const settle of verdicts) settle();
    for (const { offset, resolve } of this.#reaching) if (this.#position >= offset) resolve();
  }
}

/** What it resolves to, or null when that takes longer. */
async function within<Value>(work: Promise<Value>, limitMs: number): Promise<Value | null> {
  const { promise, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(() => resolve(null), limitMs);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}

function encode(event: RecordedEvent): NewEntry {
  const payload = new TextEncoder().encode(JSON.stringify(event.payload));
  const { authorIdentity, ...rest } = event;
  const author = { authorIssuer: authorIdentity?.issuer ?? '', authorSubject: authorIdentity?.subject ?? '' };
  return {
    key: new TextEncoder().encode(event.stream),
    value: toBinary(ControlEventSchema, create(ControlEventSchema, { ...rest, ...author, payload })),
  };
}

/** @throws {GatewayError} CONTROL_LOG_FAULT when an entry is not a control event. */
export function decodeEvent(entry: Entry): RecordedEvent {
  try {
    const message = fromBinary(ControlEventSchema, entry.value);
    return {
      eventId: message.eventId,
      stream: message.stream,
      expectedVersion: message.expectedVersion,
      ...(Object.keys(message.expectedKinds).length === 0 ? {} : { expectedKinds: { ...message.expectedKinds } }),
      type: message.type,
      schema: message.schema,
      payload: JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(message.payload)),
      atUnixUs: message.atUnixUs,
      author: message.author,
      ...(message.authorIssuer === '' ? {} : { authorIdentity: { issuer: message.authorIssuer, subject: message.authorSubject } }),
      authorAddress: message.authorAddress,
      reason: message.reason,
      requestId: message.requestId,
    };
  } catch (cause) {
    throw new GatewayError('CONTROL_LOG_FAULT', 'internal', `Entry ${entry.offset} of the control log is not a control event.`, { cause });
  }
}
