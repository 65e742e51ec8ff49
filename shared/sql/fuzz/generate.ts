/**
 * Random queries over a schema, for tests that compare what flow analysis says with what a real server returns. The same seed
 * gives the same queries. Nearly all of them run; some fail at run time (a cast, a division), which is part of the test.
 *
 * Queries are composed from everything that moves values about: subqueries, CTEs, set operations, joins of all kinds, whole
 * rows, JSON, aggregates, windows, LATERAL, functions in FROM. They change nothing.
 */
import type { Random } from './random.ts';

export type ColumnType = 'int' | 'text' | 'json' | 'texts';

export interface FuzzColumn {
  name: string;
  type: ColumnType;
}

export interface FuzzTable {
  /** As it is written in FROM, quoted where it must be. */
  name: string;
  columns: readonly FuzzColumn[];
}

export interface FuzzSchema {
  tables: readonly FuzzTable[];
}

/** Something in FROM, or a CTE. */
interface Source {
  alias: string;
  columns: readonly FuzzColumn[];
}

interface Query {
  sql: string;
  columns: readonly FuzzColumn[];
}

const DEPTH_MAX = 4;

/** @returns one query without a closing semicolon. */
export function generateQuery(schema: FuzzSchema, random: Random): string {
  return new Generator(schema, random).query(0, [], undefined).sql;
}

class Generator {
  private readonly schema: FuzzSchema;
  private readonly random: Random;
  private names = 0;

  constructor(schema: FuzzSchema, random: Random) {
    this.schema = schema;
    this.random = random;
  }

  /** @param types the result's columns, when someone else decides. */
  query(depth: number, outer: readonly Source[], types: readonly ColumnType[] | undefined, ctes: readonly Source[] = []): Query {
    const { random } = this;
    if (depth < DEPTH_MAX && random.once(6)) return this.withCtes(depth, outer, types, ctes);
    if (depth < DEPTH_MAX && random.once(8)) return this.setOperation(depth, outer, types, ctes);
    if (random.once(25)) return this.values(types ?? this.someTypes());
    return this.select(depth, outer, types, ctes);
  }

  private name(prefix: string): string {
    this.names++;
    return this.random.once(12) ? `"${prefix.toUpperCase()} ${this.names}"` : `${prefix}${this.names}`;
  }

  private someTypes(): ColumnType[] {
    const types: ColumnType[] = [];
    for (let n = 1 + this.random.below(4); n > 0; n--) types.push(this.random.pick(['int', 'text', 'text', 'text', 'json'] as const));
    return types;
  }

  private values(types: readonly ColumnType[]): Query {
    const rows: string[] = [];
    for (let n = 1 + this.random.below(2); n > 0; n--) rows.push(`(${types.map(type => this.literal(type)).join(', ')})`);
    return { sql: `values ${rows.join(', ')}`, columns: types.map((type, i) => ({ name: `column${i + 1}`, type })) };
  }

  private withCtes(depth: number, outer: readonly Source[], types: readonly ColumnType[] | undefined, ctes: readonly Source[]): Query {
    const parts: string[] = [];
    const known = [...ctes];
    const recursive = this.random.once(3);
    for (let n = 1 + this.random.below(2); n > 0; n--) {
      const alias = this.name('w');
      const body = this.query(depth + 2, outer, undefined, known);
      const columns = body.columns.map(column => ({ name: this.name('k'), type: column.type }));
      let sql = body.sql;
      if (recursive && this.random.once(2)) {
        const list = columns
          .map(column => (column.type === 'int' ? `${column.name} + 1` : column.type === 'text' ? `${column.name} || ''` : column.name))
          .join(', ');
        const steps = this.name('n');
        sql = `select q.*, 1 from (${body.sql}) q union all select ${list}, ${steps} + 1 from ${alias} where ${steps} < 3`;
        columns.push({ name: steps, type: 'int' });
      }
      parts.push(
        `${alias} (${columns.map(column => column.name).join(', ')}) as ${this.random.pick(['', '', 'materialized ', 'not materialized '])}(${sql})`,
      );
      known.push({ alias, columns });
    }
    const main = this.select(depth + 1, outer, types, known);
    return { sql: `with ${recursive ? 'recursive ' : ''}${parts.join(', ')} ${main.sql}`, columns: main.columns };
  }

