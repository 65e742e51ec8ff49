/**
 * What is added up of each day, so that questions about months need not read every command: one definition for both, the rows that are
 * kept of a day that is over (roll-up.ts) and the same made of the commands themselves, for all other time. So an answer is the same
 * whether a day was rolled up or not, and a question says only what it needs. Why it stays true: docs/evidence.md.
 *
 * Not here: which days count as rolled up (period.ts).
 */

export interface Rollup {
  /** In database sallyport; has `day` and `build`, then `columns`. */
  table: string;
  /** Name and expression over `from`; with `by` it is what rows are grouped by, else an aggregate. */
  columns: readonly { name: string; expression: string; by?: true }[];
  /** What is read; has `at`, and under its own name every column that questions filter by. */
  from: string;
  where?: string;
}

/** Kinds of statement that change something. */
export const WRITES = "['insert', 'update', 'delete', 'merge', 'truncate', 'drop', 'alter', 'create', 'grant', 'revoke', 'copy-from']";
/** Kinds whose `rows` are not what somebody took out. */
export const ROWS_CHANGED = "['insert', 'update', 'delete', 'merge']";

const by = (name: string, expression = name) => ({ name, expression, by: true }) as const;
const first = { name: 'first_at', expression: 'min(at)' };
const last = { name: 'last_at', expression: 'max(at)' };

/** Who used what. `row_sizes` counts commands by the power of two that their rows reach. */
export const USE: Rollup = {
  table: 'use_by_day',
  from: 'sallyport.commands',
  columns: [
    by('principal'),
    by('principal_kind'),
    by('delegation'),
    by('resource'),
    by('statement_kinds', "arrayStringConcat(arraySort(arrayDistinct(statements)), ', ')"),
    { name: 'session_ids', expression: 'uniqExactState(session_id)' },
    { name: 'asked', expression: 'count()' },
    { name: 'denied', expression: "countIf(decision = 'deny')" },
    { name: 'refused', expression: "countIf(status = 'refused')" },
    { name: 'held', expression: "countIf(approval_id != '')" },
    { name: 'inferring', expression: 'countIf(notEmpty(inferences))' },
    { name: 'writing', expression: `countIf(hasAny(statements, ${WRITES}))` },
    { name: 'row_sum', expression: 'sum(rows)' },
    { name: 'masked_sum', expression: 'sum(masked_values)' },
    {
      name: 'row_sizes',
      expression: `sumMapIf(map(toUInt8(if(rows = 0, 0, floor(log2(rows)))), toUInt64(1)), rows > 0 AND NOT hasAny(statements, ${ROWS_CHANGED}))`,
    },
    first,
    last,
  ],
};

/** Who saw which column, masked or in clear. */
export const COLUMNS: Rollup = {
  table: 'columns_by_day',
  from: 'sallyport.who_saw',
  columns: [
    by('resource'),
    by('column'),
    by('principal'),
    by('principal_kind'),
    by('role'),
    by('masked'),
    { name: 'times', expression: 'count()' },
    { name: 'row_sum', expression: 'sum(rows)' },
    { name: 'approved_by', expression: 'arraySort(groupUniqArrayArray(approvers))' },
    first,
    last,
  ],
};

/** Which classes of data were found. */
export const CLASSES: Rollup = {
  table: 'classes_by_day',
  from: 'sallyport.commands',
  where: 'notEmpty(data_classes)',
  columns: [
    by('class', 'arrayJoin(data_classes)'),
    by('principal'),
    by('resource'),
    { name: 'times', expression: 'count()' },
    { name: 'masked_sum', expression: 'sum(masked_values)' },
    first,
    last,
  ],
};

/** What detectors found in commands that read a column which no rule names; `alone` where it is the only such column. */
export const FINDINGS: Rollup = {
  table: 'findings_by_day',
  from: `(
    SELECT at, resource, principal, rows > 0 AS has_rows, arrayFilter(d -> NOT startsWith(d, 'column:'), data_classes) AS detectors,
      arrayFilter(c -> NOT has(data_classes, concat('column:', c)), columns_read) AS candidates
    FROM sallyport.commands WHERE notEmpty(data_classes)
  )`,
  columns: [
    by('resource'),
    by('column', 'arrayJoin(candidates)'),
    by('detector', 'arrayJoin(detectors)'),
    by('principal'),
    by('with_rows', 'has_rows'),
    { name: 'times', expression: 'count()' },
    { name: 'alone_times', expression: 'countIf(length(candidates) = 1)' },
    last,
  ],
};

