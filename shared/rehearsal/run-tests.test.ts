import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { problemText } from '../policy/manifests.ts';
import { policyOf } from '../policy/policy-of.ts';
import { loadParser } from '../sql/parser.ts';
import { catalogView } from './catalog-file.ts';
import { CATALOG, parsedPolicy } from './fixture.testing.ts';
import { type CaseResult, runTests } from './run-tests.ts';
import { parseTests } from './test-file.ts';
import { tapLines } from './test-report.ts';

before(loadParser);

const { manifests } = parsedPolicy();
const policy = policyOf(manifests);
const catalogs = new Map([['crm', catalogView(CATALOG)]]);

const HEAD = `
kind: PolicyTest
metadata: { name: crm }
spec:
  now: 2026-01-05T10:00:00Z
  principals:
    sam: { name: sam@example.com, groups: [support] }
    bot: { name: billing-bot }
  cases:
`;

/** A case in flow style to a line. */
function table(...cases: string[]): string {
  return HEAD + cases.map(each => `    - { ${each} }\n`).join('');
}

function run(cases: string[], given: typeof catalogs = catalogs): CaseResult[] {
  const parsed = parseTests([{ path: 'crm.test.yaml', text: table(...cases) }], policy);
  assert.deepEqual(parsed.problems, []);
  return runTests(parsed.cases, { policy, manifests, catalogs: given, now: new Date(0) });
}

test('cases that hold', () => {
  const results = run([
    'as: sam, resource: crm, statement: "SELECT id, email FROM customers", expect: { decision: allow, rule: default, masked: [email], columns: { id: clear, email: partial } }',
    'as: sam, resource: crm, statement: "DROP TABLE customers", expect: { decision: deny, rule: safety/no-ddl, message: migrations }',
    'as: sam, resource: crm, statement: "SELECT ssn FROM customers", expect: { decision: deny, rule: pii/public.customers.ssn, columns: { ssn: denied } }',
    'as: bot, resource: crm, statement: "DELETE FROM customers WHERE id = 1", expect: { decision: hold }',
    'as: { name: eve@example.com }, resource: crm, statement: "SELECT 1", expect: { admitted: false }',
    'as: sam, resource: crm, estimatedRows: 5, statement: "UPDATE customers SET name = name WHERE id = 1", expect: { decision: allow, masked: [] }',
    'as: { name: p@example.com, groups: [support, privacy] }, resource: crm, statement: "SELECT email FROM customers", expect: { decision: allow, columns: { email: clear } }',
  ]);
  assert.deepEqual(
    results.flatMap(result => result.failures),
    [],
  );
});

test('cases that do not hold say what was expected and what came', () => {
  const failures = (each: string, given = catalogs) => run([`as: sam, resource: crm, ${each}`], given)[0]?.failures;
  const one = (each: string, expected: RegExp, given = catalogs) => {
    const found = failures(each, given) ?? [];
    assert.equal(found.length, 1, `${each}: ${JSON.stringify(found)}`);
    assert.match(found[0] ?? '', expected);
  };
  one('statement: DROP TABLE x, expect: { decision: allow }', /^decision: expected allow, got deny by safety\/no-ddl/);
  one(
    'statement: DROP TABLE x, expect: { rule: safty/no-ddl }',
    /got safety\/no-ddl \(no rule about crm is called safty\/no-ddl; did you mean `safety\/no-ddl`\?\)/,
  );
  one('statement: DROP TABLE x, expect: { message: "Nope" }', /^message: expected “Nope”, got “Use migrations\.”/);
  one('statement: SELECT email FROM customers, expect: { columns: { email: redact } }', /^column email: expected redact, got partial/);
  one('statement: SELECT email FROM customers, expect: { columns: { emial: partial } }', /has none of this name; did you mean `email`/);
  one('statement: SELECT email FROM customers, expect: { masked: [] }', /^masked: email not expected/);
  one('statement: SELECT id FROM customers, expect: { masked: [email] }', /^masked: email expected, but not masked/);
  one('statement: SELECT 1, expect: { admitted: false }', /^admission: expected a refusal, got role support/);
  // What is not known does not pass for a success.
  one('statement: SELECT * FROM tmp, expect: { decision: deny }', /^cannot be decided: .*policy catalog/);
  one('statement: SELECT id FROM customers, expect: { decision: allow }', /^cannot be decided: .*beside the manifests/, new Map());
  one('statement: UPDATE customers SET id = 1, expect: { rule: safety/large }', /^cannot be decided: .*give `estimatedRows`/);
  assert.deepEqual(failures('statement: DROP TABLE x, expect: { decision: deny }', new Map()), []);
});

test('mistakes in a table are told with file, line and the nearest name', () => {
  const problems = (text: string) => parseTests([{ path: 'a.test.yaml', text }], policy).problems.map(problemText);
  const good = 'as: sam, resource: crm, statement: SELECT 1, expect: { decision: allow }';
  for (const [text, expected] of [
    [table(good.replace('crm', 'crn')), 'a.test.yaml:10:28: there is no resource `crn`; did you mean `crm`?'],
    [table(good.replace('sam', 'sma')), 'a.test.yaml:10:13: `principals` has no `sma`; did you mean `sam`?'],
    [table(good.replace('statement', 'statment')), /unknown field `statment`; did you mean `statement`\?/],
    [table(good.replace('decision', 'decison')), /unknown field `decison`; did you mean `decision`\?/],
    [table(good.replace('allow', 'alow')), /`decision` cannot be `alow`; did you mean `allow`\?/],
    [table(good.replace('{ decision: allow }', '{}')), /`expect` says nothing/],
    [HEAD.replace('  cases:\n', '  cases: []\n'), /must have at least one entry/],
    [HEAD.replace('PolicyTest', 'PolicyTests'), /`kind` cannot be `PolicyTests`; did you mean `PolicyTest`\?/],
    ['kind: [', /./],
  ] as const) {
    const found = problems(text).join('\n');
    if (typeof expected === 'string') assert.ok(found.includes(expected), found);
    else assert.match(found, expected);
  }
});

test('TAP: a plan, escaped descriptions, and diagnostics of what failed', () => {
  const lines = tapLines(
    run([
      'name: "a # b", as: sam, resource: crm, statement: SELECT 1, expect: { decision: allow }',
      'name: c, as: sam, resource: crm, statement: SELECT 1, expect: { decision: deny }',
    ]),
  );
  assert.deepEqual(lines.slice(0, 4), ['TAP version 14', '1..2', 'ok 1 - crm: a \\# b', 'not ok 2 - crm: c']);
  assert.match(lines.join('\n'), /at: "crm\.test\.yaml:11"/);
});
