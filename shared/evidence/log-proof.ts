/**
 * The part of verification that is about the control log: do the entries that a file gives lead to its signed head, is everything there
 * that the file's sessions may rest on, and is that log the one whose heads somebody kept elsewhere?
 *
 * A file may leave out what came before its sessions. Then its last range begins with an entry whose own contents show that it was
 * written well before any of them: an entry of the log is never older than what it speaks of.
 *
 * Pure. What entries say is the caller's (`believe`); signatures are tree-head.ts's.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { ControlEventSchema } from '@sallyport/proto/gen/sallyport/control/v1/control_pb.js';
import { fromBase64 } from './base64.ts';
import { controlLeaf } from './control-leaf.ts';
import { isConsistent, leafHash, MerkleTree, rootFromRange, type Sha256, sameBytes } from './merkle.ts';
import type { Finding } from './report.ts';
import type { TreeHead } from './tree-head.ts';

/** The proof rests on what is in these; others may be given by their hash. */
export const OPEN_ENTRIES: ReadonlySet<string> = new Set([
  'AgentJoined',
  'CheckpointsLogged',
  'LegalHoldPlaced',
  'LegalHoldReleased',
  'EvidenceExpired',
  'ContentsShredded',
]);

/** How far apart the clocks of an agent and of the control plane may be, where a file begins late in the log. */
export const CLOCKS_APART_MS = 3_600_000;

type Line = Record<string, unknown>;

export interface LogEvent {
  stream: string;
  /** Accepted entries of the stream before it, as its writer saw them: of two with one version the first counts. */
  expectedVersion: bigint;
  type: string;
  payload: Uint8Array;
}

export interface LogProofOptions {
  sha256: Sha256;
  find: (finding: Finding) => void;
  malformed: (why: string) => void;
  /** Called with an entry that the proof rests on, when its range has been checked. */
  believe: (index: number, event: LogEvent) => void;
}

interface Range {
  from: number;
  to: number;
  proof: Uint8Array[];
  leaves: Uint8Array[];
  /** When the first entry was written, by its own contents; null when they are withheld. */
  firstAtMs: number | null;
  effects: (() => void)[];
}

export class LogProof {
  readonly #options: LogProofOptions;
  readonly #sha256: Sha256;
  #open: Range | null = null;
  /** The last range: it must go up to the head. */
  #last: Range | null = null;
  readonly #consistency = new Map<number, Uint8Array[]>();
  entries = 0;
  withheld = 0;

  constructor(options: LogProofOptions) {
    this.#options = options;
    this.#sha256 = options.sha256;
  }

  /** A line of type `range`. */
  begin(line: Line): void {
    const proof = hashes(line['proof']);
    if (proof === null) this.#options.malformed('a range without a proof');
    else this.#open = { from: Number(line['from']), to: Number(line['to']), proof, leaves: [], firstAtMs: null, effects: [] };
  }

