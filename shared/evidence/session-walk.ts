/**
 * Follows the records of one session in the order in which they are given, and names what is wrong with them: missing, altered,
 * reordered, repeated, of another session, cut, added. Pure; memory is bounded by the number of holes.
 *
 * A record's hash is over its bytes as the agent wrote them. The record after it holds that hash; for the last one the signed head does.
 */
import { type Head, startedMs } from './checkpoint.ts';
import { type Sha256, sameBytes } from './merkle.ts';
import {
  BODY_GAP,
  BODY_SESSION_ENDED,
  BODY_SESSION_REFUSED,
  BODY_SESSION_STARTED,
  eachField,
  type RecordLink,
  readRecordLink,
} from './record-bytes.ts';
import type { Finding, Note } from './report.ts';

export interface WalkOptions {
  id: string;
  /** Where the newest checkpoint says that the session stands; null when none names it. */
  expected: Head | null;
  /** Every head that a checkpoint gives it: how many records, and the hash of the last of them. */
  heads: ReadonlyMap<number, Uint8Array>;
  sha256: Sha256;
  find: (finding: Finding) => void;
  note: (note: Note) => void;
  /** Is this so new that no checkpoint need have come yet? False for what says that it is of the future. */
  isFresh: (atUnixUs: number) => boolean;
}

export interface SessionWalk {
  take(record: Uint8Array): void;
  end(): void;
}

const HOLES_MAX = 10_000;
const decoder = new TextDecoder();

export function walkSession(options: WalkOptions): SessionWalk {
  return new Walk(options);
}

class Walk implements SessionWalk {
  readonly #options: WalkOptions;
  /** One more than the highest number seen. */
  #next = 0;
  /** Hash of the record with the highest number; null when what is before `next` is not known. */
  #hash: Uint8Array | null = null;
  #lastAtUnixUs = 0;
  #any = false;
  /** Holes, as [from, to]. */
  readonly #holes: [number, number][] = [];
  /** From, to, and the number of the record that says so. */
  readonly #gaps: [number, number, number][] = [];
  #added = 0;
  #uncovered = 0;
  /** Is everything new that no checkpoint covers? */
  #isNew = true;
  #who = '';

  constructor(options: WalkOptions) {
    this.#options = options;
  }

  take(record: Uint8Array): void {
    const link = readRecordLink(record);
    const { id } = this.#options;
    if (link === null) {
      this.#find('RECORD_ALTERED', this.#next, `record ${this.#next} cannot be read any more: it was altered`);
      return;
    }
    if (link.sessionId !== id) {
      this.#find('RECORD_FOREIGN', link.seq, `a record of another session (${link.sessionId}, number ${link.seq}) lies among its own`);
      return;
    }
    this.#any = true;
    this.#lastAtUnixUs = link.atUnixUs;
    if (link.body === BODY_SESSION_STARTED || link.body === BODY_SESSION_REFUSED) this.#learnWho(record, link);
    const { seq } = link;
    if (seq < this.#next) {
      this.#comesLate(seq);
      return;
    }
    if (seq > this.#next) {
      if (this.#holes.length < HOLES_MAX) this.#holes.push([this.#next, seq - 1]);
    } else if (seq === 0) {
      if (link.previousHash.length > 0) this.#find('RECORD_ALTERED', 0, 'record 0 was altered: it follows another record');
    } else if (this.#hash !== null && !sameBytes(this.#hash, link.previousHash)) {
      this.#find('RECORD_ALTERED', seq - 1, `record ${seq - 1} was altered after it was recorded: record ${seq} holds another hash of it`);
    }
    const hash = this.#options.sha256(record);
    this.#hash = hash;
    this.#next = seq + 1;
    this.#compareHead(seq, hash, link.atUnixUs);
    if (link.body === BODY_GAP) this.#gap(record, link);
    else if (link.body === BODY_SESSION_ENDED) this.#noteCrash(record, link);
  }

  end(): void {
    const { id, expected, isFresh, note } = this.#options;
    const highest = Math.max(-1, ...this.#holes.map(([, to]) => to));
    for (const [from, to] of this.#holes) {
      // An agent declares what it lost when it goes on, so behind every hole: only there the record is chained to what was signed.
      const declared = this.#gaps.find(([first, last, at]) => first <= from && to <= last && at > highest);
      if (declared === undefined) this.#missing(from, to, false);
    }
    if (expected === null) {
      // What is begun long ago is in some checkpoint, whatever its last record says of the time.
      if (this.#any && isFresh(startedMs(id) * 1000) && isFresh(this.#lastAtUnixUs)) {
        note({ code: 'NOT_YET_COVERED', session: id, message: `${this.#name()} is so new that no checkpoint names it yet.` });
      } else {
        this.#find('SESSION_UNPROVEN', undefined, 'no checkpoint of any agent names it: it cannot be proven');
      }
    } else if (this.#next < expected.records) {
      this.#missing(this.#next, expected.records - 1, true);
    }
    if (this.#added > 0)
      this.#find('RECORD_ADDED', expected?.records, `${this.#added} records were added after the end that the agent signed`);
    if (this.#uncovered > 0) {
      if (this.#isNew)
        note({
          code: 'NOT_YET_COVERED',
          session: id,
          message: `The last ${this.#uncovered} records of ${this.#name()} have no checkpoint yet.`,
        });
      else
        this.#find(
          'SESSION_UNPROVEN',
          expected?.records,
          `its last ${this.#uncovered} records are in no checkpoint: they cannot be proven`,
        );
    }
  }

  #find(code: Finding['code'], seq: number | undefined, what: string, toSeq?: number): void {
    this.#options.find({
      code,
      session: this.#options.id,
      ...(seq === undefined ? {} : { seq }),
      ...(toSeq === undefined ? {} : { toSeq }),
      message: `In ${this.#name()}, ${what}.`,
    });
  }

