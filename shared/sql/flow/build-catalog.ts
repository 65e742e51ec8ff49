/** From the texts that the catalog queries return to a CatalogSnapshot. */
import { GatewayError } from '../../errors.ts';
import {
  type CatalogCast,
  type CatalogFunction,
  type CatalogOperator,
  type CatalogRelation,
  type CatalogSnapshot,
  type CatalogType,
  type FunctionKind,
  type RelationKind,
  relationKey,
} from './catalog.ts';
import type { CatalogQueryName } from './catalog-queries.ts';

type RelationRow = [
  number,
  string,
  string,
  RelationKind,
  number,
  [string, number, number, string | null, (string | null)?, boolean?][],
  number[],
  string | null,
  boolean,
  number[]?,
  boolean?,
];
type FunctionRow = [
  number,
  string,
  string,
  FunctionKind,
  number[],
  (string | null)[] | null,
  string[] | null,
  number[] | null,
  number,
  boolean,
  string,
  'i' | 's' | 'v',
  number,
  boolean,
  string | null,
  string | null,
  string | null,
  string | null,
  [number, string, string][],
  (string | null)?,
  ('v' | 'r' | null)?,
  (string | null)?,
];

/**
 * @param serverVersion server_version_num.
 * @param texts what each query of catalogQueries(serverVersion) returned.
 * @throws {GatewayError} SQL_CATALOG_INVALID when a text is not what the query returns.
 */
export function buildCatalog(serverVersion: number, texts: Readonly<Record<CatalogQueryName, string>>): CatalogSnapshot {
  try {
    return build(serverVersion, texts);
  } catch (cause) {
    throw new GatewayError('SQL_CATALOG_INVALID', 'internal', 'the system catalogs did not come back in the form that was asked for', {
      cause,
    });
  }
}

/**
 * The same texts with every definition that people wrote (views, generated columns, function bodies) changed by `change`; for who
 * hands a catalog on and must leave secrets behind.
 *
 * @throws {SyntaxError} for a text that is no JSON.
 */
export function changeDefinitions(
  texts: Readonly<Record<CatalogQueryName, string>>,
  change: (definition: string) => string,
): Record<CatalogQueryName, string> {
  const changed = (text: string | null): string | null => (text === null ? null : change(text));
  const relations = (JSON.parse(texts.relations) as RelationRow[]).map((row): RelationRow => {
    const [oid, schema, name, kind, type, columns, parents, definition, rules, triggers = []] = row;
    const generated = columns.map(([column, attnum, of, as, byDefault, ...more]): RelationRow[5][number] => [
      column,
      attnum,
      of,
      changed(as),
      changed(byDefault ?? null),
      ...more,
    ]);
    return [oid, schema, name, kind, type, generated, parents, changed(definition), rules, triggers, row[10] === true];
  });
  const functions = (JSON.parse(texts.functions) as FunctionRow[]).map((row): FunctionRow => {
    const copy: FunctionRow = [...row];
    copy[14] = changed(copy[14]);
    copy[15] = changed(copy[15]);
    copy[19] = changed(copy[19] ?? null);
    return copy;
  });
  return { ...texts, relations: JSON.stringify(relations), functions: JSON.stringify(functions) };
}

