import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { periodParameters } from '../rollups/rollups.ts';
import { questionParameters } from './ask.ts';
import { findQuestion, QUESTIONS } from './catalogue.ts';
import { PARAMETERS, type Question } from './question.ts';

const byText = (a = '', b = '') => (a < b ? -1 : 1);
const nowMs = Date.parse('2026-11-21T12:00:00Z');
/** What `ask` adds. */
const ofItself = { ...periodParameters, answerLimit: 'UInt32' };
const known = (name: string): Question => findQuestion(name) ?? assert.fail(name);

test('times are moments, or how long ago', () => {
  const of = (since: string) => questionParameters(known('access'), { since, until: '2030-01-01' }, nowMs).since;
  assert.equal(of('90d'), '2026-08-23 12:00:00.000');
  assert.equal(of('2026-11-01'), '2026-11-01 00:00:00.000');
  assert.equal(of('2026-11-01T08:00:00+02:00'), '2026-11-01 06:00:00.000');
  for (const wrong of ['', 'yesterday', '2026-13-01', '2026-11-01T08:00:00', '9999999d', '99999y', "1d' OR 1=1"]) {
    assert.throws(() => of(wrong), { code: 'PARAMETER_INVALID' }, wrong);
  }
});

test('what is unknown, missing or no number is refused', () => {
  assert.throws(() => questionParameters(known('access'), { colour: 'red' }, nowMs), { code: 'PARAMETER_UNKNOWN' });
  assert.throws(() => questionParameters(known('who-read'), {}, nowMs), { code: 'PARAMETER_MISSING' });
  assert.throws(() => questionParameters(known('large-results'), { rows: '-1' }, nowMs), { code: 'PARAMETER_INVALID' });
  assert.throws(() => questionParameters(known('access'), { since: '1d', until: '2d' }, nowMs), { code: 'PARAMETER_INVALID' });
});

test('a question names the parameters that its query uses, and no text of a person is in a query', () => {
  for (const { name, query, parameters } of QUESTIONS) {
    const given = [...query.matchAll(/\{(\w+):([^}]+)\}/g)].filter(([, parameter = '']) => !(parameter in ofItself));
    assert.deepEqual([...new Set(given.map(([, parameter]) => parameter))].toSorted(byText), parameters.toSorted(byText), name);
    for (const [, parameter = '', type] of given) {
      assert.equal(type, PARAMETERS[parameter as keyof typeof PARAMETERS].type, `${name}: ${parameter}`);
    }
  }
  assert.equal(new Set(QUESTIONS.map(({ name }) => name)).size, QUESTIONS.length);
});

test('the guide has them all', () => {
  const guide = readFileSync(new URL('../../docs/guides/compliance.md', import.meta.url), 'utf8');
  for (const { name, title } of QUESTIONS) assert.ok(guide.includes(`| \`${name}\` | ${title} |`), name);
});
