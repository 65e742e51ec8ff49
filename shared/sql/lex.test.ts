import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { CORPUS } from './fuzz/corpus.ts';
import { mutate } from './fuzz/mutate.ts';
import { seeded } from './fuzz/random.ts';
import { type LexedLiteral, lex } from './lex.ts';
import { loadParser, parse, scan } from './parser.ts';

before(loadParser);

// Token numbers of libpg_query's scanner (PostgreSQL 18's gram.h).
const KIND: Readonly<Record<number, string>> = { 260: 'F', 261: 'S', 262: 'U', 263: 'B', 264: 'X', 266: 'I' };

function literals(text: string): LexedLiteral[] {
  const found: LexedLiteral[] = [];
  const bytes = Buffer.from(text);
  lex(bytes, 0, bytes.length, found);
  return found;
}

function keyOf(text: string): string | undefined {
  const bytes = Buffer.from(text);
  const lexed = lex(bytes, 0, bytes.length);
  return lexed.keyed ? Buffer.from(lexed.key.subarray(0, lexed.keyLength)).toString('latin1') : undefined;
}

/** What the scanner says: spans and kinds. E, D and plain strings are all SCONST to it. */
function scanned(text: string): string[] | undefined {
  // The scanner's JSON does not escape control characters; where a key is given they are white space or inside literals.
  return scan(Buffer.from(withoutControls(text)))
    ?.filter(token => KIND[token.tokenType] !== undefined)
    .map(token => `${token.start}-${token.end}${KIND[token.tokenType]}`);
}

function withoutControls(text: string): string {
  let result = '';
  for (const c of text) result += c < '\t' || c === '\v' || c === '\f' ? ' ' : c;
  return result;
}

function lexed(text: string): string[] {
  return literals(text).map(({ start, end, kind }) => `${start}-${end}${kind === 'E' || kind === 'D' ? 'S' : kind}`);
}

test('the same text with other literals has the same key', () => {
  assert.equal(keyOf("select * from t where a=1 and b='x'"), keyOf("select  * from t -- c\nwhere a=22 and b='it''s'"));
  assert.equal(keyOf('select 1.5, $$a$$'), keyOf('select .2e5, $b$ $$ $b$'));
});

test('what differs in more than literals has another key', () => {
  const texts = [
    'select 1',
    "select '1'",
    'select 1.0',
    'select 2147483648',
    'select $1',
    'select $2',
    'select $$1$$',
    "select b'1'",
    "select x'1'",
    "select e'1'",
    "select n'1'",
    'select a',
    'select "a"',
    'select A',
    'select',
    'select 1,1',
    'select 1 1',
  ];
  assert.equal(new Set(texts.map(keyOf)).size, texts.length);
});

test('where a literal could change more than its value there is no key', () => {
  for (const text of [
    "select 'a'\n'b'",
    "select 'a' -- c\n 'b'",
    "select e'\\n'",
    "select U&'\\0061'",
    "select b'1''1'", // two tokens: only plain strings double their quotes
    'select U&"a"',
    'select 1a',
    'select 0x1F',
    'select 1_000',
    'select float(24)',
    'select cast(x as FLOAT(3))',
    'select 1; select 2',
    "select 'é'",
    'select "é"',
    "select '",
    'select /*',
    'select $a$',
    'select "',
    'select \u0001',
    'select "\u0001"',
    'select $1a',
    'select 1..2',
  ]) {
    assert.equal(keyOf(text), undefined, text);
  }
});

test('offsets are those of the only statement', () => {
  const bytes = Buffer.from(' /* x */ select 1 ; -- y');
  const { start, end } = lex(bytes, 0, bytes.length);
  assert.equal(bytes.subarray(start, end).toString(), 'select 1');
});

test('a backslash in a plain string is seen, in others not', () => {
  const backslash = (text: string): boolean => lex(Buffer.from(text), 0, Buffer.byteLength(text)).backslashInPlain;
  assert.ok(backslash("select 'a\\'"));
  assert.ok(backslash("select n'a\\'"));
  assert.ok(!backslash("select e'a\\'b', $$\\$$, \"\\\""));
});

