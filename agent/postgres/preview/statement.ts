/**
 * From a held statement to the two that show its effect: one that runs it and gives back a few of its rows and their number, and
 * for UPDATE one that reads the same rows first. And everything that it names, for the check that nothing of it acts outside of
 * the transaction (purity.ts).
 *
 * The new texts are cut from the old one and parsed again: unless PostgreSQL's parser finds the very same clauses in them there
 * is no preview. Pure; nothing here runs anything.
 */

import { fieldsOf, isTree, nameParts, type Tree, tagOf } from '@sallyport/shared/sql/ast.ts';
import { PROPAGATING_FUNCTIONS } from '@sallyport/shared/sql/flow/builtin-functions.ts';
import { parse, scan } from '@sallyport/shared/sql/parser.ts';

export type ChangeKind = 'insert' | 'update' | 'delete' | 'merge';

/** What a statement names, as written: lower-cased by the parser, unquoted. */
export interface NamedThings {
  /** Tables and views, quoted; the one that is changed comes first. */
  relations: string[];
  functions: string[];
  operators: string[];
  /** `a.b` may be a call of b(a). */
  attributes: string[];
  types: string[];
}

export interface PreviewStatements {
  kind: ChangeKind;
  named: NamedThings;
  /** Column defaults are evaluated. */
  usesDefaults: boolean;
  /** UPDATE: the rows before. */
  before: string | null;
  /**
   * Makes the change. With `counted` its rows are the changed ones, and the first column of each says how many there are;
   * without, its tag has the number.
   */
  effect: string;
  counted: boolean;
}

export type PreviewOutcome = { ok: true; statements: PreviewStatements } | { ok: false; reason: string };

const KINDS: Readonly<Record<string, ChangeKind>> = {
  InsertStmt: 'insert',
  UpdateStmt: 'update',
  DeleteStmt: 'delete',
  MergeStmt: 'merge',
};
const EFFECT = 'sallyport_effect';
export const COUNT_COLUMN = 'sallyport_rows';
/** Used without being written. */
const IMPLIED_OPERATORS = ['=', '<>', '<', '>', '<=', '>='];

/** @param rowsMax of the samples. */
export function previewStatements(text: Buffer, rowsMax: number): PreviewOutcome {
  const outcome = parse(text);
  if (!outcome.ok) return { ok: false, reason: 'the statement cannot be parsed' };
  const [only, ...more] = outcome.statements;
  if (only === undefined || more.length > 0) return { ok: false, reason: 'several statements in one string are not previewed' };
  const kind = KINDS[tagOf(only.node)];
  if (kind === undefined) return { ok: false, reason: 'only INSERT, UPDATE, DELETE and MERGE are previewed' };
  const fields = fieldsOf(only.node);
  const relation = fields['relation'];
  if (!isTree(relation)) return { ok: false, reason: 'the statement names no table' };
  const found = { ...emptyNames(), changes: 0, cursor: false, setsDefault: false };
  collect(only.node, found);
  if (found.changes > 1) return { ok: false, reason: 'a statement that changes data in WITH as well is not previewed' };
  if (found.cursor) return { ok: false, reason: 'WHERE CURRENT OF a cursor is not previewed' };
  const impure = found.functions.find(name => !isPureBuiltin(name));
  if (impure !== undefined) return { ok: false, reason: `what the function ${impure} does may not roll back` };
  const { changes: _changes, cursor: _cursor, setsDefault, ...named } = found;
  named.relations = [quotedRelation(relation), ...named.relations];
  named.operators.push(...IMPLIED_OPERATORS);
  for (const list of Object.values(named)) dedupe(list);
  const body = text.subarray(only.start, only.end);
  const usesDefaults = kind === 'insert' || kind === 'merge' || setsDefault;
  const base = { kind, named, usesDefaults };
  if (kind === 'merge') return { ok: true, statements: { ...base, before: null, effect: body.toString('utf8'), counted: false } };
  const clauses = findClauses(body);
  const effect = clauses === null ? null : effectOf(only.node, relation, body, clauses, rowsMax);
  const before = clauses === null || kind !== 'update' ? null : beforeOf(fields, relation, body, clauses, rowsMax);
  if (effect === null || (kind === 'update' && before === null))
    return { ok: false, reason: 'the statement has a form that is not previewed' };
  return { ok: true, statements: { ...base, before, effect, counted: true } };
}

