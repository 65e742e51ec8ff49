/** What a column reference means: `column`, `table.column`, `schema.table.column`, a whole row, or a function in disguise. */
import type { ColumnRef } from 'libpg-query';
import { nameParts } from '../ast.ts';
import { compositeOf } from './catalog.ts';
import type { Context, OutputColumn } from './context.ts';
import { callByName } from './functions.ts';
import { type Env, type FromItem, type Lookup, type Scope, SYSTEM_COLUMNS } from './scope.ts';
import { computed, either, type Field, labelsOf, NO_LABELS, UNLABELLED, unionLabels, type Value } from './value.ts';

/** @returns the value; when the name is not found, one without labels, and an unknown in `ctx`. */
export function columnReference(ref: ColumnRef, env: Env, ctx: Context): Value {
  const parts = nameParts(ref.fields);
  const value = resolve(parts, env, ctx);
  read(value, ctx);
  return value;
}

/** `*`, `t.*`, `schema.t.*` */
export function isStar(ref: ColumnRef): boolean {
  return ref.fields?.some(field => 'A_Star' in field) === true;
}

/** `t.*` as a value: the whole row of a FROM item. */
export function rowReference(ref: ColumnRef, env: Env, ctx: Context): Value {
  const parts = nameParts(ref.fields);
  const item = findItem(parts, env);
  if (item === undefined) {
    ctx.unknown(parts.length === 0 ? 'unsupported' : 'column-missing', `${[...parts, '*'].join('.')} is not known`);
    return UNLABELLED;
  }
  const value = wholeRow(item);
  read(value, ctx);
  for (const column of item.columns) read(column.value, ctx);
  return value;
}

/** The FROM item that `t`, `schema.t` or `database.schema.t` names. */
export function findItem(parts: readonly string[], env: Env): FromItem | undefined {
  const name = parts.at(-1);
  const schema = parts.length > 1 ? (parts[parts.length - 2] ?? '') : null;
  for (let scope = env.names; scope !== null; scope = scope.outer) {
    const item = scope.items.find(
      candidate => candidate.qualified && candidate.name === name && (schema === null || candidate.schema === schema),
    );
    if (item !== undefined) return item;
  }
  return undefined;
}

/** Notes that a value of a table was read. */
export function read(value: Value, ctx: Context): void {
  ctx.found.touch(value.labels);
  if (ctx.inside) return;
  for (const origin of value.plains ?? []) ctx.found.reads.add(`${origin.schema}.${origin.table}.${origin.column}`);
  if (value.plains === null && value.witness !== null) {
    // A view's or generated column that is computed.
    const { relation: oid, attnum } = value.witness;
    const relation = ctx.catalog.relations.get(oid);
    const column = relation?.columns.find(candidate => candidate.attnum === attnum);
    if (relation !== undefined && column !== undefined) ctx.found.reads.add(`${relation.schema}.${relation.name}.${column.name}`);
  }
}

function resolve(parts: readonly string[], env: Env, ctx: Context): Value {
  const [first = '', second = '', third = ''] = parts;
  if (parts.length === 1) return bare(first, env, ctx);
  // database.schema.table.column: the database can only be this one.
  const [schema, table, column] =
    parts.length === 4 ? [second, third, parts[3] ?? ''] : parts.length === 3 ? [first, second, third] : [null, first, second];
  for (let scope = env.names; scope !== null; scope = scope.outer) {
    const items = scope.items.filter(item => item.qualified && item.name === table && (schema === null || item.schema === schema));
    const item = items[0];
    if (item === undefined) continue;
    if (items.length > 1) return ambiguous(parts, items, ctx);
    return fieldOfItem(item, column, parts, ctx);
  }
  return missing(parts, ctx);
}

function fieldOfItem(item: FromItem, column: string, parts: readonly string[], ctx: Context): Value {
  const matches = item.columns.filter(candidate => candidate.name === column);
  const [match] = matches;
  if (match !== undefined) return matches.length === 1 ? match.value : ambiguous(parts, [item], ctx);
  if (item.rest !== null) return computed(item.rest);
  if (item.system && SYSTEM_COLUMNS.has(column)) return UNLABELLED;
  // table.f is f(table) when there is such a function; when there is not, the server says that the column does not exist.
  const row = wholeRow(item);
  const called = callByName([column], [row], ctx);
  if (called !== undefined) return called;
  return missing(parts, ctx);
}