  private setOperation(depth: number, outer: readonly Source[], types: readonly ColumnType[] | undefined, ctes: readonly Source[]): Query {
    // json has no equality, so only UNION ALL takes it.
    const wanted = types ?? this.someTypes();
    const operator = wanted.includes('json')
      ? 'union all'
      : this.random.pick(['union all', 'union all', 'union', 'except', 'intersect', 'except all']);
    const left = this.select(depth + 1, outer, wanted, ctes, true);
    const right = this.select(depth + 1, outer, wanted, ctes, true);
    return { sql: `(${left.sql}) ${operator} (${right.sql})`, columns: left.columns };
  }

  private select(
    depth: number,
    outer: readonly Source[],
    types: readonly ColumnType[] | undefined,
    ctes: readonly Source[],
    plain = false,
  ): Query {
    const { random } = this;
    const from = this.from(depth, outer, ctes);
    const scope = [...from.sources, ...outer];
    if (types === undefined && !plain && random.once(8)) {
      const star = random.once(2) || from.sources.length === 0;
      const source = from.sources[random.below(from.sources.length)];
      const columns = star ? from.shown : (source?.columns ?? []);
      const distinctNames = new Set(columns.map(column => column.name)).size === columns.length;
      if (distinctNames && columns.length > 0) {
        return {
          sql: `select ${star ? '*' : `${source?.alias}.*`} from ${from.sql}${this.where(depth, scope, ctes)}${random.once(4) ? ` limit ${1 + random.below(5)}` : ''}`,
          columns,
        };
      }
    }
    const wanted = types ?? this.someTypes();
    const columns = wanted.map((type): FuzzColumn => ({ name: this.name('c'), type }));
    const grouped = depth < DEPTH_MAX && random.once(6);
    const windowed = !grouped && random.once(10);
    const keys = grouped ? this.groupKeys(from.sources) : [];
    const list = columns.map(column => {
      let expression: string;
      if (grouped) expression = this.aggregated(column.type, keys, depth, scope, ctes);
      else if (windowed && column.type !== 'texts') expression = this.windowed(column.type, depth, scope, ctes);
      else expression = this.expression(column.type, depth, scope, ctes);
      return `${expression} as ${column.name}`;
    });
    const tail: string[] = [];
    if (grouped && keys.length > 0)
      tail.push(
        ` group by ${random.once(6) ? `grouping sets ((${keys.map(key => key.sql).join(', ')}), ())` : keys.map(key => key.sql).join(', ')}`,
      );
    if (grouped && random.once(4)) tail.push(' having count(*) > 0');
    const distinct = !grouped && !wanted.includes('json') && random.once(12);
    if (!distinct && !wanted.includes('json') && random.once(6)) tail.push(` order by ${1 + random.below(columns.length)}`);
    if (random.once(5)) tail.push(` limit ${1 + random.below(6)}`);
    return {
      sql: `select ${distinct ? 'distinct ' : ''}${list.join(', ')} from ${from.sql}${this.where(depth, scope, ctes)}${tail.join('')}`,
      columns,
    };
  }

  private where(depth: number, scope: readonly Source[], ctes: readonly Source[]): string {
    return this.random.once(2) ? '' : ` where ${this.condition(depth + 1, scope, ctes)}`;
  }

