/**
 * Takes a run of entries of `sallyport.records` into the store. When it resolves, every row is there, and may have been written twice;
 * the views show it once.
 *
 * The order is: find out what is new, write the records, then what follows from them. Sessions that are in order and remembered take the
 * quick way: their rows are made from memory. Everything else (read again after a crash, sent twice, come late, forgotten) is made from
 * the records that are in the store by then; both ways use derive.ts and give the same rows.
 * Not here: where in the log to read, and how far we are (topic-follower.ts).
 */
import { hash } from 'node:crypto';
import type { OutputChunk } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import type { Entry } from '../log/event-log.ts';
import { noteChangedDays } from '../rollups/roll-up.ts';
import { bodyJson } from './body-json.ts';
import { Answer, RESPONSE } from './command-fields.ts';
import { type AskedCommand, CommandBlock, type Outcome, type SessionColumns, sessionColumnsOf } from './command-row.ts';
import { type DeadLetter, type DecodedRecord, decodeEntry, type EncodedBody, encodedBody } from './decode.ts';
import { approvalEventRow, type SessionFacts, sessionContext, sessionRow } from './derive.ts';
import { isSearchable, OutputSoFar } from './output-text.ts';
import { BlockWriter, type Columns } from './row-binary.ts';
import { RememberedSession, SessionMemory } from './session-memory.ts';
import type { SessionStore } from './session-store.ts';
import { type RecordKey, type StoredRecord, StoredRecords } from './stored-records.ts';
import { approvalEventColumns, deadLetterColumns, outputColumns, recordColumns, type SessionRow, sessionColumns } from './tables.ts';
import { WireFields } from './wire-fields.ts';

export interface BatchResult {
  records: number;
  /** Sent again by an agent, byte for byte: left out. */
  doubles: number;
  deadLetters: number;
}

/** Which commands of a session have to be made again from the store. */
interface Redo {
  seqs: Set<number>;
  /** All of them, because only now it is known whose session it is. */
  all: boolean;
  /** Those without a response, because the session has ended. */
  open: boolean;
  /** Commands whose output is read again, from which record on. */
  outputs: Map<number, number>;
}

const DAY_MS = 86_400_000;
const OPEN: Outcome = { state: 'open' };
const ABANDONED: Outcome = { state: 'abandoned' };
const redoPage = 1000;
const limits = { sessionsMax: 20_000, openCommandsMax: 20_000 };

export class RecordsWriter {
  readonly #store: SessionStore;
  readonly #stored: StoredRecords;
  readonly #memory = new SessionMemory(limits);
  readonly #records = new BlockWriter(recordColumns);
  readonly #sessions = new BlockWriter(sessionColumns);
  readonly #commands = new CommandBlock();
  readonly #approvals = new BlockWriter(approvalEventColumns);
  readonly #outputs = new BlockWriter(outputColumns);
  readonly #deadLetters = new BlockWriter(deadLetterColumns);
  /** Those of the batch's commands, since 1970. */
  readonly #days = new Set<number>();

  constructor(store: SessionStore) {
    this.#store = store;
    this.#stored = new StoredRecords(store);
  }