  #name(): string {
    return `session ${this.#options.id}${this.#who}`;
  }

  #missing(from: number, to: number, atEnd: boolean): void {
    const which = from === to ? `record ${from} is` : `records ${from} to ${to} are`;
    this.#find('RECORDS_MISSING', from, `${which} missing${atEnd ? ': the end was cut off' : ''}`, to);
  }

  /** A number below the highest: it fills a hole, or is there twice. */
  #comesLate(seq: number): void {
    const at = this.#holes.findIndex(([from, to]) => from <= seq && seq <= to);
    const hole = this.#holes[at];
    if (hole === undefined) {
      this.#find('RECORD_REPEATED', seq, `record ${seq} is there more than once`);
      return;
    }
    this.#find('RECORD_REORDERED', seq, `record ${seq} stands behind record ${this.#next - 1}: the order was changed`);
    const [from, to] = hole;
    this.#holes.splice(at, 1);
    if (from < seq) this.#holes.push([from, seq - 1]);
    if (seq < to) this.#holes.push([seq + 1, to]);
  }

  #compareHead(seq: number, hash: Uint8Array, atUnixUs: number): void {
    const { expected, heads, isFresh } = this.#options;
    if (expected === null) return;
    const signed = heads.get(seq + 1);
    if (signed !== undefined && !sameBytes(hash, signed))
      this.#find('RECORD_ALTERED', seq, `record ${seq} is not the one whose hash the agent signed: it was altered`);
    if (seq < expected.records) return;
    if (expected.ended) this.#added++;
    else this.#uncovered++;
    this.#isNew &&= isFresh(atUnixUs);
  }

  #gap(record: Uint8Array, link: RecordLink): void {
    let from = 0;
    let to = 0;
    let reason = '';
    eachField(record, link.bodyStart, link.bodyEnd, (field, value, start, end) => {
      if (field === 1) from = value;
      else if (field === 2) to = value;
      else if (field === 3) reason = decoder.decode(record.subarray(start, end));
    });
    this.#gaps.push([from, to, this.#next - 1]);
    this.#options.note({
      code: 'GAP_DECLARED',
      session: this.#options.id,
      message: `Records ${from} to ${to} of ${this.#name()} were lost, as the agent itself recorded: ${reason}.`,
    });
  }

  #noteCrash(record: Uint8Array, link: RecordLink): void {
    eachField(record, link.bodyStart, link.bodyEnd, (field, _value, start, end) => {
      if (field === 5 && decoder.decode(record.subarray(start, end)) === 'AGENT_CRASHED')
        this.#options.note({
          code: 'AGENT_CRASHED',
          session: this.#options.id,
          message: `The agent crashed during ${this.#name()}; it closed the session in the evidence when it came back.`,
        });
    });
  }

  #learnWho(record: Uint8Array, link: RecordLink): void {
    const principalField = link.body === BODY_SESSION_STARTED ? 3 : 7;
    let resource = '';
    let principal = '';
    eachField(record, link.bodyStart, link.bodyEnd, (field, _value, start, end) => {
      if (field === 1) resource = decoder.decode(record.subarray(start, end));
      else if (field === principalField)
        eachField(record, start, end, (inner, _inner, from, to) => {
          if (inner === 2) principal = decoder.decode(record.subarray(from, to));
        });
    });
    const when = new Date(link.atUnixUs / 1000).toISOString().slice(0, 19).replace('T', ' ');
    this.#who = ` (${principal || 'nobody known'} on ${resource}, ${when} UTC)`;
  }
}
