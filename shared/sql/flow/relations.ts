/**
 * Tables, views and their columns with labels: a protected column protects the same column of every table above and below it
 * in inheritance; a view's column carries what its definition brings; a generated column what its expression reads.
 */
import type { Node } from 'libpg-query';
import { parse } from '../parser.ts';
import { type CatalogRelation, relationKey } from './catalog.ts';
import { type Context, Found, type OutputColumn } from './context.ts';
import { EMPTY_ENV, type FromItem, within } from './scope.ts';
import type { FlowSession } from './session.ts';
import { isSystemSecret } from './system-columns.ts';
import { either, type Labels, NO_LABELS, unionLabels, type Value } from './value.ts';

export type Resolved = { found: true; relation: CatalogRelation; others: readonly CatalogRelation[] } | { found: false };

/**
 * The relation that a name means, with the session's search_path. Tables that the session made come first; what else the name
 * may mean — a table behind a temporary one, a table of another search_path that may be in force — is in `others`.
 */
export function resolveRelation(schema: string | undefined, name: string, ctx: Context): Resolved {
  const { relationsByName } = ctx.catalog;
  const made = ctx.session.temporary.get(name);
  const found = new Set<CatalogRelation>();
  if (schema !== undefined) {
    if (made?.schema === schema) found.add(made);
    const relation = relationsByName.get(relationKey(schema, name));
    if (relation !== undefined && !(found.size > 0 && relation.oid === made?.oid)) found.add(relation);
  } else {
    if (made !== undefined) found.add(made);
    for (const path of [ctx.searchPath, ...otherPaths(ctx)]) {
      for (const candidate of schemasInOrder(path)) {
        const relation = relationsByName.get(relationKey(candidate, name));
        if (relation === undefined) continue;
        if (relation.oid !== made?.oid) found.add(relation);
        if (isSearched(candidate, ctx) && ctx.session.dropped !== true) break;
      }
    }
  }
  const [relation, ...others] = found;
  return relation === undefined ? { found: false } : { found: true, relation, others };
}

/** Other search_paths that may be in force; inside functions and views with a path of their own there are none. */
export function otherPaths(ctx: Context): readonly (readonly string[])[] {
  return ctx.searchPath === ctx.session.searchPath ? (ctx.session.otherPaths ?? []) : [];
}

/**
 * For what will run behind later statements: a body looks its names up by the search path of then, in whatever schema that is.
 * What was nested too deeply already stays as it is.
 */
export function underAnyPath(ctx: Context): Context {
  const paths = [...ctx.catalog.schemas]
    .filter(schema => schema !== 'pg_catalog' && schema !== 'information_schema')
    .map(schema => [schema]);
  const session = { ...ctx.session, searchPath: ctx.searchPath, otherPaths: [...(ctx.session.otherPaths ?? []), ...paths] };
  return ctx.deeper({ session }) ?? ctx;
}

/** Is a schema of the path certainly searched? One that the role may not use is passed over. */
function isSearched(schema: string, ctx: Context): boolean {
  const { user, usable } = ctx.catalog;
  const { user: current } = ctx.session;
  return schema === 'pg_catalog' || (usable.has(schema) && (user === null || current === undefined || current === user));
}

/** pg_catalog is searched first unless the path says where. */
export function schemasInOrder(searchPath: readonly string[]): readonly string[] {
  return searchPath.includes('pg_catalog') ? searchPath : ['pg_catalog', ...searchPath];
}

/** A relation's columns with what can reach them. */
export function relationColumns(relation: CatalogRelation, ctx: Context): readonly OutputColumn[] {
  // One that the open transaction has altered has the number of the one that the catalog knows.
  const isKept = relation.oid !== 0 && ctx.catalog.relations.get(relation.oid) === relation;
  const known = isKept ? ctx.shared.relationColumns.get(relation.oid) : undefined;
  if (known !== undefined) return known;
  // Own labels first, so that a view that leads to itself ends.
  let columns = relation.columns.map(column => ({
    name: column.name,
    value: columnValue(relation, column.name, column.attnum, column.type, ctx),
  }));
  if (isKept) ctx.shared.relationColumns.set(relation.oid, columns);
  if ((relation.kind === 'v' || relation.kind === 'm') && relation.definition !== null)
    columns = viewColumns(relation, relation.definition, columns, ctx);
  if (relation.columns.some(column => column.generated !== null)) columns = withGenerated(relation, columns, ctx);
  if (isKept) ctx.shared.relationColumns.set(relation.oid, columns);
  return columns;
}

