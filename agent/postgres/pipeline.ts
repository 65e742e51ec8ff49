/**
 * What the database still owes an answer to, and which prepared statements and portals it holds.
 *
 * Each message that is forwarded and will be answered has an `Expected` in the queue, in order. PostgreSQL answers in order too,
 * so the head of the queue is what the next answer belongs to. After an error in the extended protocol PostgreSQL ignores
 * everything up to the next Sync; the entries of what it ignores are dropped here at the same point, and what they had changed in
 * the maps is undone.
 *
 * Names enter the maps when they are forwarded, so that a pipelined Bind finds its Parse. Until the answer came they are
 * not `confirmed`: a reference from behind a later Sync waits, because only the answer tells which statement the name has.
 *
 * Pure: no sockets, no policy.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { PolicyInForce } from '../session/lease-state.ts';
import type { CommandRun } from './command-run.ts';
import type { CopyPlan } from './copy-out.ts';
import type { Estimate } from './estimate.ts';
import type { ResultVerdict } from './flow.ts';
import type { Judged } from './judge.ts';
import type { ErrorField, FieldDescription } from './messages.ts';
import type { RowPlan } from './row-plan.ts';

/** Up to Close: what opens a segment of the extended protocol, or, as Query does, ends one. */
export const Kind = {
  Query: 0,
  Parse: 1,
  Bind: 2,
  DescribeStatement: 3,
  DescribePortal: 4,
  Execute: 5,
  Close: 6,
  Sync: 7,
  /** CopyDone or CopyFail: not answered by itself; it marks where copy-in mode ends in the client's stream. */
  CopyEnd: 8,
} as const;

export type KindOf = (typeof Kind)[keyof typeof Kind];

/** A text without what detectors found, bounded; `sha256` is keyed, over the whole text as it came. */
export interface RecordableText {
  text: string;
  truncated: boolean;
  sha256?: Uint8Array;
}

export interface Statement {
  readonly name: string;
  readonly judged: Judged;
  /** Its text as records hold it. */
  readonly text: RecordableText;
  /** Types that the client gave for parameters; 0 or absent: the server chooses. */
  readonly parameterTypes: readonly number[];
  /** Its text as the server has it, where judging it again may need it. */
  readonly raw: Buffer | null;
  /** COPY … TO STDOUT: what becomes of its columns, once that is known. */
  copy: CopyPlan | null;
  /** It uses a cursor or prepared statement that does not exist, and was forwarded with a name that cannot: the error to show. */
  readonly missing: Replacement | null;
  /** It names a table with columns that may not be read: what describing it has found; null until then. */
  probed: ProbeOutcome | null;
  /** It is being described, or was, and must not be bound before the answer. */
  readonly mustProbe: boolean;
  readonly segment: number;
  confirmed: boolean;
  /** Bytes that it counts for in the bound on all of them. */
  readonly weight: number;
}

export interface Portal {
  readonly name: string;
  readonly judged: Judged;
  readonly statement: Statement | null; // null: a cursor that SQL declared
  /** Bound values as recorded: text, masked. */
  readonly parameters: readonly string[];
  readonly segment: number;
  readonly holdable: boolean;
  /** Which statement of `judged` its rows are of. */
  readonly statementIndex: number;
  /** What Bind said behind the names, when its statement must be approved; null: it need not be, or is too large to be kept. */
  readonly bound: Buffer | null;
  /** Over text and bound values, when its statement must be approved. */
  readonly binding: Uint8Array | null;
  /** The gateway has ended what the server held for it: it is bound again before it is executed. */
  lost: boolean;
  /** People have released it under this policy: a further Execute of it goes on with its rows. */
  released: { inForce: PolicyInForce; approvalId: string } | null;
  confirmed: boolean;
  /** What the planner expects of it. */
  estimate?: Estimate;
  /** A Describe of it is on the way or answered. */
  described: boolean;
  /** Known once the answer to Describe came; null: not known. */
  plan: RowPlan | null;
}

