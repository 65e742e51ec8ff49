/**
 * Judges: who may use a resource, and what a command may do there. Pure: no I/O, no clock (the time is given), no state but
 * what was compiled. The agent calls it live, `policy simulate` over history, tests with tables; all get the same answer.
 *
 * The semantics are described for people in docs/guides/policy.md; a change here changes that page.
 */
import type { CustomDetector } from '../detectors/custom/definition.ts';
import { GatewayError } from '../errors.ts';
import type { ExpressionVariables } from './cel.ts';
import { type ColumnRule, columnRules } from './column-rules.ts';
import type { CompiledPolicy, CompiledResource, CompiledRole, CompiledRule, Condition } from './compile.ts';
import type { Admission, Decision, EnforcementDepth } from './decision.ts';
import { missingDepth } from './enforcement-depth.ts';
import type { CommandFacts } from './facts.ts';
import type { AuditPolicySpec, MaskKind, Principal } from './model.ts';
import { matchRule } from './rule-match.ts';
import { isStatementKind } from './statement-kinds.ts';
import { strictestAudit, strictestMask } from './strictness.ts';

export type { ColumnRule } from './column-rules.ts';

export interface SessionPolicy {
  /** Judges one command. Deterministic in its arguments; never throws. */
  decide(facts: CommandFacts, now: Date): Decision;
  /**
   * When false, `decide` gives the same answer for the same facts at any time in this session, so a caller may keep it with
   * the analysis of the text.
   */
  readonly decisionDependsOnTime: boolean;
  /** Does some rule ask for the planner's estimate (`facts.estimatedRows`)? */
  readonly needsEstimates: boolean;
  /** Does the decision about a command hang on the planner's estimate? */
  hangsOnEstimate(facts: CommandFacts, now: Date): boolean;
  /**
   * What protects a column, or null. `*` for a part that could not be resolved gives the strictest rule that may apply.
   *
   * @param schema, table, column identifiers as the server stores them, not quoted.
   */
  column(schema: string, table: string, column: string): ColumnRule | null;
  readonly hasColumnRules: boolean;
  /** Names of detectors, groups expanded, each once. */
  readonly detectors: string[];
  /** Those of them that are not built in. */
  readonly customDetectors: readonly CustomDetector[];
  readonly detectorMask: MaskKind;
  readonly audit: AuditPolicySpec;
  readonly unknown: 'deny' | 'hold';
}

/**
 * May this principal open a session?
 *
 * Every role is tried. Of those that admit, the one with the longest session counts, with its limits and its budget.
 *
 * @param now the time of admission, for conditions.
 * @returns a refusal's `reason` is for the record and the log; a client is told nothing of it.
 */
export function admit(
  policy: CompiledPolicy,
  principal: Principal,
  resourceName: string,
  depth: EnforcementDepth,
  now: Date,
  onlyRole?: string,
): Admission {
  const resource = policy.resources.get(resourceName);
  if (resource === undefined) return { admitted: false, code: 'UNKNOWN_RESOURCE', reason: 'this agent serves no such resource' };
  const variables = variablesOf(resource, principal, now);
  // A token may be for one role; then the others do not count, however much they give.
  const members = resource.roles.filter(role => (onlyRole === undefined || role.name === onlyRole) && isMember(role, principal));
  const admitting = members.filter(role => evaluate(role.when, variables) === true);
  const [first, ...rest] = admitting;
  if (first === undefined) {
    if (members.length === 0) return { admitted: false, code: 'NO_GRANT', reason: `no role gives ${principal.name} this resource` };
    const tried = members.map(role => role.name).join(', ');
    return { admitted: false, code: 'CONDITION_FALSE', reason: `the condition of role ${tried} does not hold now` };
  }
  const missing = missingDepth(resource, applicableRules(resource, principal), applicableData(resource, principal), depth);
  if (missing !== null) return { admitted: false, code: 'ENFORCEMENT_DEPTH', reason: missing };
  const role = rest.reduce((best, each) => (maxDuration(each) > maxDuration(best) ? each : best), first);
  const { session, budget } = role.spec;
  const isCounted = depth.budgets === true || (depth.budgets === 'bytes' && budget?.rows === undefined);
  if (budget !== undefined && !isCounted) {
    const what = depth.budgets === 'bytes' ? 'a budget of rows' : 'a budget';
    const reason = `role ${role.name} needs ${what}, which protocol ${resource.spec.protocol} cannot enforce here`;
    return { admitted: false, code: 'ENFORCEMENT_DEPTH', reason };
  }
  const { ssh } = role.spec;
  return { admitted: true, role: role.name, session, ...(budget === undefined ? {} : { budget }), ...(ssh === undefined ? {} : { ssh }) };
}

function maxDuration(role: CompiledRole): number {
  return role.spec.session.maxDurationMs ?? Number.POSITIVE_INFINITY;
}

