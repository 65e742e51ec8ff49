/**
 * Merkle trees as in Certificate Transparency (RFC 9162, 2.1): hashes, inclusion and consistency proofs, and proofs of a whole range
 * of leaves. Used over the entries of the control log, and over the session heads in a checkpoint.
 *
 * Pure, and without a hash function of its own: `Sha256` is given, so that the same code runs in Node and in a browser. Nothing is
 * stored or signed here (tree-head.ts signs).
 *
 * @see https://www.rfc-editor.org/rfc/rfc9162#section-2.1
 */

/** SHA-256 of the bytes: 32 bytes of the caller's own. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array;

export const HASH_BYTES = 32;
const LEAF = 0x00;
const NODE = 0x01;

/** Hash of a leaf: SHA-256 of 0x00 and the data. */
export function leafHash(data: Uint8Array, sha256: Sha256): Uint8Array {
  const prefixed = new Uint8Array(data.length + 1);
  prefixed[0] = LEAF;
  prefixed.set(data, 1);
  return sha256(prefixed);
}

/** Hash of an inner node: SHA-256 of 0x01, left, right. */
export function nodeHash(left: Uint8Array, right: Uint8Array, sha256: Sha256): Uint8Array {
  const both = new Uint8Array(1 + 2 * HASH_BYTES);
  both[0] = NODE;
  both.set(left, 1);
  both.set(right, 1 + HASH_BYTES);
  return sha256(both);
}

/** The largest power of two below `n` (n > 1): where RFC 9162 splits a tree of n leaves. */
function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

function isPowerOfTwo(n: number): boolean {
  return n > 0 && 2 ** Math.floor(Math.log2(n)) === n;
}

/** A tree that only grows. Keeps the hash of every complete subtree: about 64 bytes a leaf. */
export class MerkleTree {
  readonly #sha256: Sha256;
  /** `#levels[l]` holds the hashes of the complete subtrees of 2^l leaves, from left to right. */
  readonly #levels: { bytes: Uint8Array; count: number }[] = [];

  constructor(sha256: Sha256) {
    this.#sha256 = sha256;
  }

  get size(): number {
    return this.#levels[0]?.count ?? 0;
  }

