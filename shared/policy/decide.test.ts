import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeaseBundle } from './bundle.ts';
import { compilePolicy } from './compile.ts';
import { admit, type SessionPolicy, sessionPolicy } from './decide.ts';
import type { EnforcementDepth } from './decision.ts';
import type { CommandFacts } from './facts.ts';
import type { ApprovalSpec, DataPolicySpec, GuardRule, GuardSpec, Principal, ResourceSpec, RoleSpec } from './model.ts';

const NOW = new Date('2026-07-01T12:00:00Z');
const approval: ApprovalSpec = { from: { groups: ['dba'] }, quorum: 1, expiresInMs: 900_000, preview: false };
const spec: ResourceSpec = {
  protocol: 'postgres',
  upstream: { address: '127.0.0.1:5432', tls: { mode: 'disable' } },
  agents: { labels: {} },
  credential: 'app',
  unknown: 'deny',
};
const ada: Principal = { kind: 'person', name: 'ada', issuer: 'https://idp.example', subject: '1', groups: ['support'], delegation: [] };
const bot: Principal = { kind: 'workload', name: 'bot', issuer: 'https://ci.example', subject: 'b', groups: ['bots'], delegation: [] };
const everyone: RoleSpec = { members: { groups: ['support', 'bots'], serviceAccounts: [], principals: [] }, resources: {}, session: {} };
const everything: EnforcementDepth = {
  statements: true,
  columnMasking: true,
  detectors: true,
  approvals: true,
  preview: true,
  budgets: true,
  predicates: true,
  estimates: true,
  capture: ['none', 'digest', 'head', 'full'],
};

interface Parts {
  resource?: Partial<ResourceSpec>;
  roles?: Record<string, RoleSpec>;
  guards?: Record<string, Partial<GuardSpec>>;
  data?: Record<string, Partial<DataPolicySpec>>;
  audit?: LeaseBundle['auditPolicies'];
}

function named<T>(items: Record<string, T>): { name: string; spec: T }[] {
  return Object.entries(items).map(([name, each]) => ({ name, spec: each }));
}

function bundle({ resource = {}, roles = { everyone }, guards = {}, data = {}, audit = [] }: Parts): LeaseBundle {
  return {
    version: 1,
    agentId: 'a',
    issuedAt: NOW.toISOString(),
    expiresAt: NOW.toISOString(),
    tickets: { issuer: 'sallyport', keys: [] },
    identityProviders: [],
    serviceAccounts: [],
    resources: [{ name: 'crm', labels: { env: 'prod' }, spec: { ...spec, ...resource } }],
    roles: named(roles),
    guards: named(guards).map(({ name, spec: guard }) => ({ name, spec: { resources: {}, priority: 0, rules: [], ...guard } })),
    dataPolicies: named(data).map(({ name, spec: policy }) => ({
      name,
      spec: { resources: {}, columns: [], detectors: [], detectorMask: 'redact' as const, exempt: { groups: [] }, ...policy },
    })),
    auditPolicies: audit,
    credentials: {},
    servingKeys: {},
    knownCredentials: null,
    maskKeys: {},
    revokedTokens: [],
  };
}

function session(parts: Parts, principal: Principal = ada): SessionPolicy {
  return sessionPolicy(compilePolicy(bundle(parts)), principal, 'crm');
}

function admission(parts: Parts, principal: Principal = ada, depth: EnforcementDepth = everything) {
  return admit(compilePolicy(bundle(parts)), principal, 'crm', depth, NOW);
}

function command(statements: string[], more: Partial<CommandFacts> = {}): CommandFacts {
  const reads = statements.every(kind => ['select', 'show', 'begin', 'commit'].includes(kind));
  return {
    statements,
    objects: [],
    columnsRead: [],
    functions: [],
    where: 'notApplicable',
    multiStatement: false,
    writes: !reads,
    opaque: [],
    inferences: [],
    ...more,
  };
}

function rule(name: string, action: GuardRule['action'], match: GuardRule['match'], more: Partial<GuardRule> = {}): GuardRule {
  return { name, action, match, ...(action === 'hold' ? { approval } : {}), ...more };
}