/** Says that a relation is used: what is unclear about a view is unclear about the statement. */
export function useRelation(relation: CatalogRelation, ctx: Context): readonly OutputColumn[] {
  const columns = relationColumns(relation, ctx);
  for (const { code, detail } of ctx.shared.relationUnknowns.get(relation.oid) ?? [])
    ctx.unknown(code, `view ${relation.schema}.${relation.name}: ${detail}`);
  if ((relation.kind === 'v' || relation.kind === 'm') && relation.definition !== null)
    ctx.dependsOnDefinitions(`${relation.schema}.${relation.name}`);
  if (relation.derived === true) {
    ctx.dependsOnDefinitions(relation.name);
    if (ctx.session.dropped === true)
      ctx.unknown('catalog-stale', `this transaction has dropped what ${relation.name} may have used by name; commit first`);
  }
  // An error inside of a view, or of a policy, may hold what is not shown.
  ctx.found.touch(ctx.shared.relationTouches.get(relation.oid) ?? NO_LABELS);
  if (relation.rowSecurity === true) ctx.found.touch(relationLabels(relation, ctx).size > 0 ? relationLabels(relation, ctx) : BY_POLICY);
  if (relation.kind === 'f') ctx.unknown('foreign-table', `${relation.schema}.${relation.name} is a foreign table`);
  return columns;
}

/** A policy may read other tables. */
const BY_POLICY: Labels = new Set(['*.*.*']);

/** Does any of its columns hold protected values? */
export function isProtected(relation: CatalogRelation, ctx: Context): boolean {
  return relationColumns(relation, ctx).some(column => column.value.labels.size > 0);
}

export function relationLabels(relation: CatalogRelation, ctx: Context): Labels {
  let labels = NO_LABELS;
  for (const column of relationColumns(relation, ctx)) labels = unionLabels(labels, column.value.labels);
  return labels;
}

function columnValue(relation: CatalogRelation, name: string, attnum: number, type: number, ctx: Context): Value {
  const labels = new Set<string>();
  for (const relative of relatives(relation, ctx)) {
    const isSecret = isSystemSecret(relative.schema, relative.name, name) && (name !== 'attmissingval' || isMissingValueKept(ctx));
    if (ctx.shared.protects(relative.schema, relative.name, name) || isSecret) labels.add(`${relative.schema}.${relative.name}.${name}`);
  }
  return {
    labels: labels.size === 0 ? NO_LABELS : labels,
    plains: [{ schema: relation.schema, table: relation.name, column: name }],
    witness: relation.oid === 0 || attnum === 0 ? null : { relation: relation.oid, attnum },
    type,
    fields: null,
    constant: false,
  };
}

/** Does pg_attribute hold what rows of before have in a protected column? What it holds of others, tools read with all of its columns. */
function isMissingValueKept(ctx: Context): boolean {
  return [...ctx.catalog.relations.values()].some(
    relation =>
      relation.schema !== 'pg_catalog' &&
      relation.columns.some(column => column.hasMissing === true) &&
      relationColumns(relation, ctx).some(({ value }, i) => value.labels.size > 0 && relation.columns[i]?.hasMissing === true),
  );
}

/**
 * It, what it inherits from, and what inherits from it, at any distance; not its siblings, but for partitions: UPDATE moves rows from
 * one to another.
 */
function relatives(relation: CatalogRelation, ctx: Context): CatalogRelation[] {
  if (relation.oid === 0) return [relation];
  const { relations, children } = ctx.catalog;
  const found = new Map<number, CatalogRelation>([[relation.oid, relation]]);
  const walk = (from: CatalogRelation, next: (of: CatalogRelation) => readonly number[]): void => {
    for (const oid of next(from)) {
      const other = relations.get(oid);
      if (other === undefined || found.has(oid)) continue;
      found.set(oid, other);
      walk(other, next);
    }
  };
  walk(relation, of => of.parents);
  const partitioned = [...found.values()].filter(({ kind }) => kind === 'p');
  for (const top of [relation, ...partitioned]) walk(top, of => children.get(of.oid) ?? []);
  return [...found.values()];
}

