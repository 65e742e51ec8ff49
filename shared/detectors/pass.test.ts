import assert from 'node:assert/strict';
import { test } from 'node:test';
import { builtinForms, builtinHooks } from './builtin.ts';
import { contextFilter } from './context.ts';
import { compileDetectors } from './engine.ts';
import { buildForms } from './forms.ts';
import { labelledSet } from './labelled-set.ts';
import { seededRandom } from './labelled-values.ts';
import { BEFORE_WORD, IBAN_EVENT, STRONG_EVENT, WEAK_EVENT } from './number-automaton.ts';
import { BEFORE_BYTES, CHUNK_BYTES, createPass, IBAN_REPORT, NUMBER_REPORT, REPORT_SHIFT } from './pass.ts';
import {
  CLASSES_SHIFT,
  COLON_BIT,
  EARLY_MASK,
  FOLLOW_SHIFT,
  HASH_BITS,
  HASH_EARLY,
  HASH_FACTOR,
  HASH_LATE,
  HASH_QUAD,
  KINDS,
  LATE_MASK,
  QUAD_MASK,
} from './prefilter.ts';

const random = seededRandom(5);
const below = (n: number): number => Math.floor(random() * n);

for (const hasNumbers of [true, false])
  test(`the pass ${hasNumbers ? 'over numbers' : 'without them'} reports what the loop and the second look say that it stands for`, () =>
    comparePass(hasNumbers));

function comparePass(hasNumbers: boolean): void {
  const step = Uint16Array.from({ length: 40 * 64 }, () => below(40));
  const eventsFrom = 38;
  const events = hasNumbers ? Uint8Array.of(STRONG_EVENT, WEAK_EVENT | IBAN_EVENT) : new Uint8Array(0);
  const filter = contextFilter([['ssn', 'telephone']]);
  const pass = createPass({ step, eventsFrom, events, countries: ['DE', 'ga'] }, filter);
  for (let i = 0; i < pass.table.length; i++) {
    const rare = (): number => (below(12) === 0 ? 1 << below(12) : 0);
    pass.table[i] = rare() | (rare() << FOLLOW_SHIFT) | (below(64) << CLASSES_SHIFT);
  }
  for (let i = 0; i < pass.hashes.length; i++) pass.hashes[i] = below(8);
  const { text } = pass;
  const byte = (at: number): number => text[BEFORE_BYTES + at] as number;
  const hash = (at: number, width: number): number => {
    let word = 0;
    for (let k = 0; k < width; k++) word |= (byte(at + k) | 0x20) << (8 * k);
    return pass.hashes[Math.imul(word, HASH_FACTOR) >>> (32 - HASH_BITS)] as number;
  };
  const mayBeAddress = (at: number): boolean => {
    const colons: number[] = [];
    for (let k = 1; k < 16; k++) if (byte(at + k) === 58) colons.push(k);
    const [first = 99, second = 99] = colons;
    return byte(at - 1) === 58 || first === 1 || (first <= 5 && second - first <= 5);
  };
  const isNear = (at: number): boolean => {
    const around = Buffer.from(text.subarray(BEFORE_BYTES + at - 69, BEFORE_BYTES + at + 24)).toString('latin1');
    return [...around.matchAll(/(?<![A-Za-z])ssn|(?<=\\.)ssn|S[Ss][Nn]|telepho/g)].some(({ index }) => index >= 2 && index < 86);
  };
  const opening = (at: number): boolean => /^(?:DE|GA)$/i.test(String.fromCharCode(byte(at), byte(at + 1)));
  let state = 3;
  let entry = pass.table[7] as number;
  const words = ['ssn ', 'lessn ', 'telephone ', 'telex ', 'SSN', 'DE12', 'ga77', 'fe80::1', '12:34:56', '1:2:3:4'];
  for (const length of [4, 64, CHUNK_BYTES]) {
    for (let i = 0; i < text.length; i++) text[i] = below(256);
    for (let i = 0; i < length / 4; i++) text.set(Buffer.from(words[below(words.length)] as string), BEFORE_BYTES + below(length));
    const expected: number[] = [];
    let wantedState = state;
    let before = entry;
    for (let at = 0; at < length; at += 2) {
      const pair = pass.table[byte(at) | (byte(at + 1) << 8)] as number;
      if (hasNumbers) wantedState = step[(wantedState << 6) | (pair >>> CLASSES_SHIFT)] as number;
      let report = before & (pair >>> FOLLOW_SHIFT) & KINDS;
      if ((hash(at - 2, 4) & HASH_QUAD) === 0) report &= ~QUAD_MASK;
      if ((hash(at - 2, 3) & HASH_EARLY) === 0) report &= ~EARLY_MASK;
      if ((hash(at - 1, 3) & HASH_LATE) === 0) report &= ~LATE_MASK;
      if (!mayBeAddress(byte(at - 2) === 58 ? at - 2 : at - 1)) report &= ~COLON_BIT;
      if (wantedState === 38) report |= NUMBER_REPORT;
      if (wantedState === 39 && isNear(at)) report |= NUMBER_REPORT;
      if (wantedState === 39 && (opening(at - 3) || opening(at - 2))) report |= IBAN_REPORT;
      if (report !== 0) expected.push((at << REPORT_SHIFT) | report);
      before = pair;
    }
    const count = pass.run(length, state, entry);
    assert.deepEqual(Array.from(pass.reports.subarray(0, count)), expected);
    assert.deepEqual(Array.from(pass.after), [wantedState, before]);
    state = wantedState;
    entry = before;
  }
}