/** `action rule` of the decision. */
function verdict(policy: SessionPolicy, facts: CommandFacts, now = NOW): string {
  const decision = policy.decide(facts, now);
  return `${decision.action} ${decision.rule}`;
}

const judged = (rules: GuardRule[], facts: CommandFacts, more: Parts = {}) =>
  verdict(session({ guards: { g: { rules } }, ...more }), facts);

// Statements

test('no rule matches: allowed, because the role granted access', () => {
  assert.deepEqual(session({}).decide(command(['select']), NOW), { action: 'allow', rule: 'default', reason: 'no rule speaks against it' });
});

test('a denial has the rule, the reason and the message', () => {
  const policy = session({
    guards: { safety: { rules: [rule('no-ddl', 'deny', { statements: ['drop'] }, { message: 'Through migrations.' })] } },
  });
  assert.deepEqual(policy.decide(command(['drop-table']), NOW), {
    action: 'deny',
    rule: 'safety/no-ddl',
    reason: 'drop-table matches rule safety/no-ddl',
    message: 'Through migrations.',
  });
  const quiet = session({ guards: { safety: { rules: [rule('no-ddl', 'deny', { statements: ['ddl'] })] } } });
  const decision = quiet.decide(command(['create-view']), NOW);
  assert.equal(decision.action === 'deny' && decision.message, 'This statement is refused by policy (rule safety/no-ddl).');
});

test('statements: families, groups and any one of several', () => {
  const deny = [rule('r', 'deny', { statements: ['drop', 'truncate', 'grant', 'create-role'] })];
  for (const kind of ['drop-table', 'drop-owned', 'truncate', 'grant', 'grant-role', 'create-role'])
    assert.equal(judged(deny, command([kind])), 'deny g/r', kind);
  for (const kind of ['select', 'create-table', 'alter-table', 'revoke'])
    assert.equal(judged(deny, command([kind])), 'allow default', kind);
  assert.equal(judged(deny, command(['select', 'insert', 'drop-index'])), 'deny g/r'); // anywhere in the command
  assert.equal(judged([rule('r', 'deny', { statements: ['write'] })], command(['select', 'delete'])), 'deny g/r');
});

test('all keys that are given must match', () => {
  const mass = [rule('mass', 'deny', { statements: ['update', 'delete'], where: ['none', 'tautology'] })];
  assert.equal(judged(mass, command(['delete'], { where: 'none' })), 'deny g/mass');
  assert.equal(judged(mass, command(['update'], { where: 'tautology' })), 'deny g/mass');
  assert.equal(judged(mass, command(['delete'], { where: 'some' })), 'allow default');
  assert.equal(judged(mass, command(['select'], { where: 'none' })), 'allow default');
  assert.equal(judged([rule('m', 'deny', { multiStatement: true })], command(['select'], { multiStatement: true })), 'deny g/m');
  assert.equal(judged([rule('m', 'deny', { multiStatement: true })], command(['select'])), 'allow default');
  assert.equal(judged([rule('all', 'deny', {})], command(['select'])), 'deny g/all');
});

test('an empty query is no statement', () => {
  assert.equal(judged([rule('r', 'deny', { statements: ['write'] })], command([])), 'allow default');
  assert.equal(judged([rule('r', 'deny', { statements: ['empty'] })], command([])), 'deny g/r');
  assert.equal(judged([], command([], { writes: true })), 'deny unknown'); // nothing known of what may write
});

// Objects and functions

test('objects: tables with wildcards, any one of several', () => {
  const deny = [rule('r', 'deny', { objects: ['payroll.*', 'public.secret_*'] })];
  assert.equal(judged(deny, command(['select'], { objects: ['public.orders', 'payroll.wages'] })), 'deny g/r');
  assert.equal(judged(deny, command(['select'], { objects: ['public.secret_keys'] })), 'deny g/r');
  assert.equal(judged(deny, command(['select'], { objects: ['public.orders'] })), 'allow default');
  assert.equal(judged(deny, command(['select'])), 'allow default');
  assert.equal(judged(deny, command(['select'], { objects: ['*.wages'] })), 'deny g/r'); // not resolved: may be payroll's
});

