import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeaseBundle } from './bundle.ts';
import { columnRules } from './column-rules.ts';
import { compilePolicy } from './compile.ts';
import { sessionPolicy } from './decide.ts';
import type { ApprovalSpec, AuditPolicySpec, DataPolicySpec, MaskKind, Principal } from './model.ts';
import { MASK_KINDS, strictestAudit, strictestMask } from './strictness.ts';

type Column = DataPolicySpec['columns'][number];

const record = { equality: 'record', other: 'record' } as const;
const mask = (match: string, as: MaskKind = 'redact', predicates: Column['predicates'] = record): Column => ({
  match,
  action: 'mask',
  as,
  predicates,
});
const deny = (match: string): Column => ({ match, action: 'deny', as: 'redact', predicates: record });
const allow = (match: string): Column => ({ match, action: 'allow', as: 'redact', predicates: record });

function session(policies: Record<string, Partial<DataPolicySpec>>, groups: string[] = [], audit: AuditPolicySpec[] = []) {
  const principal: Principal = { kind: 'person', name: 'ada', issuer: 'i', subject: 's', groups, delegation: [] };
  const bundle = {
    version: 1,
    resources: [
      {
        name: 'crm',
        labels: {},
        spec: {
          protocol: 'postgres',
          upstream: { address: 'h:1', tls: { mode: 'disable' } },
          agents: { labels: {} },
          credential: 'c',
          unknown: 'deny',
        },
      },
    ],
    roles: [],
    guards: [],
    dataPolicies: Object.entries(policies).map(([name, spec]) => ({
      name,
      spec: { resources: {}, columns: [], detectors: [], detectorMask: 'redact', exempt: { groups: [] }, ...spec },
    })),
    auditPolicies: audit.map((spec, index) => ({ name: `a${index}`, spec })),
  } satisfies Partial<LeaseBundle>;
  return sessionPolicy(compilePolicy({ ...bundle, ...rest } as LeaseBundle), principal, 'crm');
}

const rest: Omit<LeaseBundle, 'version' | 'resources' | 'roles' | 'guards' | 'dataPolicies' | 'auditPolicies'> = {
  agentId: 'a',
  issuedAt: '',
  expiresAt: '',
  tickets: { issuer: 'sallyport', keys: [] },
  identityProviders: [],
  serviceAccounts: [],
  credentials: {},
  servingKeys: {},
  knownCredentials: null,
  maskKeys: {},
  revokedTokens: [],
};

test('a column has the rule of its policy', () => {
  const policy = session({ pii: { columns: [mask('public.customers.email', 'partial'), deny('public.users.password')] } });
  assert.equal(policy.hasColumnRules, true);
  assert.deepEqual(policy.column('public', 'customers', 'email'), {
    action: 'mask',
    as: 'partial',
    rule: 'pii/public.customers.email',
    predicates: record,
  });
  assert.equal(policy.column('public', 'users', 'password')?.action, 'deny');
  assert.equal(policy.column('public', 'customers', 'name'), null);
  assert.equal(policy.column('other', 'customers', 'email'), null);
  assert.equal(policy.column('*', 'customers', 'email')?.rule, 'pii/public.customers.email'); // schema not resolved
  assert.equal(session({}).hasColumnRules, false);
  assert.equal(session({}).column('public', 'customers', 'email'), null);
});

test('names of three parts are not confused with one another', () => {
  const policy = session({ p: { columns: [mask('a."b.c".d')] } });
  assert.equal(policy.column('a', 'b', 'c.d'), null);
  assert.equal(policy.column('a.b', 'c', 'd'), null);
  assert.equal(policy.column('a', 'b.c', 'd')?.action, 'mask');
});

test('the strictest of all policies wins, whatever their order', () => {
  const masks: MaskKind[] = ['partial', 'fake', 'hash', 'redact', 'null'];
  for (const a of masks) {
    for (const b of masks) {
      const both = session({ x: { columns: [mask('a.b.c', a)] }, y: { columns: [mask('a.*.c', b)] } }).column('a', 'b', 'c');
      const strictest = masks[Math.max(masks.indexOf(a), masks.indexOf(b))];
      assert.equal(both?.as, strictest, `${a} ${b}`);
      const winner = masks.indexOf(b) > masks.indexOf(a) ? 'y/a.*.c' : 'x/a.b.c';
      assert.equal(both?.rule, winner);
    }
    const denied = session({ x: { columns: [mask('a.b.c', a)] }, y: { columns: [deny('*.*.c')] } }).column('a', 'b', 'c');
    assert.deepEqual([denied?.action, denied?.rule], ['deny', 'y/*.*.c']);
  }
});

