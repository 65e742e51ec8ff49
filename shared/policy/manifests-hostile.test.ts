/** Manifests that mean harm, or are wrong beyond hope: a bounded answer in bounded time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseManifests, problemText } from './manifests.ts';

function parse(text: string) {
  return parseManifests([{ path: 'm.yaml', text }]);
}

/** `line:column: message` of each problem. */
function problemsOf(text: string): string[] {
  return parse(text).problems.map(problem => problemText(problem).replace('m.yaml:', ''));
}

test('hostile: aliases that unfold, or hold themselves', () => {
  const levels = Array.from(
    { length: 12 },
    (_, i) =>
      `a${i}: &a${i} [${
        i === 0
          ? 'x'
          : Array(9)
              .fill(`*a${i - 1}`)
              .join(', ')
      }]`,
  );
  assert.match(problemsOf(levels.join('\n')).join('\n'), /more than 50000 values/);
  assert.match(problemsOf('kind: &a [*a]\n')[0] ?? '', /1:11: `\*a` contains itself/);
  assert.match(problemsOf('kind: *nothing\n')[0] ?? '', /nothing/);
});

test('hostile: nested, long, odd', () => {
  const texts = [
    '['.repeat(20_000),
    '{a: '.repeat(20_000),
    '- '.repeat(20_000),
    '? '.repeat(10_000),
    '\u0000',
    '\ufeff\ufeff',
    '%YAML 9.9\n---\na',
    '&a '.repeat(5000),
    '"'.repeat(5000),
  ];
  for (const text of texts) {
    const { manifests, problems } = parse(text);
    assert.equal(manifests.length, 0);
    assert.ok(problems.length <= 70, String(problems.length));
    for (const problem of problems) assert.ok(problem.message.length < 300 && problem.line >= 1 && problem.column >= 1);
  }
  assert.match(problemsOf('a'.repeat(262_145))[0] ?? '', /longer than 262144/);
});

test('hostile: a file that is wrong everywhere gives a bounded answer', () => {
  const fields = Array.from({ length: 2000 }, (_, i) => `field${i}: 1`).join('\n');
  assert.equal(problemsOf(fields).length, 50);
  const many = Array.from({ length: 40 }, (_, i) => `  - { name: r${i}, match: { statements: [nope, nah] }, action: x }`).join('\n');
  assert.equal(problemsOf(`kind: Guard\nmetadata: { name: g }\nspec:\n  resources: {}\n  rules:\n${many}\n`).length, 50);
});

test('hostile: a message shows no control characters and is short', () => {
  const [message = ''] = problemsOf(
    `kind: Credential\nmetadata: { name: a }\nspec: { username: u, password: { env: X }, "evil\\u001b[31m${'x'.repeat(500)}": 1 }\n`,
  );
  assert.doesNotMatch(message, /\p{Cc}/u);
  assert.ok(message.length < 250);
});