/** Has it a RETURNING clause? */
export function returnsRows(text: Buffer): boolean {
  const outcome = parse(text);
  return !outcome.ok || outcome.statements.some(({ node }) => returning(fieldsOf(node)));
}

function returning(fields: Tree): boolean {
  return Array.isArray(fields['returningList']) || isTree(fields['returningClause']);
}

/**
 * Does an expression that tables or types bring do nothing that outlives a rollback?
 * @param what it is, for the reason.
 * @returns why not.
 */
export function impurityOfExpression(expression: string, what = 'a column default'): string | null {
  const outcome = parse(Buffer.from(`SELECT ${expression}`));
  if (!outcome.ok) return `${what} that cannot be parsed`;
  const found = { ...emptyNames(), changes: 0, cursor: false, setsDefault: false };
  for (const { node } of outcome.statements) collect(node, found);
  const impure = found.functions.find(name => !isPureBuiltin(name));
  if (impure === undefined) return null;
  return impure === 'nextval' ? `${what} draws from a sequence, which does not roll back` : `${what} calls ${impure}`;
}

function isPureBuiltin(name: string): boolean {
  return PROPAGATING_FUNCTIONS.has(name);
}

function emptyNames(): NamedThings {
  return { relations: [], functions: [], operators: [], attributes: [], types: [] };
}

function dedupe(list: string[]): void {
  list.splice(0, list.length, ...new Set(list));
}

type Found = NamedThings & { changes: number; cursor: boolean; setsDefault: boolean };

/** Goes through the whole tree: what stands anywhere in it counts. */
function collect(value: unknown, found: Found): void {
  if (Array.isArray(value)) {
    for (const each of value) collect(each, found);
    return;
  }
  if (!isTree(value)) return;
  for (const [key, inner] of Object.entries(value)) {
    if (isTree(inner)) note(key, inner, found);
    collect(inner, found);
  }
}