/** A refusal that stands in the answer's place, or the error that the server would have given. */
export interface Replacement {
  code: string;
  message: string;
  /** A refusal of the gateway's, not an error of the server's. */
  refused: boolean;
  /** The server fails a name of the gateway's instead: its error is shown with this name in it. */
  name?: string | undefined;
  /** All fields of the server's error, where it is shown as it came. */
  fields?: readonly ErrorField[];
  /** The message as records hold it, where that is another. */
  recorded?: string;
}

/** What describing a statement before it runs has found. */
export type ProbeOutcome =
  | { kind: 'plan'; plan: RowPlan }
  | { kind: 'noRows' }
  | { kind: 'denied'; rule: string; reason: string }
  | { kind: 'failed'; fields: readonly ErrorField[] };

export interface Probe {
  /** What flow analysis says of its columns. */
  verdict: ResultVerdict;
  /** The format that the rows will have; null: as described. */
  format: 0 | 1 | null;
  done: (outcome: ProbeOutcome) => void;
}

/** What the gateway's own messages wait for. */
export interface Hooks {
  /** DescribeStatement: who wants to know what the rows would be. */
  probe?: Probe;
  /** It has been answered. */
  onAnswered?: () => void;
  /** It will never be answered: an error came before it. */
  onDropped?: () => void;
  /** Takes the values of each row. */
  onRow?: (values: (string | null)[]) => void;
  /** Takes an error, which is then not shown to the client. */
  onError?: (fields: readonly ErrorField[]) => void;
  /** Takes an error that ends the client's own segment, and is the client's in this form, with this record. */
  asClients?: (fields: readonly ErrorField[]) => { fields: readonly ErrorField[]; run: CommandRun | null } | null;
  /** Takes the description of the rows, in place of a plan for them. */
  onFields?: (fields: FieldDescription[]) => void;
  /** Takes each row's frame, which is valid until it returns. */
  onRowFrame?: (buffer: Buffer, start: number, end: number) => void;
  /** Takes the types that the server gives a statement's parameters. */
  onParameterTypes?: (types: number[]) => void;
  onTag?: (tag: string) => void;
  /** Notices and settings that come with its answer are not for the client. */
  quiet?: boolean;
}

/** Watches a command of the client's whose effect may have to be taken back: it decides what becomes of the answer. */
export interface Watch {
  /** @param frame its CommandComplete, which is not released. */
  completed(tag: string, frame: Buffer, run: CommandRun | null): void;
  /** It failed; the error is released, and so is what the server does next. */
  failed(): void;
  /** Query: ReadyForQuery, which is not released. */
  ready(): void;
}

/** What forwarding a message has changed in the maps, to be taken back when it fails or is skipped. */
const Change = { None: 0, StatementAdded: 1, StatementRemoved: 2, PortalAdded: 3, PortalRemoved: 4 } as const;

export class Expected {
  readonly kind: KindOf;
  /** Asked by the gateway itself: its answers are not for the client. */
  readonly hidden: boolean;
  /** Its success changes names or settings: what comes behind waits until it is answered. */
  changesNames = false;
  change: (typeof Change)[keyof typeof Change] = Change.None;
  /** Query: which of its statements is being answered. */
  statementIndex = 0;
  segment = 0;
  run: CommandRun | null = null;
  judged: Judged | null = null;
  statement: Statement | null = null;
  portal: Portal | null = null;
  /** Who had the name before. */
  before: Statement | Portal | null = null;
  /** ErrorResponse is replaced by this. */
  replacement: Replacement | null = null;
  /** Query: rows of the result set that is being answered. COPY: its rows. */
  plan: RowPlan | null = null;
  copy: CopyPlan | null = null;
  hooks: Hooks | null = null;
  watch: Watch | null = null;

  constructor(kind: KindOf, hidden: boolean) {
    this.kind = kind;
    this.hidden = hidden;
  }
}

const STATEMENTS_MAX = 10_000;
const STATEMENTS_WEIGHT_MAX = 16 * 1024 * 1024;
const PORTALS_MAX = 1024;

