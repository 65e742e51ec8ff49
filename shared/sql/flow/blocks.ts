/**
 * DO blocks: harmless when they only run queries that are (harmless.ts), and definitions that touch nothing protected and give no
 * name another meaning that something else in the block uses. Migrations are full of those: `CREATE TYPE` unless there is one,
 * `ADD CONSTRAINT` and an exception handler.
 *
 * A block loops, branches and catches errors, so that the order in its text says nothing, and whether a definition worked is told
 * to the rest of it: a definition that could fail by a protected value is not for a block.
 */
import type { Node } from 'libpg-query';
import { isTree, nameParts, type Tree, tagOf } from '../ast.ts';
import type { CatalogRelation } from './catalog.ts';
import { catalogChange, changesCatalog, isIndependentOf, namesTemporary } from './catalog-changes.ts';
import { type Context, Found } from './context.ts';
import { isHarmlessBody } from './harmless.ts';
import { isProtected, relationColumns, resolveRelation } from './relations.ts';
import { EMPTY_ENV } from './scope.ts';

/** What a block may define. */
const DEFINITIONS: ReadonlySet<string> = new Set([
  'AlterDefaultPrivilegesStmt',
  'AlterEnumStmt',
  'AlterOwnerStmt',
  'AlterRoleStmt',
  'AlterSeqStmt',
  'AlterTableStmt',
  'CommentStmt',
  'CompositeTypeStmt',
  'CreateDomainStmt',
  'CreateEnumStmt',
  'CreateExtensionStmt',
  'CreatePolicyStmt',
  'CreateRoleStmt',
  'CreateSchemaStmt',
  'CreateSeqStmt',
  'CreateStmt',
  'CreateTrigStmt',
  'DropStmt',
  'GrantRoleStmt',
  'GrantStmt',
  'IndexStmt',
  'RenameStmt',
]);

/** They change what columns a table has, and no name but those. */
const OF_COLUMNS: ReadonlySet<string> = new Set(['AlterTableStmt', 'CreateStmt']);
const CHANGES_OF_COLUMNS: ReadonlySet<string> = new Set([
  'AT_AddColumn',
  'AT_AddConstraint',
  'AT_ColumnDefault',
  'AT_DropColumn',
  'AT_DropConstraint',
  'AT_DropNotNull',
  'AT_EnableRowSecurity',
  'AT_SetNotNull',
  'AT_ValidateConstraint',
]);

interface Definition {
  node: Node;
  names: readonly string[];
  drops: boolean;
  made: CatalogRelation | undefined;
}

/** Finds out whether the block is harmless, and what it changes; anything else is an unknown of `ctx`. */
export function doBlock(args: readonly Node[], ctx: Context): void {
  let language = 'plpgsql';
  let body: string | undefined;
  for (const arg of args) {
    if (!('DefElem' in arg)) continue;
    const value = arg.DefElem.arg;
    const text = value !== undefined && 'String' in value ? value.String.sval : undefined;
    if (arg.DefElem.defname === 'language') language = (text ?? '').toLowerCase();
    if (arg.DefElem.defname === 'as') body = text;
  }
  const definitions: Definition[] = [];
  const queries: Node[] = [];
  const made = new Map(ctx.session.temporary);
  const isKnown =
    language === 'plpgsql' &&
    body !== undefined &&
    isHarmlessBody(body, ctx, undefined, node => {
      if (!DEFINITIONS.has(tagOf(node))) {
        queries.push(node);
        return undefined;
      }
      const definition = harmlessDefinition(node, ctx, made);
      if (definition === undefined) return false;
      if (definition.made !== undefined) made.set(definition.made.name, definition.made);
      definitions.push(definition);
      return true;
    });
  if (!isKnown || definitions.some(definition => conflicts(definition, definitions, queries, ctx))) {
    ctx.unknown('dynamic-sql', 'a DO block that could read anything');
    return;
  }
  if (definitions.length > 0)
    ctx.found.blockChange = {
      names: definitions.flatMap(({ names }) => names),
      temporary: definitions.some(({ node }) => namesTemporary(node)),
      drops: definitions.some(({ drops }) => drops),
    };
}

/**
 * A definition that can neither fail nor work by a protected value; undefined for others.
 *
 * @param made tables that the block has made above it, besides the session's.
 */