function note(tag: string, fields: Tree, found: Found): void {
  const parts = (key: string) => (Array.isArray(fields[key]) ? nameParts(fields[key]) : []);
  switch (tag) {
    case 'InsertStmt':
    case 'UpdateStmt':
    case 'DeleteStmt':
    case 'MergeStmt':
      found.changes++;
      return;
    case 'CurrentOfExpr':
      found.cursor = true;
      return;
    case 'SetToDefault':
      found.setsDefault = true;
      return;
    case 'RangeVar':
      found.relations.push(quotedRelation(fields));
      return;
    case 'FuncCall': {
      const names = parts('funcname');
      const schema = names.length > 1 ? names[names.length - 2] : 'pg_catalog';
      const name = names.at(-1) ?? '';
      found.functions.push(schema === 'pg_catalog' ? name : names.join('.'));
      return;
    }
    case 'A_Expr':
      found.operators.push(parts('name').at(-1) ?? '');
      return;
    case 'SubLink':
      found.operators.push(...parts('operName').slice(-1));
      return;
    case 'SortBy':
      found.operators.push(...parts('useOp').slice(-1));
      return;
    case 'ColumnRef':
      found.attributes.push(...parts('fields').slice(-1));
      return;
    case 'A_Indirection':
      found.attributes.push(...parts('indirection'));
      return;
    case 'typeName':
    case 'TypeName':
      found.types.push(parts('names').at(-1) ?? '');
      return;
    default:
  }
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function quotedRelation(relation: Tree): string {
  const { schemaname, relname } = relation;
  const table = quoted(typeof relname === 'string' ? relname : '');
  return typeof schemaname === 'string' ? `${quoted(schemaname)}.${table}` : table;
}

/** What the table is called within the statement. */
function nameWithin(relation: Tree): string {
  const alias = relation['alias'];
  const name = isTree(alias) ? alias['aliasname'] : relation['relname'];
  return quoted(typeof name === 'string' ? name : '');
}

/** Byte offsets of the words that open a clause outside of all brackets; -1: there is none. */
interface Clauses {
  update: number;
  set: number;
  from: number;
  where: number;
  returning: number;
}

function findClauses(body: Buffer): Clauses | null {
  const tokens = scan(body);
  if (tokens === undefined) return null;
  const clauses: Clauses = { update: -1, set: -1, from: -1, where: -1, returning: -1 };
  let depth = 0;
  let last = '';
  for (const { start, end } of tokens) {
    const word = body.toString('utf8', start, end);
    if (word === '(' || word === '[') depth++;
    else if (word === ')' || word === ']') depth--;
    else if (depth === 0) {
      const lower = word.toLowerCase();
      if (lower === 'update' && clauses.update < 0) clauses.update = start;
      else if (lower === 'set' && clauses.set < 0) clauses.set = start;
      // `IS DISTINCT FROM` is an operator.
      else if (lower === 'from' && last !== 'distinct' && clauses.from < 0) clauses.from = start;
      else if (lower === 'where' && clauses.where < 0) clauses.where = start;
      else if (lower === 'returning') clauses.returning = start;
      last = lower;
    }
  }
  return clauses;
}

function effectOf(node: object, relation: Tree, body: Buffer, clauses: Clauses, rowsMax: number): string | null {
  const returns = returning(fieldsOf(node as Tree));
  const plain = returns ? body.subarray(0, clauses.returning < 0 ? body.length : clauses.returning) : body;
  // The line break ends a comment that the text may end in.
  const changing = `${plain.toString('utf8')}\nRETURNING ${nameWithin(relation)}.*`;
  const again = parse(Buffer.from(changing));
  if (!again.ok || again.statements.length !== 1) return null;
  if (!sameBut(again.statements[0]?.node, node, RETURNS)) return null;
  return (
    `WITH ${EFFECT} AS (${changing}\n) ` +
    `SELECT (SELECT pg_catalog.count(*) FROM ${EFFECT}) AS ${COUNT_COLUMN}, ${EFFECT}.* FROM ${EFFECT} LIMIT ${rowsMax}`
  );
}

function beforeOf(fields: Tree, relation: Tree, body: Buffer, clauses: Clauses, rowsMax: number): string | null {
  const { update, set, from, where, returning } = clauses;
  if (update < 0 || set < update) return null;
  const end = returning < 0 ? body.length : returning;
  const piece = (start: number, stop: number) => body.toString('utf8', start, stop);
  const whole = (start: number, ...stops: number[]) =>
    start < 0 ? '' : piece(start, Math.min(end, ...stops.filter(stop => stop > start)));
  const more = from < 0 ? '' : `, ${whole(from + 'from'.length, where)}`;
  const text =
    `${piece(0, update)}\nSELECT ${nameWithin(relation)}.* FROM ${piece(update + 'update'.length, set)}\n${more}\n${whole(where)}\n` +
    `LIMIT ${rowsMax}`;
  const outcome = parse(Buffer.from(text));
  const select = outcome.ok && outcome.statements.length === 1 ? outcome.statements[0]?.node : undefined;
  if (select === undefined || tagOf(select) !== 'SelectStmt') return null;
  const found = fieldsOf(select);
  const tables = Array.isArray(found['fromClause']) ? found['fromClause'] : [];
  const wanted = [{ RangeVar: relation }, ...(Array.isArray(fields['fromClause']) ? fields['fromClause'] : [])];
  const same =
    sameBut(tables, wanted, NOTHING) &&
    sameBut(found['whereClause'], fields['whereClause'], NOTHING) &&
    sameBut(found['withClause'], fields['withClause'], NOTHING);
  return same ? text : null;
}

const NOTHING: ReadonlySet<string> = new Set();
/** Fields of the tree that say where in the text something stands. */
const PLACES: ReadonlySet<string> = new Set([
  'location',
  'name_location',
  'list_start',
  'list_end',
  'rexpr_list_start',
  'rexpr_list_end',
  'stmt_location',
  'stmt_len',
]);
const RETURNS: ReadonlySet<string> = new Set(['returningList', 'returningClause']);

/** Are two trees the same but for where their words stand, and for the fields in `left`? */
function sameBut(a: unknown, b: unknown, left: ReadonlySet<string>): boolean {
  return stable(a, left) === stable(b, left);
}

function stable(value: unknown, left: ReadonlySet<string>): string {
  return (
    JSON.stringify(value, (key, inner: unknown) => {
      if (PLACES.has(key) || left.has(key)) return undefined;
      if (!isTree(inner)) return inner;
      return Object.fromEntries(Object.entries(inner).sort(([x], [y]) => (x < y ? -1 : 1)));
    }) ?? ''
  );
}
