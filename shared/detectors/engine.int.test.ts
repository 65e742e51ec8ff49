/**
 * The engine against a slow one that has no first pass: every literal is compared at every byte, every word with a digit, every `@`
 * and every colon is looked at. Both must find the same, wherever a text stands and whatever surrounds it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { builtinForms, builtinHooks, builtinLiterals } from './builtin.ts';
import { CLASS, DIGIT } from './bytes.ts';
import { type Decoded, decodeEscapes, decodeHex, ESCAPE_MARKS } from './decoded.ts';
import { matchEmail } from './email.ts';
import { compileDetectors } from './engine.ts';
import { fieldLines } from './field-lines.ts';
import { buildForms } from './forms.ts';
import { hardLines } from './hard-lines.ts';
import { labelledSet } from './labelled-set.ts';
import { seededRandom } from './labelled-values.ts';
import { CHUNK_BYTES } from './pass.ts';
import { matchColon } from './personal/ip-address.ts';
import { Scan, type Span } from './span.ts';

const PRIORITY_OF_DECODED = 35;
const all = compileDetectors(['all']);
const forms = buildForms(
  builtinForms,
  builtinHooks.map(({ hook }) => hook),
);
const marks = ESCAPE_MARKS.map(({ literal, kind }) => ({ literal: Buffer.from(literal), kind }));
const random = seededRandom(20_251);
const below = (n: number): number => Math.floor(random() * n);
const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T;

/** First bytes of literals → the literals, so that the slow engine is only slow. */
const literalsBy = new Map<number, { rule: (typeof builtinLiterals)[number]; bytes: Buffer }[]>();
for (const rule of builtinLiterals) {
  const bytes = Buffer.from(rule.literal);
  for (const first of new Set([
    bytes[0] as number,
    rule.fold === true ? (rule.literal.toUpperCase().charCodeAt(0) as number) : (bytes[0] as number),
  ])) {
    const list = literalsBy.get(first) ?? [];
    list.push({ rule, bytes });
    literalsBy.set(first, list);
  }
}

function stands(bytes: Uint8Array, at: number, end: number, literal: Uint8Array, fold: boolean): boolean {
  if (at + literal.length > end) return false;
  for (let k = 0; k < literal.length; k++) {
    const byte = bytes[at + k] as number;
    if ((fold && byte >= 65 && byte <= 90 ? byte | 32 : byte) !== literal[k]) return false;
  }
  return true;
}

function slowly(bytes: Uint8Array, start: number, end: number, isNested = false): Span[] {
  const scan = new Scan();
  scan.reset(bytes, start, end, false);
  let digitsDone = start;
  let colonsDone = start;
  let escapes = 0;
  const hexRuns: number[] = [];
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    if (((CLASS[byte] as number) & DIGIT) !== 0 && at >= digitsDone) digitsDone = Math.abs(forms.run(scan, at, digitsDone));
    for (const { rule, bytes: literal } of literalsBy.get(byte) ?? []) {
      if (stands(bytes, at, end, literal, rule.fold === true)) rule.match(scan, at);
    }
    if (byte === 64) matchEmail(scan, at);
    if (byte === 58 && at >= colonsDone) colonsDone = matchColon(scan, at);
    if (isNested) continue;
    for (const { literal, kind } of marks) if (stands(bytes, at, end, literal, false)) escapes |= kind;
    if (byte === 92 && bytes[at + 1] === 120 && at + 2 < end && /[0-9a-fA-F]/.test(String.fromCharCode(bytes[at + 2] as number)))
      hexRuns.push(at + 2);
  }
  const inner = ({ bytes: decoded, length, offsets }: Decoded): void => {
    for (const span of slowly(decoded, 0, length, true))
      scan.add(offsets[span.start] as number, offsets[span.end] as number, span.detector, PRIORITY_OF_DECODED);
  };
  if (escapes !== 0) inner(decodeEscapes(bytes, start, end, escapes));
  for (const at of hexRuns) {
    const decoded = decodeHex(bytes, at, end);
    if (decoded !== undefined) inner(decoded);
  }
  return scan.count === 0 ? [] : scan.spans();
}

function agree(bytes: Uint8Array, start = 0, end = bytes.length): void {
  const fast = [...all.scan(bytes, start, end)];
  const slow = slowly(bytes, start, end);
  if (JSON.stringify(fast) === JSON.stringify(slow)) return;
  const shown = Buffer.from(bytes.subarray(start, end)).toString('latin1');
  assert.deepEqual(fast, slow, `at ${start} of ${bytes.length}: ${JSON.stringify(shown.slice(0, 600))}`);
}

const lines = [...labelledSet(1_500, 411).map(line => line.text), ...[...hardLines(7), ...fieldLines(7)].map(line => line.text)];

