/**
 * Turns a lease's bundle into a form that is quick to judge by: conditions parsed, patterns split, statement names expanded,
 * rules in the order in which they are tried. Done once per lease; no I/O, no clock.
 *
 * Manifests were validated before they got into a bundle. What this version nevertheless does not understand (a newer control
 * plane may know more) is read fail-closed: a rule that refuses or holds then always matches, one that allows never does.
 */
import type { CustomDetector } from '../detectors/custom/definition.ts';
import { expandDetectors } from '../detectors/names.ts';
import { type CompiledShellMatch, compileShellMatch } from '../shell/match.ts';
import type { LeaseBundle } from './bundle.ts';
import { compileExpression, type Expression, type ExpressionScope } from './cel.ts';
import type {
  ApprovalSpec,
  AuditPolicySpec,
  DataPolicySpec,
  GuardRule,
  MaskKind,
  PredicateRule,
  ResourceSelector,
  ResourceSpec,
  RoleSpec,
} from './model.ts';
import { COLUMN_FORMS, FUNCTION_FORMS, isPattern, type NamePattern, OBJECT_FORMS, parsePattern } from './patterns.ts';
import { selects } from './selectors.ts';
import { statementKindsOf } from './statement-kinds.ts';

/** A condition that could not be compiled: it always evaluates to `error`. */
export type Condition = Expression | 'broken' | null;

export interface CompiledRule {
  name: string; // `guard/rule`
  action: GuardRule['action'];
  priority: number;
  /** Kinds it matches; null: any. */
  kinds: ReadonlySet<string> | null;
  /** Does it name `unknown` itself, and so speak of what cannot be judged? */
  namesUnknown: boolean;
  tables: readonly NamePattern[];
  columns: readonly NamePattern[];
  functions: readonly NamePattern[] | null;
  where: readonly string[] | null;
  multiStatement: boolean | null;
  maxRows: number | null;
  shell: CompiledShellMatch | null;
  when: Condition;
  /** Something in `match` was not understood. */
  broken: boolean;
  source: GuardRule;
}

export interface CompiledColumnRule {
  pattern: NamePattern;
  action: 'mask' | 'deny' | 'allow';
  as: MaskKind;
  predicates: PredicateRule;
  name: string; // `policy/pattern`
  approval: ApprovalSpec | undefined; // its policy's
}

export interface CompiledDataPolicy {
  name: string;
  columns: readonly CompiledColumnRule[];
  detectors: readonly string[]; // groups expanded, own ones included
  customDetectors: readonly CustomDetector[];
  detectorMask: MaskKind;
  exemptGroups: ReadonlySet<string>;
}

export interface CompiledRole {
  name: string;
  spec: RoleSpec;
  when: Condition;
}

/** All that applies to one resource. */
export interface CompiledResource {
  name: string;
  labels: Readonly<Record<string, string>>;
  spec: ResourceSpec;
  roles: readonly CompiledRole[]; // by name
  rules: readonly CompiledRule[]; // in the order in which they are tried
  dataPolicies: readonly CompiledDataPolicy[]; // by name
  auditPolicies: readonly AuditPolicySpec[];
}

export interface CompiledPolicy {
  version: number;
  resources: ReadonlyMap<string, CompiledResource>;
  /** What was not understood and is read fail-closed: for a log line. */
  problems: readonly string[];
}

const ACTION_ORDER: readonly string[] = ['deny', 'hold', 'allow'];

/** Compiles a bundle; never throws on what a manifest says. */
export function compilePolicy(bundle: LeaseBundle): CompiledPolicy {
  const problems: string[] = [];
  const roles = sorted(bundle.roles).map(role => ({
    name: role.name,
    spec: role.spec,
    when: condition(role.spec.when, 'role', `role ${role.name}`, problems),
  }));
  const guards = sorted(bundle.guards).map(guard => ({
    selector: guard.spec.resources,
    rules: guard.spec.rules.map(rule => compileRule(guard.name, guard.spec.priority, rule, problems)),
  }));
  const dataPolicies = sorted(bundle.dataPolicies).map(policy => ({
    selector: policy.spec.resources,
    policy: compileDataPolicy(policy.name, policy.spec, problems),
  }));
  const resources = new Map<string, CompiledResource>();
  for (const { name, labels, spec } of bundle.resources) {
    const about = (selector: ResourceSelector) => selects(selector, name, labels);
    resources.set(name, {
      name,
      labels,
      spec,
      roles: roles.filter(role => about(role.spec.resources)),
      rules: inOrder(guards.filter(guard => about(guard.selector)).flatMap(guard => guard.rules)),
      dataPolicies: dataPolicies.filter(each => about(each.selector)).map(each => each.policy),
      auditPolicies: sorted(bundle.auditPolicies)
        .map(each => each.spec)
        .filter(spec => about(spec.resources)),
    });
  }
  return { version: bundle.version, resources, problems };
}

