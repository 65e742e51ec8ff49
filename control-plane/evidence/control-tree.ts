/**
 * The Merkle tree over the control log: one leaf an entry, in log order, so that every replica has the same tree. Signs its heads.
 *
 * Fed by the fold over the log (`take`), from the first entry on. It keeps about 64 bytes an entry for the tree, and for each entry
 * when it was written; which entries are whose is kept by stream. Entries themselves are read from the log when they are asked for.
 */
import type { KeyObject } from 'node:crypto';
import { sha256, signEd25519 } from '@sallyport/shared/crypto/sha256.ts';
import { controlLeaf } from '@sallyport/shared/evidence/control-leaf.ts';
import { leafHash, MerkleTree, rootFromInclusion } from '@sallyport/shared/evidence/merkle.ts';
import { formatLogKey, type LogKey, signTreeHead } from '@sallyport/shared/evidence/tree-head.ts';
import type { RecordedEvent } from '../aggregates/projection.ts';

const HEAD_AGE_MS = 5000;

/** All that a tree knows, as plain data. */
export interface TreeState {
  root: Uint8Array;
  /** As `MerkleTree.rows` gives them: hashing a hundred thousand leaves anew takes longer than reading all the rest. */
  rows: Uint8Array[];
  at: Float64Array;
  /** Stream → places of its entries. */
  streams: Map<string, number[]>;
}

/** The hash of an entry's leaf. */
export function leafOfEntry(value: Uint8Array, { stream, type }: Pick<RecordedEvent, 'stream' | 'type'>): Uint8Array {
  return leafHash(controlLeaf(stream, type, sha256(value)), sha256);
}

export class ControlTree {
  #tree: MerkleTree = new MerkleTree(sha256);
  readonly key: LogKey;
  readonly #privateKey: KeyObject;
  readonly #clock: () => number;
  /** Milliseconds since 1970, never falling: what is after a moment is found by halving. */
  #at: number[] = [];
  #streams = new Map<string, number[]>();
  #signed: { size: number; note: string; atMs: number } | null = null;

  constructor(privateKey: KeyObject, publicKey: Uint8Array, clock: () => number) {
    const name = Buffer.from(sha256(publicKey)).toString('hex').slice(0, 16);
    this.key = { origin: `sallyport-control-${name}`, publicKey };
    this.#privateKey = privateKey;
    this.#clock = clock;
  }

  take(value: Uint8Array, event: RecordedEvent): void {
    const index = this.tree.size;
    this.tree.append(controlLeaf(event.stream, event.type, sha256(value)));
    this.#at.push(Math.max(this.#at.at(-1) ?? 0, Number(event.atUnixUs / 1000n)));
    const indexes = this.#streams.get(event.stream);
    if (indexes === undefined) this.#streams.set(event.stream, [index]);
    else indexes.push(index);
  }

  get tree(): MerkleTree {
    return this.#tree;
  }

  get size(): number {
    return this.tree.size;
  }

  save(): TreeState {
    return { root: this.tree.root(), rows: this.tree.rows(), at: Float64Array.from(this.#at), streams: this.#streams };
  }

  /** Takes the place of the first entries, which are not to be taken again. @returns why it cannot; null: it has. */
  restore(saved: TreeState): string | null {
    this.clear();
    const tree = MerkleTree.fromRows(saved.rows, sha256);
    if (tree === null || Buffer.compare(tree.root(), saved.root) !== 0 || saved.at.length !== tree.size)
      return 'its entries are not those that its tree was over';
    this.#tree = tree;
    this.#at = [...saved.at];
    this.#streams = saved.streams;
    return null;
  }

  /** Whether a leaf leads to the root by the hashes that the tree keeps. */
  isSound(index: number): boolean {
    const { tree, size } = this;
    const root = rootFromInclusion(tree.leaf(index), index, size, tree.inclusionProof(index), sha256);
    return root !== null && Buffer.compare(root, tree.root()) === 0;
  }

  clear(): void {
    this.#tree = new MerkleTree(sha256);
    this.#at = [];
    this.#streams = new Map();
    this.#signed = null;
  }

  /** The public key as people pin it. */
  get verifierKey(): string {
    return formatLogKey(this.key, sha256);
  }

  /** The signed head of the tree as it is now. */
  head(): { size: number; root: Uint8Array; note: string } {
    const { size } = this.tree;
    const root = this.tree.root();
    const atMs = this.#clock();
    // Its time says up to when the log had nothing more: it must not grow old.
    if (this.#signed?.size !== size || atMs - this.#signed.atMs > HEAD_AGE_MS) {
      const at = new Date(atMs).toISOString();
      const note = signTreeHead({ origin: this.key.origin, size, root, at }, this.key, text => signEd25519(this.#privateKey, text), sha256);
      this.#signed = { size, note, atMs };
    }
    return { size, root, note: this.#signed.note };
  }

  /** Signs by the key of the heads; `bytes` say by their beginning what they are. */
  sign(bytes: Uint8Array): Uint8Array {
    return signEd25519(this.#privateKey, bytes);
  }

  /** The first entry that was written at or after a moment; `size` when there is none. */
  firstAt(atMs: number): number {
    let low = 0;
    let high = this.#at.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#at[middle] as number) < atMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** When an entry was written, milliseconds since 1970. */
  atMs(index: number): number {
    return this.#at[index] ?? 0;
  }

  /** Places of a stream's entries, ascending. */
  entriesOf(stream: string): readonly number[] {
    return this.#streams.get(stream) ?? [];
  }

  /** Streams whose name begins so. */
  *streams(prefix: string): Iterable<string> {
    for (const stream of this.#streams.keys()) if (stream.startsWith(prefix)) yield stream;
  }
}
