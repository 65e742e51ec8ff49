/**
 * How many rows a statement would return or change, whichever are more, as PostgreSQL's planner expects: what to ask for it, and
 * what the answer says. Nothing is run for it (never EXPLAIN ANALYZE).
 *
 * An estimate is the planner's guess from statistics. It says what a statement would hand over or touch, not what it would read:
 * `SELECT count(*)` is one row. Budgets count truly.
 */
import { fieldsOf, isTree, type Tree, tagOf } from '@sallyport/shared/sql/ast.ts';
import { parse, scan } from '@sallyport/shared/sql/parser.ts';
import { copyTarget } from './copy-out.ts';
import type { ErrorField } from './messages.ts';

export type Question =
  | { kind: 'known'; rows: number }
  /** `text` is an EXPLAIN of what stands `skipped` characters into the statement's text; null: of something made from it. */
  | { kind: 'ask'; text: Buffer; skipped: number | null }
  /** FETCH of all that is left in a cursor. */
  | { kind: 'cursor'; name: string }
  | { kind: 'cannot'; why: string };

export type Estimate =
  | { kind: 'rows'; rows: number }
  | { kind: 'none'; why: string }
  /** PostgreSQL would not plan it: so it would not run it. */
  | { kind: 'failed'; fields: readonly ErrorField[] };

const EXPLAIN = 'EXPLAIN (FORMAT JSON) ';
/** What returns and changes no rows. */
const WITHOUT_ROWS: ReadonlySet<string> = new Set([
  'TransactionStmt',
  'VariableSetStmt',
  'ConstraintsSetStmt',
  'DiscardStmt',
  'ListenStmt',
  'UnlistenStmt',
  'NotifyStmt',
  'PrepareStmt',
  'DeallocateStmt',
  'ClosePortalStmt',
  'LockStmt',
]);
const PLANNED: ReadonlySet<string> = new Set([
  'SelectStmt',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'DeclareCursorStmt',
  'CreateTableAsStmt',
]);
/** SHOW ALL. */
const SETTINGS_MAX = 1000;
/** As PostgreSQL's parser writes ALL of FETCH. */
const FETCH_ALL = 0x7fff_ffff;

/** @param text of a whole simple Query or Parse, in UTF-8. */
export function questionOf(text: Buffer): Question {
  const outcome = parse(text);
  if (!outcome.ok) return { kind: 'cannot', why: 'it cannot be parsed' };
  const [only, ...more] = outcome.statements;
  if (only === undefined) return { kind: 'known', rows: 0 };
  if (more.length > 0) return { kind: 'cannot', why: 'it stands with others in one string; send it by itself' };
  return behind(text.subarray(0, only.start), ofStatement(only.node as Tree, text.subarray(only.start)));
}

/** Characters as PostgreSQL counts them: code points of UTF-8. */
function charactersIn(text: Buffer): number {
  let count = 0;
  for (const byte of text) if ((byte & 0xc0) !== 0x80) count++;
  return count;
}

/** The same question about a text that has something in front. */
function behind(before: Buffer, question: Question): Question {
  if (question.kind !== 'ask' || question.skipped === null) return question;
  return { ...question, skipped: question.skipped + charactersIn(before) };
}

function ofStatement(node: Tree, text: Buffer): Question {
  const tag = tagOf(node);
  const fields = fieldsOf(node);
  if (WITHOUT_ROWS.has(tag)) return { kind: 'known', rows: 0 };
  switch (tag) {
    case 'VariableShowStmt':
      return { kind: 'known', rows: fields['name'] === 'all' ? SETTINGS_MAX : 1 };
    case 'FetchStmt':
      return ofFetch(fields);
    case 'ExplainStmt':
      return ofExplain(fields, text);
    case 'CopyStmt': {
      if (fields['is_from'] === true) return { kind: 'cannot', why: 'the rows of COPY FROM are not known before they come' };
      const target = copyTarget(text);
      return target.ok ? ask(Buffer.from(target.target.probe), null) : { kind: 'cannot', why: target.reason };
    }
    case 'ExecuteStmt':
      return hasConstantsOnly(fields)
        ? ask(text)
        : { kind: 'cannot', why: 'an argument of EXECUTE is an expression, which would be evaluated' };
    default:
  }
  if (!PLANNED.has(tag)) return { kind: 'cannot', why: 'it is of a kind that PostgreSQL does not plan' };
  const query = fields['query'];
  if (tag === 'CreateTableAsStmt' && isTree(query) && tagOf(query) === 'ExecuteStmt' && !hasConstantsOnly(fieldsOf(query)))
    return { kind: 'cannot', why: 'an argument of EXECUTE is an expression, which would be evaluated' };
  return ask(text);
}