/** A role's `principals` are persons; workloads are named under `serviceAccounts`, so that neither can pass for the other. */
function isMember({ spec: { members } }: CompiledRole, principal: Principal): boolean {
  if (members.groups.some(group => principal.groups.includes(group))) return true;
  const names = principal.kind === 'person' ? members.principals : members.serviceAccounts;
  return names.includes(principal.name);
}

/**
 * What holds for one session, computed once when it begins.
 *
 * @throws {GatewayError} POLICY_UNKNOWN_RESOURCE when the policy has no such resource; the session must not go on.
 */
export function sessionPolicy(policy: CompiledPolicy, principal: Principal, resourceName: string): SessionPolicy {
  const resource = policy.resources.get(resourceName);
  if (resource === undefined) {
    throw new GatewayError('POLICY_UNKNOWN_RESOURCE', 'notFound', 'the policy in force has no such resource; connect again');
  }
  const rules = applicableRules(resource, principal);
  const data = applicableData(resource, principal);
  const columns = columnRules(data);
  const [firstMask, ...masks] = data.filter(each => each.detectors.length > 0).map(each => each.detectorMask);
  return {
    decide: (facts, now) => decideCommand(resource, rules, principal, facts, now),
    decisionDependsOnTime: rules.some(rule => typeof rule.when === 'object' && rule.when !== null && rule.when.usesNow),
    needsEstimates: rules.some(rule => rule.maxRows !== null),
    hangsOnEstimate: (facts, now) => hangsOnEstimate(resource, rules, principal, facts, now),
    column: columns.find,
    hasColumnRules: columns.any,
    detectors: [...new Set(data.flatMap(each => each.detectors))],
    customDetectors: data.flatMap(each => each.customDetectors),
    detectorMask: masks.reduce(strictestMask, firstMask ?? 'redact'),
    audit: strictestAudit(resource.auditPolicies),
    unknown: resource.spec.unknown,
  };
}

/** Leaves out the rules whose condition speaks only of the principal and the resource and is false for this session. */
function applicableRules(resource: CompiledResource, principal: Principal): CompiledRule[] {
  const variables = variablesOf(resource, principal, new Date(0)); // not read: only conditions without `now` are evaluated
  return resource.rules.flatMap(rule => {
    if (rule.when === null || rule.when === 'broken' || rule.when.usesNow || rule.when.usesFacts) return [rule];
    const held = rule.when.evaluate(variables);
    if (held === false || (held === 'error' && rule.action === 'allow')) return [];
    return [{ ...rule, when: null }];
  });
}

function applicableData(resource: CompiledResource, principal: Principal) {
  return resource.dataPolicies.filter(each => !principal.groups.some(group => each.exemptGroups.has(group)));
}

function variablesOf(resource: CompiledResource, principal: Principal, now: Date): ExpressionVariables {
  const { name, labels, spec } = resource;
  return { principal, resource: { name, protocol: spec.protocol, labels }, now };
}

function evaluate(when: Condition, variables: ExpressionVariables): boolean | 'error' {
  if (when === null) return true;
  return when === 'broken' ? 'error' : when.evaluate(variables);
}

/** What a rule said of a command, in the order in which rules are tried. */
export interface RuleTrace {
  rule: string; // `guard/rule`
  action: 'allow' | 'deny' | 'hold';
  /** Does its `match` cover the command? */
  matches: boolean;
  /** What its `when` says; null: it has none, or it was not asked because `match` does not cover the command. */
  condition: boolean | 'error' | null;
}

/** Every rule about the resource, and what it says: for explanations. `decide` says which of them decided. */
export function traceRules(
  policy: CompiledPolicy,
  principal: Principal,
  resourceName: string,
  facts: CommandFacts,
  now: Date,
): readonly RuleTrace[] {
  const resource = policy.resources.get(resourceName);
  if (resource === undefined) return [];
  const opaque = opacityOf(facts) !== null;
  return resource.rules.map(rule => {
    const matches = matchRule(rule, facts, opaque);
    const asked = matches && rule.when !== null;
    return {
      rule: rule.name,
      action: rule.action,
      matches,
      condition: asked ? evaluate(rule.when, { ...variablesOf(resource, principal, now), facts }) : null,
    };
  });
}

/** Data policies about the resource that do not apply to the principal, by name. */
export function exemptFrom(policy: CompiledPolicy, principal: Principal, resourceName: string): string[] {
  const resource = policy.resources.get(resourceName);
  if (resource === undefined) return [];
  const applicable = new Set(applicableData(resource, principal));
  return resource.dataPolicies.filter(each => !applicable.has(each)).map(each => each.name);
}

/** Would some rule with `maxRows` have its say if more rows were expected than it takes? */
function hangsOnEstimate(
  resource: CompiledResource,
  rules: readonly CompiledRule[],
  principal: Principal,
  facts: CommandFacts,
  now: Date,
): boolean {
  const opaque = opacityOf(facts) !== null;
  for (const rule of rules) {
    if (!matchRule(rule, facts, opaque, true)) continue;
    const held = evaluate(rule.when, { ...variablesOf(resource, principal, now), facts });
    // A condition may speak of the estimate, which is not known yet.
    if (rule.maxRows !== null && held !== false) return true;
    if (rule.maxRows === null && (held === true || (held === 'error' && rule.action !== 'allow'))) return false;
  }
  return false;
}