test('literals are those of the PostgreSQL scanner, over the corpus and random damage', () => {
  const random = seeded(20260101);
  let keyed = 0;
  let compared = 0;
  const check = (text: string): void => {
    const theirs = scanned(text);
    const key = keyOf(text);
    if (key !== undefined) {
      keyed++;
      if (theirs !== undefined) assert.deepEqual(lexed(text), theirs, JSON.stringify(text));
      else {
        // A text that the scanner refuses for another reason than a literal: all texts with its key are refused.
        const plain = withLiterals(text, { I: '7', F: '.5', S: "'p'", D: '$$p$$', E: "e'p'", B: "b'1'", X: "x'1'" });
        assert.equal(keyOf(plain), key, JSON.stringify(text));
        assert.equal(scan(Buffer.from(plain)), undefined, JSON.stringify(text));
      }
      compared++;
    }
  };
  for (const text of CORPUS) check(text);
  for (let round = 0; round < 4000; round++) check(mutate(random.pick(CORPUS), random));
  assert.ok(keyed > 1000, `only ${keyed} texts had a key`);
  assert.equal(compared, keyed);
});

test('texts with one key parse alike', () => {
  const random = seeded(7);
  const values: Record<string, string[]> = {
    I: ['0', '1', '2147483647', '007'],
    F: ['1.0', '.5', '1e400', '3.'],
    S: ["''", "'a'", "'%'", "'it''s'", "'--'", "'/*'", "'$$'", "'2020-13-45'"],
    D: ['$$$$', "$x$'$x$", '$$--$$'],
    E: ["e''", "E'x'", "e'''--'"],
    B: ["b''", "b'0101'", "b'2'"],
    X: ["x''", "X'ff'", "x'zz'"],
  };
  let ok = 0;
  for (let round = 0; round < 3000; round++) {
    const text = round < CORPUS.length ? (CORPUS[round] ?? '') : mutate(random.pick(CORPUS), random);
    const key = keyOf(text);
    if (key === undefined) continue;
    // A number right behind a word or another number would be read with it when it begins with a digit.
    if (
      literals(text).some(
        ({ start, kind }) => (kind === 'I' || kind === 'F') && /[\w$.]/.test(Buffer.from(text).toString('latin1')[start - 1] ?? ''),
      )
    )
      continue;
    const picked = Object.fromEntries(Object.entries(values).map(([kind, list]) => [kind, random.pick(list)]));
    const other = withLiterals(text, picked);
    assert.equal(keyOf(other), key, JSON.stringify([text, other]));
    const a = parse(Buffer.from(text));
    const b = parse(Buffer.from(other));
    assert.equal(a.ok, b.ok, JSON.stringify([text, other]));
    if (a.ok && b.ok) {
      ok++;
      assert.equal(skeleton(a.statements), skeleton(b.statements), JSON.stringify([text, other]));
    }
  }
  assert.ok(ok > 300, `only ${ok} texts parsed`);
});

/** The tree without positions and literals' values. */
function skeleton(value: unknown): string {
  return JSON.stringify(value, (key, inner: unknown) => {
    if (key === 'location' || key === 'start' || key === 'end' || key.startsWith('rexpr_list') || key.startsWith('list_')) return undefined;
    if (key === 'A_Const') return Object.keys(inner as object).filter(field => field !== 'location');
    return inner;
  });
}

function withLiterals(text: string, by: Readonly<Record<string, string>>): string {
  const bytes = Buffer.from(text).toString('latin1');
  let result = '';
  let from = 0;
  for (const { start, end, kind } of literals(text)) {
    result += bytes.slice(from, start) + (by[kind] ?? '');
    from = end;
  }
  return Buffer.from(result + bytes.slice(from), 'latin1').toString();
}
