/**
 * Which sessions a run of records leaves open: a fold over records, of which it reads only the head (session, seq, kind of body).
 * It is how a spool knows, after a crash, whose end was never written.
 */
import { createHash } from 'node:crypto';
import { encodeSessionEnded } from '@sallyport/shared/records/encode.ts';

export interface OpenSession {
  nextSeq: number;
  commands: number;
  lastAtUnixUs: number;
  /** SHA-256 of the session's last record, hex. */
  lastHash: string;
}

interface Head {
  sessionId: string;
  seq: number;
  atUnixUs: number;
  body: number; // field number of the body, 0 when there is none
}

const SESSION_REFUSED = 11;
const SESSION_ENDED = 12;
const COMMAND = 13;

/** Where `varint` reads next. */
let cursor = 0;

/** @returns -1 at the end of the bytes, or after ten bytes without an end. */
function varint(bytes: Uint8Array): number {
  let byte = bytes[cursor++];
  if (byte === undefined) return -1;
  if (byte < 0x80) return byte;
  let value = byte & 0x7f;
  let scale = 0x80;
  for (let i = 1; i < 10; i++) {
    byte = bytes[cursor++];
    if (byte === undefined) return -1;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value;
    scale *= 0x80;
  }
  return -1;
}

/**
 * Reads the head of an encoded Record.
 * @returns null when the bytes are no Record; nothing is thrown.
 */
export function readRecordHead(bytes: Buffer): Head | null {
  const head: Head = { sessionId: '', seq: 0, atUnixUs: 0, body: 0 };
  cursor = 0;
  while (cursor < bytes.length) {
    const tag = varint(bytes);
    const field = Math.floor(tag / 8);
    if (field < 1) return null;
    if (tag % 8 === 0) {
      const value = varint(bytes);
      if (value < 0) return null;
      if (field === 2) head.seq = value;
      else if (field === 3) head.atUnixUs = value;
    } else if (tag % 8 === 2) {
      const length = varint(bytes);
      const end = cursor + length;
      if (length < 0 || end > bytes.length) return null;
      if (field === 1) head.sessionId = bytes.toString('latin1', cursor, end);
      else if (field >= 10 && field <= 18) head.body = field;
      cursor = end;
    } else {
      return null;
    }
  }
  return head;
}

export class OpenSessions {
  readonly #open: Map<string, OpenSession>;
  /** The last record of each session of the run being read, to be hashed once. */
  readonly #last = new Map<string, Buffer>();

  constructor(open: Iterable<[string, OpenSession]> = []) {
    this.#open = new Map(open);
  }

  /** Takes one record; call `settle` before the bytes are reused. */
  take(record: Buffer): void {
    const head = readRecordHead(record);
    if (head === null || head.sessionId === '') return;
    if (head.body === SESSION_ENDED || head.body === SESSION_REFUSED) {
      this.#open.delete(head.sessionId);
      this.#last.delete(head.sessionId);
      return;
    }
    const session = this.#open.get(head.sessionId);
    if (session === undefined) {
      this.#open.set(head.sessionId, {
        nextSeq: head.seq + 1,
        commands: head.body === COMMAND ? 1 : 0,
        lastAtUnixUs: head.atUnixUs,
        lastHash: '',
      });
    } else {
      session.nextSeq = head.seq + 1;
      session.lastAtUnixUs = head.atUnixUs;
      if (head.body === COMMAND) session.commands++;
    }
    this.#last.set(head.sessionId, record);
  }

  /** Hashes what `take` kept views of. */
  settle(): void {
    for (const [sessionId, record] of this.#last) {
      const session = this.#open.get(sessionId);
      if (session !== undefined) session.lastHash = createHash('sha256').update(record).digest('hex');
    }
    this.#last.clear();
  }

  entries(): [string, OpenSession][] {
    this.settle();
    return [...this.#open];
  }
}

/** The record that closes a session whose agent died. Its bytes are a view, valid until the next record is encoded. */
export function sessionEndedByCrash(sessionId: string, session: OpenSession, nowUnixUs: number): Uint8Array {
  return encodeSessionEnded(
    {
      sessionId,
      seq: session.nextSeq,
      atUnixUs: Math.max(nowUnixUs, session.lastAtUnixUs),
      previousHash: Buffer.from(session.lastHash, 'hex'),
    },
    { reason: 'agent crashed', commands: session.commands, errorCode: 'AGENT_CRASHED' },
  );
}