  private from(
    depth: number,
    outer: readonly Source[],
    ctes: readonly Source[],
  ): { sql: string; sources: Source[]; shown: readonly FuzzColumn[] } {
    const { random } = this;
    const first = this.item(depth, outer, [], ctes);
    let { sql } = first;
    const sources = [first.source];
    let shown = [...first.source.columns];
    for (let n = random.pick([0, 0, 0, 1, 1, 2]); n > 0; n--) {
      const next = this.item(depth, outer, sources, ctes);
      const shared = shown.filter(a => next.source.columns.some(b => b.name === a.name && b.type === a.type && a.type !== 'json'));
      const unique = (name: string): boolean => shown.filter(column => column.name === name).length === 1;
      const using = shared.find(column => unique(column.name));
      const kind = random.pick(['join', 'left join', 'join', 'full join', 'right join', 'cross join', ',']);
      if (next.lateral && (kind === 'full join' || kind === 'right join')) sql += `, ${next.sql}`;
      else if (kind === ',' || kind === 'cross join') sql += kind === ',' ? `, ${next.sql}` : ` cross join ${next.sql}`;
      else if (using !== undefined && random.once(2) && !sql.includes(', ')) {
        sql += ` ${kind} ${next.sql} using (${using.name})`;
        shown = [
          using,
          ...shown.filter(column => column.name !== using.name),
          ...next.source.columns.filter(column => column.name !== using.name),
        ];
        sources.push(next.source);
        continue;
      } else
        sql += ` ${kind} ${next.sql} on ${kind === 'full join' ? 'true' : this.random.once(2) ? 'true' : this.condition(depth + 2, sql.includes(', ') ? [next.source] : [next.source, ...sources], ctes)}`;
      sources.push(next.source);
      shown = [...shown, ...next.source.columns];
    }
    return { sql, sources, shown };
  }

  private item(
    depth: number,
    outer: readonly Source[],
    left: readonly Source[],
    ctes: readonly Source[],
  ): { sql: string; source: Source; lateral: boolean } {
    const { random } = this;
    const alias = this.name('t');
    const cte = ctes.length > 0 && random.once(2) ? random.pick(ctes) : undefined;
    if (cte !== undefined) return { sql: `${cte.alias} ${alias}`, source: { alias, columns: cte.columns }, lateral: false };
    if (depth < DEPTH_MAX && random.once(3)) {
      const lateral = random.once(3);
      const body = this.query(depth + 1, lateral ? [...left, ...outer] : outer, undefined, ctes);
      const renamed = random.once(2);
      const columns = renamed ? body.columns.map(column => ({ name: this.name('r'), type: column.type })) : body.columns;
      return {
        sql: `${lateral ? 'lateral ' : ''}(${body.sql}) as ${alias}${renamed ? ` (${columns.map(column => column.name).join(', ')})` : ''}`,
        source: { alias, columns },
        lateral,
      };
    }
    if (random.once(8)) {
      const scope = [...left, ...outer];
      const text = this.expression('text', DEPTH_MAX, scope, ctes);
      const made = random.pick([
        { sql: `generate_series(1, 2) as ${alias} (g)`, columns: [{ name: 'g', type: 'int' as const }] },
        { sql: `unnest(string_to_array(${text}, '@')) as ${alias} (u)`, columns: [{ name: 'u', type: 'text' as const }] },
        {
          sql: `json_each_text(json_build_object('k', ${text})) as ${alias}`,
          columns: [
            { name: 'key', type: 'text' as const },
            { name: 'value', type: 'text' as const },
          ],
        },
        { sql: `regexp_split_to_table(${text}, 'a') with ordinality as ${alias} (s, o)`, columns: [{ name: 's', type: 'text' as const }] },
        {
          sql: `json_to_record(json_build_object('a', ${text})) as ${alias} (a text, b int)`,
          columns: [
            { name: 'a', type: 'text' as const },
            { name: 'b', type: 'int' as const },
          ],
        },
      ]);
      return { sql: made.sql, source: { alias, columns: made.columns }, lateral: true };
    }
    const table = random.pick(this.schema.tables);
    return { sql: `${table.name} ${random.once(2) ? 'as ' : ''}${alias}`, source: { alias, columns: table.columns }, lateral: false };
  }

  private columnOf(type: ColumnType, scope: readonly Source[]): string | undefined {
    const found = scope.flatMap(source =>
      source.columns.filter(column => column.type === type).map(column => `${source.alias}.${column.name}`),
    );
    return found.length === 0 ? undefined : this.random.pick(found);
  }