  /**
   * @param entries in log order, following those of the call before.
   * @throws what the store throws: then the same entries must be given again, to this writer or another.
   */
  async write(entries: readonly Entry[]): Promise<BatchResult> {
    try {
      return await this.#write(entries);
    } catch (error) {
      // What is remembered may be ahead of what is stored.
      this.#memory.clear();
      throw error;
    } finally {
      for (const block of [this.#records, this.#sessions, this.#commands.block, this.#approvals, this.#outputs, this.#deadLetters])
        block.reset();
      this.#days.clear();
    }
  }

  async #write(entries: readonly Entry[]): Promise<BatchResult> {
    const decoded: DecodedRecord[] = [];
    const deadLetters: DeadLetter[] = [];
    for (const entry of entries) {
      const { records, deadLetters: dead } = decodeEntry(entry.offset, entry.value);
      for (const record of records) decoded.push(record);
      for (const letter of dead) deadLetters.push(letter);
    }
    const touched = new Set<string>();
    for (const record of decoded) touched.add(record.sessionId);
    await this.#recall(touched);

    const { fresh, again, doubles, redo } = await this.#sort(decoded, deadLetters);
    for (const record of fresh) this.#records.add(recordRow(record));
    await this.#insert('sallyport.record_rows', this.#records);

    const sessionRows = new Map<string, SessionRow>();
    this.#follow(fresh, touched, redo, sessionRows);
    for (const record of [...fresh, ...again]) this.#noteApproval(record);
    // A session is shown before its commands.
    await this.#insertSessions(sessionRows);
    await this.#insert('sallyport.command_revisions', this.#commands.block);
    await this.#insert('sallyport.output_rows', this.#outputs);
    await this.#redo(redo);
    await this.#redoOutputs(redo);
    for (const letter of deadLetters) {
      this.#deadLetters.add({
        topic: 'sallyport.records',
        log_offset: letter.position.offset,
        log_index: letter.position.index,
        at: BigInt(entries.find(entry => entry.offset === letter.position.offset)?.timestampMs ?? 0) * 1000n,
        code: letter.code,
        reason: letter.reason,
        key: '',
        value: letter.value,
      });
    }
    await this.#insert('sallyport.approval_event_rows', this.#approvals);
    await this.#insert('sallyport.dead_letter_rows', this.#deadLetters);
    // Before this batch counts as written, and after its commands are: what is added up of a day that is over is not right any more.
    const today = Math.floor(Date.now() / DAY_MS);
    await noteChangedDays(this.#store, [...this.#days].filter(day => day < today).map(nameOfDay));
    this.#memory.settle(touched);
    return { records: fresh.length, doubles, deadLetters: deadLetters.length };
  }

  /** Makes every session of the batch a remembered one. */
  async #recall(sessionIds: ReadonlySet<string>): Promise<void> {
    const unknown = [...sessionIds].filter(id => this.#memory.get(id) === undefined);
    const last = await this.#stored.lastSeqs(unknown);
    const facts = new Map<string, SessionFacts>();
    for (const record of await this.#stored.framing([...last.keys()])) addFraming(facts, record);
    for (const id of unknown) {
      const lastSeq = last.get(id);
      this.#memory.set(new RememberedSession(facts.get(id) ?? noFacts(id), lastSeq === undefined ? 0 : lastSeq + 1, lastSeq === undefined));
    }
  }

  /** Tells new records from those that are there already, and notes what cannot take the quick way. */
  async #sort(decoded: readonly DecodedRecord[], deadLetters: DeadLetter[]) {
    const redo = new Map<string, Redo>();
    const fresh: DecodedRecord[] = [];
    const again: DecodedRecord[] = [];
    const suspects: DecodedRecord[] = [];
    for (const record of decoded) {
      const session = this.#memory.get(record.sessionId);
      if (session !== undefined && record.seq >= session.next) {
        session.next = record.seq + 1;
        fresh.push(record);
      } else suspects.push(record);
    }
    let doubles = 0;
    if (suspects.length > 0) {
      const known = new Map<string, { sha256: () => string; offset: bigint; index: number }>();
      for (const record of fresh) known.set(keyOf(record), { sha256: () => sha256(record), ...record.position });
      for (const stored of await this.#stored.positions(suspects.filter(record => !known.has(keyOf(record))))) {
        known.set(keyOf(stored), { ...stored, sha256: () => stored.sha256 });
      }
      for (const record of suspects) {
        const same = known.get(keyOf(record));
        if (same === undefined) {
          // Late: what was sent after it overtook it.
          known.set(keyOf(record), { sha256: () => sha256(record), ...record.position });
          fresh.push(record);
          noteRedo(redo, record);
        } else if (same.offset === record.position.offset && same.index === record.position.index) {
          // The same entry, read again after a crash: its record is there, what follows from it perhaps not.
          again.push(record);
          noteRedo(redo, record);
        } else if (same.sha256() === sha256(record)) doubles += 1;
        else {
          deadLetters.push({
            position: record.position,
            code: 'RECORD_CONFLICT',
            reason: `session ${record.sessionId} has another record ${record.seq}, from entry ${same.offset}`,
            value: record.encoded,
          });
        }
      }
    }
    return { fresh, again, doubles, redo };
  }