const ALLOWED_BY_DEFAULT: Decision = Object.freeze({ action: 'allow', rule: 'default', reason: 'no rule speaks against it' });

function decideCommand(
  resource: CompiledResource,
  rules: readonly CompiledRule[],
  principal: Principal,
  facts: CommandFacts,
  now: Date,
): Decision {
  const opacity = opacityOf(facts);
  for (const rule of rules) {
    if (!matchRule(rule, facts, opacity !== null)) continue;
    if (rule.when !== null) {
      const held = evaluate(rule.when, { ...variablesOf(resource, principal, now), facts });
      if (held === false || (held === 'error' && rule.action === 'allow')) continue;
    }
    if (rule.action === 'hold' && opacity !== null && !rule.namesUnknown && resource.spec.unknown !== 'hold') {
      // The rule would have people approve what they cannot judge either; nobody said that this resource wants that.
      return refusedUnknown(opacity);
    }
    return decisionOf(rule, facts);
  }
  if (opacity !== null) return unknownDecision(resource, opacity);
  return facts.estimatedRows === undefined
    ? ALLOWED_BY_DEFAULT
    : { ...ALLOWED_BY_DEFAULT, reason: `${ALLOWED_BY_DEFAULT.reason}; ${estimateOf(facts)}` };
}

/** Why the command cannot be judged fully, or null when it can. */
function opacityOf(facts: CommandFacts): string | null {
  if (facts.unparseable !== undefined) return `it cannot be parsed: ${clip(facts.unparseable)}`;
  if (facts.opaque.length > 0) return `it cannot be judged fully: ${clip(facts.opaque.join('; '))}`;
  if (facts.statements.includes('unknown')) return 'it cannot be judged fully';
  if (facts.statements.length === 0 && facts.writes) return 'nothing is known of it';
  // Rules are written in the vocabulary: a kind outside it would slip by every one of them.
  const strange = facts.statements.find(kind => !isStatementKind(kind));
  if (strange !== undefined) return `it is of a kind that policy does not know: ${clip(strange)}`;
  return null;
}

const REASON_LENGTH_MAX = 300;

function clip(text: string): string {
  return text.length <= REASON_LENGTH_MAX ? text : `${text.slice(0, REASON_LENGTH_MAX)}…`;
}

function unknownDecision(resource: CompiledResource, opacity: string): Decision {
  const { unknown, approval } = resource.spec;
  if (unknown !== 'hold' || approval === undefined) return refusedUnknown(opacity);
  const message = 'This statement cannot be judged by policy and waits for approval (rule unknown).';
  return { action: 'hold', rule: 'unknown', reason: opacity, message, approval };
}

function refusedUnknown(opacity: string): Decision {
  const message = `This statement is refused: ${opacity} (rule unknown).`;
  return { action: 'deny', rule: 'unknown', reason: opacity, message };
}

/** What is known of how many rows a command would return or change. */
function estimateOf({ estimatedRows, notEstimated }: CommandFacts): string {
  if (estimatedRows !== undefined) return `the planner expects ${Math.ceil(estimatedRows)} rows`;
  return notEstimated === undefined ? 'nobody has estimated its rows' : `its rows cannot be estimated: ${clip(notEstimated)}`;
}

function decisionOf(rule: CompiledRule, facts: CommandFacts): Decision {
  const estimate = rule.maxRows === null ? '' : `${estimateOf(facts)}, and the limit is ${rule.maxRows}`;
  const decision = byRule(rule, facts);
  if (estimate === '') {
    return facts.estimatedRows === undefined ? decision : { ...decision, reason: `${decision.reason}; ${estimateOf(facts)}` };
  }
  const reason = `${decision.reason}: ${estimate}`;
  if (decision.action === 'allow') return { ...decision, reason };
  return { ...decision, reason, message: `${decision.message} (${estimate})` };
}

function byRule(rule: CompiledRule, facts: CommandFacts): Decision {
  const { name, source } = rule;
  const reason = `${facts.statements.length === 0 ? 'the command' : facts.statements.join(', ')} matches rule ${name}`;
  switch (rule.action) {
    case 'allow':
      return { action: 'allow', rule: name, reason };
    case 'deny':
      return { action: 'deny', rule: name, reason, message: source.message ?? `This statement is refused by policy (rule ${name}).` };
    case 'hold': {
      const message = source.message ?? `This statement waits for approval (rule ${name}).`;
      const { approval } = source;
      if (approval === undefined) return { action: 'deny', rule: name, reason: `${reason}, which names nobody to approve`, message };
      return { action: 'hold', rule: name, reason, message, approval };
    }
    default:
      // An action that this version does not know: refused.
      return {
        action: 'deny',
        rule: name,
        reason: `rule ${name} asks for what this version cannot do`,
        message: `This statement is refused by policy (rule ${name}).`,
      };
  }
}
