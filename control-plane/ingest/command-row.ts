/**
 * The row of a command in `sallyport.command_revisions`, from the encoded records to the encoded row: what is the same in both, texts
 * and lists of texts, is copied. Pure but for the block that it writes to.
 *
 * The same records give the same row, and more records give a row with a higher revision (derive.ts). The columns are those of
 * tables.ts, in that order; what the row of the same objects would be is in command-row.testing.ts, and a test holds both together.
 */
import { Answer, Asked, COMMAND, RESPONSE } from './command-fields.ts';
import type { EncodedBody } from './decode.ts';
import { decisionName, type SessionContext, statusOf } from './derive.ts';
import { BlockWriter } from './row-binary.ts';
import { commandColumns, contextColumns, roleColumns } from './tables.ts';
import { WireFields } from './wire-fields.ts';

/** A command that was asked. */
export interface AskedCommand {
  seq: number;
  /** Microseconds since 1970. */
  at: bigint;
  body: EncodedBody;
}

/** How a command stands: asked, asked by a session that ended before the answer, answered. */
export type Outcome = { state: 'open' } | { state: 'abandoned' } | { state: 'answered'; at: bigint; body: EncodedBody };

/** What all rows of a session's commands have in common, encoded. */
export interface SessionColumns {
  sessionId: Uint8Array;
  /** From `agent` to `client_address`. */
  context: Uint8Array;
  /** `role` and `issuer`. */
  role: Uint8Array;
}

export function sessionColumnsOf(sessionId: string, context: SessionContext): SessionColumns {
  const id = new BlockWriter({ session_id: 'string' });
  id.add({ session_id: sessionId });
  const shared = new BlockWriter(contextColumns);
  shared.add(context);
  const role = new BlockWriter(roleColumns);
  role.add(context);
  return { sessionId: Uint8Array.from(id.take()), context: Uint8Array.from(shared.take()), role: Uint8Array.from(role.take()) };
}

const asked = new WireFields();
const answer = new WireFields();
const NOTHING = new Uint8Array(0);

export class CommandBlock {
  readonly block = new BlockWriter(commandColumns);

  add(session: SessionColumns, command: AskedCommand, outcome: Outcome): void {
    const revision = outcome.state === 'answered' ? 2 : outcome.state === 'abandoned' ? 1 : 0;
    this.#row(session, command, outcome, revision, 0);
  }

  /** Takes back the row of a command that was written while its session's start was not known. */
  withdraw(unknown: SessionColumns, command: AskedCommand): void {
    this.#row(unknown, command, { state: 'open' }, 255, 1);
  }

  #row(session: SessionColumns, { seq, at, body }: AskedCommand, outcome: Outcome, revision: number, deleted: number): void {
    const { block } = this;
    const answered = outcome.state === 'answered' ? outcome.body : null;
    read(asked, body, COMMAND);
    if (answered === null) answer.read(NOTHING, 0, 0, RESPONSE);
    else read(answer, answered, RESPONSE);
    block.raw(session.sessionId);
    block.uint64(seq);
    block.time(at);
    block.uint8(revision);
    block.uint8(deleted);
    block.raw(session.context);
    this.#text(asked, Asked.kind);
    this.#text(asked, Asked.text);
    this.#text(asked, Asked.fingerprint);
    this.#texts(asked, Asked.objects);
    this.#texts(asked, Asked.columnsRead);
    block.text(decisionName(asked.number(Asked.decision)));
    this.#text(asked, Asked.rule);
    this.#text(asked, Asked.reason);
    this.#text(asked, Asked.approvalId);
    // Who released a command that waited is known when it is answered.
    if (answer.counts[Answer.approvers] === 0) this.#texts(asked, Asked.approvers);
    else this.#texts(answer, Answer.approvers);
    block.text(statusOf(asked.number(Asked.decision), outcome.state, answer.number(Answer.status)));
    this.#number(answer, Answer.rows);
    this.#number(answer, Answer.bytes);
    this.#number(answer, Answer.maskedValues);
    this.#texts(answer, Answer.dataClasses);
    this.#number(answer, Answer.durationUs);
    this.#text(answer, Answer.head);
    this.#hex(answer, Answer.sha256);
    block.optionalTime(outcome.state === 'answered' ? outcome.at : null);
    block.raw(session.role);
    this.#text(asked, Asked.database);
    this.#texts(asked, Asked.statements);
    this.#texts(asked, Asked.parameters);
    this.#texts(asked, Asked.inferences);
    this.#number(asked, Asked.policyVersion);
    this.#text(asked, Asked.preparedName);
    this.#bool(asked, Asked.textTruncated);
    this.#hex(asked, Asked.textSha256);
    this.#text(answer, Answer.tag);
    this.#text(answer, Answer.errorCode);
    this.#text(answer, Answer.errorText);
    this.#texts(answer, Answer.columns);
    this.#bool(answer, Answer.headTruncated);
    this.#number(answer, Answer.heldUs);
    block.endRow();
  }

  #text(from: WireFields, field: number): void {
    this.block.bytes(from.bytes, from.starts[field] as number, from.ends[field] as number);
  }

  #texts(from: WireFields, field: number): void {
    const count = from.counts[field] as number;
    this.block.count(count);
    if (count === 0) return;
    const { bytes, itemFields, itemStarts, itemEnds } = from;
    for (let i = 0; i < itemFields.length; i++) {
      if (itemFields[i] === field) this.block.bytes(bytes, itemStarts[i] as number, itemEnds[i] as number);
    }
  }

  #number(from: WireFields, field: number): void {
    this.block.halves(from.low[field] as number, from.high[field] as number);
  }

  #bool(from: WireFields, field: number): void {
    this.block.uint8(from.low[field] === 0 && from.high[field] === 0 ? 0 : 1);
  }

  #hex(from: WireFields, field: number): void {
    this.block.hex(from.bytes, from.starts[field] as number, from.ends[field] as number);
  }
}

/** @throws never for what decode.ts has read. */
function read(fields: WireFields, { bytes, start, end }: EncodedBody, shape: Uint8Array): void {
  if (!fields.read(bytes, start, end, shape)) throw new RangeError('a record that was read before cannot be read');
}