  /** The quick way: rows from memory. What has to go the long way is left to `redo`. */
  #follow(
    fresh: readonly DecodedRecord[],
    touched: ReadonlySet<string>,
    redo: Map<string, Redo>,
    sessionRows: Map<string, SessionRow>,
  ): void {
    for (const record of fresh) {
      const session = this.#memory.get(record.sessionId);
      if (session === undefined) continue;
      if (record.body !== null) {
        if (record.type === 'command') this.#asked(session, record, record.body);
        else this.#answered(session, record, record.body, redo);
        continue;
      }
      const { body } = record.message;
      switch (body.case) {
        case 'sessionStarted':
          session.learn({ started: { at: record.at, body: body.value } });
          sessionRows.set(record.sessionId, sessionRow(session.facts));
          break;
        case 'sessionRefused':
          session.learn({ refused: { at: record.at, body: body.value } });
          sessionRows.set(record.sessionId, sessionRow(session.facts));
          break;
        case 'sessionEnded':
          session.learn({ ended: { at: record.at, body: body.value } });
          sessionRows.set(record.sessionId, sessionRow(session.facts));
          for (const command of session.open.values()) this.#addCommand(session.columns, command, ABANDONED);
          session.unwritten.clear();
          if (!session.openIsComplete) redoOf(redo, record.sessionId).open = true;
          break;
        case 'outputChunk':
          this.#followOutput(session, record, body.value, redo);
          break;
        default:
          break; // Gaps and cancellations are records and nothing else.
      }
    }
    for (const id of touched) {
      const session = this.#memory.get(id);
      if (session === undefined) continue;
      for (const seq of session.unwritten) {
        const command = session.open.get(seq);
        if (command !== undefined) this.#addCommand(session.columns, command, session.facts.ended === null ? OPEN : ABANDONED);
      }
      session.unwritten.clear();
    }
  }

  /** Its row is written at the batch's end, unless the answer is in the same batch. */
  #asked(session: RememberedSession, { seq, at }: DecodedRecord, body: EncodedBody): void {
    session.open.set(seq, { seq, at, body });
    session.unwritten.add(seq);
  }

  #answered(session: RememberedSession, { sessionId, at }: DecodedRecord, body: EncodedBody, redo: Map<string, Redo>): void {
    const seq = commandSeqOfResponse(body);
    const command = session.open.get(seq);
    if (command === undefined) {
      redoOf(redo, sessionId).seqs.add(seq);
      return;
    }
    session.open.delete(seq);
    session.unwritten.delete(seq);
    this.#addCommand(session.columns, command, { state: 'answered', at, body });
  }

  #followOutput(session: RememberedSession, { seq, at }: DecodedRecord, chunk: OutputChunk, redo: Map<string, Redo>): void {
    if (!isSearchable(chunk)) return;
    const commandSeq = Number(chunk.commandSeq);
    const isRead = redo.get(session.facts.sessionId)?.outputs.has(commandSeq) === true;
    const output = isRead ? undefined : session.output(commandSeq);
    if (output === undefined) noteOutput(redoOf(redo, session.facts.sessionId), chunk, seq);
    else this.#outputs.add(output.row(session.facts.sessionId, seq, at, chunk));
  }

  #noteApproval(record: DecodedRecord): void {
    if (record.type !== 'approval_noted') return;
    const { body } = record.message;
    if (body.case !== 'approvalNoted') return;
    const context = this.#memory.get(record.sessionId)?.context;
    if (context !== undefined) this.#approvals.add(approvalEventRow(record, body.value, context));
  }

  /** The long way: rows from the records in the store. */
  async #redo(redo: ReadonlyMap<string, Redo>): Promise<void> {
    if (redo.size === 0) return;
    const facts = new Map<string, SessionFacts>();
    for (const record of await this.#stored.framing([...redo.keys()])) addFraming(facts, record);
    const columns = new Map<string, SessionColumns>();
    const sessionRows = new Map<string, SessionRow>();
    const all: string[] = [];
    const open: string[] = [];
    const some: RecordKey[] = [];
    for (const [sessionId, work] of redo) {
      const known = facts.get(sessionId) ?? noFacts(sessionId);
      this.#memory.get(sessionId)?.learn(known);
      columns.set(sessionId, sessionColumnsOf(sessionId, sessionContext(known)));
      if (known.started !== null || known.refused !== null || known.ended !== null) sessionRows.set(sessionId, sessionRow(known));
      if (work.all) all.push(sessionId);
      else {
        if (work.open) open.push(sessionId);
        for (const seq of work.seqs) some.push({ sessionId, seq });
      }
    }
    await this.#insertSessions(sessionRows);
    for (let start = 0; start < some.length; start += redoPage) {
      await this.#redoCommands(some.slice(start, start + redoPage), facts, columns, false);
    }
    for await (const page of this.#stored.commands(open, true)) await this.#redoCommands(page, facts, columns, false);
    for await (const page of this.#stored.commands(all, false)) await this.#redoCommands(page, facts, columns, true);
  }

  /** Output behind a piece that came late, or whose beginning is not remembered. */
  async #redoOutputs(redo: ReadonlyMap<string, Redo>): Promise<void> {
    for (const [sessionId, { outputs }] of redo) {
      for (const [commandSeq, fromSeq] of outputs) {
        const output = new OutputSoFar(await this.#stored.outputBefore(sessionId, commandSeq, fromSeq));
        for await (const page of this.#stored.pieces(sessionId, commandSeq, fromSeq)) {
          this.#outputs.reset();
          for (const { seq, message } of page) {
            if (message.body.case !== 'outputChunk' || !isSearchable(message.body.value)) continue;
            this.#outputs.add(output.row(sessionId, seq, message.atUnixUs, message.body.value));
          }
          await this.#insert('sallyport.output_rows', this.#outputs);
        }
        this.#memory.get(sessionId)?.setOutput(commandSeq, output);
      }
    }
  }

  async #redoCommands(
    keys: readonly RecordKey[],
    facts: ReadonlyMap<string, SessionFacts>,
    columns: ReadonlyMap<string, SessionColumns>,
    withdraw: boolean,
  ): Promise<void> {
    const commands = await this.#stored.byKey(keys);
    const responses = new Map<string, Extract<Outcome, { state: 'answered' }>>();
    for (const { sessionId, message } of await this.#stored.responses(keys)) {
      const body = encodedBody(message);
      if (message.body.case !== 'response' || body === null) continue;
      const key = keyOf({ sessionId, seq: Number(message.body.value.commandSeq) });
      if (!responses.has(key)) responses.set(key, { state: 'answered', at: message.atUnixUs, body });
    }
    this.#commands.block.reset();
    for (const { sessionId, seq, message } of commands) {
      const session = columns.get(sessionId);
      const body = encodedBody(message);
      if (message.body.case !== 'command' || body === null || session === undefined) continue;
      const command: AskedCommand = { seq, at: message.atUnixUs, body };
      const response = responses.get(keyOf({ sessionId, seq }));
      if (response !== undefined) this.#memory.get(sessionId)?.open.delete(seq);
      const known = facts.get(sessionId);
      this.#addCommand(session, command, response ?? ((known?.ended ?? null) === null ? OPEN : ABANDONED));
      // Where the principal has no name, the row is the one that was written before.
      const principal = (known?.started ?? known?.refused)?.body.principal;
      if (withdraw && (principal?.name ?? '') !== '') {
        this.#commands.withdraw(sessionColumnsOf(sessionId, sessionContext(noFacts(sessionId))), command);
        this.#days.add(dayOf(command.at));
      }
    }
    await this.#insert('sallyport.command_revisions', this.#commands.block);
  }

  #addCommand(session: SessionColumns, command: AskedCommand, outcome: Outcome): void {
    this.#commands.add(session, command, outcome);
    this.#days.add(dayOf(command.at));
  }

  async #insertSessions(rows: ReadonlyMap<string, SessionRow>): Promise<void> {
    this.#sessions.reset();
    for (const row of rows.values()) this.#sessions.add(row);
    await this.#insert('sallyport.session_rows', this.#sessions);
  }

  async #insert<C extends Columns>(table: string, block: BlockWriter<C>): Promise<void> {
    if (block.rows > 0) await this.#store.insert(table, block.columns, block.take());
  }
}