  private literal(type: ColumnType): string {
    switch (type) {
      case 'int':
        return String(this.random.below(10));
      case 'text':
        return this.random.pick(["'x'::text", "'a@b'::text", "''::text", "'%'::text", '$$q$$::text', 'null::text']);
      case 'json':
        return '\'{"a": 1}\'::json';
      case 'texts':
        return "array['x', 'y']";
      default:
        return type satisfies never;
    }
  }

  private expression(type: ColumnType, depth: number, scope: readonly Source[], ctes: readonly Source[]): string {
    const { random } = this;
    const column = this.columnOf(type, scope);
    if (column !== undefined && random.once(2)) return column;
    if (depth >= DEPTH_MAX) return column ?? this.literal(type);
    const next = (wanted: ColumnType): string => this.expression(wanted, depth + 1, scope, ctes);
    const row = scope.length === 0 ? "row(1, 'x')" : random.pick(scope).alias;
    switch (type) {
      case 'int':
        return random.pick([
          () => `length(${next('text')})`,
          () => `(${next('int')} + ${next('int')})`,
          () => `coalesce(${next('int')}, 0)`,
          () => `case when ${this.condition(depth + 1, scope, ctes)} then 1 else ${next('int')} end`,
          () => `ascii(${next('text')})`,
          () => `position('a' in ${next('text')})`,
          () => `(select ${this.subquery('int', depth, scope, ctes)})`,
          () => `greatest(${next('int')}, ${next('int')})`,
          () => this.literal('int'),
        ])();
      case 'text':
        return random.pick([
          () => `upper(${next('text')})`,
          () => `(${next('text')} || ${next('text')})`,
          () => `substr(${next('text')}, 1, 40)`,
          () => `coalesce(${next('text')}, ${next('text')})`,
          () => `case when ${this.condition(depth + 1, scope, ctes)} then ${next('text')} else ${next('text')} end`,
          () => `case ${next('text')} when 'x' then 'y' else ${next('text')} end`,
          () => `${next('int')}::text`,
          () => `(${next('json')})::text`,
          () => `(${next('json')} ->> 'a')`,
          () => `format('%s/%s', ${next('text')}, ${next('int')})`,
          () => `(${row})::text`,
          () => `concat(${row}, ${next('text')})`,
          () => `(select ${this.subquery('text', depth, scope, ctes)})`,
          () => `(array[${next('text')}, ${next('text')}])[1]`,
          () => `array_to_string(array(select ${this.subquery('text', depth, scope, ctes)}), ',')`,
          () => `nullif(${next('text')}, 'zz')`,
          () => `replace(${next('text')}, 'q', 'r')`,
          () => `(row(${next('text')}, 1)).f1::text`,
          () => `encode(convert_to(${next('text')}, 'UTF8'), 'escape')`,
          () => `(${next('text')} collate "C")`,
          () => `cast(${next('text')} as varchar(200))`,
          () => `xmlserialize(content xmlelement(name a, ${next('text')}) as text)`,
          () => this.literal('text'),
        ])();
      case 'json':
        return random.pick([
          () => `to_json(${row})`,
          () => `row_to_json(${row})`,
          () => `json_build_object('a', ${next('text')}, 'b', ${next('int')})`,
          () => `json_build_array(${next('text')}, ${next('int')})`,
          () => `to_json(${next('text')})`,
          () => `(select json_agg(z) from (select ${this.subquery('text', depth, scope, ctes)}) z)`,
          () => `(${next('json')} -> 'a')`,
          () => this.literal('json'),
        ])();
      case 'texts':
        return `array[${next('text')}]`;
      default:
        return type satisfies never;
    }
  }

  /** Behind SELECT, of one column and at most one row. */
  private subquery(type: ColumnType, depth: number, outer: readonly Source[], ctes: readonly Source[]): string {
    const from = this.from(depth + 2, outer, ctes);
    const scope = [...from.sources, ...outer];
    return `${this.expression(type, depth + 2, scope, ctes)} from ${from.sql}${this.where(depth + 2, scope, ctes)} limit 1`;
  }

