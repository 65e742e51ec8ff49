import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BlockWriter } from './row-binary.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('BlockWriter', () => {
  it('writes each type as ClickHouse reads it', () => {
    const block = new BlockWriter({
      a: 'string',
      b: 'strings',
      c: 'stringMap',
      d: 'uint8',
      e: 'uint32',
      f: 'uint64',
      g: 'optionalUint64',
      h: 'bool',
      i: 'time',
      j: 'optionalTime',
    } as const);
    block.add({ a: 'é', b: ['x', ''], c: { k: 'v' }, d: 7, e: 258, f: 2 ** 40 + 1, g: null, h: true, i: -1n, j: 2n });
    const expected = [
      '02c3a9',
      '02017800',
      '01016b0176',
      '07',
      '02010000',
      '0100000000010000',
      '01',
      '01',
      'ffffffffffffffff',
      '000200000000000000',
    ];
    assert.equal(hex(block.take()), expected.join(''));
    assert.equal(block.rows, 1);
  });

  it('writes numbers and bigints alike', () => {
    for (const value of [0, 1, 255, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
      const number = new BlockWriter({ n: 'uint64' } as const);
      const big = new BlockWriter({ n: 'uint64' } as const);
      number.add({ n: value });
      big.add({ n: BigInt(value) });
      assert.equal(hex(number.take()), hex(big.take()));
    }
  });

  it('gets every length of text right, around where the length takes another byte', () => {
    for (const character of ['a', 'é', '€', '😀']) {
      for (const count of [0, 1, 41, 42, 43, 63, 64, 127, 128, 200, 16_383, 16_384, 70_000]) {
        const text = character.repeat(count);
        const asText = new BlockWriter({ s: 'string' } as const);
        const asBytes = new BlockWriter({ s: 'string' } as const);
        asText.add({ s: text });
        asBytes.add({ s: Buffer.from(text) });
        assert.equal(hex(asText.take()), hex(asBytes.take()), `${character} × ${count}`);
      }
    }
  });

  it('starts anew after reset', () => {
    const block = new BlockWriter({ s: 'string' } as const);
    block.add({ s: 'one' });
    block.reset();
    block.add({ s: 'two' });
    assert.equal(hex(block.take()), '0374776f');
    assert.equal(block.rows, 1);
  });
});