test('objects: columns, read or written; unresolved columns count as used', () => {
  const deny = [rule('r', 'deny', { objects: ['public.users.password'] })];
  const use = (more: Partial<CommandFacts>) =>
    judged(deny, command(['select'], { objects: ['public.users'], columnsResolved: true, ...more }));
  assert.equal(use({ columnsRead: ['public.users.password'] }), 'deny g/r');
  assert.equal(use({ columnsWritten: ['public.users.password'] }), 'deny g/r');
  assert.equal(use({ columnsRead: ['public.users.name'] }), 'allow default');
  assert.equal(use({ columnsResolved: false }), 'deny g/r');
  assert.equal(judged(deny, command(['select'], { objects: ['public.orders'] })), 'allow default');
});

test('functions: with a schema, or by name alone', () => {
  const deny = [rule('r', 'deny', { functions: ['pg_read_*', 'app.purge'] })];
  assert.equal(judged(deny, command(['select'], { functions: ['pg_catalog.count', 'pg_catalog.pg_read_file'] })), 'deny g/r');
  assert.equal(judged(deny, command(['select'], { functions: ['app.purge'] })), 'deny g/r');
  assert.equal(judged(deny, command(['select'], { functions: ['*.purge'] })), 'deny g/r');
  assert.equal(judged(deny, command(['select'], { functions: ['public.purge'] })), 'allow default');
});

test('rows: above the bound, and where nobody estimated', () => {
  const deny = [rule('r', 'deny', { maxRows: 100 })];
  assert.equal(judged(deny, command(['select'], { estimatedRows: 101 })), 'deny g/r');
  assert.equal(judged(deny, command(['select'], { estimatedRows: 100 })), 'allow default');
  assert.equal(judged(deny, command(['select'])), 'deny g/r');
  assert.equal(session({ guards: { g: { rules: deny } } }).needsEstimates, true);
  assert.equal(session({}).needsEstimates, false);
  const held = rule('h', 'hold', { statements: ['update'], maxRows: 10 }, { approval });
  const policy = session({ guards: { g: { rules: [rule('d', 'deny', { statements: ['delete'] }), ...deny, held] } } });
  assert.equal(policy.hangsOnEstimate(command(['select']), new Date()), true);
  assert.equal(policy.hangsOnEstimate(command(['delete']), new Date()), false, 'decided before');
  const other = session({ guards: { g: { rules: [held] } } });
  assert.equal(other.hangsOnEstimate(command(['select']), new Date()), false, 'not what the rule is about');
  const told = policy.decide(command(['select'], { estimatedRows: 101 }), new Date());
  assert.match(told.action === 'deny' ? told.message : '', /\(the planner expects 101 rows, and the limit is 100\)$/);
  const closed = policy.decide(command(['select'], { notEstimated: 'who knows' }), new Date());
  assert.match(closed.action === 'deny' ? closed.message : '', /\(its rows cannot be estimated: who knows, and the limit is 100\)$/);
  assert.match(policy.decide(command(['select'], { estimatedRows: 7 }), new Date()).reason, /; the planner expects 7 rows$/);
});

// Order

test('deny before hold before allow at one priority, in whatever order they are written', () => {
  const rules = [
    rule('a', 'allow', { statements: ['select'] }),
    rule('h', 'hold', { statements: ['select'] }),
    rule('d', 'deny', { statements: ['select'] }),
  ];
  assert.equal(judged(rules, command(['select'])), 'deny g/d');
  assert.equal(judged(rules.slice(0, 2), command(['select'])), 'hold g/h');
  assert.equal(judged(rules.slice(0, 1), command(['select'])), 'allow g/a');
});

test('a higher priority is tried first, also when it allows', () => {
  const guards = {
    base: { rules: [rule('no-ddl', 'deny', { statements: ['ddl'] })] },
    migrations: { priority: 10, rules: [rule('ok', 'allow', { statements: ['create-table'] })] },
    last: { priority: -1, rules: [rule('x', 'deny', {})] },
  };
  const policy = session({ guards });
  assert.equal(verdict(policy, command(['create-table'])), 'allow migrations/ok');
  assert.equal(verdict(policy, command(['drop-table'])), 'deny base/no-ddl');
  assert.equal(verdict(policy, command(['select'])), 'deny last/x');
});

