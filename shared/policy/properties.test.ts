/** Properties over random inputs, seeded: what no table of examples would cover. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { LeaseBundle } from './bundle.ts';
import { compilePolicy } from './compile.ts';
import { sessionPolicy } from './decide.ts';
import type { CommandFacts } from './facts.ts';
import { parseManifests } from './manifests.ts';
import type { DataPolicySpec, GuardRule, GuardSpec, MaskKind, Principal } from './model.ts';
import { isPattern, matchName, parsePattern } from './patterns.ts';
import { STATEMENT_NAMES } from './statement-kinds.ts';
import { MASK_KINDS } from './strictness.ts';

class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed;
  }
  below(bound: number): number {
    this.#state = (this.#state * 48_271) % 2_147_483_647;
    return this.#state % bound;
  }
  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }
  some<T>(items: readonly T[], max: number): T[] {
    return Array.from({ length: this.below(max + 1) }, () => this.pick(items));
  }
}

function session(guards: GuardSpec[], data: DataPolicySpec[], groups: string[] = [], unknown: 'deny' | 'hold' = 'deny') {
  const principal: Principal = { kind: 'person', name: 'ada', issuer: 'i', subject: 's', groups, delegation: [] };
  const approval = { from: { groups: ['dba'] }, quorum: 1, expiresInMs: 1000, preview: false };
  const upstream = { address: 'h:1', tls: { mode: 'disable' as const } };
  const bundle: LeaseBundle = {
    version: 1,
    agentId: 'a',
    issuedAt: '',
    expiresAt: '',
    tickets: { issuer: 'sallyport', keys: [] },
    identityProviders: [],
    serviceAccounts: [],
    resources: [
      { name: 'crm', labels: {}, spec: { protocol: 'postgres', upstream, agents: { labels: {} }, credential: 'c', unknown, approval } },
    ],
    roles: [],
    guards: guards.map((spec, index) => ({ name: `g${index}`, spec })),
    dataPolicies: data.map((spec, index) => ({ name: `d${index}`, spec })),
    auditPolicies: [],
    credentials: {},
    servingKeys: {},
    knownCredentials: null,
    maskKeys: {},
    revokedTokens: [],
  };
  return sessionPolicy(compilePolicy(bundle), principal, 'crm');
}

const KINDS = ['select', 'insert', 'delete', 'drop-table', 'grant', 'call', 'unknown', 'begin'];
const OBJECTS = ['public.a', 'public.b', 'pay.wages', '*.a'];
const FUNCTIONS = ['pg_catalog.count', 'app.f', '*.g'];
const NOW = new Date(0);

function randomFacts(random: Random): CommandFacts {
  return {
    statements: random.some(KINDS, 3),
    objects: random.some(OBJECTS, 3),
    columnsRead: [],
    functions: random.some(FUNCTIONS, 2),
    where: random.pick(['none', 'tautology', 'some', 'notApplicable'] as const),
    multiStatement: random.below(2) === 0,
    writes: random.below(2) === 0,
    opaque: random.below(4) === 0 ? ['x'] : [],
    inferences: [],
    ...(random.below(8) === 0 ? { unparseable: 'x' } : {}),
  };
}

function randomRule(random: Random, actions: readonly GuardRule['action'][]): GuardRule {
  const action = random.pick(actions);
  const match: GuardRule['match'] = {};
  if (random.below(2) === 0) match.statements = [random.pick(STATEMENT_NAMES), random.pick([...KINDS, 'drop', 'dml'])];
  if (random.below(3) === 0) match.objects = [random.pick(['public.*', '*.a', 'pay.wages', 'public.a'])];
  if (random.below(4) === 0) match.functions = [random.pick(['app.*', 'count', '*.g'])];
  if (random.below(4) === 0) match.where = ['none'];
  if (random.below(5) === 0) match.multiStatement = random.below(2) === 0;
  const approval = { from: { groups: ['dba'] }, quorum: 1, expiresInMs: 1000, preview: false };
  return { name: 'r', match, action, ...(action === 'hold' ? { approval } : {}) };
}

const STRICTNESS = ['allow', 'hold', 'deny'];

test('one more rule that denies never loosens a decision, one more that holds never turns a hold into an allow', () => {
  const random = new Random(11);
  for (let round = 0; round < 3000; round++) {
    const guards: GuardSpec[] = Array.from({ length: random.below(4) }, () => ({
      resources: {},
      priority: random.below(3),
      rules: [randomRule(random, ['allow', 'deny', 'hold'])],
    }));
    const facts = randomFacts(random);
    const unknown = random.pick(['deny', 'hold'] as const);
    const before = session(guards, [], [], unknown).decide(facts, NOW);
    const denying: GuardSpec = { resources: {}, priority: random.below(5), rules: [randomRule(random, ['deny'])] };
    const after = session([...guards, denying], [], [], unknown).decide(facts, NOW);
    assert.ok(
      STRICTNESS.indexOf(after.action) >= STRICTNESS.indexOf(before.action),
      JSON.stringify({ guards, denying, facts, before, after }),
    );
    const holding: GuardSpec = { resources: {}, priority: 0, rules: [randomRule(random, ['hold'])] };
    const held = session([...guards, holding], [], [], unknown).decide(facts, NOW);
    if (before.action !== 'deny')
      assert.notEqual(held.action, before.action === 'hold' ? 'allow' : '', JSON.stringify({ guards, holding, facts }));
  }
});

test('what cannot be judged is allowed only by a rule that names `unknown`', () => {
  const random = new Random(12);
  let allowed = 0;
  for (let round = 0; round < 3000; round++) {
    const guards: GuardSpec[] = Array.from({ length: 1 + random.below(4) }, () => ({
      resources: {},
      priority: random.below(3),
      rules: [randomRule(random, ['allow', 'hold'])],
    }));
    const facts = { ...randomFacts(random), opaque: ['x'] };
    const decision = session(guards, [], [], random.pick(['deny', 'hold'] as const)).decide(facts, NOW);
    if (decision.action !== 'allow') continue;
    allowed += 1;
    const guard = guards[Number(decision.rule.slice(1, decision.rule.indexOf('/')))];
    assert.ok(guard?.rules[0]?.match.statements?.includes('unknown'), JSON.stringify({ guards, facts }));
  }
  assert.ok(allowed > 0);
});

test('a data policy more never shows more', () => {
  const random = new Random(13);
  const patterns = ['public.a.x', 'public.*.x', '*.*.*', 'public.a.*', '*.a.y'];
  const policy = (): DataPolicySpec => ({
    resources: {},
    columns: Array.from({ length: 1 + random.below(3) }, () => {
      const action = random.pick(['mask', 'mask', 'deny', 'allow'] as const);
      return {
        match: action === 'allow' ? 'public.a.x' : random.pick(patterns),
        action,
        as: random.pick(MASK_KINDS),
        predicates: { equality: 'record' as const, other: 'record' as const },
      };
    }),
    detectors: [],
    detectorMask: 'redact',
    exempt: { groups: random.below(3) === 0 ? ['g'] : [] },
  });
  const strictness = (rule: { action: string; as: MaskKind } | null): number =>
    rule === null ? 0 : rule.action === 'deny' ? 100 : 10 - MASK_KINDS.indexOf(rule.as);
  for (let round = 0; round < 2000; round++) {
    const policies = Array.from({ length: random.below(3) }, policy);
    const groups = random.below(2) === 0 ? ['g'] : [];
    const column = random.pick([
      ['public', 'a', 'x'],
      ['public', 'b', 'x'],
      ['other', 'a', 'y'],
      ['*', 'a', 'x'],
    ] as const);
    const before = session([], policies, groups).column(column[0], column[1], column[2]);
    const after = session([], [...policies, policy()], groups).column(column[0], column[1], column[2]);
    assert.ok(strictness(after) >= strictness(before), JSON.stringify({ policies, column, before, after }));
  }
});

test('wildcards match as the same pattern does as a regular expression', () => {
  const random = new Random(14);
  for (let round = 0; round < 5000; round++) {
    const source = `s.${Array.from({ length: 1 + random.below(7) }, () => random.pick(['a', 'b', '*'])).join('')}`;
    const name = Array.from({ length: random.below(8) }, () => random.pick(['a', 'b'])).join('');
    const pattern = parsePattern(source, ['schema.table']);
    assert.ok(isPattern(pattern));
    const expected = new RegExp(`^${source.slice(2).replaceAll('*', '.*')}$`).test(name);
    assert.equal(matchName(pattern, ['s', name]) === 'yes', expected, `${source} ${name}`);
  }
});

test('a damaged manifest gives problems, never an exception', () => {
  const random = new Random(15);
  const whole = readFileSync(new URL('fixtures/every-kind.yaml', import.meta.url), 'utf8');
  const pieces = [
    '',
    ' ',
    '\n',
    '  ',
    ':',
    '-',
    '{',
    '}',
    '[',
    ']',
    '"',
    "'",
    '*',
    '&a ',
    '!',
    '#',
    '|',
    '>',
    'null',
    '1',
    '~',
    '\t',
    '<<: ',
    '? ',
    '\u0000',
    '\u2028',
    '---\n',
    '__proto__: 1\n',
  ];
  for (let round = 0; round < 250; round++) {
    let text = whole;
    for (let edit = 0; edit <= random.below(4); edit++) {
      const at = random.below(text.length);
      text = text.slice(0, at) + random.pick(pieces) + text.slice(at + random.below(20));
    }
    const { problems, manifests } = parseManifests([{ path: 'm.yaml', text }]);
    for (const { line, column, message } of problems)
      assert.ok(line >= 1 && column >= 1 && message.length > 0 && message.length < 600, message);
    assert.ok(problems.length > 0 || manifests.length > 0 || text.trim() === '');
  }
});
