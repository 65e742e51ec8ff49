import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { compileExpression, type Expression, type ExpressionScope, type ExpressionVariables } from './cel.ts';
import type { CommandFacts } from './facts.ts';

const facts: CommandFacts = {
  statements: ['select', 'delete'],
  objects: ['public.orders', 'public.customers'],
  columnsRead: ['public.orders.id'],
  functions: ['pg_catalog.count'],
  where: 'none',
  multiStatement: false,
  writes: true,
  opaque: [],
  inferences: [],
};

const variables: ExpressionVariables = {
  principal: {
    kind: 'person',
    name: 'ada@example.com',
    issuer: 'https://idp.example',
    subject: '1',
    groups: ['support', 'dba'],
    delegation: ['agent-7'],
  },
  resource: { name: 'crm', protocol: 'postgres', labels: { env: 'prod' } },
  now: new Date('2026-07-01T23:30:00Z'), // a Wednesday
  facts,
};

function compiled(source: string, scope: ExpressionScope = 'guard'): Expression {
  const result = compileExpression(source, scope);
  assert.ok(result.ok, result.ok ? '' : `${source}: ${result.message}`);
  return result.expression;
}

function refused(source: string, scope: ExpressionScope = 'guard'): string {
  const result = compileExpression(source, scope);
  assert.ok(!result.ok, source);
  return result.message;
}

const table: [string, boolean | 'error'][] = [
  ["principal.kind == 'person' || now.getHours('UTC') < 6", true],
  ["principal.kind == 'workload' || now.getHours('UTC') < 6", false],
  ['now.getHours() == 23 && now.getMinutes() == 30', true],
  ["now.getHours('Europe/Berlin') == 1 && now.getDayOfWeek('Europe/Berlin') == 4 && now.getDayOfWeek() == 3", true],
  ["now.getDate('+02:00') == 2 && now.getDayOfMonth('+02:00') == 1 && now.getMonth() == 6 && now.getFullYear() == 2026", true],
  ['now.getDayOfYear() == 181', true],
  ["now < timestamp('2027-01-01T00:00:00Z') && now - duration('24h') < now", true],
  ["'dba' in principal.groups && !('root' in principal.groups)", true],
  ["principal.groups.exists(g, g.startsWith('dev-'))", false],
  ['principal.delegation.size() == 1', true],
  ["resource.labels.env == 'prod' && resource.labels['env'] == 'prod'", true],
  ["has(resource.labels.region) && resource.labels.region == 'eu'", false],
  ["resource.labels.region == 'eu'", 'error'], // a label that is not there
  ["resource.labels.region == 'eu' || principal.kind == 'person'", true], // CEL: an error is absorbed by true
  ["resource.labels.constructor == 'x'", 'error'],
  ["principal.name.matches('^[a-z]+@example[.]com$')", true],
  ["principal.name.matches('example')", true], // unanchored, as CEL says
  ["facts.statements.all(s, s in ['select', 'delete'])", true],
  ["facts.objects.exists(o, o.startsWith('public.cust')) && facts.where == 'none'", true],
  ["facts.columnsRead == ['public.orders.id'] && facts.functions.size() == 1 && facts.writes && !facts.multiStatement", true],
  ['facts.estimatedRows > 10', 'error'], // not asked for
  ['has(facts.estimatedRows) && facts.estimatedRows > 10', false],
  ['1 / (principal.groups.size() - 2) == 0', 'error'],
  ["principal.groups[7] == 'x'", 'error'],
];

for (const [source, expected] of table) {
  test(`evaluates: ${source}`, () => assert.equal(compiled(source).evaluate(variables), expected));
}

test('an estimate is a whole number', () => {
  assert.equal(compiled('facts.estimatedRows == 8').evaluate({ ...variables, facts: { ...facts, estimatedRows: 7.2 } }), true);
});