function build(serverVersion: number, texts: Readonly<Record<CatalogQueryName, string>>): CatalogSnapshot {
  const rows = <Row>(name: CatalogQueryName): Row[] => {
    const value: unknown = JSON.parse(texts[name]);
    if (!Array.isArray(value)) throw new TypeError(`${name} is no array`);
    return value as Row[];
  };

  const relations = new Map<number, CatalogRelation>();
  const relationsByName = new Map<string, CatalogRelation>();
  const children = new Map<number, number[]>();
  for (const row of rows<RelationRow>('relations')) {
    const [oid, schema, name, kind, rowType, columns, parents, definition, rules, triggers = [], rowSecurity = false] = row;
    const relation: CatalogRelation = {
      oid,
      schema,
      name,
      kind,
      rowType,
      columns: columns.map(([column, attnum, type, generated, byDefault, hasMissing = true]) => ({
        name: column,
        attnum,
        type,
        generated,
        default: byDefault ?? null,
        hasMissing,
      })),
      parents,
      definition,
      rules,
      triggers,
      rowSecurity,
    };
    relations.set(oid, relation);
    // A composite type has a row in pg_class, but FROM does not see it.
    if (kind !== 'c') relationsByName.set(relationKey(schema, name), relation);
    for (const parent of parents) append(children, parent, oid);
  }

  const functions = new Map<number, CatalogFunction>();
  const functionsByName = new Map<string, CatalogFunction[]>();
  for (const row of rows<FunctionRow>('functions')) {
    const entry = functionOf(row);
    functions.set(entry.oid, entry);
    append(functionsByName, relationKey(entry.schema, entry.name), entry);
  }

  const types = new Map<number, CatalogType>();
  const typesByName = new Map<string, CatalogType>();
  for (const [oid, schema, name, kind, element, base, relation, array] of rows<
    [number, string, string, string, number, number, number, number]
  >('types')) {
    const type: CatalogType = { oid, schema, name, kind, element, base, relation, array };
    types.set(oid, type);
    typesByName.set(relationKey(schema, name), type);
  }

  const systemColumns = new Map<string, readonly string[]>();
  const systemTypes = new Map<string, number>();
  for (const [name, names, type] of rows<[string, string[] | null, number]>('systemFunctions')) {
    if (names !== null) systemColumns.set(name, names);
    const kind = types.get(type)?.kind;
    if (kind !== undefined && kind !== 'p') systemTypes.set(name, type);
  }

  const operators = new Map<string, CatalogOperator[]>();
  for (const [schema, name, left, right, code] of rows<[string, string, number, number, number]>('operators')) {
    append(operators, name, { schema, name, left, right, function: code });
  }
  const casts = new Map<number, CatalogCast[]>();
  for (const [source, target, code] of rows<[number, number, number]>('casts')) append(casts, target, { source, target, function: code });

  return {
    serverVersion,
    ...schemasOf(JSON.parse(texts.schemas)),
    relations,
    relationsByName,
    children,
    functions,
    functionsByName,
    functionNames: new Set([...functions.values()].filter(({ schema }) => schema !== 'information_schema').map(({ name }) => name)),
    systemColumns,
    systemTypes,
    types,
    typesByName,
    operators,
    casts,
  };
}

/** A list of names is what was written before usage was asked for: then all are usable. */
function schemasOf(value: unknown): Pick<CatalogSnapshot, 'schemas' | 'usable' | 'user'> {
  if (Array.isArray(value)) return { schemas: new Set(value as string[]), usable: new Set(value as string[]), user: null };
  const { user, names, usable } = value as { user: string; names: string[]; usable: string[] };
  return { schemas: new Set(names), usable: new Set(usable), user };
}

function functionOf(row: FunctionRow): CatalogFunction {
  const [
    oid,
    schema,
    name,
    kind,
    args,
    names,
    modes,
    allTypes,
    defaults,
    variadic,
    language,
    volatility,
    returnType,
    returnsSet,
    body,
    sqlBody,
    searchPath,
    extension,
    parts,
    defaultValues = null,
    behind = null,
    definer = null,
  ] = row;
  const argumentNames: string[] = [];
  const columns: { name: string; type: number }[] = [];
  if (modes === null) for (let i = 0; i < args.length; i++) argumentNames.push(names?.[i] ?? '');
  else {
    for (const [i, mode] of modes.entries()) {
      if (mode === 'i' || mode === 'b' || mode === 'v') argumentNames.push(names?.[i] ?? '');
      if (mode === 'o' || mode === 'b' || mode === 't')
        columns.push({ name: names?.[i] ?? `column${columns.length + 1}`, type: allTypes?.[i] ?? 0 });
    }
  }
  return {
    oid,
    schema,
    name,
    kind,
    arguments: args,
    argumentNames,
    defaultValues,
    outputs: modes?.filter(mode => mode === 'o').length ?? 0,
    defaults,
    variadic,
    language,
    volatility,
    returnType,
    returnsSet,
    columns: columns.length > 0 ? columns : null,
    body,
    sqlBody,
    searchPath,
    extension,
    behind: behind === null ? null : behind === 'v' ? 'values' : 'rows',
    definer,
    parts: parts.map(([partOid, partSchema, partName]) => ({ oid: partOid, schema: partSchema, name: partName })),
  };
}

function append<Key, Item>(map: Map<Key, Item[]>, key: Key, item: Item): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [item]);
  else list.push(item);
}
