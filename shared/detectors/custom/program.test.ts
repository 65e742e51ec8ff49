import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../errors.ts';
import { compilePattern, Pattern, type PatternMatch } from './program.ts';
import { parsePattern } from './syntax.ts';

function find(source: string, text: string): (string | undefined)[] | undefined {
  const match = locate(source, text);
  if (match === undefined) return undefined;
  const bytes = Buffer.from(text);
  const groups: (string | undefined)[] = [];
  for (let i = 0; i < match.slots.length; i += 2) {
    const start = match.slots[i] ?? -1;
    groups.push(start < 0 ? undefined : bytes.subarray(start, match.slots[i + 1]).toString());
  }
  return groups;
}

function locate(source: string, text: string): PatternMatch | undefined {
  const { pattern } = compilePattern(source);
  const bytes = Buffer.from(text);
  const match = pattern.find(bytes, 0, bytes.length, 0);
  assert.equal(pattern.test(bytes, 0, bytes.length), match !== undefined, `automaton and simulation disagree on ${source} in ${text}`);
  return match;
}

test('patterns and texts as RE2 sees them', () => {
  const table: [string, string, (string | undefined)[] | undefined][] = [
    ['abc', 'xxabcxx', ['abc']],
    ['a|ab', 'ab', ['a']],
    ['ab|a', 'ab', ['ab']],
    ['(a+)(b*)', 'xaabb', ['aabb', 'aa', 'bb']],
    ['a*?b', 'aaab', ['aaab']],
    ['(a*?)(a*)', 'aa', ['aa', '', 'aa']],
    ['(?i)secret', 'a SeCrEt', ['SeCrEt']],
    ['x(?i:y)z', 'xYz', ['xYz']],
    ['x(?i:y)z', 'xYZ', undefined],
    ['\\bfoo\\b', 'a foo b', ['foo']],
    ['\\bfoo\\b', 'afoo b', undefined],
    ['foo\\b', 'foo', ['foo']],
    ['^a$', 'a', ['a']],
    ['^a$', 'ba', undefined],
    ['(?m)^b$', 'a\nb\nc', ['b']],
    ['a.c', 'a\nc', undefined],
    ['(?s)a.c', 'a\nc', ['a\nc']],
    ['[[:alnum:]]{3,5}', '--abcdefg', ['abcde']],
    ['[^\\s"]+', ' "word"', ['word']],
    ['\\x60x\\x{41}', '`xA', ['`xA']],
    ['(?P<name>\\d+)-(?<other>\\w+)', 'a 12-b_3', ['12-b_3', '12', 'b_3']],
    ['(?:)', 'abc', ['']],
    ['é+', 'caféé', ['éé']],
    ['a{0}b', 'ab', ['b']],
    ['(a|b)*c', 'ababc', ['ababc', 'b']],
    ['\\Qa.b\\E', 'xa.b', ['a.b']],
    ['(?:[\\x60\'"\\s;]|\\\\[nr]|$)', 'x', ['']],
    ['key["\']?\\s*[:=]\\s*["\']?([a-z0-9]{4,8})', 'key = "abc123"', ['key = "abc123', 'abc123']],
  ];
  for (const [source, text, expected] of table) assert.deepEqual(find(source, text), expected, `${source} in ${text}`);
});

test('patterns agree with the language’s own engine', () => {
  let seed = 12345;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >>> 8) % below;
  };
  const atom = (depth: number): string => {
    const kind = random(depth > 3 ? 4 : 8);
    if (kind < 3) return 'abc'.charAt(random(3));
    if (kind === 3) return ['[ab]', '[^a]', '.', '\\b', '^', '$'][random(6)] ?? 'a';
    if (kind === 4) return `(${expression(depth + 1)})`;
    if (kind === 5) return `(?:${expression(depth + 1)})`;
    return `(?:${expression(depth + 1)})${['*', '+', '?', '{1,2}', '*?', '+?', '??'][random(7)] ?? '*'}`;
  };
  const expression = (depth: number): string => {
    let source = '';
    for (let i = 0; i <= random(3); i++) source += atom(depth);
    return random(4) === 0 ? `${source}|${atom(depth)}` : source;
  };
  for (let round = 0; round < 1500; round++) {
    const source = expression(0);
    let text = '';
    for (let i = 0; i < random(9); i++) text += 'abc d'.charAt(random(5));
    // The start only: engines differ in whether a repetition may take an empty round, and so in where a match ends.
    assert.equal(locate(source, text)?.start, new RegExp(source).exec(text)?.index, `${source} in ${JSON.stringify(text)}`);
  }
});

test('what takes exponential time elsewhere takes linear time here', () => {
  const { pattern } = compilePattern('(?:(?:a+)+)+b');
  const bytes = Buffer.alloc(20_000, 'a');
  assert.equal(pattern.test(bytes, 0, bytes.length), false);
  const many = new Pattern(parsePattern('(?:a|b)*a(?:a|b){12}x'), 'x');
  const noise = Buffer.from(Array.from({ length: 20_000 }, (_, i) => (((i * 2654435761) >>> 13) & 1) + 97));
  assert.equal(many.test(noise, 0, noise.length), false);
});

test('what cannot run in linear time, or is broken, is refused with a reason', () => {
  for (const source of [
    '(a',
    'a)',
    '(?=a)',
    '(?<!a)b',
    '(a)\\1',
    '*a',
    'a**',
    'a{2,1}',
    'a{5000}',
    '[a',
    '[z-a]',
    '\\pL',
    '(?x)a',
    '\\q',
    'a'.repeat(20_000),
    '('.repeat(200),
  ]) {
    assert.throws(
      () => compilePattern(source),
      (error: unknown) => error instanceof GatewayError && error.code === 'PATTERN_INVALID',
      source.slice(0, 20),
    );
  }
  assert.throws(
    () => compilePattern('(?:[a-z]{1000}){1000}'),
    (error: unknown) => error instanceof GatewayError && error.code === 'PATTERN_TOO_LARGE',
  );
});
