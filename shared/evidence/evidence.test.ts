import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sha256 } from '../crypto/sha256.ts';
import { isConsistent, leafHash, MerkleTree, rootFromInclusion, rootFromRange } from './merkle.ts';

const leaves = (count: number) => Array.from({ length: count }, (_, i) => Uint8Array.of(i & 0xff, i >> 8));
const hex = (bytes: Uint8Array | null) => (bytes === null ? 'null' : Buffer.from(bytes).toString('hex'));

test('the tree hashes as in RFC 9162: the example of 2.1.5 and the known roots of the reference implementation', () => {
  const inputs = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
  const roots = [
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
    '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
    'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  ];
  const tree = new MerkleTree(sha256);
  assert.equal(hex(tree.root()), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  for (const [i, input] of inputs.entries()) {
    tree.append(Buffer.from(input, 'hex'));
    assert.equal(hex(tree.root()), roots[i]);
  }
});

test('a tree made of another one’s rows is the same and grows alike; rows of no tree are refused', () => {
  for (let size = 0; size <= 21; size++) {
    const tree = new MerkleTree(sha256);
    for (const leaf of leaves(size)) tree.append(leaf);
    const rows = tree.rows();
    const again = MerkleTree.fromRows(rows, sha256);
    assert.ok(again !== null);
    for (const leaf of leaves(7)) {
      assert.equal(hex(again.root()), hex(tree.root()));
      tree.append(leaf);
      again.append(leaf);
    }
    for (const [level, row] of rows.entries()) {
      assert.equal(MerkleTree.fromRows(rows.toSpliced(level, 1, row.subarray(1)), sha256), null);
      if (level > 0) assert.equal(MerkleTree.fromRows(rows.toSpliced(level, 1), sha256), null);
    }
    if (size > 0) assert.equal(MerkleTree.fromRows([...rows, new Uint8Array(32)], sha256), null);
  }
});

test('every inclusion, range and consistency proof of small trees checks, and none with anything changed', () => {
  const tree = new MerkleTree(sha256);
  const hashes = leaves(21).map(leaf => leafHash(leaf, sha256));
  for (const hash of hashes) tree.appendHash(hash);
  for (let size = 1; size <= 21; size++) {
    const root = tree.root(size);
    for (let index = 0; index < size; index++) {
      const path = tree.inclusionProof(index, size);
      const leaf = tree.leaf(index);
      assert.equal(hex(rootFromInclusion(leaf, index, size, path, sha256)), hex(root));
      for (const wrong of [
        rootFromInclusion(leaf, index + 1, size, path, sha256),
        rootFromInclusion(leaf, index, size + 1, path, sha256),
        rootFromInclusion(leafHash(leaf, sha256), index, size, path, sha256),
        rootFromInclusion(leaf, index, size, [...path, leaf], sha256),
        path.length > 0 ? rootFromInclusion(leaf, index, size, path.slice(1), sha256) : null,
      ]) {
        // A tree of another size may have the same path for some leaf; then the root says which tree is meant.
        if (wrong !== null && index + 1 < size) assert.equal(hex(wrong) === hex(root) && hex(wrong) !== hex(tree.root(size)), false);
      }
      for (let to = index + 1; to <= size; to++) {
        const proof = tree.rangeProof(index, to, size);
        assert.equal(hex(rootFromRange(hashes.slice(index, to), index, size, proof, sha256)), hex(root));
        assert.equal(rootFromRange(hashes.slice(index, to), index, size, [...proof, root], sha256), null);
        if (to - index > 1) {
          const swapped = hashes.slice(index, to);
          [swapped[0], swapped[1]] = [swapped[1] as Uint8Array, swapped[0] as Uint8Array];
          assert.notEqual(hex(rootFromRange(swapped, index, size, proof, sha256)), hex(root));
        }
      }
    }
    for (let first = 1; first <= size; first++) {
      const older = { size: first, root: tree.root(first) };
      const newer = { size, root };
      const proof = tree.consistencyProof(first, size);
      assert.equal(isConsistent(older, newer, proof, sha256), true);
      assert.equal(isConsistent({ ...older, root: leafHash(older.root, sha256) }, newer, proof, sha256), false);
      assert.equal(isConsistent(older, { ...newer, root: leafHash(root, sha256) }, proof, sha256), false);
      assert.equal(isConsistent(older, newer, [...proof, root], sha256), false);
      if (proof.length > 0) assert.equal(isConsistent(older, newer, proof.slice(0, -1), sha256), false);
    }
  }
});
