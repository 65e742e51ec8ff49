import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { policyOf } from '../policy/policy-of.ts';
import { loadParser } from '../sql/parser.ts';
import { catalogView, parseCatalogFile } from './catalog-file.ts';
import { type Explanation, explain } from './explanation.ts';
import { explanationLines } from './explanation-text.ts';
import { CATALOG, parsedPolicy } from './fixture.testing.ts';
import { principalNamed } from './principal-named.ts';

before(loadParser);

const { manifests } = parsedPolicy();
const policy = policyOf(manifests);
const catalog = catalogView(CATALOG);
const now = new Date('2026-01-01T00:00:00Z');

function explained(text: string, options: { groups?: string[]; name?: string; catalog?: null; rows?: number } = {}): Explanation {
  const { groups = ['support'], name = 'ada@example.com', rows } = options;
  return explain({
    policy,
    resource: 'crm',
    principal: principalNamed(name, name === 'billing-bot' ? {} : { groups }, manifests),
    text,
    catalog: options.catalog === null ? null : catalog,
    now,
    ...(rows === undefined ? {} : { estimatedRows: rows }),
  });
}

const plain = { bold: String, dim: String, red: String, green: String, yellow: String };

test('each output column tells what reaches it and what becomes of it', () => {
  const { columns, decision, admission, statements, exemptFrom } = explained('SELECT id, email, upper(email) AS shout FROM customers');
  assert.deepEqual(
    columns?.map(({ name, outcome, mask, whole, labels }) => [name, outcome, mask, whole, labels]),
    [
      ['id', 'clear', undefined, undefined, []],
      ['email', 'masked', 'partial', false, ['public.customers.email']],
      ['shout', 'masked', 'redact', true, ['public.customers.email']],
    ],
  );
  assert.equal(decision.action, 'allow');
  assert.equal(admission.admitted && admission.role, 'support');
  assert.deepEqual(statements, [{ kind: 'select', text: 'SELECT id, email, upper(email) AS shout FROM customers' }]);
  assert.deepEqual(exemptFrom, []);
});

test('who is exempt is told so, and sees all', () => {
  const { columns, exemptFrom, decision } = explained('SELECT email, ssn FROM customers', { groups: ['privacy'] });
  assert.deepEqual([columns, exemptFrom, decision.action], [null, ['pii'], 'allow']);
});

test('denied columns, inferences and sinks decide as in a session', () => {
  assert.equal(explained('SELECT ssn FROM customers').decision.rule, 'pii/public.customers.ssn');
  const { inferences, decision } = explained("SELECT id FROM customers WHERE email LIKE 'a%'");
  assert.deepEqual([inferences, decision.action], [[{ column: 'public.customers.email', kind: 'other', action: 'deny' }], 'deny']);
  assert.equal(explained("SELECT id FROM customers WHERE email = 'a'").decision.action, 'allow');
  const sink = explained('INSERT INTO events (actor) SELECT email FROM customers');
  assert.deepEqual([sink.decision.action, sink.decision.rule, sink.sinks.length], ['deny', 'flow/sink', 1]);
});

test('rules: which cover it, and what their conditions say', () => {
  const person = explained('DELETE FROM customers WHERE id = 1');
  assert.deepEqual(
    person.rules.filter(rule => rule.matches).map(({ rule, condition }) => [rule, condition]),
    [['safety/bots-wait', false]],
  );
  assert.equal(person.decision.action, 'allow');
  const bot = explained('DELETE FROM customers WHERE id = 1', { name: 'billing-bot' });
  assert.deepEqual([bot.as, bot.decision.action], [{ name: 'billing-bot', kind: 'workload', groups: ['bots'] }, 'hold']);
});

test('what a session knows and this does not is said, and the strict decision stands', () => {
  const limits = (text: string, options = {}) => explained(text, options).limits.map(limit => limit.code);
  assert.deepEqual(limits('SELECT email FROM customers', { catalog: null }), ['catalog-missing']);
  assert.deepEqual(limits('SELECT * FROM tmp_report'), ['names-missing']);
  assert.deepEqual(limits('EXECUTE p(1)'), ['prepared-missing']);
  assert.deepEqual(limits('PREPARE p AS SELECT 1; EXECUTE p'), []);
  const update = 'UPDATE customers SET name = name WHERE id = 1';
  assert.deepEqual([explained(update).decision.rule, limits(update)], ['safety/large', ['estimate-missing']]);
  assert.equal(explained(update, { rows: 5 }).decision.action, 'allow');
  assert.equal(explained(update, { rows: 101 }).decision.rule, 'safety/large');
});

test('lines for people hold no control characters of the text', () => {
  const lines = explanationLines(explained('SELECT id AS "a\u001b[2J\u202eb" FROM customers'), plain);
  assert.match(lines.join('\n'), /decision {4}allow by default/);
  assert.doesNotMatch(lines.join(''), /[\p{Cc}\u202e]/u);
});

test('a catalog file that is not one is refused with what to do', () => {
  for (const text of [
    '',
    '[]',
    '{"format":"other"}',
    JSON.stringify({ ...CATALOG, version: 2 }),
    JSON.stringify({ ...CATALOG, texts: {} }),
  ])
    assert.throws(() => parseCatalogFile(text), { code: 'CATALOG_FILE_INVALID', message: /sallyport policy catalog/ });
  assert.deepEqual(parseCatalogFile(JSON.stringify(CATALOG)), CATALOG);
});
