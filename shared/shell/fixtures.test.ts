/** Evasions that no test should run, and everyday lines, under the sample policy; those that are run are in hidden.int.test.ts. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { analyseShell } from './analyse.ts';
import { EVASIONS, EVERYDAY, SAMPLE_POLICY } from './corpus.ts';
import { type FixtureLine, fixtureLines } from './fixtures.ts';
import { compileShellMatch, matchCompiled } from './match.ts';

const RULES = Object.entries({ ...SAMPLE_POLICY, evil: { programs: ['evil'] } }).flatMap(([name, match]) => {
  const compiled = compileShellMatch(match);
  return compiled === null ? [] : [{ name, compiled }];
});
const read = (name: string): FixtureLine[] => fixtureLines(readFileSync(path.join(import.meta.dirname, 'fixtures', `${name}.txt`), 'utf8'));
const stoppedBy = (text: string, interactive = false): string[] => {
  const analysis = analyseShell(text, { interactive });
  return RULES.filter(({ compiled }) => matchCompiled(analysis, compiled, 'deny')).map(({ name }) => name);
};

test('evasions with programs that are not everywhere are stopped', () => {
  const lines = read('evasions-seen');
  assert.ok(lines.length >= 400);
  assert.deepEqual(
    lines.filter(({ text }) => stoppedBy(text).length === 0).map(({ text }) => text),
    [],
  );
  // At a terminal more may be asked for later, and no less is refused.
  assert.deepEqual(
    lines.filter(({ text }) => !text.includes('\n') && stoppedBy(text, true).length === 0).map(({ text }) => text),
    [],
  );
});

test('more everyday lines pass', () => {
  const lines = read('everyday');
  assert.ok(lines.length >= 150);
  assert.deepEqual(
    lines.flatMap(({ text }) => {
      const rules = stoppedBy(text);
      return rules.length === 0 ? [] : [`${text} is stopped by ${rules.join(', ')}: ${JSON.stringify(analyseShell(text).opaque)}`];
    }),
    [],
  );
});

test('the lists say nothing twice', () => {
  const texts = ['evasions-proven', 'evasions-seen', 'everyday'].flatMap(name => read(name).map(({ text }) => text));
  const known = new Set(
    [...Object.values(EVASIONS).flat(), ...EVERYDAY.map(text => `- ${text}`)].map(line => line.slice(line.indexOf(' ') + 1)),
  );
  const seen = new Set<string>();
  const twice = texts.filter(text => {
    const again = seen.has(text) || known.has(text) || known.has(text.replaceAll('@R', ''));
    seen.add(text);
    return again;
  });
  assert.deepEqual(twice, []);
});
