/**
 * Tables of cases that people keep beside their manifests (`*.test.yaml`): who asks what of which resource, and what policy must say.
 * Read with the machinery of manifests, so mistakes are told with file, line and the nearest name. What cases come to is run-tests.ts's.
 */
import type { CompiledPolicy } from '../policy/compile.ts';
import { API_VERSION } from '../policy/manifests.ts';
import type { MaskKind } from '../policy/model.ts';
import { didYouMean } from '../policy/nearest.ts';
import {
  defaulted,
  flag,
  INVALID,
  integer,
  listOf,
  mapOf,
  mapped,
  object,
  oneOf,
  optional,
  Reading,
  required,
  shortOrLong,
  shown,
  type Type,
  text,
} from '../policy/schema.ts';
import { MASK_KINDS } from '../policy/strictness.ts';
import { groups, line, name } from '../policy/values.ts';
import { type Problem, readYaml, type YamlNode } from '../policy/yaml-source.ts';

export interface TestPrincipal {
  name: string;
  kind?: 'person' | 'workload';
  groups?: string[];
}

/** What becomes of a column of the result. */
export type ColumnOutcome = 'clear' | 'denied' | MaskKind;

export interface Expectation {
  admitted?: boolean;
  decision?: 'allow' | 'deny' | 'hold';
  rule?: string;
  message?: string;
  /** Outcomes of these columns, by their names in the result. */
  columns?: Record<string, ColumnOutcome>;
  /** These columns of the result are masked, and no others. */
  masked?: string[];
}

export interface TestCase {
  file: string;
  line: number;
  /** Of the file's table. */
  table: string;
  name: string;
  as: TestPrincipal;
  resource: string;
  statement: string;
  estimatedRows?: number;
  now?: string;
  expect: Expectation;
}

export interface ParsedTests {
  cases: TestCase[];
  problems: Problem[];
}

const STATEMENT_LENGTH_MAX = 65_536;
const CASES_MAX = 10_000;

const time = text(value =>
  Number.isNaN(Date.parse(value)) || !/^\d{4}-\d\d-\d\dT/.test(value) ? 'is no time such as `2026-01-05T10:00:00Z`' : null,
);
const statement = text(value => (value.length > STATEMENT_LENGTH_MAX ? `is longer than ${STATEMENT_LENGTH_MAX} characters` : null));

const PRINCIPAL = object({
  name: required(line(256), 'Of a person, or of a service account.'),
  kind: optional(oneOf(['person', 'workload']), 'Absent: `workload` when there is a service account of the name, else `person`.'),
  groups: optional(groups(0), 'Absent: none, or those of the service account.'),
});

/** By name in `principals`, or written out. */
type PrincipalOrName = { ref: string } | TestPrincipal;
const AS: Type<PrincipalOrName> = shortOrLong<PrincipalOrName>(
  mapped(line(256), ref => ({ ref })),
  PRINCIPAL,
);

const EXPECT = mapped(
  object({
    admitted: optional(flag(), 'Whether a role lets them in; absent: they must be let in.'),
    decision: optional(oneOf(['allow', 'deny', 'hold']), 'What is decided.'),
    rule: optional(line(256), 'By which rule: `guard/rule`, `policy/pattern`, `default`, `unknown` …'),
    message: optional(line(1024), 'A part of what the client is told.'),
    columns: optional(
      mapOf(() => null, oneOf(['clear', 'denied', ...MASK_KINDS] as const)),
      'What becomes of columns of the result, by name.',
    ),
    masked: optional(listOf(line(256)), 'The columns of the result that are masked, all of them; `[]` for none.'),
  }),
  (value, node, reading) =>
    Object.keys(value).length === 0
      ? reading.problem(node, '`expect` says nothing; give `decision`, `rule`, `masked` or `columns`')
      : value,
);

const CASE = mapped(
  object({
    name: optional(line(256), 'Absent: its statement.'),
    as: required(AS, 'A name of `principals`, or a principal written out.'),
    resource: required(name(), 'The resource that is asked.'),
    statement: required(statement, 'The command: SQL, or for hosts a line of shell.'),
    estimatedRows: optional(integer(0, Number.MAX_SAFE_INTEGER), 'What the planner is supposed to estimate.'),
    now: optional(time, 'When; absent: the table’s `now`, or the time of the run.'),
    expect: required(EXPECT, 'What policy must say.'),
  }),
  (value, node) => ({ ...value, line: node.line, node }),
);

const SPEC = object({
  now: optional(time, 'The time at which all cases are judged.'),
  principals: defaulted(
    mapOf(() => null, PRINCIPAL),
    {},
    '{}',
    'Principals by short names.',
  ),
  cases: required(listOf(CASE, { min: 1, max: CASES_MAX }), 'The cases, in order.'),
});

const DOCUMENT = object({
  apiVersion: optional(
    text(value => (value === API_VERSION ? null : `must be \`${API_VERSION}\``)),
    'The version of the format.',
  ),
  kind: required(oneOf(['PolicyTest']), 'What it is.'),
  metadata: required(object({ name: required(name(), 'The table’s name.') }), 'Its name.'),
  spec: required(SPEC, 'The table.'),
});

/** The fields of a table, for the reference page. */
export const TEST_FIELDS = SPEC.description.fields ?? [];

/**
 * Parses and validates tables of cases.
 *
 * @param policy the resources that cases may name.
 * @returns `cases` of those tables that are valid; use them only when `problems` is empty.
 */
export function parseTests(files: readonly { path: string; text: string }[], policy: CompiledPolicy): ParsedTests {
  const cases: TestCase[] = [];
  const problems: Problem[] = [];
  for (const { path: file, text: source } of files) {
    const { documents, problems: unreadable } = readYaml(file, source);
    const reading = new Reading(file, undefined);
    for (const document of documents) cases.push(...casesOf(document, file, policy, reading));
    problems.push(...unreadable, ...reading.problems);
  }
  return { cases, problems };
}

function casesOf(document: YamlNode, file: string, policy: CompiledPolicy, reading: Reading): TestCase[] {
  const read = DOCUMENT.read(document, 'the table', reading);
  if (read === INVALID) return [];
  const { principals, now: tableNow, cases } = read.spec;
  const resources = [...policy.resources.keys()];
  return cases.flatMap(({ as, node, now = tableNow, name: title, estimatedRows, ...rest }): TestCase[] => {
    const place = (key: string): YamlNode =>
      (node.type === 'mapping' ? node.entries.find(entry => entry.key === key)?.value : undefined) ?? node;
    const principal = 'ref' in as ? (Object.hasOwn(principals, as.ref) ? principals[as.ref] : undefined) : as;
    if (principal === undefined && 'ref' in as) {
      const known = Object.keys(principals);
      reading.problem(place('as'), `\`principals\` has no ${shown(as.ref)}${didYouMean(as.ref, known)}`);
    }
    if (!policy.resources.has(rest.resource)) {
      reading.problem(place('resource'), `there is no resource ${shown(rest.resource)}${didYouMean(rest.resource, resources)}`);
      return [];
    }
    if (principal === undefined) return [];
    return [
      {
        ...rest,
        file,
        table: read.metadata.name,
        name: title ?? rest.statement.replace(/\s+/g, ' ').trim().slice(0, 80),
        as: principal,
        ...(now === undefined ? {} : { now }),
        ...(estimatedRows === undefined ? {} : { estimatedRows }),
      },
    ];
  });
}
