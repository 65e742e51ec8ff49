/**
 * Runs tables of cases against a policy: each case is explained, and the explanation compared with what was expected. A case whose
 * outcome depends on what is not known here fails, and says what is missing: a test that cannot fail would prove nothing.
 */
import type { CompiledPolicy } from '../policy/compile.ts';
import type { Manifest } from '../policy/model.ts';
import { didYouMean } from '../policy/nearest.ts';
import type { CatalogView } from './catalog-file.ts';
import { type ExplainedColumn, type Explanation, explain } from './explanation.ts';
import { principalNamed } from './principal-named.ts';
import type { TestCase } from './test-file.ts';
import type { LimitCode } from './text-judge.ts';

export interface CaseResult {
  table: string;
  name: string;
  file: string;
  line: number;
  ok: boolean;
  /** What is not as expected, one sentence each; empty when `ok`. */
  failures: string[];
  actual: { admitted: boolean; decision: string; rule: string; masked: string[] };
}

export interface TestSubject {
  policy: CompiledPolicy;
  manifests: readonly Manifest[];
  catalogs: ReadonlyMap<string, CatalogView>;
  /** For cases that name no time. */
  now: Date;
}

/** `loadParser()` of shared/sql/parser.ts must have been awaited. */
export function runTests(cases: readonly TestCase[], subject: TestSubject): CaseResult[] {
  return cases.map(each => runCase(each, subject));
}

function runCase(test: TestCase, { policy, manifests, catalogs, now }: TestSubject): CaseResult {
  const { table, name, file, line, as, resource, expect } = test;
  const explanation = explain({
    policy,
    resource,
    principal: principalNamed(as.name, as, manifests),
    text: test.statement,
    catalog: catalogs.get(resource) ?? null,
    now: test.now === undefined ? now : new Date(test.now),
    ...(test.estimatedRows === undefined ? {} : { estimatedRows: test.estimatedRows }),
  });
  const { decision, admission } = explanation;
  const failures: string[] = [];
  const differs = (what: string, expected: string, actual: string, more = '') =>
    failures.push(`${what}: expected ${expected}, got ${actual}${more}`);
  const admitted = expect.admitted ?? true;
  if (admission.admitted !== admitted) {
    differs(
      'admission',
      admitted ? 'a role that lets them in' : 'a refusal',
      admission.admitted ? `role ${admission.role}` : admission.reason,
    );
  }
  if (admission.admitted && admitted) {
    failures.push(...uncertain(explanation, expect.columns !== undefined || expect.masked !== undefined));
    if (expect.decision !== undefined && expect.decision !== decision.action)
      differs('decision', expect.decision, decision.action, ` by ${decision.rule}: ${decision.reason}`);
    if (expect.rule !== undefined && expect.rule !== decision.rule) {
      differs('rule', expect.rule, decision.rule, isRule(expect.rule, policy, resource) ? '' : unknownRule(expect.rule, policy, resource));
    }
    if (expect.message !== undefined) {
      const told = decision.action === 'allow' ? '' : decision.message;
      if (!told.includes(expect.message)) differs('message', `“${expect.message}”`, told === '' ? 'none' : `“${told}”`);
    }
    failures.push(...columnFailures(explanation, expect));
  } else if (!admission.admitted && (expect.decision ?? 'deny') !== 'deny') {
    failures.push(`decision: expected ${expect.decision}, but they are not let in`);
  }
  return {
    table,
    name,
    file,
    line,
    ok: failures.length === 0,
    failures,
    actual: {
      admitted: admission.admitted,
      decision: decision.action,
      rule: decision.rule,
      masked: (explanation.columns ?? []).filter(column => column.outcome === 'masked').map(column => column.name),
    },
  };
}

const REMEDY: Readonly<Record<LimitCode, string>> = {
  'catalog-missing': 'put a catalog beside the manifests (`sallyport policy catalog RESOURCE`)',
  'names-missing': 'write a new catalog (`sallyport policy catalog RESOURCE`), or correct the name',
  'estimate-missing': 'give `estimatedRows`',
  'prepared-missing': 'put PREPARE before EXECUTE in the same statement',
  'text-incomplete': 'give the whole statement',
  'not-a-text': 'only commands can be tested',
};

/** What leaves the outcome open. A guard's denial stands without the catalog. */
function uncertain({ limits, decision }: Explanation, aboutColumns: boolean): string[] {
  return limits
    .filter(({ code }) => aboutColumns || !(code === 'catalog-missing' && decision.action === 'deny'))
    .map(({ code, detail }) => `cannot be decided: ${detail}; ${REMEDY[code]}`);
}

function columnFailures({ columns, limits }: Explanation, { columns: wanted, masked }: TestCase['expect']): string[] {
  if (limits.some(limit => limit.code === 'catalog-missing')) return [];
  const failures: string[] = [];
  const shown = (column: ExplainedColumn): string => (column.outcome === 'masked' ? (column.mask ?? 'redact') : column.outcome);
  for (const [name, expected] of Object.entries(wanted ?? {})) {
    // Without column rules all is in clear, and nothing was worked out.
    if (columns === null) {
      if (expected !== 'clear') failures.push(`column ${name}: expected ${expected}, got clear`);
      continue;
    }
    const found = columns.filter(column => column.name === name);
    const names = columns.map(column => column.name);
    if (found.length === 0)
      failures.push(
        `column ${name}: the result has none of this name${didYouMean(name, names) || `; it has ${names.join(', ') || 'none'}`}`,
      );
    for (const column of found) if (shown(column) !== expected) failures.push(`column ${name}: expected ${expected}, got ${shown(column)}`);
  }
  if (masked !== undefined) {
    const actual = [...new Set((columns ?? []).filter(column => column.outcome === 'masked').map(column => column.name))];
    const missing = masked.filter(name => !actual.includes(name));
    const more = actual.filter(name => !masked.includes(name));
    if (missing.length > 0) failures.push(`masked: ${missing.join(', ')} expected, but not masked`);
    if (more.length > 0) failures.push(`masked: ${more.join(', ')} not expected, but masked`);
  }
  return failures;
}

function ruleNames(policy: CompiledPolicy, resource: string): string[] {
  const compiled = policy.resources.get(resource);
  return [
    'default',
    'unknown',
    'flow/sink',
    'flow/inference',
    ...(compiled?.rules.map(rule => rule.name) ?? []),
    ...(compiled?.dataPolicies.flatMap(data => data.columns.map(column => column.name)) ?? []),
  ];
}

function isRule(name: string, policy: CompiledPolicy, resource: string): boolean {
  return ruleNames(policy, resource).includes(name);
}

function unknownRule(name: string, policy: CompiledPolicy, resource: string): string {
  return ` (no rule about ${resource} is called ${name}${didYouMean(name, ruleNames(policy, resource))})`;
}