test('guards of other resources do not count', () => {
  const guards = {
    g: { resources: { labels: { env: 'test' } }, rules: [rule('x', 'deny', {})] },
    h: { resources: { names: ['crm'], labels: { env: 'test' } }, rules: [rule('x', 'deny', {})] },
  };
  assert.equal(verdict(session({ guards }), command(['select'])), 'allow default');
});

// An allowing rule must cover the whole command

test('a harmless part carries no harmful one through an allowing rule', () => {
  const around = (match: GuardRule['match'], facts: CommandFacts) =>
    verdict(
      session({ guards: { ok: { priority: 10, rules: [rule('a', 'allow', match)] }, no: { rules: [rule('d', 'deny', {})] } } }),
      facts,
    );
  assert.equal(around({ statements: ['select'] }, command(['select'])), 'allow ok/a');
  assert.equal(around({ statements: ['select'] }, command(['select', 'delete'])), 'deny no/d');
  assert.equal(around({ statements: ['select'] }, command([])), 'deny no/d');
  assert.equal(around({ objects: ['public.a'] }, command(['select'], { objects: ['public.a'] })), 'allow ok/a');
  assert.equal(around({ objects: ['public.a'] }, command(['select'], { objects: ['public.a', 'public.b'] })), 'deny no/d');
  assert.equal(around({ objects: ['public.a'] }, command(['select'], { objects: ['*.a'] })), 'deny no/d');
  assert.equal(around({ objects: ['public.a'] }, command(['select'])), 'deny no/d');
  assert.equal(
    around({ functions: ['app.safe'] }, command(['select'], { functions: ['app.safe', 'pg_catalog.pg_read_file'] })),
    'deny no/d',
  );
  assert.equal(around({ functions: ['app.safe'] }, command(['select'], { functions: ['*.safe'] })), 'deny no/d');
  assert.equal(around({ functions: ['app.safe'] }, command(['select'])), 'deny no/d');
  assert.equal(around({ maxRows: 5 }, command(['select'])), 'deny no/d');
  const columns = { objects: ['public.a'], columnsRead: ['public.a.id', 'public.a.ssn'], columnsResolved: true };
  assert.equal(around({ objects: ['public.a.id'] }, command(['select'], columns)), 'deny no/d');
  assert.equal(around({ objects: ['public.a.id', 'public.a.s*'] }, command(['select'], columns)), 'allow ok/a');
  assert.equal(around({ objects: ['public.a.*'] }, command(['select'], { ...columns, columnsResolved: false })), 'deny no/d');
});

// What cannot be judged

test('what cannot be judged is denied', () => {
  for (const facts of [
    command([], { unparseable: 'syntax error' }),
    command(['do'], { opaque: ['the body of DO'] }),
    command(['unknown']),
  ]) {
    assert.equal(judged([], facts), 'deny unknown');
    assert.equal(judged([rule('a', 'allow', {})], facts), 'deny unknown');
    assert.equal(judged([rule('a', 'allow', { statements: ['do', 'select', 'write'] })], facts), 'deny unknown');
  }
  const decision = session({}).decide(command(['do'], { opaque: ['the body of DO'] }), NOW);
  assert.equal(
    decision.action === 'deny' && decision.message,
    'This statement is refused: it cannot be judged fully: the body of DO (rule unknown).',
  );
});

test('a rule that names `unknown` may allow it, and must cover the rest of the command too', () => {
  const opaque = command(['call'], { opaque: ['app.nightly'], functions: ['app.nightly'] });
  assert.equal(judged([rule('a', 'allow', { statements: ['unknown', 'call'] })], opaque), 'allow g/a');
  assert.equal(judged([rule('a', 'allow', { statements: ['unknown'] })], opaque), 'deny unknown');
  assert.equal(judged([rule('a', 'allow', { statements: ['unknown', 'call'], functions: ['app.nightly'] })], opaque), 'allow g/a');
  assert.equal(judged([rule('a', 'allow', { statements: ['unknown', 'call'], functions: ['app.other'] })], opaque), 'deny unknown');
  assert.equal(judged([rule('a', 'allow', { statements: ['unknown'] })], command([], { unparseable: 'x' })), 'allow g/a');
});

