/**
 * What information flow says of a command, in the form in which sessions use it: a refusal, or for each of its statements what
 * becomes of the columns of its result.
 *
 * The analysis itself is shared/sql/flow; this file applies the session's policy to it. RowDescription's origin (table and
 * column) is the other witness. Where both speak, the stricter wins (row-plan.ts).
 */

import type { Node } from 'libpg-query';
import type { ColumnRule, SessionPolicy } from '../../policy/decide.ts';
import type { CommandFacts } from '../../policy/facts.ts';
import type { ApprovalSpec, PredicateAction } from '../../policy/model.ts';
import { strictestApproval } from '../../policy/strictness.ts';
import { mergeFacts } from '../analyse.ts';
import { tagOf } from '../ast.ts';
import { OPAQUE_CALL } from '../collect.ts';
import { temporaryMade } from './analyse-flow.ts';
import type { CatalogRelation } from './catalog.ts';
import { type ColumnMask, columnMask, columnMasks, systemPredicate } from './masks.ts';
import type { FlowResult, Inference } from './result.ts';

export interface ColumnVerdict {
  mask: ColumnMask;
  /** What RowDescription must show; null: no table; undefined: not predicted. */
  witness: { relation: number; attnum: number } | null | undefined;
}

/** The verdict over one statement's result. `unknown`: not analysed; RowDescription's origin alone decides. */
export type ResultVerdict =
  | { kind: 'unknown' }
  | { kind: 'columns'; columns: readonly ColumnVerdict[] /** of columns beyond those */; rest: ColumnVerdict | null };

export const UNKNOWN_RESULT: ResultVerdict = { kind: 'unknown' };

/** A statement that returns no rows of its own: what comes all the same comes from rules of its table, and names no origin. */
const ROWS_OF_RULES: ResultVerdict = {
  kind: 'columns',
  columns: [],
  rest: { mask: { mask: 'redact', whole: true, labels: ['a rule of the table'], rules: [] }, witness: undefined },
};

/** What is kept of one statement's analysis until it has run. */
export interface StatementFlow {
  result: FlowResult;
  verdict: ResultVerdict;
  /** A table that it makes, for this session's later statements. */
  makes: CatalogRelation | undefined;
}

export interface FlowJudgement {
  statements: readonly StatementFlow[];
  /** Facts with what flow adds. */
  facts: CommandFacts;
  /** A refusal, whatever else policy says. */
  refusal: { rule: string; reason: string; message: string } | null;
  /** People must release it, unless it is refused. */
  hold: { rule: string; reason: string; message: string; approval: ApprovalSpec } | null;
  /** Names that the snapshot does not hold are all that is unknown: the server will not know them either, or they are new. */
  namesMissing: boolean;
  touchesProtected: boolean;
  /** `touchesProtected` tells all: its statements read and write rows, and all that they read is known. */
  touchesSettled: boolean;
  /** It inserts rows of the client's own and changes none that is there. */
  ownRows: boolean;
  literalSensitive: boolean;
}

function ruleOfLabel(policy: SessionPolicy, label: string): ColumnRule | null {
  // A label is `schema.table.column`, and names may hold dots: every split is tried, and the strictest that matches counts.
  const parts = label.split('.');
  if (parts.length === 3) return policy.column(parts[0] as string, parts[1] as string, parts[2] as string);
  for (let i = 1; i < parts.length - 1; i++) {
    for (let j = i + 1; j < parts.length; j++) {
      const rule = policy.column(parts.slice(0, i).join('.'), parts.slice(i, j).join('.'), parts.slice(j).join('.'));
      if (rule !== null) return rule;
    }
  }
  return null;
}

const MISSING = new Set(['relation-missing', 'column-missing', 'function-missing']);