test('the same is found in every labelled line, at every alignment and beside anything', () => {
  const fillers = [32, 0, 65, 48, 58, 10, 45, 0x40];
  for (const text of lines) {
    const value = Buffer.from(text);
    agree(value);
    for (let n = 0; n < 2; n++) {
      const before = below(16);
      const bytes = Buffer.concat([Buffer.alloc(before, pick(fillers)), value, Buffer.alloc(below(40), pick(fillers))]);
      agree(bytes);
      agree(bytes, before, before + value.length);
    }
  }
});

test('nothing outside of the window is seen', () => {
  for (let n = 0; n < 400; n++) {
    const value = Buffer.from(pick(lines));
    const expected = slowly(value, 0, value.length);
    // The bytes around it would make, lengthen or break a finding.
    const head = pick(['ssn ', 'password=', '4', 'a', 'phone: ', '-', 'DE', '::', '\\']);
    const tail = pick(['1', '4111', '@example.com', 'z', ':1', ' ssn', '-', '.5']);
    const bytes = Buffer.concat([Buffer.from(head), value, Buffer.from(tail)]);
    const spans = all
      .scan(bytes, head.length, head.length + value.length)
      .map(span => ({ ...span, start: span.start - head.length, end: span.end - head.length }));
    assert.deepEqual(spans, expected, JSON.stringify(`${head}|${value.toString()}|${tail}`));
  }
});

test('the same is found in random text made of what detectors look at', () => {
  const pieces = [
    ...builtinLiterals.map(rule => rule.literal),
    ...builtinForms.flatMap(rule => rule.context ?? []),
    ...'0123456789-./ :@+()=\'"\\\n,_&%#aAfFzZ'.split(''),
    ...[
      '::',
      'fe80::',
      '10.0.0.1',
      '192.0.2.',
      '4111 1111 1111 1111',
      '123-45-6789',
      '415-555-2671',
      '+49 30 ',
      '%40',
      '\\u0040',
      '&#64;',
      '\\x',
      'DE89370400440532013000',
    ],
    ...['2025-03-14', 'T09:26:53', '550e8400-e29b-41d4-a716-446655440000', '1700110334432', '20cd97c2', 'eyJ'],
  ];
  for (let n = 0; n < 6_000; n++) {
    let text = '';
    const wanted = 1 + below(400);
    while (text.length < wanted) {
      const kind = below(6);
      if (kind === 0) text += String.fromCharCode(below(256));
      else if (kind === 1) text += String(below(10 ** (1 + below(12))));
      else if (kind === 2) text += pick(lines).slice(below(30), 30 + below(60));
      else text += pick(pieces);
    }
    agree(Buffer.from(text, 'latin1'));
  }
});

test('the same is found at every place around the edge of a chunk', () => {
  const filler = Buffer.from('lorem ipsum dolor sit amet\n'.repeat(1 + CHUNK_BYTES / 20));
  for (const text of [
    'ssn: 440069041',
    'card 4000000000006',
    'call 030 12345678',
    'fe80::1 and 2001:db8:0:1:1:1:1:1',
    'DE89370400440532013000',
    'bob@example.com',
    `AK${'IA'}QWERTYUIOPASDF23`,
    '415-555-2671',
    '203.0.113.7',
    'q=alice%40example.com',
  ]) {
    const value = Buffer.from(`${text}\n`);
    for (let start = CHUNK_BYTES - value.length - 70; start <= CHUNK_BYTES + 70; start++) {
      const head = Buffer.from(filler.subarray(0, start));
      head[start - 1] = 10;
      const bytes = Buffer.concat([head, value, filler.subarray(0, 100)]);
      const expected = slowly(value, 0, value.length).map(span => ({ ...span, start: span.start + start, end: span.end + start }));
      assert.deepEqual([...all.scan(bytes, 0, bytes.length)], expected, `${text} at ${start}`);
    }
  }
});

test('hostile input takes time linear in its length', () => {
  const inputs = [
    'pass=',
    'password=password=',
    'a@',
    '@a.',
    '://a:',
    'eyJ.',
    '-----BEGIN PRIVATE KEY-----',
    '1.',
    '1-',
    '4111 ',
    ':::',
    '\\x0',
    '%40',
    'token="',
    'Bearer a',
    '+1 ',
    '(1)',
    'AA::',
    '1:AA',
  ];
  for (const input of inputs) {
    const small = Buffer.from(input.repeat(Math.ceil(4_096 / input.length)));
    const large = Buffer.from(input.repeat(Math.ceil(65_536 / input.length)));
    const cost = (bytes: Buffer): number => {
      let best = Number.POSITIVE_INFINITY;
      for (let round = 0; round < 3; round++) {
        const before = process.cpuUsage();
        all.scan(bytes, 0, bytes.length);
        all.mightMatch(bytes, 0, bytes.length);
        const { user } = process.cpuUsage(before);
        best = Math.min(best, user);
      }
      return best;
    };
    cost(small);
    // No time is asserted: a quadratic matcher would take minutes here, and the test runner's limit ends it.
    assert.ok(Number.isFinite(cost(large)), input);
  }
});
