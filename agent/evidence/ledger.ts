/**
 * The ledger of one spool: signed checkpoints of where its sessions stand, written into the spool itself, so that they travel, wait and
 * survive like any record. Each new statement is told to the control plane besides (`onCheckpoint`), which logs it where this agent
 * cannot change it.
 *
 * A checkpoint is cut soon after a session ends, and every few seconds while sessions move. Nothing waits for one. Not here: chaining
 * the records (agent/session/recorder.ts), and the way to the control plane.
 */
import { sha256 } from '@sallyport/shared/crypto/sha256.ts';
import { encodeCheckpoint, encodeHead, encodeStatement, type Head, headsRoot, signedBytes } from '@sallyport/shared/evidence/checkpoint.ts';
import { encodeRecordWithBody } from '@sallyport/shared/records/encode.ts';
import type { RecordSink } from '@sallyport/shared/records/sink.ts';

export interface LedgerOptions {
  agentId: string;
  /** The spool's id. */
  ledger: string;
  sink: RecordSink;
  /** Where the spool's recovery found the ledger. */
  state: { number: number; previous: string };
  /** Ed25519 by the agent's evidence key. */
  sign: (message: Uint8Array) => Uint8Array;
  /** Called when a checkpoint is on disk. */
  onCheckpoint: (statement: Uint8Array, signature: Uint8Array) => void;
  nowUnixUs: () => number;
}

/** A head has at most about 130 bytes: this many fit the smallest spool's largest record. */
const HEADS_MAX = 100;

export class Ledger {
  readonly #options: LedgerOptions;
  /** Sessions that have moved since the last checkpoint; no more of them than records that the spool took. */
  readonly #moved = new Map<string, Head>();
  #number: number;
  #previous: Uint8Array;

  constructor(options: LedgerOptions) {
    this.#options = options;
    this.#number = options.state.number;
    this.#previous = Buffer.from(options.state.previous, 'hex');
  }

  /** Notes where a session stands; the hash is copied. */
  note(head: Head): void {
    this.#moved.set(head.sessionId, { ...head, hash: Uint8Array.from(head.hash) });
  }

  get waiting(): number {
    return this.#moved.size;
  }

  /**
   * Writes what has been noted; without anything noted only when `always`.
   * @throws what the sink throws: then what was noted waits for the next call.
   */
  cut(always = false): void {
    let first = always;
    while (first || this.#moved.size > 0) {
      first = false;
      const heads: Head[] = [];
      for (const head of this.#moved.values()) if (heads.push(head) === HEADS_MAX) break;
      this.#write(heads);
      for (const { sessionId } of heads) this.#moved.delete(sessionId);
    }
  }

  #write(heads: readonly Head[]): void {
    const { agentId, ledger, sink, sign, onCheckpoint, nowUnixUs } = this.#options;
    const encoded = heads.map(encodeHead);
    const atUnixUs = nowUnixUs();
    const statement = encodeStatement({
      agentId,
      ledger,
      number: this.#number,
      atUnixUs,
      previous: this.#previous,
      headsRoot: headsRoot(encoded, sha256),
      heads: encoded.length,
    });
    const signature = sign(signedBytes(statement));
    const index = sink.append(
      encodeRecordWithBody(
        { sessionId: ledger, seq: this.#number, atUnixUs },
        CHECKPOINT_FIELD,
        encodeCheckpoint(statement, signature, encoded),
      ),
    );
    this.#number++;
    this.#previous = sha256(statement);
    sink.whenDurable(index, error => {
      // A broken spool is reported by itself; what it lost is no checkpoint.
      if (error === null) onCheckpoint(statement, signature);
    });
  }
}

const CHECKPOINT_FIELD = 19;