function ask(text: Buffer, skipped: number | null = 0): Question {
  return { kind: 'ask', text: Buffer.concat([Buffer.from(EXPLAIN), text]), skipped };
}

function ofFetch(fields: Tree): Question {
  if (fields['ismove'] === true) return { kind: 'known', rows: 0 };
  const { direction, howMany } = fields;
  if (direction === 'FETCH_ABSOLUTE' || direction === 'FETCH_RELATIVE') return { kind: 'known', rows: 1 };
  const count = howMany === undefined ? 0 : Number(howMany);
  if (Number.isFinite(count) && Math.abs(count) < FETCH_ALL) return { kind: 'known', rows: Math.max(1, Math.abs(count)) };
  return { kind: 'cursor', name: typeof fields['portalname'] === 'string' ? fields['portalname'] : '' };
}

/** What EXPLAIN ANALYZE runs; a plain EXPLAIN runs nothing. */
function ofExplain(fields: Tree, text: Buffer): Question {
  const options = Array.isArray(fields['options']) ? fields['options'] : [];
  const analyses = options.some(each => isTree(each) && fieldsOf(each)['defname'] === 'analyze');
  if (!analyses) return { kind: 'known', rows: 1 };
  const query = fields['query'];
  const tokens = scan(text);
  if (tokens === undefined || !isTree(query)) return { kind: 'cannot', why: 'what EXPLAIN runs cannot be told from its text' };
  let depth = 0;
  for (const { start, end } of tokens.slice(1)) {
    const word = text.toString('utf8', start, end).toLowerCase();
    if (word === '(') depth++;
    else if (word === ')') depth--;
    else if (depth === 0 && word !== 'analyze' && word !== 'analyse' && word !== 'verbose' && !/^(--|\/\*)/.test(word)) {
      const inner = text.subarray(start);
      const again = parse(inner);
      const node = again.ok && again.statements.length === 1 ? (again.statements[0]?.node as Tree) : null;
      if (node !== null && tagOf(node) === tagOf(query)) return behind(text.subarray(0, start), ofStatement(node, inner));
      break;
    }
  }
  return { kind: 'cannot', why: 'what EXPLAIN runs cannot be told from its text' };
}

function hasConstantsOnly(fields: Tree): boolean {
  const params = Array.isArray(fields['params']) ? fields['params'] : [];
  return params.every(each => {
    if (!isTree(each)) return false;
    const inner = tagOf(each) === 'TypeCast' ? fieldsOf(each)['arg'] : each;
    return isTree(inner) && tagOf(inner) === 'A_Const';
  });
}

/**
 * The rows of a plan in JSON: those that come out of it, or go into its changes.
 * @returns null when it is not a plan.
 */
export function rowsOfPlan(json: string): number | null {
  let plans: unknown;
  try {
    plans = JSON.parse(json);
  } catch {
    return null;
  }
  if (!Array.isArray(plans)) return null;
  let most = 0;
  for (const each of plans) {
    // A rule may make other statements of it, or none at all; NOTIFY has no plan.
    if (!isTree(each)) continue;
    const plan = each['Plan'];
    if (!isTree(plan)) continue;
    const rows = rowsOfNode(plan);
    if (rows === null) return null;
    most = Math.max(most, rows, changedRows(plan));
  }
  return most;
}

function rowsOfNode(node: Tree): number | null {
  const rows = node['Plan Rows'];
  return typeof rows === 'number' && rows >= 0 ? rows : null;
}

/** Rows that flow into the changes of a plan, WITH included. */
function changedRows(node: Tree): number {
  let rows = 0;
  for (const inner of Array.isArray(node['Plans']) ? node['Plans'] : []) {
    if (!isTree(inner)) continue;
    rows = Math.max(rows, changedRows(inner));
  }
  if (node['Node Type'] !== 'ModifyTable') return rows;
  let own = 0;
  for (const inner of Array.isArray(node['Plans']) ? node['Plans'] : []) {
    if (!isTree(inner) || inner['Parent Relationship'] === 'InitPlan' || inner['Parent Relationship'] === 'SubPlan') continue;
    own += rowsOfNode(inner) ?? 0;
  }
  return Math.max(rows, own);
}

/** The server's error about an EXPLAIN of the gateway's, as it would be about the statement itself. @param skipped of its question. */
export function asOfStatement(fields: readonly ErrorField[], skipped: number | null): ErrorField[] {
  return fields.flatMap(([code, text]): ErrorField[] => {
    if (code !== 'P') return [[code, text]];
    const position = Number(text) - EXPLAIN.length + (skipped ?? 0);
    return skipped === null || position < 1 ? [] : [[code, String(position)]];
  });
}
