/**
 * One command under way: what its Response record will say. Counted in place while the answer passes; nothing here is made
 * for a row or a value that no rule touches.
 */
import { createHash, type Hash } from 'node:crypto';
import type { AuditPolicySpec } from '@sallyport/shared/policy/model.ts';
import type { RecordedStatus } from '@sallyport/shared/records/encode.ts';

export class CommandRun {
  /** seq of its Command record. */
  readonly seq: number;
  /** Index of its Command record in the sink: no byte of the answer is released before that is durable. */
  readonly index: number;
  readonly startedAtMs: number;
  /** Errors and notices are reduced: its text touches protected columns. */
  readonly touchesProtected: boolean;
  /** The same for records, where nobody is exempt. */
  readonly touchesRecordProtected: boolean;
  /** It inserts rows of the client's own and changes none that is there. */
  readonly ownRows: boolean;
  rows = 0;
  bytes = 0;
  maskedValues = 0;
  status: RecordedStatus = 'ok';
  errorCode = '';
  errorText = '';
  tag = '';
  dataClasses: Set<string> | null = null;
  columns: readonly string[] | null = null;
  cancelled = false;
  /** How long it waited for an approval, and who gave it. */
  heldUs = 0;
  approvers: readonly string[] | undefined;
  /** A budget was spent in the middle of its rows: no more of them are released. */
  overBudget = false;
  readonly #capture: AuditPolicySpec['responses'];
  readonly #headMax: number;
  #head: Buffer | null = null;
  #headLength = 0;
  #headTruncated = false;
  #hash: Hash | null = null;

  constructor(
    seq: number,
    index: number,
    audit: AuditPolicySpec,
    touches: { touchesProtected: boolean; touchesRecordProtected: boolean; ownRows: boolean },
  ) {
    this.seq = seq;
    this.index = index;
    this.startedAtMs = performance.now();
    this.touchesProtected = touches.touchesProtected;
    this.touchesRecordProtected = touches.touchesRecordProtected;
    this.ownRows = touches.ownRows;
    this.#withheld = touches.touchesRecordProtected;
    this.#capture = audit.responses;
    this.#headMax = audit.responses === 'head' ? audit.headBytes : 0;
  }

  #withheld: boolean;

  /** Nothing of the answer may be recorded. */
  withhold(): void {
    this.#withheld = true;
  }

  /** Does anything of the answer's bytes go into records? */
  get captures(): boolean {
    return this.#capture !== 'none' && !this.#withheld;
  }

  get capturesAll(): boolean {
    return this.#capture === 'full' && !this.#withheld;
  }

  /** Takes bytes of the answer as the client gets them; they are copied. */
  capture(bytes: Buffer, start: number, end: number): void {
    if (end <= start || this.#withheld) return;
    if (this.#capture === 'head') {
      const room = this.#headMax - this.#headLength;
      const take = Math.min(room, end - start);
      if (take < end - start) this.#headTruncated = true;
      if (take <= 0) return;
      if (this.#head === null || this.#head.length < this.#headLength + take) {
        const grown = Buffer.allocUnsafe(Math.min(this.#headMax, Math.max(2 * (this.#headLength + take), 512)));
        this.#head?.copy(grown, 0, 0, this.#headLength);
        this.#head = grown;
      }
      bytes.copy(this.#head, this.#headLength, start, start + take);
      this.#headLength += take;
    } else if (this.#capture !== 'none') {
      this.#hash ??= createHash('sha256');
      this.#hash.update(bytes.subarray(start, end));
    }
  }

  #offset = 0;

  /** Where the next piece of the answer begins in the whole. */
  takeOffset(length: number): number {
    const at = this.#offset;
    this.#offset += length;
    return at;
  }

  classify(dataClass: string): void {
    this.dataClasses ??= new Set();
    this.dataClasses.add(dataClass);
  }

  get head(): Uint8Array | undefined {
    return this.#head === null ? undefined : this.#head.subarray(0, this.#headLength);
  }

  get headTruncated(): boolean {
    return this.#headTruncated;
  }

  /** Of all captured bytes; once, at the end. */
  digest(): Uint8Array | undefined {
    return this.#hash?.digest();
  }
}