function recordRow(record: DecodedRecord) {
  return {
    session_id: record.sessionId,
    seq: record.seq,
    at: record.at,
    type: record.type,
    command_seq: commandSeqOf(record),
    agent_id: record.agentId,
    spool_id: record.spoolId,
    spool_index: record.spoolIndex,
    log_offset: record.position.offset,
    log_index: record.position.index,
    previous_hash: record.previousHash,
    // Commands and responses, nearly all there is, are for people to read in `commands`.
    body: record.type === 'command' || record.type === 'response' ? '' : bodyJson(record.message),
    encoded: record.encoded,
  };
}

/** The command that a record belongs to; null for those of the session as a whole. */
function commandSeqOf(record: DecodedRecord): bigint | number | null {
  if (record.type === 'command') return record.seq;
  if (record.type === 'response' && record.body !== null) return commandSeqOfResponse(record.body);
  const { body } = record.message;
  switch (body.case) {
    case 'cancelRequested':
    case 'approvalNoted':
    case 'outputChunk':
      return body.value.commandSeq;
    default:
      return null;
  }
}

const response = new WireFields();

function commandSeqOfResponse({ bytes, start, end }: EncodedBody): number {
  response.read(bytes, start, end, RESPONSE);
  return response.number(Answer.commandSeq);
}