test('an exact allow lifts the wildcards of its own policy, nothing else', () => {
  const customers = { columns: [mask('public.customers.*', 'hash'), allow('public.customers.id')] };
  assert.equal(session({ p: customers }).column('public', 'customers', 'id'), null);
  assert.equal(session({ p: customers }).column('public', 'customers', 'name')?.as, 'hash');
  assert.equal(session({ p: customers }).column('*', 'customers', 'id')?.as, 'hash'); // perhaps another schema's
  const other = session({ p: customers, q: { columns: [mask('*.*.id', 'null')] } }).column('public', 'customers', 'id');
  assert.deepEqual([other?.as, other?.rule], ['null', 'q/*.*.id']);
  const exact = session({ p: { columns: [deny('public.customers.id'), allow('public.customers.id')] } });
  assert.equal(exact.column('public', 'customers', 'id')?.action, 'deny');
  assert.equal(session({ p: { columns: [allow('public.customers.id')] } }).hasColumnRules, false);
});

test('exempt groups lift that policy for their members only', () => {
  const policies = {
    pii: { columns: [mask('a.b.c')], detectors: ['email'], exempt: { groups: ['privacy', 'legal'] } },
    secrets: { columns: [mask('a.b.d')], detectors: ['jwt'] },
  };
  const exempt = session(policies, ['x', 'legal']);
  assert.equal(exempt.column('a', 'b', 'c'), null);
  assert.equal(exempt.column('a', 'b', 'd')?.action, 'mask');
  assert.deepEqual(exempt.detectors, ['jwt']);
  const others = session(policies, ['x']);
  assert.equal(others.column('a', 'b', 'c')?.action, 'mask');
  assert.deepEqual(others.detectors, ['email', 'jwt']);
  assert.equal(session({ pii: policies.pii }, ['privacy']).hasColumnRules, false);
});

test('predicates: the strictest of each; what holds says who approves', () => {
  const approval: ApprovalSpec = { from: { groups: ['dba'] }, quorum: 1, expiresInMs: 1, preview: false };
  const rule = session({
    x: { columns: [mask('a.b.c', 'null', { equality: 'allow', other: 'deny' })] },
    y: { columns: [mask('a.b.c', 'hash', { equality: 'hold', other: 'record' })], approval },
  }).column('a', 'b', 'c');
  assert.deepEqual(rule, { action: 'mask', as: 'null', rule: 'x/a.b.c', predicates: { equality: 'hold', other: 'deny' }, approval });
});

test('detectors: groups expanded, each once; the strictest mask of the policies that have any', () => {
  const policy = session({
    x: { detectors: ['email', 'secrets'], detectorMask: 'partial' },
    y: { detectors: ['email', 'jwt'], detectorMask: 'hash' },
    z: { columns: [mask('a.b.c')], detectorMask: 'null' },
  });
  assert.equal(new Set(policy.detectors).size, policy.detectors.length);
  assert.ok(policy.detectors.includes('github-token') && policy.detectors.includes('known-credentials'));
  assert.ok(!policy.detectors.includes('secrets'));
  assert.equal(policy.detectorMask, 'hash');
  assert.equal(session({}).detectorMask, 'redact');
});

test('a pattern of a newer control plane that cannot be read protects everything', () => {
  const policy = session({ p: { columns: [mask('jsonpath:$.x', 'null'), allow('?.?')] } });
  assert.equal(policy.column('any', 'thing', 'at_all')?.as, 'null');
});

test('answers are the same when asked again, and kept within a bound', () => {
  const rules = columnRules([]);
  assert.equal(rules.find('a', 'b', 'c'), null);
  const policy = session({ p: { columns: [mask('a.*.secret')] } });
  for (let round = 0; round < 2; round++) {
    for (let table = 0; table < 5000; table++) assert.equal(policy.column('a', `t${table}`, 'secret')?.action, 'mask');
    assert.equal(policy.column('a', 't1', 'open'), null);
  }
});

test('audit: the strictest of each field, and the default', () => {
  const buffered: AuditPolicySpec = { resources: {}, durability: 'buffered', responses: 'none', headBytes: 10 };
  assert.deepEqual(session({}).audit, { resources: {}, durability: 'strict', responses: 'head', headBytes: 65_536 });
  assert.deepEqual(session({}, [], [buffered]).audit, buffered);
  assert.deepEqual(
    session({}, [], [buffered, { ...buffered, durability: 'strict', responses: 'digest' }, { ...buffered, headBytes: 99 }]).audit,
    {
      resources: {},
      durability: 'strict',
      responses: 'digest',
      headBytes: 99,
    },
  );
  assert.equal(session({}, [], [{ ...buffered, resources: { names: ['erp'] } }]).audit.durability, 'strict');
  assert.equal(strictestAudit([{ ...buffered, responses: 'video' as never }, buffered]).responses, 'full');
});

test('masks: an order without gaps', () => {
  for (const [index, kind] of MASK_KINDS.entries()) {
    for (const weaker of MASK_KINDS.slice(index)) assert.equal(strictestMask(weaker, kind), kind);
  }
});
