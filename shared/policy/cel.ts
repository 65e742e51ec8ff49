/**
 * Conditions in CEL: parsed and type-checked when a manifest is read, evaluated with bounded cost when a session or a command
 * is judged. The variables are documented in docs/reference/facts.md.
 *
 * Three things of the library are replaced on the parsed expression, because of what they would let happen (ADR 3):
 * `matches` runs a linear-time engine instead of a backtracking one, calendar functions do not depend on the host's time zone,
 * and the `cel` namespace (bindings, by which a short text can double a value many times) is refused.
 *
 * This file reads no clock and knows no policy semantics: what an error means is decided by who evaluates.
 */
import { Environment, type ParseResult } from '@marcbachmann/cel-js';
import { RE2JS } from 're2js';
import type { CommandFacts } from './facts.ts';
import type { Principal } from './model.ts';
import { CALENDAR_FIELDS, type CalendarField, calendarField, isTimeZone } from './zoned-time.ts';

/** A role's condition sees who connects to what and when; a guard rule's sees the command's facts as well. */
export type ExpressionScope = 'role' | 'guard';

export interface ExpressionVariables {
  principal: Principal;
  resource: { name: string; protocol: string; labels: Readonly<Record<string, string>> };
  now: Date;
  facts?: CommandFacts;
}

export interface Expression {
  readonly source: string;
  readonly usesNow: boolean;
  readonly usesFacts: boolean;
  /** Never throws: what cannot be computed (a missing label, a division by zero, facts over the bound) is `error`. */
  evaluate(variables: ExpressionVariables): boolean | 'error';
}

export type CompiledExpression = { ok: true; expression: Expression } | { ok: false; message: string; offset: number };

const SOURCE_LENGTH_MAX = 4096; // UTF-16 code units
const LIMITS = { maxAstNodes: 400, maxDepth: 40, maxListElements: 200, maxMapEntries: 50, maxCallArguments: 8 };
/** A loop in a loop is enough to compare two lists; with lists of at most 500 it is 250,000 steps. */
const LOOP_DEPTH_MAX = 2;
const FACTS_PER_LIST_MAX = 500;

const LOOPS: ReadonlySet<string> = new Set(['all', 'exists', 'exists_one', 'map', 'filter']);
const CALENDAR: ReadonlySet<string> = new Set(CALENDAR_FIELDS);

const PRINCIPAL = {
  kind: 'string',
  name: 'string',
  issuer: 'string',
  subject: 'string',
  groups: 'list<string>',
  delegation: 'list<string>',
};
const RESOURCE = { name: 'string', protocol: 'string', labels: 'map<string, string>' };
const FACTS = {
  statements: 'list<string>',
  objects: 'list<string>',
  columnsRead: 'list<string>',
  functions: 'list<string>',
  where: 'string',
  multiStatement: 'bool',
  writes: 'bool',
  estimatedRows: 'int',
};

/** The variables of each scope, for reference pages and completion. */
export const EXPRESSION_VARIABLES = { principal: PRINCIPAL, resource: RESOURCE, now: 'timestamp', facts: FACTS } as const;

const TIMESTAMP = 'google.protobuf.Timestamp';

const patterns = new Map<string, RE2JS>();
const PATTERNS_MAX = 256;

function linearMatch(text: string, pattern: string): boolean {
  let compiled = patterns.get(pattern);
  if (compiled === undefined) {
    compiled = RE2JS.compile(pattern);
    if (patterns.size >= PATTERNS_MAX) patterns.clear();
    patterns.set(pattern, compiled);
  }
  return compiled.matcher(text).find();
}