/** Applies a session's policy to what flow analysis found. */
export function judgeFlow(
  nodes: readonly Node[],
  results: readonly FlowResult[],
  facts: CommandFacts,
  policy: SessionPolicy,
): FlowJudgement {
  const statements: StatementFlow[] = [];
  let refusal: FlowJudgement['refusal'] = null;
  const refuse = (rule: string, reason: string, message: string) => {
    refusal ??= { rule, reason, message };
  };
  let hold: FlowJudgement['hold'] = null;
  const reads = new Set<string>();
  const inferences = new Map<string, Inference>();
  const unknown: string[] = [];
  let onlyMissing = true;
  let touchesProtected = false;
  let literalSensitive = false;
  for (const [i, result] of results.entries()) {
    const ruleOf = (label: string) => ruleOfLabel(policy, label) ?? undefined;
    const masks = columnMasks(result, ruleOf);
    for (const mask of masks ?? []) {
      if ('denied' in mask) refuse(mask.rules[0] ?? 'flow', `the result depends on ${mask.labels.join(', ')}`, deniedText(mask.labels));
    }
    for (const sink of result.sinks) {
      refuse(
        'flow/sink',
        `${sink.labels.join(', ')} would flow into ${sink.kind}: ${sink.detail}`,
        `This statement is refused: ${sink.labels.length === 0 ? 'values' : 'protected values'} would go where they are not masked (${sink.detail}).`,
      );
    }
    for (const column of result.rewrites) {
      const rule = ruleOfLabel(policy, column);
      if (rule === null || rule.action === 'deny' || rule.as === 'redact' || rule.as === 'null') continue;
      refuse(
        rule.rule,
        `${column} would get what is computed of it`,
        `This statement is refused: ${column} would get what is computed of it, and its mask (${rule.as}) would show that in pieces. Write whole values, or lower(), upper() or trim() of it.`,
      );
    }
    for (const inference of result.inferences) {
      inferences.set(`${inference.column} ${inference.kind}`, inference);
      const rule = ruleOfLabel(policy, inference.column);
      const action = systemPredicate(inference.column) ?? predicateAction(rule, inference.kind);
      if (rule?.action === 'deny') refuse(rule.rule, `rows depend on ${inference.column}`, deniedText([inference.column]));
      else if (action === 'hold' && rule?.approval !== undefined) {
        const message = `Its rows tell values of ${inference.column}.`;
        hold = {
          rule: rule.rule,
          reason: `rows depend on ${inference.column} (${inference.kind})`,
          message,
          approval: hold === null ? rule.approval : strictestApproval(hold.approval, rule.approval),
        };
      } else if (action === 'deny' || action === 'hold') {
        refuse(
          rule?.rule ?? 'flow/inference',
          `rows depend on ${inference.column} (${inference.kind})`,
          inference.kind === 'enumeration'
            ? `This statement is refused: it works out values of ${inference.column} by setting them against other rows. Compare the column with constants, or join on the whole column.`
            : `This statement is refused: its rows would tell values of ${inference.column}.`,
        );
      }
    }
    for (const reason of result.unknown) {
      unknown.push(reason.detail);
      if (!MISSING.has(reason.code)) onlyMissing = false;
    }
    for (const read of result.reads) reads.add(read);
    if (result.touched.size > 0) touchesProtected = true;
    if (result.literalSensitive) literalSensitive = true;
    const columns = result.columns;
    const node = nodes[i];
    statements.push({
      result,
      verdict:
        columns === null || masks === null
          ? ROWS_OF_RULES
          : {
              kind: 'columns',
              columns: masks.map((mask, column) => ({ mask, witness: columns[column]?.witness })),
              rest: result.complete ? null : { mask: columnMask({ labels: result.restLabels, plains: null }, ruleOf), witness: undefined },
            },
      makes: node === undefined ? undefined : temporaryMade(node, result),
    });
  }
  const known = withCalled(facts, nodes, results);
  return {
    statements,
    facts: {
      ...known,
      columnsRead: [...reads],
      inferences: [...inferences.values()],
      opaque: unknown.length === 0 ? known.opaque : [...new Set([...known.opaque, ...unknown])],
    },
    refusal,
    hold,
    namesMissing: unknown.length > 0 && onlyMissing,
    touchesProtected,
    touchesSettled: unknown.length === 0 && nodes.every(node => SETTLED.has(tagOf(node))),
    ownRows: nodes.length === 1 && nodes.every(node => 'InsertStmt' in node) && results[0]?.ownRows === true,
    literalSensitive,
  };
}

/** Of these `touched` says which protected values their errors may hold; of others the names in them do. */
const SETTLED: ReadonlySet<string> = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']);

/** A CALL by itself, of procedures that can be read: their statements count as the command's own. */
function withCalled(facts: CommandFacts, nodes: readonly Node[], results: readonly FlowResult[]): CommandFacts {
  const [node] = nodes;
  const called = results[0]?.called ?? null;
  if (nodes.length !== 1 || node === undefined || !('CallStmt' in node) || called === null) return facts;
  const { kinds, objects, functions, where } = called;
  return mergeFacts(
    { ...facts, opaque: facts.opaque.filter(reason => reason !== OPAQUE_CALL) },
    { ...facts, statements: [...kinds], objects: [...objects], functions: [...functions], where, writes: true, opaque: [] },
  );
}

/** What is merely recorded where one thing is asked is refused where all of a value is. */
export function predicateAction(rule: ColumnRule | null, kind: Inference['kind']): PredicateAction {
  if (rule === null) return 'deny';
  if (kind !== 'enumeration') return rule.predicates[kind];
  return rule.predicates.other === 'record' ? 'deny' : rule.predicates.other;
}

function deniedText(labels: readonly string[]): string {
  return `This statement is refused: ${labels.join(', ')} may not be read.`;
}