function bare(name: string, env: Env, ctx: Context): Value {
  let open: Value | undefined; // what an item whose columns are not known may hold under this name
  for (let scope = env.names; scope !== null; scope = scope.outer) {
    const lookup = inScope(name, scope);
    if (lookup.found === 'value') return open === undefined ? lookup.value : either(lookup.value, open);
    if (lookup.found === 'ambiguous') return ambiguous([name], scope.items, ctx);
    for (const item of scope.items)
      if (item.bare && item.rest !== null) open = open === undefined ? computed(item.rest) : computed(unionLabels(open.labels, item.rest));
    if (lookup.found === 'system') return UNLABELLED;
  }
  // No column: a table's name stands for its whole row.
  for (let scope = env.names; scope !== null; scope = scope.outer) {
    const item = scope.items.find(candidate => candidate.qualified && candidate.name === name);
    if (item !== undefined) {
      for (const column of item.columns) read(column.value, ctx);
      return open === undefined ? wholeRow(item) : either(wholeRow(item), open);
    }
  }
  return open ?? missing([name], ctx);
}

function inScope(name: string, scope: Scope): Lookup {
  let found: Value | undefined;
  let count = 0;
  let system = false;
  for (const item of scope.items) {
    if (!item.bare) continue;
    for (const column of item.columns) {
      if (column.name === name) {
        count++;
        found ??= column.value;
      }
    }
    if (item.system && SYSTEM_COLUMNS.has(name)) system = true;
  }
  if (count > 1) return { found: 'ambiguous' };
  if (found !== undefined) return { found: 'value', value: found };
  return system ? { found: 'system' } : { found: 'none' };
}

/** The row of a FROM item as one value. */
export function wholeRow(item: FromItem): Value {
  // A function that returns one scalar: its name is that scalar.
  const only = item.columns[0];
  if (item.columns.length === 1 && only !== undefined && item.rowType === -1) return only.value;
  const fields: Field[] = item.columns.map(column => ({ name: column.name, value: column.value }));
  return {
    labels: unionLabels(labelsOf(item.columns.map(column => column.value)), item.rest ?? NO_LABELS),
    plains: null,
    witness: null,
    type: Math.max(item.rowType, 0),
    fields: item.rest === null ? fields : null,
    constant: false,
  };
}

/** A field of a row value: `(expression).name`. */
export function fieldOf(value: Value, name: string, ctx: Context): Value {
  if (value.fields !== null) {
    const field = value.fields.find(candidate => candidate.name === name);
    if (field !== undefined) {
      read(field.value, ctx);
      return field.value;
    }
  }
  const relation = compositeOf(ctx.catalog, value.type);
  const column = relation?.columns.find(candidate => candidate.name === name);
  if (column !== undefined) return computed(value.labels, column.type);
  const called = callByName([name], [value], ctx);
  if (called !== undefined) return called;
  // A row of known columns has none of this name: it is a function that is not known yet, or nothing.
  if (relation !== undefined) ctx.unknown('column-missing', `column ${relation.name}.${name} is not known`);
  return computed(value.labels);
}

/** Every field of a row value: `(expression).*`; undefined when its type is not known. */
export function fieldsOfRow(value: Value, ctx: Context): OutputColumn[] | undefined {
  if (value.fields !== null) return value.fields.map(field => ({ name: field.name, value: field.value }));
  const relation = compositeOf(ctx.catalog, value.type);
  return relation?.columns.map(column => ({ name: column.name, value: computed(value.labels, column.type) }));
}

function missing(parts: readonly string[], ctx: Context): Value {
  ctx.unknown('column-missing', `column ${parts.join('.')} is not known`);
  return UNLABELLED;
}

function ambiguous(parts: readonly string[], items: readonly FromItem[], ctx: Context): Value {
  ctx.unknown('column-missing', `column ${parts.join('.')} is ambiguous`);
  const name = parts.at(-1) ?? '';
  return computed(labelsOf(items.flatMap(item => item.columns.filter(column => column.name === name).map(column => column.value))));
}