  /** Adds a leaf's data. */
  append(data: Uint8Array): void {
    this.appendHash(leafHash(data, this.#sha256));
  }

  /** Adds a leaf by its hash. */
  appendHash(hash: Uint8Array): void {
    let node = hash;
    for (let level = 0; ; level++) {
      const count = this.#push(level, node);
      if (count % 2 !== 0) return;
      node = nodeHash(this.#node(level, count - 2), node, this.#sha256);
    }
  }

  /** Hash of leaf `index`. */
  leaf(index: number): Uint8Array {
    return this.#node(0, index);
  }

  /** The root over the first `size` leaves (MTH): of none, the hash of nothing. */
  root(size: number = this.size): Uint8Array {
    this.#within(size);
    return size === 0 ? this.#sha256(new Uint8Array(0)) : this.#range(0, size);
  }

  /** Audit path of leaf `index` in the tree of the first `size` leaves (RFC 9162, 2.1.3.1). */
  inclusionProof(index: number, size: number = this.size): Uint8Array[] {
    this.#within(size);
    if (!(index >= 0 && index < size)) throw new RangeError(`no leaf ${index} in a tree of ${size}`);
    const path: Uint8Array[] = [];
    const walk = (low: number, high: number): void => {
      if (high - low === 1) return;
      const middle = low + split(high - low);
      if (index < middle) {
        walk(low, middle);
        path.push(this.#range(middle, high));
      } else {
        walk(middle, high);
        path.push(this.#range(low, middle));
      }
    };
    walk(0, size);
    return path;
  }

  /** Proof that the tree of `first` leaves is a beginning of the tree of `second` leaves (RFC 9162, 2.1.4.1). */
  consistencyProof(first: number, second: number = this.size): Uint8Array[] {
    this.#within(second);
    if (!(first >= 0 && first <= second)) throw new RangeError(`a tree of ${first} is no beginning of one of ${second}`);
    if (first === 0 || first === second) return [];
    const proof: Uint8Array[] = [];
    const walk = (low: number, high: number, whole: boolean): void => {
      if (first === high) {
        if (!whole) proof.push(this.#range(low, high));
        return;
      }
      const middle = low + split(high - low);
      if (first <= middle) {
        walk(low, middle, whole);
        proof.push(this.#range(middle, high));
      } else {
        walk(middle, high, false);
        proof.push(this.#range(low, middle));
      }
    };
    walk(0, second, true);
    return proof;
  }

  /** What `rootFromRange` needs beside the leaves `from..to-1` to compute the root over `size` leaves: from left to right. */
  rangeProof(from: number, to: number, size: number = this.size): Uint8Array[] {
    this.#within(size);
    if (!(from >= 0 && from < to && to <= size)) throw new RangeError(`no leaves ${from}..${to - 1} in a tree of ${size}`);
    const proof: Uint8Array[] = [];
    const walk = (low: number, high: number): void => {
      if (high <= from || low >= to) proof.push(this.#range(low, high));
      else if (high - low > 1) {
        const middle = low + split(high - low);
        walk(low, middle);
        walk(middle, high);
      }
    };
    walk(0, size);
    return proof;
  }

  /** All that it knows, leaves first: the hashes of the complete subtrees of 1, 2, 4 … leaves, one after another. */
  rows(): Uint8Array[] {
    return this.#levels.map(({ bytes, count }) => bytes.slice(0, count * HASH_BYTES));
  }

  /** The tree of these rows, which the caller trusts to be of one tree. @returns null when they are not as long as a tree's. */
  static fromRows(rows: readonly Uint8Array[], sha256: Sha256): MerkleTree | null {
    const tree = new MerkleTree(sha256);
    const size = (rows[0]?.length ?? 0) / HASH_BYTES;
    for (const [level, bytes] of rows.entries()) {
      const count = Math.floor(size / 2 ** level);
      if (count === 0 || bytes.length !== count * HASH_BYTES) return null;
      tree.#levels.push({ bytes: bytes.slice(), count });
    }
    return size < 2 ** rows.length ? tree : null;
  }

  #within(size: number): void {
    if (!(size >= 0 && size <= this.size)) throw new RangeError(`the tree has ${this.size} leaves, not ${size}`);
  }

  #push(level: number, hash: Uint8Array): number {
    let row = this.#levels[level];
    if (row === undefined) {
      row = { bytes: new Uint8Array(HASH_BYTES * 16), count: 0 };
      this.#levels[level] = row;
    }
    if ((row.count + 1) * HASH_BYTES > row.bytes.length) {
      const grown = new Uint8Array(row.bytes.length * 2);
      grown.set(row.bytes);
      row.bytes = grown;
    }
    row.bytes.set(hash, row.count * HASH_BYTES);
    row.count++;
    return row.count;
  }

  #node(level: number, index: number): Uint8Array {
    const row = this.#levels[level];
    if (row === undefined || index < 0 || index >= row.count) throw new RangeError(`no node ${index} at level ${level}`);
    return row.bytes.slice(index * HASH_BYTES, (index + 1) * HASH_BYTES);
  }

  #range(low: number, high: number): Uint8Array {
    const width = high - low;
    if (isPowerOfTwo(width) && low % width === 0) return this.#node(Math.log2(width), low / width);
    const middle = low + split(width);
    return nodeHash(this.#range(low, middle), this.#range(middle, high), this.#sha256);
  }
}

/** Root over leaves that are all at hand. */
export function treeRoot(leaves: readonly Uint8Array[], sha256: Sha256): Uint8Array {
  const tree = new MerkleTree(sha256);
  for (const leaf of leaves) tree.append(leaf);
  return tree.root();
}

/**
 * The root that an audit path leads to from a leaf's hash (RFC 9162, 2.1.3.2); it proves inclusion when it is the tree's.
 * @returns null when the path does not fit the place.
 */
export function rootFromInclusion(
  leaf: Uint8Array,
  index: number,
  size: number,
  path: readonly Uint8Array[],
  sha256: Sha256,
): Uint8Array | null {
  if (!isPlace(index, size) || path.some(hash => hash.length !== HASH_BYTES)) return null;
  let at = index;
  let last = size - 1;
  let hash = leaf;
  for (const sibling of path) {
    if (last === 0) return null;
    if (at % 2 === 1 || at === last) {
      hash = nodeHash(sibling, hash, sha256);
      while (at % 2 === 0 && at !== 0) {
        at = Math.floor(at / 2);
        last = Math.floor(last / 2);
      }
    } else {
      hash = nodeHash(hash, sibling, sha256);
    }
    at = Math.floor(at / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 ? hash : null;
}

/** Does the proof show that the tree with `firstRoot` is a beginning of the one with `secondRoot` (RFC 9162, 2.1.4.2)? */
export function isConsistent(
  first: { size: number; root: Uint8Array },
  second: { size: number; root: Uint8Array },
  proof: readonly Uint8Array[],
  sha256: Sha256,
): boolean {
  if (!Number.isSafeInteger(first.size) || !Number.isSafeInteger(second.size) || first.size < 0 || first.size > second.size) return false;
  if (proof.some(hash => hash.length !== HASH_BYTES)) return false;
  if (first.size === second.size) return proof.length === 0 && sameBytes(first.root, second.root);
  if (first.size === 0) return proof.length === 0 && sameBytes(first.root, sha256(new Uint8Array(0)));
  const path = isPowerOfTwo(first.size) ? [first.root, ...proof] : [...proof];
  let at = first.size - 1;
  let last = second.size - 1;
  while (at % 2 === 1) {
    at = Math.floor(at / 2);
    last = Math.floor(last / 2);
  }
  const start = path.shift();
  if (start === undefined) return false;
  let firstHash = start;
  let secondHash = start;
  for (const hash of path) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      firstHash = nodeHash(hash, firstHash, sha256);
      secondHash = nodeHash(hash, secondHash, sha256);
      while (at % 2 === 0 && at !== 0) {
        at = Math.floor(at / 2);
        last = Math.floor(last / 2);
      }
    } else {
      secondHash = nodeHash(secondHash, hash, sha256);
    }
    at = Math.floor(at / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && sameBytes(firstHash, first.root) && sameBytes(secondHash, second.root);
}

/**
 * The root over `size` leaves, from the hashes of the leaves `from..` and the subtrees around them (`MerkleTree.rangeProof`).
 * @returns null when they do not fit.
 */
export function rootFromRange(
  leaves: readonly Uint8Array[],
  from: number,
  size: number,
  proof: readonly Uint8Array[],
  sha256: Sha256,
): Uint8Array | null {
  const to = from + leaves.length;
  if (leaves.length === 0 || !isPlace(from, size) || to > size || proof.some(hash => hash.length !== HASH_BYTES)) return null;
  let used = 0;
  const walk = (low: number, high: number): Uint8Array | null => {
    if (high <= from || low >= to) return proof[used++] ?? null;
    if (high - low === 1) return leaves[low - from] ?? null;
    const middle = low + split(high - low);
    const left = walk(low, middle);
    const right = left === null ? null : walk(middle, high);
    return left === null || right === null ? null : nodeHash(left, right, sha256);
  };
  const root = walk(0, size);
  return used === proof.length ? root : null;
}

function isPlace(index: number, size: number): boolean {
  return Number.isSafeInteger(index) && Number.isSafeInteger(size) && index >= 0 && index < size;
}

/** Equality of what is public: not in constant time. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