function environment(scope: ExpressionScope): Environment {
  const env = new Environment({ limits: LIMITS })
    .registerVariable({ name: 'principal', schema: PRINCIPAL })
    .registerVariable({ name: 'resource', schema: RESOURCE })
    .registerVariable('now', TIMESTAMP)
    .registerFunction('string.linearMatches(string): bool', linearMatch);
  for (const field of CALENDAR_FIELDS) {
    const zoned = (at: Date, zone: string) => BigInt(calendarField(field, at, zone));
    env.registerFunction(`${TIMESTAMP}.zoned_${field}(string): int`, zoned);
  }
  env.registerFunction(`${TIMESTAMP}.zoned_getDayOfYear(): int`, (at: Date) => BigInt(calendarField('getDayOfYear', at, 'UTC')));
  return scope === 'guard' ? env.registerVariable({ name: 'facts', schema: FACTS }) : env;
}

const environments = { role: environment('role'), guard: environment('guard') };

/**
 * Parses and type-checks a condition.
 *
 * @param source CEL text of type bool, at most 4096 characters.
 * @returns the expression, or what is wrong and at which offset of `source` (UTF-16 code units).
 */
export function compileExpression(source: string, scope: ExpressionScope): CompiledExpression {
  if (source.length > SOURCE_LENGTH_MAX) {
    return { ok: false, message: `the condition has ${source.length} characters; at most ${SOURCE_LENGTH_MAX} are allowed`, offset: 0 };
  }
  let parsed: ParseResult;
  try {
    parsed = environments[scope].parse(source);
  } catch (error) {
    return failure(error, scope);
  }
  const found: Found = { names: new Set(), factLists: new Set() };
  const refused = adapt(parsed.ast, 0, found);
  if (refused !== null) return { ok: false, ...refused };
  const checked = parsed.check();
  if (!checked.valid) return failure(checked.error, scope);
  if (checked.type !== 'bool') {
    return {
      ok: false,
      message: `the condition must be true or false (bool); this one is ${checked.type ?? 'of no known type'}`,
      offset: 0,
    };
  }
  const lists = [...found.factLists];
  const expression: Expression = {
    source,
    usesNow: found.names.has('now'),
    usesFacts: found.names.has('facts'),
    evaluate(variables) {
      const { facts } = variables;
      if (facts !== undefined && lists.some(list => facts[list].length > FACTS_PER_LIST_MAX)) return 'error';
      try {
        const value: unknown = parsed(contextOf(variables));
        return typeof value === 'boolean' ? value : 'error';
      } catch {
        // Whatever went wrong, the rule's own fail-closed reading of `error` applies; the text may hold values, so it goes no further.
        return 'error';
      }
    },
  };
  return { ok: true, expression };
}

function contextOf({ principal, resource, now, facts }: ExpressionVariables): Record<string, unknown> {
  if (facts === undefined) return { principal, resource, now };
  const estimate = facts.estimatedRows === undefined ? {} : { estimatedRows: BigInt(Math.ceil(facts.estimatedRows)) };
  const visible = {
    statements: facts.statements,
    objects: facts.objects,
    columnsRead: facts.columnsRead,
    functions: facts.functions,
    where: facts.where,
    multiStatement: facts.multiStatement,
    writes: facts.writes,
    ...estimate,
  };
  return { principal, resource, now, facts: visible };
}

type FactList = 'statements' | 'objects' | 'columnsRead' | 'functions';
const FACT_LISTS: readonly FactList[] = ['statements', 'objects', 'columnsRead', 'functions'];

interface Found {
  names: Set<string>;
  factLists: Set<FactList>;
}

interface Node {
  op: string;
  args: unknown;
  start: number;
}

interface Refused {
  message: string;
  offset: number;
}

/**
 * Walks the parsed expression once: notes the variables it uses, replaces the functions named in the header by their safe
 * forms, and refuses what would make the cost unbounded. Must run before the type check, which binds functions to nodes.
 */
