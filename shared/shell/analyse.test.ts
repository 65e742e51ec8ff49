import assert from 'node:assert/strict';
import { test } from 'node:test';
import { analyseShell } from './analyse.ts';
import { EVASIONS, EVERYDAY, type Rule, SAMPLE_POLICY } from './corpus.ts';
import { compileShellMatch, matchCompiled } from './match.ts';

const RULES = Object.entries(SAMPLE_POLICY).map(([name, match]) => {
  const compiled = compileShellMatch(match);
  assert.ok(compiled !== null);
  return { name: name as Rule, compiled };
});

function matching(text: string): Rule[] {
  const analysis = analyseShell(text);
  return RULES.filter(({ compiled }) => matchCompiled(analysis, compiled, 'deny')).map(({ name }) => name);
}

for (const [category, lines] of Object.entries(EVASIONS)) {
  test(`evasions by ${category} are seen for what they are`, () => {
    const missed = lines.flatMap(line => {
      const rule = line.slice(0, line.indexOf(' '));
      const text = line.slice(rule.length + 1);
      const found: string[] = matching(text);
      return found.includes(rule) ? [] : [`${rule}: ${JSON.stringify(text)} gave ${found.join(', ') || 'nothing'}`];
    });
    assert.deepEqual(missed, []);
  });
}

test('there are as many as promised', () => {
  assert.ok(Object.values(EVASIONS).flat().length >= 300);
  assert.ok(EVERYDAY.length >= 100);
});

test('everyday lines pass', () => {
  const stopped = EVERYDAY.flatMap(text => {
    const found = matching(text);
    return found.length === 0
      ? []
      : [`${JSON.stringify(text)} is stopped by ${found.join(', ')}: ${JSON.stringify(analyseShell(text).opaque)}`];
  });
  assert.deepEqual(stopped, []);
});
