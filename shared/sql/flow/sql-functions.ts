/**
 * A function in SQL: its body is analysed with the arguments' labels, and its result carries what comes out. Bodies are looked
 * up in the snapshot, parsed each time, and opened a bounded number of times per statement.
 */
import type { Node } from 'libpg-query';
import { isTree, tagOf } from '../ast.ts';
import { parse } from '../parser.ts';
import { type CatalogFunction, compositeOf } from './catalog.ts';
import type { Context, OutputColumn, QueryOutput } from './context.ts';
import { EMPTY_ENV, type FromItem, within } from './scope.ts';
import { sessionInside } from './session.ts';
import { asComputed, computed, labelsOf, UNLABELLED, unionLabels, type Value } from './value.ts';

/** What a body may consist of to be followed. */
const STATEMENTS: ReadonlySet<string> = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']);

interface SqlCall {
  value: Value;
  columns: readonly OutputColumn[] | null;
  open: boolean;
}

export function analyseSqlFunction(fn: CatalogFunction, args: readonly Value[], ctx: Context): SqlCall {
  const title = `${fn.schema}.${fn.name}()`;
  const everything = computed(labelsOf(args), fn.returnType);
  if (ctx.found.bodiesLeft-- <= 0) {
    ctx.unknown('too-deep', 'too many functions call each other');
    return { value: everything, columns: null, open: true };
  }
  const place = fn.sqlBody !== null ? { searchPath: [] } : sessionInside(fn, ctx.searchPath, ctx.session);
  const inner = ctx.deeper({ ...place, parameters: args });
  const statements = inner === undefined ? undefined : bodyOf(fn);
  if (inner === undefined || statements === undefined) {
    ctx.unknown('function-opaque', `the body of ${title} cannot be read`);
    return { value: everything, columns: null, open: true };
  }
  // Names of arguments give way to columns, so they stand outermost; f.argument works as well.
  const named: OutputColumn[] = [];
  for (const [i, name] of fn.argumentNames.entries()) if (name !== '') named.push({ name, value: asComputed(args[i] ?? UNLABELLED) });
  const item: FromItem = {
    name: fn.name,
    schema: null,
    columns: named,
    rest: null,
    qualified: true,
    bare: true,
    system: false,
    rowType: 0,
  };
  const env = within(EMPTY_ENV, [item]);
  let output: QueryOutput | null = null;
  for (const statement of statements) {
    // SET in a body would change the session, and definitions the catalog, behind the caller's back.
    if (!STATEMENTS.has(tagOf(statement))) ctx.unknown('function-opaque', `${title} runs more than queries`);
    output = inner.engine.statement(statement, env, inner);
  }
  const result = shape(fn, output, ctx);
  ctx.found.functionReads = unionLabels(ctx.found.functionReads, result.value.labels);
  return result;
}

function shape(fn: CatalogFunction, output: QueryOutput | null, ctx: Context): SqlCall {
  if (output === null)
    return { value: UNLABELLED, columns: fn.columns?.map(column => ({ name: column.name, value: UNLABELLED })) ?? null, open: false };
  const values = output.columns.map(column => asComputed(column.value));
  const all = computed(unionLabels(labelsOf(values), output.rest ?? new Set()), fn.returnType);
  const relation = compositeOf(ctx.catalog, fn.returnType);
  const names =
    fn.columns !== null && (fn.columns.length > 1 || fn.returnsSet)
      ? fn.columns.map(column => column.name)
      : relation?.columns.map(column => column.name);
  if (names !== undefined) {
    // SELECT row FROM … returns the row as one column.
    const single = values.length === 1 && names.length > 1 ? (values[0]?.fields ?? null) : null;
    const columns = names.map((name, i) => ({
      name,
      value: single === null ? (values.length === names.length ? (values[i] ?? all) : all) : asComputed(single[i]?.value ?? all),
    }));
    return { value: { ...all, fields: columns }, columns, open: output.rest !== null };
  }
  const type = ctx.catalog.types.get(fn.returnType);
  if (type?.name === 'record') return { value: { ...all, fields: output.columns }, columns: output.columns, open: output.rest !== null };
  const first = values[0];
  return {
    value: first === undefined ? all : { ...first, labels: all.labels, type: fn.returnType, witness: null, plains: null },
    columns: null,
    open: false,
  };
}

/** The statements of the body; undefined when it does not parse. */
export function bodyOf(fn: CatalogFunction): readonly Node[] | undefined {
  if (fn.statements !== undefined) return fn.statements;
  if (fn.sqlBody !== null) {
    const outcome = parse(Buffer.from(`CREATE FUNCTION f() RETURNS int LANGUAGE sql ${fn.sqlBody}`));
    const statement = outcome.ok ? outcome.statements[0]?.node : undefined;
    if (statement === undefined || !('CreateFunctionStmt' in statement)) return undefined;
    return flattenBody(statement.CreateFunctionStmt.sql_body);
  }
  if (fn.body === null) return undefined;
  const outcome = parse(Buffer.from(fn.body));
  return outcome.ok ? outcome.statements.map(statement => statement.node) : undefined;
}

/** sql_body is a RETURN, or lists of lists of statements. */
export function flattenBody(body: unknown): Node[] | undefined {
  if (!isTree(body)) return undefined;
  if (isTree(body.ReturnStmt)) {
    const value = body.ReturnStmt.returnval;
    return isTree(value)
      ? [
          {
            SelectStmt: {
              targetList: [{ ResTarget: { val: value as unknown as Node } }],
              op: 'SETOP_NONE',
              limitOption: 'LIMIT_OPTION_DEFAULT',
            },
          },
        ]
      : undefined;
  }
  if (isTree(body.List)) {
    const statements: Node[] = [];
    for (const item of Array.isArray(body.List.items) ? body.List.items : []) {
      const inner = flattenBody(item);
      if (inner === undefined) return undefined;
      statements.push(...inner);
    }
    return statements;
  }
  return [body as unknown as Node];
}