function adapt(value: unknown, loopDepth: number, found: Found): Refused | null {
  if (Array.isArray(value)) {
    for (const each of value) {
      const refused = adapt(each, loopDepth, found);
      if (refused !== null) return refused;
    }
    return null;
  }
  if (!isNode(value)) return null;
  if (value.op === 'id' && typeof value.args === 'string') {
    if (value.args === 'cel') return { message: '`cel.bind` is not supported; write the value out', offset: value.start };
    found.names.add(value.args);
    // `facts` used as a whole (`facts[name]`, a loop over it) reaches every list.
    if (value.args === 'facts') for (const list of FACT_LISTS) found.factLists.add(list);
    return null;
  }
  if (
    value.op === '.' &&
    Array.isArray(value.args) &&
    isNode(value.args[0]) &&
    value.args[0].op === 'id' &&
    value.args[0].args === 'facts'
  ) {
    found.names.add('facts');
    const list = FACT_LISTS.find(each => Array.isArray(value.args) && each === value.args[1]);
    if (list !== undefined) found.factLists.add(list);
    return null;
  }
  let depth = loopDepth;
  if (value.op === 'rcall' && Array.isArray(value.args)) {
    const args: unknown[] = value.args;
    const name = args[0];
    const parameters: unknown[] = Array.isArray(args[2]) ? args[2] : [];
    if (typeof name === 'string' && LOOPS.has(name)) {
      depth += 1;
      if (depth > LOOP_DEPTH_MAX)
        return {
          message: `\`${name}\` is nested too deep; at most ${LOOP_DEPTH_MAX} loops may be inside one another`,
          offset: value.start,
        };
    }
    const refused = replaceCall(args, name, parameters, value.start);
    if (refused !== null) return refused;
  }
  return adapt(value.args, depth, found);
}

function replaceCall(args: unknown[], name: unknown, parameters: unknown[], offset: number): Refused | null {
  if (name === 'matches' && parameters.length === 1) {
    const pattern = literal(parameters[0]);
    if (pattern === undefined) return { message: '`matches` needs its pattern as a literal text', offset };
    try {
      RE2JS.compile(pattern);
    } catch (error) {
      return { message: `\`matches\` has a bad pattern: ${error instanceof Error ? error.message : 'it does not parse'}`, offset };
    }
    args[0] = 'linearMatches';
  } else if (typeof name === 'string' && CALENDAR.has(name) && parameters.length === 1) {
    const zone = literal(parameters[0]);
    if (zone === undefined) return { message: `\`${name}\` needs its time zone as a literal text`, offset };
    if (!isTimeZone(zone))
      return {
        message: `unknown time zone "${zone}"; write a name such as "UTC" or "Europe/Berlin", or an offset such as "+02:00"`,
        offset,
      };
    args[0] = `zoned_${name satisfies string as CalendarField}`;
  } else if (name === 'getDayOfYear' && parameters.length === 0) {
    args[0] = 'zoned_getDayOfYear';
  }
  return null;
}

function literal(node: unknown): string | undefined {
  return isNode(node) && node.op === 'value' && typeof node.args === 'string' ? node.args : undefined;
}

function isNode(value: unknown): value is Node {
  return (
    typeof value === 'object' &&
    value !== null &&
    'op' in value &&
    typeof value.op === 'string' &&
    'args' in value &&
    'start' in value &&
    typeof value.start === 'number'
  );
}

function failure(error: unknown, scope: ExpressionScope): CompiledExpression {
  if (typeof error !== 'object' || error === null || !('summary' in error) || typeof error.summary !== 'string') {
    return { ok: false, message: 'the condition is not valid CEL', offset: 0 };
  }
  const range: unknown = 'range' in error ? error.range : undefined;
  const offset = typeof range === 'object' && range !== null && 'start' in range && typeof range.start === 'number' ? range.start : 0;
  const summary = `${error.summary.charAt(0).toLowerCase()}${error.summary.slice(1)}`;
  const hint = scope === 'role' && /unknown variable: facts/i.test(summary) ? '; facts are known only to guard rules' : '';
  return { ok: false, message: `the condition is not valid CEL: ${summary}${hint}`, offset };
}
