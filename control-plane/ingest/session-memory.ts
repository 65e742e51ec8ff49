/**
 * What ingest remembers of the sessions that it has seen lately, so that it need not ask the store: how far they are, who they are of,
 * and which of their commands wait for an answer. Bounded; whoever falls out is read from the store again (records-batch.ts).
 */
import { type AskedCommand, type SessionColumns, sessionColumnsOf } from './command-row.ts';
import { type SessionContext, type SessionFacts, sessionContext } from './derive.ts';
import { OutputSoFar } from './output-text.ts';

const outputsMax = 16;

export class RememberedSession {
  readonly facts: SessionFacts;
  /** One more than the highest sequence number seen. */
  next: number;
  /** Commands without a response. */
  readonly open = new Map<number, AskedCommand>();
  /** Of `open`: those that have no row yet. */
  readonly unwritten = new Set<number>();
  /** Whether `open` has all there are; not so when the session was read back from the store. */
  readonly openIsComplete: boolean;
  /** Of commands that show something; those that fell out are read from the store. */
  readonly #outputs = new Map<number, OutputSoFar>();
  #outputsFellOut = false;
  #context: SessionContext;
  #columns: SessionColumns | null = null;

  constructor(facts: SessionFacts, next: number, openIsComplete: boolean) {
    this.facts = facts;
    this.next = next;
    this.openIsComplete = openIsComplete;
    this.#context = sessionContext(facts);
  }

  /** How far a command's output is; undefined: ask the store. */
  output(commandSeq: number): OutputSoFar | undefined {
    const known = this.#outputs.get(commandSeq);
    if (known !== undefined || !this.openIsComplete || this.#outputsFellOut) return known;
    const begun = new OutputSoFar();
    this.setOutput(commandSeq, begun);
    return begun;
  }

  setOutput(commandSeq: number, output: OutputSoFar): void {
    this.#outputs.set(commandSeq, output);
    const [oldest] = this.#outputs.keys();
    if (this.#outputs.size <= outputsMax || oldest === undefined) return;
    this.#outputs.delete(oldest);
    this.#outputsFellOut = true;
  }

  get context(): SessionContext {
    return this.#context;
  }

  /** What its commands' rows have in common. */
  get columns(): SessionColumns {
    this.#columns ??= sessionColumnsOf(this.facts.sessionId, this.#context);
    return this.#columns;
  }

  /** Adds what became known. What is known already stays: of two starts, the first in the log counts. */
  learn(more: Partial<Pick<SessionFacts, 'started' | 'refused' | 'ended'>>): void {
    this.facts.started ??= more.started ?? null;
    this.facts.refused ??= more.refused ?? null;
    this.facts.ended ??= more.ended ?? null;
    this.#context = sessionContext(this.facts);
    this.#columns = null;
  }
}

export class SessionMemory {
  readonly #sessions = new Map<string, RememberedSession>();
  readonly #sessionsMax: number;
  readonly #openMax: number;

  constructor(limits: { sessionsMax: number; openCommandsMax: number }) {
    this.#sessionsMax = limits.sessionsMax;
    this.#openMax = limits.openCommandsMax;
  }

  get size(): number {
    return this.#sessions.size;
  }

  get(sessionId: string): RememberedSession | undefined {
    return this.#sessions.get(sessionId);
  }

  set(session: RememberedSession): void {
    this.#sessions.set(session.facts.sessionId, session);
  }

  clear(): void {
    this.#sessions.clear();
  }

  /**
   * To be called when a batch is done: lets ended sessions go, makes what stays independent of the batch's buffers, and keeps the
   * bounds by letting the longest unseen go. `touched` are the batch's sessions.
   */
  settle(touched: Iterable<string>): void {
    for (const id of touched) {
      const session = this.#sessions.get(id);
      if (session === undefined) continue;
      this.#sessions.delete(id);
      if (session.facts.ended !== null || session.facts.refused !== null) continue;
      for (const command of session.open.values()) detach(command);
      this.#sessions.set(id, session);
    }
    let open = 0;
    for (const session of this.#sessions.values()) open += session.open.size;
    for (const [id, session] of this.#sessions) {
      if (this.#sessions.size <= this.#sessionsMax && open <= this.#openMax) break;
      this.#sessions.delete(id);
      open -= session.open.size;
    }
  }
}

/** An encoded command is a view into what was read from the log, which may be megabytes. */
function detach({ body }: AskedCommand): void {
  if (body.bytes.buffer.byteLength === body.end - body.start) return;
  body.bytes = Uint8Array.from(body.bytes.subarray(body.start, body.end));
  body.start = 0;
  body.end = body.bytes.length;
}