export class Pipeline {
  readonly statements = new Map<string, Statement>();
  readonly portals = new Map<string, Portal>();
  /** Rises with every Sync (and Query, which ends a segment too) that is forwarded. */
  segment = 1;
  /** The database ignores everything until a Sync that has not been forwarded yet. */
  skipping = false;
  /** The database is reading CopyData; Sync and Flush are ignored by it. */
  copyIn = false;
  /** Commands under way whose success changes names by SQL (PREPARE, DEALLOCATE, DECLARE …). */
  pendingEffects = 0;
  /** Messages of the extended protocol were forwarded since the last Sync or Query. */
  segmentOpen = false;
  /** A command of this segment has run in PostgreSQL's implicit transaction: a Sync would commit it. */
  implicitWork = false;
  /** A BEGIN of this segment has made an explicit transaction of it. */
  begun = false;
  #weight = 0;
  #queue: (Expected | undefined)[] = new Array<Expected | undefined>(64);
  #head = 0;
  #count = 0;

  get length(): number {
    return this.#count;
  }

  get head(): Expected | undefined {
    return this.#count === 0 ? undefined : this.#queue[this.#head];
  }

  push(entry: Expected): void {
    if (this.#count === this.#queue.length) this.#grow();
    entry.segment = this.segment;
    if (entry.kind <= Kind.Close) this.segmentOpen = entry.kind !== Kind.Query;
    this.#queue[(this.#head + this.#count) & (this.#queue.length - 1)] = entry;
    this.#count++;
  }

  /** A Sync, or a Query, ends the segment. */
  endSegment(): void {
    this.segment++;
    this.segmentOpen = false;
    this.implicitWork = false;
    this.begun = false;
  }

  #grow(): void {
    const grown = new Array<Expected | undefined>(this.#queue.length * 2);
    for (let i = 0; i < this.#count; i++) grown[i] = this.#queue[(this.#head + i) & (this.#queue.length - 1)];
    this.#queue = grown;
    this.#head = 0;
  }

  /** Takes the head off. @throws {GatewayError} PG_UPSTREAM_PROTOCOL when the server answers what nobody asked. */
  shift(): Expected {
    const entry = this.head;
    if (entry === undefined) throw new GatewayError('PG_UPSTREAM_PROTOCOL', 'protocol', 'the database answered what was not asked');
    this.#queue[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#queue.length - 1);
    this.#count--;
    return entry;
  }

  at(offset: number): Expected | undefined {
    return offset < this.#count ? this.#queue[(this.#head + offset) & (this.#queue.length - 1)] : undefined;
  }

  /** Removes the entry at `offset`, keeping the order of the others. */
  #remove(offset: number): void {
    const mask = this.#queue.length - 1;
    for (let i = offset; i > 0; i--) this.#queue[(this.#head + i) & mask] = this.#queue[(this.#head + i - 1) & mask];
    this.#queue[this.#head] = undefined;
    this.#head = (this.#head + 1) & mask;
    this.#count--;
  }

  addStatement(statement: Statement, entry: Expected): void {
    const { name } = statement;
    const before = this.statements.get(name);
    if (before === undefined && this.statements.size >= STATEMENTS_MAX) throw tooMany('prepared statements');
    if (this.#weight + statement.weight - (before?.weight ?? 0) > STATEMENTS_WEIGHT_MAX) throw tooMany('bytes of prepared statements');
    this.#put(name, statement, before);
    entry.statement = statement;
    entry.change = Change.StatementAdded;
    entry.before = before ?? null;
  }

  #put(name: string, statement: Statement | undefined, before: Statement | undefined): void {
    this.#weight += (statement?.weight ?? 0) - (before?.weight ?? 0);
    if (statement === undefined) this.statements.delete(name);
    else this.statements.set(name, statement);
  }

  /** A statement that SQL prepared. */
  setStatement(statement: Statement): void {
    this.#put(statement.name, statement, this.statements.get(statement.name));
  }

  addPortal(portal: Portal, entry: Expected): void {
    const { name } = portal;
    const before = this.portals.get(name);
    if (before === undefined && this.portals.size >= PORTALS_MAX) throw tooMany('open portals');
    this.portals.set(name, portal);
    entry.portal = portal;
    entry.change = Change.PortalAdded;
    entry.before = before ?? null;
  }

  /** Close and DEALLOCATE: portals made from the statement go on, as in PostgreSQL; only the name is free. */
  removeStatement(name: string, entry: Expected | null): void {
    const before = this.statements.get(name);
    if (before === undefined) return;
    this.#put(name, undefined, before);
    if (entry === null) return;
    entry.change = Change.StatementRemoved;
    entry.before = before;
  }

  removePortal(name: string, entry: Expected | null): void {
    const before = this.portals.get(name);
    if (before === undefined) return;
    this.portals.delete(name);
    if (entry === null) return;
    entry.change = Change.PortalRemoved;
    entry.before = before;
  }

  /**
   * Takes back what a message had changed.
   * @param failed the database refused this one; false: it never looked at it.
   */
  undo(entry: Expected, failed: boolean): void {
    const { before } = entry;
    switch (entry.change) {
      case Change.None:
        return;
      case Change.StatementAdded: {
        const { statement } = entry;
        if (statement === null || this.statements.get(statement.name) !== statement) return;
        // A named Parse over a name in use fails, and the old statement stays; an unnamed one that fails leaves none.
        const restored = failed && statement.name === '' ? undefined : ((before as Statement | null) ?? undefined);
        this.#put(statement.name, restored, statement);
        return;
      }
      case Change.StatementRemoved:
        if (before !== null && !this.statements.has(before.name)) this.#put(before.name, before as Statement, undefined);
        return;
      case Change.PortalAdded: {
        const { portal } = entry;
        if (portal === null || this.portals.get(portal.name) !== portal) return;
        if (before === null || (failed && portal.name === '')) this.portals.delete(portal.name);
        else this.portals.set(portal.name, before as Portal);
        return;
      }
      case Change.PortalRemoved:
        if (before !== null && !this.portals.has(before.name)) this.portals.set(before.name, before as Portal);
        return;
    }
  }

  removeAllStatements(): void {
    this.statements.clear();
    this.#weight = 0;
  }

  /**
   * The error's entry has been taken off: everything up to the next Sync is ignored by the database. Sync itself stays, and is
   * answered.
   *
   * @returns the entries that will never be answered, oldest first.
   */
  dropUntilSync(): Expected[] {
    const dropped: Expected[] = [];
    this.copyIn = false;
    for (;;) {
      const entry = this.head;
      if (entry === undefined) {
        this.skipping = true;
        break;
      }
      if (entry.kind === Kind.Sync) break;
      dropped.push(this.shift());
    }
    for (let i = dropped.length - 1; i >= 0; i--) {
      const entry = dropped[i] as Expected;
      this.undo(entry, false);
      entry.hooks?.onDropped?.();
    }
    return dropped;
  }

  /**
   * The database has begun to read CopyData for the head. A Sync that was sent before the data ends is ignored by it.
   */
  enterCopyIn(): void {
    for (let i = 1; i < this.#count; ) {
      const entry = this.at(i) as Expected;
      if (entry.kind === Kind.CopyEnd) {
        this.#remove(i);
        return;
      }
      if (entry.kind !== Kind.Sync) {
        // Anything else makes the database fail the COPY; the error's handling drops it.
        i++;
        continue;
      }
      this.#remove(i);
    }
    this.copyIn = true;
  }

  /** CopyEnd markers that the database was not in the mood for are ignored by it. */
  dropCopyEnds(): void {
    while (this.head?.kind === Kind.CopyEnd) this.shift();
  }

  /** The transaction is over: portals of it are gone. */
  transactionEnded(segment: number): void {
    if (this.portals.size === 0) return;
    for (const [name, portal] of this.portals) if (!portal.holdable && portal.segment <= segment) this.portals.delete(name);
  }
}

function tooMany(what: string): GatewayError {
  return new GatewayError('PG_SESSION_LIMIT', 'invalid', `the session has too many ${what}; close some first`);
}
