import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { policyOf } from '../policy/policy-of.ts';
import { loadParser } from '../sql/parser.ts';
import { catalogView } from './catalog-file.ts';
import { CATALOG, parsedPolicy } from './fixture.testing.ts';
import { type FormOutcome, type RecordedForm, Replay } from './replay.ts';
import { ReplayTally } from './replay-report.ts';

before(loadParser);

const policy = policyOf(parsedPolicy().manifests);
const catalogs = new Map([['crm', catalogView(CATALOG)]]);
const sam = { kind: 'person', name: 'sam@example.com', issuer: '', subject: '', groups: ['support'], delegation: [] } as const;

function form(text: string, given: Partial<RecordedForm> = {}): RecordedForm {
  return {
    count: 1,
    example: { sessionId: 's', seq: 1, at: '2026-01-05T10:00:00Z' },
    resource: 'crm',
    principal: { ...sam, groups: [...sam.groups], delegation: [] },
    kind: 'query',
    text,
    textTruncated: false,
    columnsRead: [],
    decision: 'allow',
    rule: 'default',
    masked: [],
    hasRows: true,
    ...given,
  };
}

/** An outcome in one line. */
function line(outcome: FormOutcome): string {
  if (outcome.kind === 'unchanged') return 'unchanged';
  if (outcome.kind === 'undecided') return `? ${outcome.code}`;
  return outcome.changes.map(({ change, rule }) => `${change} ${rule}`).join('; ');
}

const replayed = (text: string, given: Partial<RecordedForm> = {}, of = new Replay({ policy, catalogs })) =>
  line(of.outcome(form(text, given)));

test('what changes, against what was recorded', () => {
  const none = { ...sam, groups: ['sales'], delegation: [] };
  const cases: [string, Partial<RecordedForm>, string][] = [
    ['SELECT id FROM customers', {}, 'unchanged'],
    ['DROP TABLE customers', {}, 'denied safety/no-ddl'],
    ['DROP TABLE customers', { decision: 'deny', rule: 'old/rule' }, 'unchanged'],
    ['SELECT id FROM customers', { decision: 'deny', rule: 'old/rule' }, 'allowed old/rule'],
    ['SELECT email FROM customers', {}, 'masked pii/public.customers.email'],
    ['SELECT email FROM customers', { masked: ['public.customers.email'] }, 'unchanged'],
    ['SELECT email FROM customers', { hasRows: false }, 'unchanged'],
    ['SELECT id, name FROM customers', { masked: ['public.customers.name'] }, 'unmasked public.customers.name'],
    ['SELECT ssn FROM customers', {}, 'denied pii/public.customers.ssn'],
    [
      'DELETE FROM customers WHERE id = 1',
      { principal: { ...none, kind: 'workload', name: 'bot', groups: ['bots'] } },
      'held safety/bots-wait',
    ],
    ['SELECT 1', { principal: none }, 'denied admission'],
    ['DROP TABLE customers', { principal: none, decision: 'deny', rule: 'safety/no-ddl' }, 'unchanged'],
  ];
  for (const [text, given, expected] of cases) assert.equal(replayed(text, given), expected, text);
});

test('what records do not tell is not guessed at', () => {
  const blind = new Replay({ policy, catalogs: new Map() });
  const cases: [string, Partial<RecordedForm>, string][] = [
    ['SELECT * FROM basket', {}, '? names-missing'],
    ['SELECT * FROM basket', { decision: 'deny', rule: 'unknown' }, 'unchanged'],
    ['UPDATE customers SET name = name WHERE id = 1', {}, '? estimate-missing'],
    ['EXECUTE p(1)', {}, '? prepared-missing'],
    ['FETCH 10 FROM c', {}, '? prepared-missing'],
    ['SELECT [redacted', {}, '? text-incomplete'],
    ['SELEC', { decision: 'deny', rule: 'unknown' }, 'unchanged'],
    ['SELECT 1', { textTruncated: true }, '? text-incomplete'],
    ['SELECT 1', { resource: 'gone' }, '? resource-missing'],
    // Another search_path was in force then.
    ['SELECT id FROM customers', { columnsRead: ['archive.customers.id'] }, '? names-differ'],
    ['SELECT id FROM customers', { columnsRead: ['public.customers.id'] }, 'unchanged'],
  ];
  for (const [text, given, expected] of cases) assert.equal(replayed(text, given), expected, text);
  // A NULL is not masked, so records cannot tell that the policy in force masks the column.
  assert.equal(replayed('SELECT email FROM customers', {}, new Replay({ policy, inForce: policy, catalogs })), 'unchanged');
  assert.equal(replayed('SELECT email FROM customers', {}, blind), '? catalog-missing');
  assert.equal(replayed('DROP TABLE customers', {}, blind), 'denied safety/no-ddl');
  assert.equal(replayed('SELECT 1', {}, blind), 'unchanged');
});

test('the tally counts by rule and principal, with few examples', () => {
  const replay = new Replay({ policy, catalogs });
  const tally = new ReplayTally();
  for (let i = 0; i < 20; i++) {
    const each = form(`DROP TABLE t${i}`, { count: i + 1, principal: { ...sam, name: `p${i % 3}`, groups: ['support'], delegation: [] } });
    tally.add(each, replay.outcome(each));
  }
  const same = form('SELECT 1', { count: 7 });
  tally.add(same, replay.outcome(same));
  const { commands, changed, unchanged, changes, principals, totals } = tally.report();
  assert.deepEqual([commands, changed, unchanged, totals.denied], [217, 210, 7, 210]);
  assert.deepEqual([changes.length, changes[0]?.commands, changes[0]?.examples.length, changes[0]?.principals.length], [1, 210, 5, 3]);
  assert.equal(
    principals.reduce((sum, each) => sum + each.denied, 0),
    210,
  );
});