function noteRedo(redo: Map<string, Redo>, record: DecodedRecord): void {
  const work = redoOf(redo, record.sessionId);
  const { body } = record.message;
  switch (body.case) {
    case 'command':
      work.seqs.add(record.seq);
      break;
    case 'response':
      work.seqs.add(Number(body.value.commandSeq));
      break;
    case 'sessionStarted':
    case 'sessionRefused':
      work.all = true;
      break;
    case 'sessionEnded':
      work.open = true;
      break;
    case 'outputChunk':
      if (isSearchable(body.value)) noteOutput(work, body.value, record.seq);
      break;
    default:
      break;
  }
}

function noteOutput({ outputs }: Redo, { commandSeq }: OutputChunk, seq: number): void {
  outputs.set(Number(commandSeq), Math.min(seq, outputs.get(Number(commandSeq)) ?? seq));
}

function redoOf(redo: Map<string, Redo>, sessionId: string): Redo {
  let work = redo.get(sessionId);
  if (work === undefined) {
    work = { seqs: new Set(), all: false, open: false, outputs: new Map() };
    redo.set(sessionId, work);
  }
  return work;
}

function addFraming(facts: Map<string, SessionFacts>, { sessionId, message }: StoredRecord): void {
  let known = facts.get(sessionId);
  if (known === undefined) {
    known = noFacts(sessionId);
    facts.set(sessionId, known);
  }
  const at = message.atUnixUs;
  if (message.body.case === 'sessionStarted') known.started ??= { at, body: message.body.value };
  if (message.body.case === 'sessionRefused') known.refused ??= { at, body: message.body.value };
  if (message.body.case === 'sessionEnded') known.ended ??= { at, body: message.body.value };
}

function noFacts(sessionId: string): SessionFacts {
  return { sessionId, started: null, refused: null, ended: null };
}

/** @param at microseconds since 1970. @returns days since 1970, in UTC. */
function dayOf(at: bigint): number {
  return Math.floor(Number(at) / (DAY_MS * 1000));
}

/** @returns YYYY-MM-DD */
function nameOfDay(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}

function sha256(record: DecodedRecord): string {
  return hash('sha256', record.encoded, 'hex');
}

function keyOf(record: RecordKey): string {
  return `${record.sessionId}/${record.seq}`;
}