test('a rule may deny or hold `unknown` by name', () => {
  const opaque = command(['do'], { opaque: ['body'] });
  assert.equal(judged([rule('d', 'deny', { statements: ['unknown'] })], opaque), 'deny g/d');
  assert.equal(judged([rule('h', 'hold', { statements: ['unknown'] })], opaque), 'hold g/h');
  assert.equal(judged([rule('d', 'deny', { statements: ['unknown'] })], command(['select'])), 'allow default');
});

test('a hold that does not speak of `unknown` is a denial for it, and no later rule softens that', () => {
  const opaque = command(['do'], { opaque: ['body'] });
  const guards = {
    high: { priority: 10, rules: [rule('h', 'hold', { statements: ['do'] })] },
    low: { rules: [rule('a', 'allow', { statements: ['do', 'unknown'] })] },
  };
  assert.equal(verdict(session({ guards }), opaque), 'deny unknown');
  assert.equal(verdict(session({ guards, resource: { unknown: 'hold', approval } }), opaque), 'hold high/h');
});

test('`unknown: hold` of the resource', () => {
  const opaque = command(['do'], { opaque: ['body'] });
  const policy = session({ resource: { unknown: 'hold', approval } });
  assert.equal(policy.unknown, 'hold');
  const decision = policy.decide(opaque, NOW);
  assert.deepEqual(decision.action === 'hold' && decision.approval, approval);
  assert.equal(decision.rule, 'unknown');
  assert.equal(verdict(session({ resource: { unknown: 'hold' } }), opaque), 'deny unknown'); // nobody could release it
  assert.equal(judged([rule('d', 'deny', { statements: ['do'] })], opaque, { resource: { unknown: 'hold', approval } }), 'deny g/d');
});

test('a kind outside the vocabulary slips by no rule', () => {
  assert.equal(judged([rule('d', 'deny', { statements: ['delete'] })], command(['drop_table'])), 'deny unknown');
  assert.equal(judged([rule('a', 'allow', {})], command(['select', 'teleport'])), 'deny unknown');
});

test('a reason from outside is clipped', () => {
  const { reason } = session({}).decide(command([], { unparseable: 'x'.repeat(10_000) }), NOW);
  assert.ok(reason.length < 400);
});

// Conditions

test('conditions over the facts', () => {
  const rules = [rule('r', 'deny', { statements: ['delete'] }, { when: "facts.objects.exists(o, o == 'public.audit')" })];
  assert.equal(judged(rules, command(['delete'], { objects: ['public.audit'] })), 'deny g/r');
  assert.equal(judged(rules, command(['delete'], { objects: ['public.cart'] })), 'allow default');
});

test('a condition that cannot be evaluated: deny and hold match, allow does not', () => {
  for (const when of [
    "resource.labels.nope == 'x'",
    "resource.labels.nope == 'x' && facts.writes == facts.writes",
    'facts.estimatedRows > 5',
  ]) {
    assert.equal(judged([rule('r', 'deny', {}, { when })], command(['select'])), 'deny g/r');
    assert.equal(judged([rule('r', 'hold', {}, { when })], command(['select'])), 'hold g/r');
    assert.equal(judged([rule('r', 'allow', {}, { when })], command(['select'])), 'allow default');
  }
});

test('a condition about the principal alone is decided once for the session', () => {
  const parts: Parts = { guards: { g: { rules: [rule('r', 'hold', {}, { when: "principal.kind == 'workload'" })] } } };
  assert.equal(verdict(session(parts), command(['select'])), 'allow default');
  assert.equal(verdict(session(parts, bot), command(['select'])), 'hold g/r');
  // so that a protocol without approvals serves those whom the rule does not concern
  const noApprovals = { ...everything, approvals: false };
  assert.equal(admission(parts, ada, noApprovals).admitted, true);
  assert.equal(admission(parts, bot, noApprovals).admitted, false);
});