test('tells what it depends on', () => {
  const uses = (source: string) => {
    const { usesNow, usesFacts } = compiled(source);
    return [usesNow, usesFacts];
  };
  assert.deepEqual(uses("principal.kind == 'person'"), [false, false]);
  assert.deepEqual(uses('now.getHours() < 6 && facts.writes'), [true, true]);
  assert.deepEqual(uses('principal.groups.exists(g, facts.statements.exists(s, s == g))'), [false, true]);
  assert.deepEqual(uses("[now].exists(t, t < timestamp('2030-01-01T00:00:00Z'))"), [true, false]);
});

test('refused when loaded', () => {
  assert.match(refused('principal.kind ='), /not valid CEL/);
  assert.match(refused('principal.nme == "x"'), /no such key: nme/);
  assert.match(refused('facts.statement == []'), /no such key: statement/);
  assert.match(refused('facts.writes == 1'), /no such overload/);
  assert.match(refused('principal.kind'), /must be true or false \(bool\); this one is string/);
  assert.match(refused('dyn(1)'), /must be true or false/);
  assert.match(refused('facts.writes', 'role'), /only to guard rules/);
  assert.match(refused('principal.name.matches(resource.name)'), /pattern as a literal/);
  assert.match(refused('now.getHours(resource.name) == 1'), /time zone as a literal/);
  assert.match(refused('now.getHours("Nowhere") == 1'), /unknown time zone/);
  assert.match(refused('cel.bind(x, [1, 2], x + x == [1])'), /cel.bind/);
  assert.match(refused(`${'['.repeat(60)}${']'.repeat(60)} == []`), /not valid CEL/);
  assert.match(refused(Array(300).fill('true').join(' && ')), /not valid CEL/);
  assert.match(refused(' '.repeat(5000)), /at most 4096/);
  assert.match(refused(''), /not valid CEL/);
});

test('loops may be nested once, no deeper', () => {
  compiled('facts.objects.all(a, facts.objects.exists(b, a == b))');
  assert.match(refused('facts.objects.all(a, facts.objects.all(b, facts.objects.all(c, a == c)))'), /nested too deep/);
  // Loops one after the other are not nested.
  compiled('facts.objects.all(a, true) && facts.objects.all(a, true) && facts.objects.all(a, true)');
});

test('facts over the bound are an error, and only in conditions that look at them', () => {
  const many = { ...variables, facts: { ...facts, objects: Array.from({ length: 501 }, (_, i) => `public.t${i}`) } };
  assert.equal(compiled("facts.objects.exists(o, o == 'public.t1')").evaluate(many), 'error');
  assert.equal(compiled("facts['objects'].exists(o, o == 'public.t1')").evaluate(many), 'error');
  assert.equal(compiled('facts.writes').evaluate(many), true);
});

test('a pattern that would backtrack for ever takes linear time', () => {
  const name = `${'a'.repeat(20_000)}!`;
  const expression = compiled("principal.name.matches('^(a+)+$')");
  assert.equal(expression.evaluate({ ...variables, principal: { ...variables.principal, name } }), false);
});

test('the time zone of the host makes no difference', () => {
  const script = `
    import { compileExpression } from ${JSON.stringify(new URL('cel.ts', import.meta.url).href)};
    const { expression } = compileExpression("now.getDayOfYear() == 180 && now.getHours('Europe/Berlin') == 4 && now.getHours() == 2", 'role');
    console.log(expression.evaluate({ principal: {}, resource: {}, now: new Date('2026-06-30T02:30:00Z') }));`;
  // 2:30 does not exist on the day when clocks change; a host there must not shift other zones.
  for (const TZ of ['America/New_York', 'Pacific/Kiritimati']) {
    const out = execFileSync(process.execPath, ['--input-type=module', '--eval', script], {
      env: { ...process.env, TZ },
      encoding: 'utf8',
    });
    assert.equal(out.trim(), 'true', TZ);
  }
});