/** Text of a form such as `d3-d2-d4`. */
function ofForm(form: string): string {
  return form.replace(/([ad])(\d+)/g, (_, kind: string, length: string) =>
    Array.from({ length: Number(length) }, () =>
      (kind === 'd' ? '0123456789' : 'ABFGXYZabfgxyz').charAt(below(kind === 'd' ? 10 : 14)),
    ).join(''),
  );
}

test('the automaton reports the end of every form, address, number and IBAN, wherever they stand', () => {
  const { numbers } = buildForms(
    builtinForms,
    builtinHooks.map(({ hook }) => hook),
  );
  assert.ok(numbers.step.length >> 6 < 3_000, 'few enough states to stay in the cache');
  const classOf = compileDetectorsTable();
  const values = builtinForms.flatMap(rule => rule.forms.map(ofForm));
  values.push('192.0.2.7', '10.20.30.1', 'DE44', 'gb82', '415-555-2671', '555 2671', '030.12.34.567');
  for (const value of values) {
    for (let n = 0; n < 4; n++) {
      // What stands before is no date, and is apart from the value or joined to it by a separator.
      const head = `${['', 'of ', 'x=', 'id 12 ', 'AB-', '9.5 '][below(6)]}${['', '"', '(', ':'][below(4)]}`;
      const text = Buffer.from(`${head}${value}${['', ' ', ',', '\n', '"}', '. '][below(6)]}`);
      const end = head.length + value.length;
      let state = BEFORE_WORD;
      let reported = false;
      for (let at = 0; at <= text.length; at += 2) {
        const index = (text[at] ?? 0) | ((text[at + 1] ?? 0) << 8);
        state = numbers.step[(state << 6) | (classOf[index] as number)] as number;
        if (state >= numbers.eventsFrom && at + 2 >= end && at <= end + 1) reported = true;
        // What is reported as soon as it is begun: an IBAN, the last number of an address.
        if (state >= numbers.eventsFrom && at + 2 > head.length && at <= end) reported = true;
      }
      assert.ok(reported, `${JSON.stringify(text.toString())}: ${value} is not reported`);
    }
  }
});

/** Pair of bytes → classes, from the table of a set. */
function compileDetectorsTable(): Uint8Array {
  const classes = new Uint8Array(65_536);
  const kind = (byte: number): number => {
    const text = String.fromCharCode(byte);
    if (/[0-9]/.test(text)) return 0;
    if (/[a-fA-F]/.test(text)) return 1;
    if (/[a-zA-Z]/.test(text)) return 2;
    const separator = ' -./'.indexOf(text);
    return separator < 0 ? 7 : 3 + separator;
  };
  for (let index = 0; index < classes.length; index++) classes[index] = (kind(index & 255) << 3) | kind(index >>> 8);
  return classes;
}

test('a value alone, in a long text and over the edge of a chunk has the same findings', () => {
  const all = compileDetectors(['all']);
  const filler = Buffer.from('lorem ipsum dolor sit amet\n'.repeat(1 + CHUNK_BYTES / 20));
  for (const line of labelledSet(60, 99)) {
    const value = Buffer.from(line.text);
    const expected = all.scan(value, 0, value.length);
    const start = CHUNK_BYTES - below(value.length + 2) - 1;
    const head = filler.subarray(0, start);
    head[start - 1] = 10;
    const text = Buffer.concat([head, value, Buffer.from('\n'), filler.subarray(0, 200)]);
    const shifted = all.scan(text, 0, text.length).map(span => ({ ...span, start: span.start - start, end: span.end - start }));
    assert.deepEqual(shifted, expected, line.text);
  }
});