  /** A line of type `entry`. */
  entry(line: Line): void {
    const range = this.#open;
    const { malformed, find, believe } = this.#options;
    if (range === null) {
      malformed('an entry outside a range');
      return;
    }
    this.entries++;
    const index = range.from + range.leaves.length;
    if (typeof line['value'] !== 'string') {
      const hash = fromBase64(String(line['sha256']));
      if (hash === null) {
        malformed('an entry without value or hash');
        return;
      }
      const type = String(line['event']);
      if (OPEN_ENTRIES.has(type)) {
        find({
          code: 'ENTRY_ALTERED',
          entry: index,
          message: `The contents of entry ${index} of the control log (${type}) were taken out: the proof rests on them.`,
        });
      }
      this.withheld++;
      range.leaves.push(leafHash(controlLeaf(String(line['stream']), type, hash), this.#sha256));
      return;
    }
    const value = fromBase64(line['value']);
    if (value === null) {
      malformed('an entry that is not base64');
      return;
    }
    let event: LogEvent & { atUnixUs: bigint };
    try {
      event = fromBinary(ControlEventSchema, value);
    } catch {
      range.leaves.push(leafHash(value, this.#sha256)); // of whatever it is, the proof will say that it is wrong
      return;
    }
    if (range.leaves.length === 0) range.firstAtMs = Number(event.atUnixUs / 1000n);
    range.leaves.push(leafHash(controlLeaf(event.stream, event.type, this.#sha256(value)), this.#sha256));
    if (OPEN_ENTRIES.has(event.type)) range.effects.push(() => believe(index, event));
  }

  /** Call when something else than an entry comes. What the entries say counts even when the proof fails: that is a finding. */
  end(head: TreeHead | null): void {
    const range = this.#open;
    if (range === null) return;
    this.#open = null;
    this.#last = range;
    const root = head === null ? null : rootFromRange(range.leaves, range.from, head.size, range.proof, this.#sha256);
    if (root === null || head === null || range.from + range.leaves.length !== range.to || !sameBytes(root, head.root)) {
      this.#options.find({
        code: 'ENTRY_ALTERED',
        entry: range.from,
        message:
          range.to - range.from === 1
            ? `Entry ${range.from} of the control log was altered: it does not lead to the signed head.`
            : `Among the entries ${range.from} to ${range.to - 1} of the control log, at least one was altered, taken out or added: they do not lead to the signed head.`,
      });
    }
    for (const effect of range.effects) effect();
  }

  /** A line of type `consistency`. */
  consistency(line: Line): void {
    const proof = hashes(line['proof']);
    if (proof === null || typeof line['size'] !== 'number') this.#options.malformed('a proof of consistency that is none');
    else this.#consistency.set(line['size'], proof);
  }

  /**
   * Is everything here that sessions may rest on which began at `fromMs` or later? What is not here could say that there is more.
   * @param fromMs null: sessions of any time.
   */
  checkComplete(head: TreeHead, fromMs: number | null): void {
    const last = this.#last;
    const missing = (from: number, to: number) =>
      this.#options.find({
        code: 'ENTRY_ALTERED',
        entry: from,
        message: `Entries ${from} to ${to - 1} of the control log are missing.`,
      });
    if (last === null) {
      if (head.size > 0) missing(0, head.size);
      return;
    }
    const isLateEnough = fromMs !== null && last.firstAtMs !== null && last.firstAtMs < fromMs - CLOCKS_APART_MS;
    if (last.from > 0 && !isLateEnough) missing(0, last.from);
    if (last.to !== head.size) missing(last.to, head.size);
  }

  /** Is the log of that head the beginning of the one in the file? null: the file does not show it. */
  isBeginning(head: TreeHead, old: TreeHead): boolean | null {
    const last = this.#last;
    const proof = this.#consistency.get(old.size);
    if (proof !== undefined) return isConsistent(old, head, proof, this.#sha256);
    if (last?.from !== 0 || old.size > last.leaves.length) return old.size > head.size ? false : null;
    const tree = new MerkleTree(this.#sha256);
    for (const leaf of last.leaves.slice(0, old.size)) tree.appendHash(leaf);
    return sameBytes(tree.root(), old.root);
  }

  /** Holds the log against heads that were kept elsewhere, each with a good signature. */
  checkKept(head: TreeHead, kept: readonly TreeHead[]): void {
    const { find } = this.#options;
    const whole = new MerkleTree(this.#sha256);
    if (this.#last?.from === 0) for (const leaf of this.#last.leaves) whole.appendHash(leaf);
    for (const old of kept) {
      const of = `of ${old.at} (${old.size} entries)`;
      if (old.size > head.size) {
        const isOlder = Date.parse(head.at) < Date.parse(old.at);
        find({
          code: isOlder ? 'FILE_OLDER' : 'LOG_ROLLED_BACK',
          entry: head.size,
          message: isOlder
            ? `The kept head ${of} is newer than this file (${head.at}, ${head.size} entries), which therefore cannot be held against it: export again.`
            : `The control log was rolled back: the kept head ${of} has more than the log had on ${head.at}: ${head.size} entries.`,
        });
        continue;
      }
      const proof = this.#consistency.get(old.size);
      const isSame = whole.size >= old.size && (whole.size > 0 || old.size === 0) && sameBytes(whole.root(old.size), old.root);
      if (isSame || (proof !== undefined && isConsistent(old, head, proof, this.#sha256))) continue;
      if (whole.size >= old.size || proof !== undefined || old.size === head.size) {
        find({
          code: 'LOG_SPLIT',
          entry: old.size,
          message: `There are two control logs: the one with the kept head ${of} is not the beginning of the one in this file. What was shown then and what is shown now differ.`,
        });
      } else {
        find({
          code: 'HEAD_UNPROVEN',
          entry: old.size,
          message: `The file does not show that its control log goes on from the kept head ${of}: export with \`--heads\` and the same file.`,
        });
      }
    }
  }
}

function hashes(value: unknown): Uint8Array[] | null {
  if (!Array.isArray(value)) return null;
  const result = value.map(each => fromBase64(String(each)));
  return result.every(each => each !== null) ? result : null;
}
