/**
 * Why policy decides as it does: one text, one principal, one resource, and everything that led to the decision. Plain data, as
 * the API gives it and the command line prints it (explanation-text.ts).
 */
import type { CompiledPolicy } from '../policy/compile.ts';
import { admit, exemptFrom, type RuleTrace, sessionPolicy, traceRules } from '../policy/decide.ts';
import type { Admission, Decision } from '../policy/decision.ts';
import { EVERY_DEPTH } from '../policy/enforcement-depth.ts';
import type { CommandFacts } from '../policy/facts.ts';
import type { Principal } from '../policy/model.ts';
import { predicateAction } from '../sql/flow/judge-flow.ts';
import type { ColumnMask } from '../sql/flow/masks.ts';
import type { Inference } from '../sql/flow/result.ts';
import type { CatalogView } from './catalog-file.ts';
import { type Limit, TextJudge } from './text-judge.ts';

export interface ExplainedColumn {
  /** From 0: to which statement of the text its result belongs. */
  statement: number;
  name: string;
  /** Protected columns (`schema.table.column`) that can reach it. */
  labels: string[];
  outcome: 'clear' | 'masked' | 'denied';
  /** With `masked`: what it becomes. `whole`: it is computed, and no part of it is shown. */
  mask?: string;
  whole?: boolean;
  /** `policy/pattern` of the rules behind it. */
  rules: string[];
}

export interface ExplainedInference {
  column: string;
  kind: Inference['kind'];
  /** What the column's `predicates` say. */
  action: string;
}

export interface Explanation {
  resource: string;
  protocol: 'postgres' | 'ssh';
  as: { name: string; kind: 'person' | 'workload'; groups: string[] };
  text: string;
  /** Position of the control log, or 0 for manifests that are not in force. */
  policyVersion: number;
  catalogReadAt: string | null;
  admission: Admission;
  statements: { kind: string; text: string }[];
  fingerprint: string;
  facts: CommandFacts;
  /** null: no result, or no column rule applies, or the catalog is missing. */
  columns: ExplainedColumn[] | null;
  inferences: ExplainedInference[];
  /** Where protected values would go but the result: refused. */
  sinks: { kind: string; detail: string; labels: string[] }[];
  /** What is looked for in every text value of the result. */
  detectors: { names: string[]; mask: string };
  /** Data policies that do not apply to this principal. */
  exemptFrom: string[];
  rules: readonly RuleTrace[];
  decision: Decision;
  /** Under what the decision stands; empty when a session would decide the same. */
  limits: Limit[];
}

export interface ExplainRequest {
  policy: CompiledPolicy;
  resource: string;
  principal: Principal;
  text: string;
  catalog: CatalogView | null;
  now: Date;
  estimatedRows?: number;
}

/**
 * Explains one command.
 *
 * @throws {GatewayError} POLICY_UNKNOWN_RESOURCE.
 */
export function explain({ policy, resource, principal, text, catalog, now, estimatedRows }: ExplainRequest): Explanation {
  const session = sessionPolicy(policy, principal, resource);
  const protocol = policy.resources.get(resource)?.spec.protocol ?? 'postgres';
  const judge = new TextJudge(protocol, session, catalog);
  const { analysis, facts, flow, decision, limits } = judge.judge({
    text,
    now,
    ...(estimatedRows === undefined ? {} : { estimatedRows }),
  });
  const columns: ExplainedColumn[] = [];
  let hasResult = false;
  for (const [statement, { result, verdict }] of (flow?.statements ?? []).entries()) {
    if (verdict.kind !== 'columns' || result.columns === null) continue;
    hasResult = true;
    for (const [i, column] of result.columns.entries()) {
      const mask = verdict.columns[i]?.mask;
      if (mask !== undefined) columns.push({ statement, name: column.name, labels: [...column.labels], ...outcomeOf(mask) });
    }
  }
  const inferences = new Map<string, ExplainedInference>();
  for (const { column, kind } of facts.inferences) {
    const [schema = '', table = '', name = ''] = column.split('.');
    const action = predicateAction(session.column(schema, table, name), kind);
    inferences.set(`${column} ${kind}`, { column, kind, action });
  }
  return {
    resource,
    protocol,
    as: { name: principal.name, kind: principal.kind, groups: principal.groups },
    text,
    policyVersion: policy.version,
    catalogReadAt: catalog?.readAt ?? null,
    admission: admit(policy, principal, resource, EVERY_DEPTH, now),
    statements: (analysis?.statements ?? []).map(({ kind, start, end }) => ({ kind, text: text.slice(start, end) })),
    fingerprint: analysis?.fingerprint ?? '',
    facts,
    columns: hasResult ? columns : null,
    inferences: [...inferences.values()],
    sinks: (flow?.statements ?? []).flatMap(({ result }) =>
      result.sinks.map(({ kind, detail, labels }) => ({ kind, detail, labels: [...labels] })),
    ),
    detectors: { names: session.detectors, mask: session.detectorMask },
    exemptFrom: exemptFrom(policy, principal, resource),
    rules: traceRules(policy, principal, resource, facts, now),
    decision,
    limits,
  };
}

function outcomeOf(mask: ColumnMask): Omit<ExplainedColumn, 'statement' | 'name' | 'labels'> {
  if ('denied' in mask) return { outcome: 'denied', rules: [...mask.rules] };
  if (mask.mask === null) return { outcome: 'clear', rules: [] };
  return { outcome: 'masked', mask: mask.mask, whole: mask.whole, rules: [...mask.rules] };
}
