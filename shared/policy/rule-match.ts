/**
 * Does a guard rule's `match` cover a command? All keys that it gives must.
 *
 * A rule that refuses or holds needs only **one** of the command's statements, objects or functions to match, and takes what
 * could not be resolved as a match. A rule that allows must cover **all** of them, and for certain: otherwise a harmless part
 * would carry a harmful one through. Conditions (`when`) are not evaluated here.
 */

import { matchCompiled } from '../shell/match.ts';
import type { CompiledRule } from './compile.ts';
import type { CommandFacts } from './facts.ts';
import { type Match, matchName, type NamePattern, splitName } from './patterns.ts';

/**
 * @param opaque the command cannot be judged fully, so it counts as being of kind `unknown` as well.
 * @param whateverRows leaves `maxRows` out.
 */
export function matchRule(rule: CompiledRule, facts: CommandFacts, opaque: boolean, whateverRows = false): boolean {
  const allows = rule.action === 'allow';
  // What an allowing rule says about the parts that can be seen says nothing about those that cannot.
  if (allows && (rule.broken || (opaque && !rule.namesUnknown))) return false;
  if (rule.kinds !== null && !matchKinds(rule.kinds, facts.statements, opaque, allows) && !(rule.broken && !allows)) return false;
  if (rule.where !== null && !rule.where.includes(facts.where)) return false;
  if (rule.multiStatement !== null && rule.multiStatement !== facts.multiStatement) return false;
  if (rule.maxRows !== null && !whateverRows && !matchRows(rule.maxRows, facts.estimatedRows, allows)) return false;
  if (rule.shell !== null && (facts.shell === undefined || !matchCompiled(facts.shell, rule.shell, rule.action))) return false;
  if (rule.functions !== null && !matchFunctions(rule.functions, facts.functions, allows) && !rule.broken) return false;
  if (rule.tables.length + rule.columns.length > 0) {
    return (allows ? coversObjects(rule, facts) : touchesObjects(rule, facts)) || (rule.broken && !allows);
  }
  return true;
}

function matchKinds(kinds: ReadonlySet<string>, statements: readonly string[], opaque: boolean, all: boolean): boolean {
  if (statements.length === 0 && !opaque) return kinds.has('empty');
  if (opaque && kinds.has('unknown') !== all) return !all;
  for (const statement of statements) if (kinds.has(statement) !== all) return !all;
  return all;
}

function matchRows(maxRows: number, estimate: number | undefined, allows: boolean): boolean {
  return estimate === undefined ? !allows : estimate > maxRows;
}

function matchFunctions(patterns: readonly NamePattern[], functions: readonly string[], all: boolean): boolean {
  if (functions.length === 0) return false;
  const matches = (name: string): boolean => {
    const match = matchAny(patterns, partsOf(name));
    return match === 'yes' || (match === 'maybe' && !all);
  };
  return all ? functions.every(matches) : functions.some(matches);
}

function touchesObjects(rule: CompiledRule, facts: CommandFacts): boolean {
  const objects = facts.objects.map(partsOf);
  if (objects.some(name => matchAny(rule.tables, name) !== 'no')) return true;
  if (rule.columns.length === 0) return false;
  const columns = columnsOf(facts);
  if (columns.some(name => matchAny(rule.columns, name) !== 'no')) return true;
  // With columns unresolved, any use of the table may be one of the column.
  return facts.columnsResolved !== true && objects.some(name => matchAny(rule.columns, [...name, '*']) !== 'no');
}

function coversObjects(rule: CompiledRule, facts: CommandFacts): boolean {
  const objects = facts.objects.map(partsOf);
  if (objects.length === 0) return false;
  const columns = columnsOf(facts);
  return objects.every(object => {
    if (matchAny(rule.tables, object) === 'yes') return true;
    if (facts.columnsResolved !== true) return false;
    const used = columns.filter(column => column.length === 3 && column[0] === object[0] && column[1] === object[1]);
    return used.length > 0 && used.every(column => matchAny(rule.columns, column) === 'yes');
  });
}

function columnsOf(facts: CommandFacts): string[][] {
  return [...facts.columnsRead, ...(facts.columnsWritten ?? [])].map(partsOf);
}

function matchAny(patterns: readonly NamePattern[], name: readonly string[]): Match {
  let best: Match = 'no';
  for (const pattern of patterns) {
    const match = matchName(pattern, name);
    if (match === 'yes') return 'yes';
    if (match === 'maybe') best = 'maybe';
  }
  return best;
}

/** A name whose quoting is broken matches nothing for certain and anything perhaps. */
function partsOf(name: string): string[] {
  return splitName(name)?.map(part => part.text) ?? ['*', '*'];
}
