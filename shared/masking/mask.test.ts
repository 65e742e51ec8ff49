import assert from 'node:assert/strict';
import { test } from 'node:test';
import { luhn, mod97 } from '../detectors/checksums.ts';
import { compileDetectors } from '../detectors/engine.ts';
import { maskText, REDACTED, replaceSpans } from './mask.ts';

const key = new Uint8Array(32).fill(7);
const other = new Uint8Array(32).fill(8);

test('redact says nothing of the value', () => {
  assert.equal(maskText('redact', 'a', key), REDACTED);
  assert.equal(maskText('redact', 'a'.repeat(1000), key), REDACTED);
});

test('null is null', () => assert.equal(maskText('null', 'x', key), null));

test('partial keeps a hint and never more than a quarter', () => {
  const table: [string, string][] = [
    ['alice@example.com', 'a***@example.com'],
    ['bo@example.com', '***@example.com'],
    ['4111-1111-1111-1234', '****-****-****-1234'],
    ['4111111111111234', '************1234'],
    ['123-45-6789', '***-**-6789'],
    ['+1 415 555 2671', '+* *** *** 2671'],
    ['1234', '***4'],
    ['12', '***'],
    ['Jörg Müller', 'J***'],
    ['"quoted"', '***'],
    ['abc', '***'],
    ['', '***'],
    ['\\u0041bcdef', '***'],
  ];
  for (const [text, expected] of table) assert.equal(maskText('partial', text, key), expected, text);
});

test('hash is short, stable per key, and another under another key', () => {
  const hash = maskText('hash', 'alice@example.com', key);
  assert.match(hash ?? '', /^h_[A-Za-z0-9_-]{16}$/);
  assert.equal(maskText('hash', 'alice@example.com', key), hash);
  assert.notEqual(maskText('hash', 'alice@example.com', other), hash);
  assert.notEqual(maskText('hash', 'Alice@example.com', key), hash);
});

test('fake keeps the shape and the rules of the value', () => {
  const shapeOf = (text: string): string => text.replace(/[0-9]/g, '0').replace(/[a-z]/g, 'a').replace(/[A-Z]/g, 'A');
  for (const text of ['Jane Doe', 'AB-1234/x', '555-12-3456', 'O’Neill 42', '']) {
    const fake = maskText('fake', text, key) ?? '';
    assert.equal(shapeOf(fake), shapeOf(text));
    assert.equal(maskText('fake', text, key), fake);
  }
  assert.notEqual(maskText('fake', 'Jane Doe', key), maskText('fake', 'Jane Doe', other));
  assert.match(maskText('fake', 'alice.b+tag@mail.example.com', key) ?? '', /^[a-z]{5}\.[a-z]\+[a-z]{3}@[a-z]{4}\.[a-z]{7}\.example$/);
  for (const card of ['4111 1111 1111 1111', '378282246310005', '30569309025904']) {
    const fake = maskText('fake', card, key, 'payment-card') ?? '';
    assert.equal(shapeOf(fake), shapeOf(card));
    assert.ok(luhn(Array.from(fake.replace(/\D/g, ''), Number)), fake);
  }
  const iban = (maskText('fake', 'DE89 3704 0044 0532 0130 00', key, 'iban') ?? '').replace(/ /g, '');
  assert.equal(mod97(iban.slice(4) + iban.slice(0, 4)), 1);
  for (const date of ['1999-12-31', '2024-02-29T23:59:59.123Z', '2024-02-29 10:11']) {
    const fake = maskText('fake', date, key) ?? '';
    assert.equal(shapeOf(fake), shapeOf(date));
    assert.ok(!Number.isNaN(Date.parse(fake)), fake);
  }
  assert.match(maskText('fake', '550e8400-e29b-41d4-a716-446655440000', key) ?? '', /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/);
});

test('fake of a long text draws past its first block', () => {
  const long = 'abc '.repeat(5000);
  assert.match(maskText('fake', long, key) ?? '', /^([a-z]{3} ){5000}$/);
});

const set = compileDetectors(['all']);
function masked(text: string, kind: 'redact' | 'partial' | 'hash' | 'null' | 'fake', format: 'text' | 'json' = 'text'): string {
  const bytes = new TextEncoder().encode(`<${text}>`);
  const spans = set.scan(bytes, 1, bytes.length - 1);
  return new TextDecoder('utf-8', { fatal: true }).decode(replaceSpans(bytes, 1, bytes.length - 1, spans, kind, key, format));
}

test('replaceSpans masks inside of a text and leaves the rest as it is', () => {
  assert.equal(masked('mail alice@example.com now', 'redact'), `mail ${REDACTED} now`);
  assert.equal(masked('mail alice@example.com, bobby@example.org', 'partial'), 'mail a***@example.com, b***@example.org');
  assert.equal(masked('ü ssn 123-45-6789 ü', 'null'), `ü ssn ${REDACTED} ü`);
  assert.equal(masked('nothing', 'redact'), 'nothing');
});

test('replaceSpans keeps JSON valid when a number is masked', () => {
  assert.deepEqual(JSON.parse(masked('{"card":4111111111111111,"n":"4111111111111111"}', 'redact', 'json')), {
    card: REDACTED,
    n: REDACTED,
  });
  assert.deepEqual(JSON.parse(masked('{"a\\"b":1,"card":4111111111111111}', 'null', 'json')), { 'a"b': 1, card: null });
});

test('replaceSpans widens a span that cuts a UTF-8 sequence', () => {
  const bytes = new TextEncoder().encode('aéé@b');
  const result = replaceSpans(bytes, 0, bytes.length, [{ start: 2, end: 4, detector: 'email' }], 'redact', key);
  assert.equal(new TextDecoder('utf-8', { fatal: true }).decode(result), `a${REDACTED}@b`);
});