function harmlessDefinition(node: Node, ctx: Context, made: ReadonlyMap<string, CatalogRelation>): Definition | undefined {
  const found = new Found();
  const inner = ctx.deeper({ found, session: { ...ctx.session, temporary: made } });
  if (inner === undefined) return undefined;
  inner.engine.statement(node, EMPTY_ENV, inner);
  const { sinks, unknowns, inferences, touched, functionReads, effects, effectCalls } = found;
  if (sinks.length + unknowns.size + inferences.size + touched.size + functionReads.size + effects.length + effectCalls > 0)
    return undefined;
  if (!namesNothingProtected(node, inner)) return undefined;
  for (const name of found.runsBehind) ctx.found.runsBehind.add(name);
  const change = changesCatalog(node) ? catalogChange(node, NOTHING_FOUND, ctx.session, found) : undefined;
  const table = change?.made;
  return {
    node,
    names: [...(change?.names ?? []), ...(table === undefined ? [] : [table.name])],
    drops: change?.drops === true,
    made: table,
  };
}

const NOTHING_FOUND: Parameters<typeof catalogChange>[1] = {
  columns: null,
  complete: true,
  restLabels: new Set(),
  sinks: [],
  inferences: [],
  reads: [],
  touched: new Set(),
  ownRows: false,
  rewrites: [],
  unknown: [],
  effects: [],
  literalSensitive: false,
  changesCatalog: true,
  created: undefined,
  called: null,
  functions: [],
};

/** Tables with protected columns may be referred to by a foreign key, when that is of columns which are none. */
function namesNothingProtected(value: unknown, ctx: Context): boolean {
  if (Array.isArray(value)) return value.every(item => namesNothingProtected(item, ctx));
  if (!isTree(value)) return true;
  if (typeof value.relname === 'string') {
    const resolved = resolveRelation(typeof value.schemaname === 'string' ? value.schemaname : undefined, value.relname, ctx);
    if (resolved.found && [resolved.relation, ...resolved.others].some(relation => isProtected(relation, ctx))) return false;
  }
  const { pktable, ...others } = value;
  if (isTree(pktable) && !refersToNothingProtected(pktable, value.pk_attrs, ctx)) return false;
  return Object.values(isTree(pktable) ? others : value).every(item => namesNothingProtected(item, ctx));
}

function refersToNothingProtected(table: Tree, attributes: unknown, ctx: Context): boolean {
  const resolved = resolveRelation(typeof table.schemaname === 'string' ? table.schemaname : undefined, String(table.relname), ctx);
  if (!resolved.found) return true;
  const names = new Set(nameParts(Array.isArray(attributes) ? (attributes as Node[]) : []));
  return [resolved.relation, ...resolved.others].every(
    relation =>
      !isProtected(relation, ctx) ||
      (names.size > 0 && relationColumns(relation, ctx).every(({ name, value }) => !names.has(name) || value.labels.size === 0)),
  );
}

/** Does something else in the block use a name that this one changes? */
function conflicts(definition: Definition, definitions: readonly Definition[], queries: readonly Node[], ctx: Context): boolean {
  const { names, drops } = definition;
  if (drops && queries.some(query => !readsSystemOnly(query, ctx))) return true;
  if (queries.some(query => !isIndependentOf(query, names))) return true;
  return definitions.some(
    other => other !== definition && !isIndependentOf(other.node, names) && !(isOfColumns(definition.node) && isOfColumns(other.node)),
  );
}

function isOfColumns(node: Node): boolean {
  if (tagOf(node) === 'IndexStmt') return true;
  if (!OF_COLUMNS.has(tagOf(node)) || JSON.stringify(node).includes('"CONSTR_GENERATED"')) return false;
  if (!('AlterTableStmt' in node)) return true;
  return (node.AlterTableStmt.cmds ?? []).every(
    command =>
      'AlterTableCmd' in command &&
      CHANGES_OF_COLUMNS.has(command.AlterTableCmd.subtype ?? 'AT_AddColumn') &&
      command.AlterTableCmd.behavior !== 'DROP_CASCADE',
  );
}

/** `IF EXISTS (SELECT … FROM pg_type …)`: no table of the search path comes before those of pg_catalog. */
function readsSystemOnly(value: unknown, ctx: Context): boolean {
  if (Array.isArray(value)) return value.every(item => readsSystemOnly(item, ctx));
  if (!isTree(value)) return true;
  if (typeof value.relname === 'string') {
    if (value.schemaname !== undefined) return value.schemaname === 'pg_catalog' || value.schemaname === 'information_schema';
    const resolved = resolveRelation(undefined, value.relname, ctx);
    return resolved.found && resolved.relation.schema === 'pg_catalog';
  }
  return Object.values(value).every(item => readsSystemOnly(item, ctx));
}