export const ROLLUPS: readonly Rollup[] = [USE, COLUMNS, CLASSES, FINDINGS];

/** Parameters of the store that `ofPeriod` and `onDays` use beside the period (period.ts). */
export const periodParameters = { builds: 'Array(UInt64)', days: 'Array(Date)' } as const;

/** A build's number names its day, too; the days are for the index. */
const KEPT = 'build IN {builds:Array(UInt64)} AND day IN {days:Array(Date)}';
const NOT_KEPT = 'toDate(at) NOT IN {days:Array(Date)}';

/**
 * A roll-up of any period, as a table of a query: what is kept, and the rest from the commands.
 * @param inPeriod a condition on `at`.
 * @param conditions on columns that the roll-up and what it is made of both have.
 */
export function ofPeriod(rollup: Rollup, inPeriod: string, conditions: readonly string[]): string {
  const also = conditions.map(condition => ` AND ${condition}`).join('');
  return `(
    SELECT day, ${rollup.columns.map(({ name }) => name).join(', ')} FROM sallyport.${rollup.table} WHERE ${KEPT}${also}
    UNION ALL
    ${rollUpSql(rollup, `${NOT_KEPT} AND ${inPeriod}${also}`)}
  )`;
}

/** Days and all columns of the roll-up, from commands for which the condition holds. */
export function rollUpSql({ columns, from, where }: Rollup, condition: string): string {
  const conditions = where === undefined ? condition : `${where} AND ${condition}`;
  return `SELECT toDate(at) AS day, ${columns.map(({ name, expression }) => (name === expression ? name : `${expression} AS ${name}`)).join(', ')}
    FROM ${from} WHERE ${conditions} GROUP BY day, ${columns.flatMap(({ name, by }) => (by === undefined ? [] : [name])).join(', ')}`;
}

/**
 * A condition on `at` for a list whose oldest rows are shown first: days that are not kept, and of the others the first on which there is
 * something, until they have as many rows as are asked for.
 * @param count what the roll-up counts of the rows that the list shows.
 */
export function onDays({ table }: Rollup, count: string, conditions: readonly string[]): string {
  const also = conditions.map(condition => ` AND ${condition}`).join('');
  return `(${NOT_KEPT} OR toDate(at) IN (
    SELECT day FROM (
      SELECT day, n, sum(n) OVER (ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - n AS earlier
      FROM (SELECT day, sum(${count}) AS n FROM sallyport.${table} WHERE ${KEPT}${also} GROUP BY day)
    ) WHERE n > 0 AND earlier < {answerLimit:UInt32}
  ))`;
}

/**
 * The same for commands with at least `{rows:UInt64}` rows of which the largest are shown first: days on which there is one as large as the
 * last that is shown, as far as powers of two tell.
 */
export function onLargestDays(conditions: readonly string[]): string {
  const also = conditions.map(condition => ` AND ${condition}`).join('');
  const sizes = `SELECT day, size.1 AS power, size.2 AS n FROM sallyport.${USE.table} ARRAY JOIN row_sizes::Array(Tuple(UInt8, UInt64)) AS size
      WHERE ${KEPT}${also} AND power >= floor(log2(greatest({rows:UInt64}, 1)))`;
  return `(${NOT_KEPT} OR toDate(at) IN (
    SELECT day FROM (${sizes}) WHERE power >= (
      -- Those of greater powers are as many as are asked for: smaller ones are not shown.
      SELECT max(power) FROM (
        SELECT power, sum(n) AS here, sum(here) OVER (ORDER BY power DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS as_large
        FROM (${sizes}) GROUP BY power
      ) WHERE as_large >= {answerLimit:UInt32}
    )
  ))`;
}