  private condition(depth: number, scope: readonly Source[], ctes: readonly Source[]): string {
    const next = (type: ColumnType): string => this.expression(type, Math.max(depth, DEPTH_MAX - 1), scope, ctes);
    if (depth >= DEPTH_MAX) return `${next('int')} > 0`;
    return this.random.pick([
      () => `${next('text')} = ${this.literal('text')}`,
      () => `${next('text')} like '%a%'`,
      () => `${next('int')} > ${next('int')}`,
      () => `${next('int')} in (1, 2, 3)`,
      () => `${next('text')} is not null`,
      () => `exists (select ${this.subquery('int', depth, scope, ctes)})`,
      () => `${next('text')} in (select ${this.subquery('text', depth, scope, ctes)})`,
      () => `(${this.condition(depth + 1, scope, ctes)} or ${this.condition(depth + 1, scope, ctes)})`,
      () => `not (${this.condition(depth + 1, scope, ctes)})`,
      () => `(${next('int')}, ${next('text')}) = (1, 'x')`,
      () => 'true',
    ])();
  }

  private groupKeys(sources: readonly Source[]): { sql: string; type: ColumnType }[] {
    const all = sources.flatMap(source =>
      source.columns
        .filter(column => column.type === 'int' || column.type === 'text')
        .map(column => ({ sql: `${source.alias}.${column.name}`, type: column.type })),
    );
    if (all.length === 0 || this.random.once(4)) return [];
    return [this.random.pick(all)];
  }

  private aggregated(
    type: ColumnType,
    keys: readonly { sql: string; type: ColumnType }[],
    depth: number,
    scope: readonly Source[],
    ctes: readonly Source[],
  ): string {
    const inner = (wanted: ColumnType): string => this.expression(wanted, Math.max(depth, DEPTH_MAX - 1), scope, ctes);
    const key = keys.find(candidate => candidate.type === type);
    if (key !== undefined && this.random.once(2)) return key.sql;
    const row = this.random.pick(scope).alias;
    const filter = this.random.once(5) ? ` filter (where ${inner('int')} > 0)` : '';
    switch (type) {
      case 'int':
        return this.random.pick([
          `count(*)${filter}`,
          `max(${inner('int')})${filter}`,
          `count(distinct ${inner('text')})${filter}`,
          `sum(${inner('int')})::int`,
        ]);
      case 'text':
        return this.random.pick([
          `max(${inner('text')})${filter}`,
          `string_agg(${inner('text')}, ',' order by ${inner('text')})${filter}`,
          `array_agg(${inner('text')})::text`,
          `min(${inner('text')})`,
          `string_agg(${row}::text, ';')`,
        ]);
      case 'json':
        return this.random.pick([
          `json_agg(${row})`,
          `json_agg(${inner('text')})${filter}`,
          `json_object_agg(coalesce(${inner('text')}, 'k'), ${inner('int')})`,
        ]);
      case 'texts':
        return `array_agg(${inner('text')})`;
      default:
        return type satisfies never;
    }
  }

  private windowed(type: ColumnType, depth: number, scope: readonly Source[], ctes: readonly Source[]): string {
    const inner = (wanted: ColumnType): string => this.expression(wanted, Math.max(depth, DEPTH_MAX - 1), scope, ctes);
    const over = `over (partition by ${inner('int')} order by ${inner('text')})`;
    if (type === 'int') return this.random.pick([`row_number() ${over}`, `count(*) ${over}`, `rank() ${over}`]);
    if (type === 'text')
      return this.random.pick([
        `lag(${inner('text')}) ${over}`,
        `first_value(${inner('text')}) ${over}`,
        `max(${inner('text')}) ${over}`,
        `string_agg(${inner('text')}, ',') ${over}`,
      ]);
    return this.expression(type, depth, scope, ctes);
  }
}