/** By priority, highest first; then deny, hold, allow; then by guard name and place in the guard (the sort is stable). */
function inOrder(rules: CompiledRule[]): CompiledRule[] {
  return rules.sort((a, b) => b.priority - a.priority || ACTION_ORDER.indexOf(a.action) - ACTION_ORDER.indexOf(b.action));
}

function sorted<T extends { name: string }>(items: readonly T[]): T[] {
  return items.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function condition(source: string | undefined, scope: ExpressionScope, where: string, problems: string[]): Condition {
  if (source === undefined) return null;
  const compiled = compileExpression(source, scope);
  if (compiled.ok) return compiled.expression;
  problems.push(`${where}: ${compiled.message}`);
  return 'broken';
}

function compileRule(guard: string, priority: number, rule: GuardRule, problems: string[]): CompiledRule {
  const name = `${guard}/${rule.name}`;
  let broken = false;
  const notUnderstood = (what: string): void => {
    broken = true;
    problems.push(`guard rule ${name}: ${what}`);
  };
  const { match } = rule;
  let kinds: Set<string> | null = null;
  if (match.statements !== undefined) {
    kinds = new Set();
    for (const each of match.statements) {
      const expanded = statementKindsOf(each);
      if (expanded === undefined) notUnderstood(`unknown statement "${each}"`);
      else for (const kind of expanded) kinds.add(kind);
    }
  }
  const compiled = (sources: readonly string[], forms: readonly string[]): NamePattern[] =>
    sources.flatMap(source => {
      const pattern = parsePattern(source, forms);
      if (isPattern(pattern)) return [pattern];
      notUnderstood(`"${source}" ${pattern.problem}`);
      return [];
    });
  const objects = compiled(match.objects ?? [], OBJECT_FORMS);
  const when = condition(rule.when, 'guard', `guard rule ${name}`, problems);
  return {
    name,
    action: rule.action,
    priority,
    kinds,
    namesUnknown: match.statements?.includes('unknown') === true || match.opaque === true,
    tables: objects.filter(pattern => pattern.parts.length === 2),
    columns: objects.filter(pattern => pattern.parts.length === 3),
    functions: match.functions === undefined ? null : compiled(match.functions, FUNCTION_FORMS).map(inAnySchema),
    where: match.where ?? null,
    multiStatement: match.multiStatement ?? null,
    maxRows: match.maxRows ?? null,
    shell: compileShellMatch(match),
    when,
    broken,
    source: rule,
  };
}

function inAnySchema(pattern: NamePattern): NamePattern {
  return pattern.parts.length === 2 ? pattern : { ...pattern, parts: [{ pieces: ['', ''] }, ...pattern.parts] };
}

const EVERY_COLUMN = parsePattern('*.*.*', COLUMN_FORMS);

function compileDataPolicy(name: string, spec: DataPolicySpec, problems: string[]): CompiledDataPolicy {
  const columns = spec.columns.flatMap((column): CompiledColumnRule[] => {
    const rule = {
      action: column.action,
      as: column.as,
      predicates: column.predicates,
      name: `${name}/${column.match}`,
      approval: spec.approval,
    };
    const pattern = parsePattern(column.match, COLUMN_FORMS);
    if (isPattern(pattern)) return [{ ...rule, pattern }];
    problems.push(`data policy ${name}: "${column.match}" ${pattern.problem}`);
    // A protection that cannot be read protects everything; an exception that cannot be read excepts nothing.
    return column.action === 'allow' || !isPattern(EVERY_COLUMN) ? [] : [{ ...rule, pattern: EVERY_COLUMN }];
  });
  return {
    name,
    columns,
    detectors: expandDetectors([...spec.detectors, ...(spec.customDetectors ?? []).map(each => each.name)]),
    customDetectors: spec.customDetectors ?? [],
    detectorMask: spec.detectorMask,
    exemptGroups: new Set(spec.exempt.groups),
  };
}
