import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContentSealer, openContentKey, openContents } from './contents.ts';
import { generateSealingKey } from './seal.ts';

const text = (value: string) => new TextEncoder().encode(value);

test('what a session seals opens with its key, at its place, and with no other', () => {
  const { publicKey, privateKey } = generateSealingKey();
  const [one, two] = [new ContentSealer('one', { id: 'k', publicKey }), new ContentSealer('two', { id: 'k', publicKey })];
  const key = openContentKey(privateKey, 'one', one.sealedKey);
  for (const seq of [0, 1, 2 ** 40]) {
    const sealed = one.seal(seq, text('what came back'));
    assert.equal(Buffer.from(sealed).includes('came'), false);
    assert.deepEqual(Buffer.from(openContents(key, seq, sealed)).toString(), 'what came back');
    assert.throws(() => openContents(key, seq + 1, sealed), { code: 'CONTENTS_UNREADABLE' });
    assert.throws(() => openContents(key, seq, sealed.subarray(0, 10)), { code: 'CONTENTS_UNREADABLE' });
    assert.throws(() => openContents(openContentKey(privateKey, 'two', two.sealedKey), seq, sealed), { code: 'CONTENTS_UNREADABLE' });
  }
  assert.notDeepEqual(one.seal(1, text('same')), one.seal(2, text('same')));
  // The key of one session cannot be passed off as another's.
  assert.throws(() => openContentKey(privateKey, 'two', one.sealedKey), { code: 'SEAL_OPEN_FAILED' });
  assert.throws(() => openContentKey(generateSealingKey().privateKey, 'one', one.sealedKey), { code: 'SEAL_OPEN_FAILED' });
});