function viewColumns(relation: CatalogRelation, definition: string, own: readonly OutputColumn[], ctx: Context): OutputColumn[] {
  const found = new Found();
  // The definition was printed with an empty search_path: every name outside pg_catalog is qualified.
  const inner = ctx.deeper({ searchPath: [], parameters: [], found, inside: true, session: asDefined(ctx) });
  const outcome = inner === undefined ? undefined : parse(Buffer.from(definition));
  const statement = outcome?.ok === true ? outcome.statements[0]?.node : undefined;
  if (inner === undefined || statement === undefined) {
    ctx.shared.relationUnknowns.set(relation.oid, [
      { code: 'unsupported', detail: `the definition of view ${relation.schema}.${relation.name} cannot be read` },
    ]);
    return own.map(column => ({
      name: column.name,
      value: { ...column.value, labels: unionLabels(column.value.labels, unclear(relation)) },
    }));
  }
  const output = inner.engine.query(statement, EMPTY_ENV, inner);
  ctx.shared.relationTouches.set(relation.oid, found.touched);
  const reasons = [...found.unknowns.values()];
  for (const { kind, detail } of found.sinks) reasons.push({ code: 'function-opaque', detail: `${kind}: ${detail}` });
  if (reasons.length > 0) ctx.shared.relationUnknowns.set(relation.oid, reasons);
  const everything = reasons.length > 0 ? unionLabels(output.rest ?? NO_LABELS, allLabels(output.columns)) : NO_LABELS;
  // Rows that are chosen by setting a protected column against others spell it out in what is no protected column.
  const spelled = new Set(found.inferenceList().flatMap(({ kind, column }) => (kind === 'enumeration' ? [column] : [])));
  return own.map((column, i) => {
    const source = output.columns[i]?.value;
    if (source === undefined || output.columns.length !== own.length || reasons.length > 0) {
      // What the view does is not clear: reading it is as unclear.
      return {
        name: column.name,
        value: { ...column.value, labels: unionLabels(column.value.labels, unionLabels(everything, unclear(relation))), plains: null },
      };
    }
    const labels = unionLabels(unionLabels(column.value.labels, source.labels), spelled);
    // A label on the view's own column is its rule; otherwise a plain column stays the one below.
    const plains = column.value.labels.size > 0 ? column.value.plains : source.plains;
    const mixed = source.mixed === true || spelled.size > 0 ? { mixed: true as const } : {};
    return {
      name: column.name,
      value: { ...column.value, labels, plains: spelled.size > 0 ? null : plains, fields: source.fields, ...mixed },
    };
  });
}

/** A view has its columns by their numbers, whatever the open transaction has called them since: the catalog's names are its own. */
function asDefined({ session }: Context): FlowSession {
  const isAltered = ({ oid, schema }: CatalogRelation): boolean => oid !== 0 && !schema.startsWith('pg_temp');
  if (![...session.temporary.values()].some(isAltered)) return session;
  return { ...session, temporary: new Map([...session.temporary].filter(([, relation]) => !isAltered(relation))) };
}

/** A label that no rule knows, for what cannot be followed: it is masked whole and goes nowhere. */
function unclear(relation: CatalogRelation): Labels {
  return new Set([`${relation.schema}.${relation.name}.*`]);
}

function allLabels(columns: readonly OutputColumn[]): Labels {
  let labels = NO_LABELS;
  for (const column of columns) labels = unionLabels(labels, column.value.labels);
  return labels;
}

function withGenerated(relation: CatalogRelation, columns: readonly OutputColumn[], ctx: Context): OutputColumn[] {
  const item = relationItem(relation, columns, relation.name, null);
  return columns.map((column, i) => {
    const expression = relation.columns[i]?.generated;
    if (expression === null || expression === undefined) return column;
    const found = new Found();
    const inner = ctx.deeper({ searchPath: [], parameters: [], found, inside: true });
    const node = parseExpression(expression);
    if (inner === undefined || node === undefined)
      return { name: column.name, value: { ...column.value, labels: unionLabels(column.value.labels, unclear(relation)) } };
    const value = inner.engine.expression(node, within(EMPTY_ENV, [item]), inner);
    const labels = unionLabels(column.value.labels, value.labels);
    return {
      name: column.name,
      value: {
        ...column.value,
        labels: found.unknowns.size > 0 ? unionLabels(labels, unclear(relation)) : labels,
        plains: value.labels.size > 0 ? null : column.value.plains,
      },
    };
  });
}

/** An expression by itself, as pg_get_expr prints it. */
export function parseExpression(text: string): Node | undefined {
  const outcome = parse(Buffer.from(`SELECT ${text}`));
  const statement = outcome.ok && outcome.statements.length === 1 ? outcome.statements[0]?.node : undefined;
  const target = statement !== undefined && 'SelectStmt' in statement ? statement.SelectStmt.targetList?.[0] : undefined;
  return target !== undefined && 'ResTarget' in target ? target.ResTarget.val : undefined;
}

/** A relation as a FROM item. */
export function relationItem(relation: CatalogRelation, columns: readonly OutputColumn[], alias: string, schema: string | null): FromItem {
  return { name: alias, schema, columns, rest: null, qualified: true, bare: true, system: true, rowType: relation.rowType };
}

/** All meanings of a name: column by column, what any of them can hold. */
export function unitedColumns(relation: CatalogRelation, others: readonly CatalogRelation[], ctx: Context): readonly OutputColumn[] {
  const columns = [...relationColumns(relation, ctx)];
  for (const other of others) {
    for (const { name, value } of relationColumns(other, ctx)) {
      const at = columns.findIndex(column => column.name === name);
      const mine = at < 0 ? undefined : columns[at];
      if (mine === undefined) columns.push({ name, value: { ...value, witness: null } });
      else columns[at] = { name, value: { ...either(mine.value, value), type: mine.value.type } };
    }
  }
  return columns;
}