test('tells whether decisions depend on the time', () => {
  const night = session({
    guards: { g: { rules: [rule('r', 'deny', { statements: ['write'] }, { when: "now.getHours('UTC') >= 18" })] } },
  });
  assert.equal(night.decisionDependsOnTime, true);
  assert.equal(verdict(night, command(['insert'])), 'allow default');
  assert.equal(verdict(night, command(['insert']), new Date('2026-07-01T18:00:00Z')), 'deny g/r');
  assert.equal(session({ guards: { g: { rules: [rule('r', 'deny', {}, { when: 'facts.writes' })] } } }).decisionDependsOnTime, false);
  // a rule that does not concern this principal makes no difference
  const other = { guards: { g: { rules: [rule('r', 'deny', {}, { when: "principal.kind == 'workload'" })] } } };
  assert.equal(session(other).decisionDependsOnTime, false);
});

test('the same arguments give the same decision, and nothing is kept between commands', () => {
  const policy = session({ guards: { g: { rules: [rule('r', 'deny', { statements: ['drop'] })] } } });
  const before = verdict(policy, command(['select']));
  verdict(policy, command(['drop-table']));
  assert.equal(verdict(policy, command(['select'])), before);
});

// What this version does not understand

test('rules of a newer control plane are read fail-closed', () => {
  const odd = (more: Partial<GuardRule>, action: GuardRule['action'] = 'deny', match: GuardRule['match'] = { statements: ['drop'] }) =>
    rule('r', action, match, more);
  for (const broken of [
    odd({}, 'deny', { statements: ['teleport'] }),
    odd({}, 'deny', { objects: ['a'] }),
    odd({}, 'deny', { functions: ['a.b.c'] }),
    odd({ when: 'oracle(facts)' }, 'deny', {}),
  ]) {
    const policy = compilePolicy(bundle({ guards: { g: { rules: [broken] } } }));
    assert.equal(policy.problems.length, 1);
    assert.equal(verdict(sessionPolicy(policy, ada, 'crm'), command(['select'])), 'deny g/r');
    assert.equal(judged([{ ...broken, action: 'allow' }, rule('d', 'deny', {})], command(['select'])), 'deny g/d');
  }
  assert.equal(judged([rule('r', 'hold', {}, { approval: undefined as never })], command(['select'])), 'deny g/r');
  assert.equal(judged([rule('r', 'quarantine' as never, {})], command(['select'])), 'deny g/r');
});

// Admission

test('admission: unknown resource, no grant, a condition', () => {
  const policy = compilePolicy(bundle({}));
  assert.deepEqual(admit(policy, ada, 'nope', everything, NOW), {
    admitted: false,
    code: 'UNKNOWN_RESOURCE',
    reason: 'this agent serves no such resource',
  });
  assert.throws(() => sessionPolicy(policy, ada, 'nope'), { code: 'POLICY_UNKNOWN_RESOURCE' });
  const code = (roles: Record<string, RoleSpec>, principal = ada) => {
    const result = admission({ roles }, principal);
    return result.admitted ? result.role : result.code;
  };
  assert.equal(code({}), 'NO_GRANT');
  assert.equal(code({ r: { ...everyone, resources: { names: ['erp'] } } }), 'NO_GRANT');
  assert.equal(code({ r: { ...everyone, resources: { names: ['crm'], labels: { env: 'test' } } } }), 'NO_GRANT');
  assert.equal(code({ r: { ...everyone, members: { groups: ['ops'], serviceAccounts: [], principals: [] } } }), 'NO_GRANT');
  assert.equal(code({ r: { ...everyone, when: "principal.kind == 'workload'" } }), 'CONDITION_FALSE');
  assert.equal(code({ r: { ...everyone, when: "resource.labels.nope == 'x'" } }), 'CONDITION_FALSE'); // an error admits nobody
  assert.equal(code({ r: { ...everyone, when: 'no such language' } }), 'CONDITION_FALSE');
  assert.equal(code({ r: { ...everyone, when: "now.getHours('UTC') == 12" } }), 'r');
});

test('admission: persons and workloads are named apart', () => {
  const only = (members: Partial<RoleSpec['members']>): Record<string, RoleSpec> => ({
    r: { ...everyone, members: { groups: [], serviceAccounts: [], principals: [], ...members } },
  });
  assert.equal(admission({ roles: only({ principals: ['ada'] }) }).admitted, true);
  assert.equal(admission({ roles: only({ serviceAccounts: ['bot'] }) }, bot).admitted, true);
  assert.equal(admission({ roles: only({ serviceAccounts: ['ada'] }) }).admitted, false);
  assert.equal(admission({ roles: only({ principals: ['bot'] }) }, bot).admitted, false);
});

