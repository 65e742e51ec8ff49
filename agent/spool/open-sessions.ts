/**
 * Which sessions a run of records leaves open, and which no checkpoint vouches for yet: a fold over records, of which it reads the head
 * (session, seq, kind of body) and little else. It is how a spool knows, after a crash, whose end was never written, and where its
 * ledger of checkpoints stands.
 */
import { sha256, sha256Into } from '@sallyport/shared/crypto/sha256.ts';
import { decodeHead, type Head, headTag } from '@sallyport/shared/evidence/checkpoint.ts';
import {
  BODY_CHECKPOINT,
  BODY_SESSION_ENDED,
  BODY_SESSION_REFUSED,
  BODY_SESSION_STARTED,
  eachField,
  readRecordLink,
} from '@sallyport/shared/evidence/record-bytes.ts';
import { encodeGap, encodeSessionEnded } from '@sallyport/shared/records/encode.ts';

export interface OpenSession {
  nextSeq: number;
  commands: number;
  lastAtUnixUs: number;
  /** SHA-256 of the session's last record, hex. */
  lastHash: string;
  /** Its last record is there; kept until a checkpoint vouches for it. */
  ended?: boolean;
  /** Hex; of the session's beginning. */
  principalTag?: string;
  resourceTag?: string;
  /** Records that the disk lost, from and up to (both lost). */
  lost?: [number, number];
}

/** Where a spool's ledger stands. */
export interface LedgerState {
  /** Of the next checkpoint. */
  number: number;
  /** SHA-256 of the last statement, hex; empty before the first. */
  previous: string;
}

const COMMAND = 13;
/** A longer record is hashed at once: many sessions may be open. */
const COPIED_BYTES_MAX = 4096;

export class OpenSessions {
  readonly #open: Map<string, OpenSession>;
  /** The last record of each session of the run being read, copied, to be hashed once. */
  readonly #last = new Map<string, { bytes: Buffer; length: number }>();
  #ledger: LedgerState;

  constructor(open: Iterable<[string, OpenSession]> = [], ledger: LedgerState = { number: 0, previous: '' }) {
    this.#open = new Map(open);
    this.#ledger = ledger;
  }

  get ledger(): LedgerState {
    return this.#ledger;
  }

  /** Takes one record; nothing of its bytes is kept. */
  take(record: Buffer): void {
    const link = readRecordLink(record, latin1);
    if (link === null || link.sessionId === '') return;
    if (link.body === BODY_CHECKPOINT) {
      this.#takeCheckpoint(record, link);
      return;
    }
    let session = this.#open.get(link.sessionId);
    if (session === undefined) {
      session = { nextSeq: 0, commands: 0, lastAtUnixUs: 0, lastHash: '' };
      this.#open.set(link.sessionId, session);
    }
    if (link.seq > session.nextSeq) session.lost = [session.lost?.[0] ?? session.nextSeq, link.seq - 1];
    session.nextSeq = link.seq + 1;
    session.lastAtUnixUs = link.atUnixUs;
    if (link.body === COMMAND) session.commands++;
    if (link.body === BODY_SESSION_STARTED || link.body === BODY_SESSION_REFUSED) tag(session, link.sessionId, record, link);
    if (link.body === BODY_SESSION_ENDED || link.body === BODY_SESSION_REFUSED) session.ended = true;
    if (record.length > COPIED_BYTES_MAX) {
      session.lastHash = hashText(record);
      this.#last.delete(link.sessionId);
      return;
    }
    let last = this.#last.get(link.sessionId);
    if (last === undefined || last.bytes.length < record.length) {
      last = { bytes: Buffer.allocUnsafe(Math.min(COPIED_BYTES_MAX, 2 * record.length)), length: 0 };
      this.#last.set(link.sessionId, last);
    }
    last.length = record.copy(last.bytes);
  }

  /** Hashes the last record of each session. */
  #settle(): void {
    for (const [sessionId, { bytes, length }] of this.#last) {
      const session = this.#open.get(sessionId);
      if (session !== undefined) session.lastHash = hashText(bytes.subarray(0, length));
    }
    this.#last.clear();
  }

  /** Sessions without an end, and those whose end no checkpoint vouches for. */
  entries(): [string, OpenSession][] {
    this.#settle();
    return [...this.#open];
  }

  /** The checkpoint vouches for the sessions that its heads call ended: nothing more need be remembered of them. */
  #takeCheckpoint(record: Buffer, { seq, bodyStart, bodyEnd }: { seq: number; bodyStart: number; bodyEnd: number }): void {
    eachField(record, bodyStart, bodyEnd, (field, _value, start, end) => {
      if (field === 1) {
        this.#ledger = { number: seq + 1, previous: hashText(record.subarray(start, end)) };
      } else if (field === 3) {
        const head = decodeHead(record.subarray(start, end));
        if (head?.ended !== true) return;
        this.#open.delete(head.sessionId);
        this.#last.delete(head.sessionId);
      }
    });
  }
}

function latin1(bytes: Buffer, start: number, end: number): string {
  return bytes.toString('latin1', start, end);
}

function hashText(bytes: Uint8Array): string {
  return Buffer.from(sha256(bytes)).toString('hex');
}

/** Reads the resource (field 1 or 1) and the principal's name (3.2 of a start, 7.2 of a refusal). */
function tag(session: OpenSession, sessionId: string, record: Buffer, link: { body: number; bodyStart: number; bodyEnd: number }): void {
  const principalField = link.body === BODY_SESSION_STARTED ? 3 : 7;
  let resource = '';
  let principal = '';
  eachField(record, link.bodyStart, link.bodyEnd, (field, _value, start, end) => {
    if (field === 1) resource = record.toString('utf8', start, end);
    else if (field === principalField) {
      eachField(record, start, end, (inner, _inner, from, to) => {
        if (inner === 2) principal = record.toString('utf8', from, to);
      });
    }
  });
  session.principalTag = Buffer.from(headTag('principal', sessionId, principal, sha256)).toString('hex');
  session.resourceTag = Buffer.from(headTag('resource', sessionId, resource, sha256)).toString('hex');
}

/** The head of a session as the spool holds it. */
export function headOf(sessionId: string, session: OpenSession): Head {
  return {
    sessionId,
    records: session.nextSeq,
    hash: Buffer.from(session.lastHash, 'hex'),
    ended: session.ended === true,
    principalTag: Buffer.from(session.principalTag ?? '', 'hex'),
    resourceTag: Buffer.from(session.resourceTag ?? '', 'hex'),
  };
}

/**
 * Closes a session whose agent died: says what the disk lost of it, if anything, and that it has ended.
 * @param append takes each record before the next is encoded. @returns the index of the last.
 */
export function closeCrashed(sessionId: string, session: OpenSession, nowUnixUs: number, append: (record: Uint8Array) => number): number {
  const hash = Buffer.from(session.lastHash, 'hex');
  const head = () => ({ sessionId, seq: session.nextSeq, atUnixUs: Math.max(nowUnixUs, session.lastAtUnixUs), previousHash: hash });
  const write = (record: Uint8Array): number => {
    const index = append(record);
    sha256Into(record, hash);
    session.nextSeq++;
    session.lastHash = hash.toString('hex');
    return index;
  };
  if (session.lost !== undefined) {
    const [fromSeq, toSeq] = session.lost;
    write(encodeGap(head(), { fromSeq, toSeq, reason: 'the disk of the agent lost them' }));
  }
  const end = encodeSessionEnded(head(), { reason: 'agent crashed', commands: session.commands, errorCode: 'AGENT_CRASHED' });
  session.ended = true;
  return write(end);
}
