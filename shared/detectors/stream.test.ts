import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileDetectors } from './engine.ts';
import { Draw, privateKeyBlock, seededRandom } from './labelled-values.ts';
import { type ScannedPiece, StreamScanner } from './stream.ts';

const set = compileDetectors(['all']);

/** The stream with every finding replaced by `#`. */
function through(text: string, cuts: (length: number) => number, options = {}): string {
  const bytes = Buffer.from(text);
  const scanner = new StreamScanner(set, options);
  let result = '';
  const take = ({ bytes: piece, start, end, spans }: ScannedPiece): void => {
    let at = start;
    for (const span of spans) {
      assert.ok(span.start >= at && span.end <= end);
      result += `${Buffer.from(piece.subarray(at, span.start)).toString('latin1')}#`;
      at = span.end;
    }
    result += Buffer.from(piece.subarray(at, end)).toString('latin1');
  };
  for (let at = 0; at < bytes.length; ) {
    const size = cuts(bytes.length - at);
    take(scanner.push(bytes.subarray(at, at + size)));
    at += size;
  }
  take(scanner.flush());
  assert.equal(scanner.heldBytes, 0);
  return result;
}

test('a value is found wherever the stream is cut', () => {
  const text = 'first alice@example.com then 4111 1111 1111 1111 and ssn 123456789 at the end';
  for (let at = 1; at < text.length; at++) {
    let isFirst = true;
    const result = through(
      text,
      rest => {
        const size = isFirst ? at : rest;
        isFirst = false;
        return size;
      },
      { holdBytes: 64 },
    );
    assert.equal(result, 'first # then # and ssn # at the end', `cut at ${at}`);
  }
  assert.equal(
    through(text, () => 1, { holdBytes: 64 }),
    'first # then # and ssn # at the end',
  );
});

test('a key block longer than what is held at first is held to its end', () => {
  const draw = new Draw(seededRandom(1));
  const block = privateKeyBlock(draw);
  assert.equal(through(`before\n${block}\nafter`, () => 7, { holdBytes: 64 }).replace(/\n/g, ' '), 'before # after');
});

test('a finding longer than can be held does not leak its rest', () => {
  const block = `-----BEGIN ${['PRIVATE', 'KEY'].join(' ')}-----\n${'QUJDREVG'.repeat(40_000)}`;
  const result = through(`x ${block}|after`, () => 5_000, { holdBytes: 512, heldBytesMax: 8_192 });
  assert.ok(!result.includes('QUJDREVG'), result.slice(0, 200));
  assert.ok(result.startsWith('x #') && result.endsWith('|after'));
});