test('admission: of several roles the longest session counts, no limit being the longest', () => {
  const of = (maxDurationMs?: number): RoleSpec => ({ ...everyone, session: maxDurationMs === undefined ? {} : { maxDurationMs } });
  const role = (roles: Record<string, RoleSpec>) => {
    const result = admission({ roles });
    return result.admitted && result.role;
  };
  assert.equal(role({ a: of(10), b: of(20), c: of(20) }), 'b');
  assert.equal(role({ a: of(10), z: of() }), 'z');
  assert.equal(role({ a: of(10), z: { ...of(), when: 'false' } }), 'a');
  assert.deepEqual(admission({ roles: { a: { ...of(5), budget: { rows: 3, perMs: 7 } } } }), {
    admitted: true,
    role: 'a',
    session: { maxDurationMs: 5 },
    budget: { rows: 3, perMs: 7 },
  });
});

test('admission: what the protocol cannot enforce refuses the session, naming the rule', () => {
  const column = {
    match: 'a.b.c',
    action: 'mask' as const,
    as: 'hash' as const,
    predicates: { equality: 'record' as const, other: 'record' as const },
  };
  const cases: [Parts, Partial<EnforcementDepth>, RegExp][] = [
    [{ guards: { g: { rules: [rule('r', 'deny', {})] } } }, { statements: false }, /guard rule g\/r needs commands to be understood/],
    [{ guards: { g: { rules: [rule('r', 'hold', {})] } } }, { approvals: false }, /guard rule g\/r needs approvals/],
    [
      { guards: { g: { rules: [rule('r', 'hold', {}, { approval: { ...approval, preview: true } })] } } },
      { preview: false },
      /g\/r needs previews/,
    ],
    [{ roles: { r: { ...everyone, budget: { rows: 3, perMs: 7 } } } }, { budgets: false }, /role r needs a budget/],
    [{ roles: { r: { ...everyone, budget: { rows: 3, bytes: 4, perMs: 7 } } } }, { budgets: 'bytes' }, /role r needs a budget of rows/],
    [{ guards: { g: { rules: [rule('r', 'deny', { maxRows: 1 })] } } }, { estimates: false }, /g\/r needs row estimates/],
    [{ resource: { unknown: 'hold', approval } }, { approvals: false }, /`unknown: hold` of the resource needs approvals/],
    [{ data: { d: { columns: [column] } } }, { columnMasking: false }, /data policy rule d\/a\.b\.c needs column rules/],
    [
      { data: { d: { columns: [{ ...column, predicates: { equality: 'allow', other: 'deny' } }] } } },
      { predicates: false },
      /d\/a\.b\.c needs rules about predicates/,
    ],
    [
      { data: { d: { columns: [{ ...column, predicates: { equality: 'hold', other: 'record' } }], approval } } },
      { approvals: false },
      /d\/a\.b\.c needs approvals/,
    ],
    [{ data: { d: { detectors: ['email'] } } }, { detectors: false }, /data policy d needs detectors/],
    [
      { audit: [{ name: 'a', spec: { resources: {}, durability: 'strict', responses: 'full', headBytes: 0 } }] },
      { capture: ['none', 'digest', 'head'] },
      /responses to be captured as `full`/,
    ],
  ];
  for (const [parts, missing, reason] of cases) {
    assert.equal(admission(parts).admitted, true);
    const refused = admission(parts, ada, { ...everything, ...missing });
    assert.ok(!refused.admitted && refused.code === 'ENFORCEMENT_DEPTH', String(reason));
    assert.match(refused.reason, reason);
  }
  const { estimates: _, ...older } = everything;
  assert.equal(admission({ guards: { g: { rules: [rule('r', 'deny', { maxRows: 1 })] } } }, ada, older).admitted, false);
  // who is exempt needs no depth
  assert.equal(
    admission({ data: { d: { detectors: ['email'], exempt: { groups: ['support'] } } } }, ada, { ...everything, detectors: false })
      .admitted,
    true,
  );
});
