/**
 * From a parsed search (shared/search/query.ts) to conditions for the session store. Columns, functions and operators are this file's
 * own; whatever a person wrote is a parameter, always.
 *
 * Over commands every term is a condition on a command. Over sessions, terms about the session are conditions on it, and the terms about
 * commands that stand together under one AND must hold for one and the same command: `decision:denied text:"drop table"` finds sessions
 * in which a drop was denied, not sessions with some drop and some denial. A negated term about commands alone finds sessions that have
 * no such command.
 */
import type { Field } from '@sallyport/shared/search/fields.ts';
import type { ParsedQuery, Query, Term } from '@sallyport/shared/search/query.ts';

export type Over = 'sessions' | 'commands';

export interface SearchScope {
  /** A person sees what is theirs, whatever they ask. */
  own?: { principal: string; issuer: string } | undefined;
  /** Whose commands are looked at: somebody may see that a session was there, and not what was done in it. */
  ownCommands?: { principal: string; issuer: string } | undefined;
  /** Ids of the sessions that are open now, for `is:live`. */
  liveIds: readonly string[];
}

/** A condition with its parameters, for `WHERE`. */
export interface SearchSql {
  where: string;
  parameters: Record<string, unknown>;
}

interface Column {
  sessions?: string;
  commands?: string;
  type: 'text' | 'array' | 'chain' | 'words' | 'output' | 'exact' | 'number' | 'live';
}

const columns: Readonly<Record<string, Column>> = {
  resource: { sessions: 'resource', commands: 'resource', type: 'text' },
  who: { sessions: 'principal', commands: 'principal', type: 'text' },
  kind: { sessions: 'principal_kind', commands: 'principal_kind', type: 'exact' },
  group: { sessions: 'groups', commands: 'groups', type: 'array' },
  for: { sessions: 'delegation', commands: 'delegation', type: 'chain' },
  role: { sessions: 'role', commands: 'role', type: 'text' },
  agent: { sessions: 'agent', commands: 'agent', type: 'text' },
  protocol: { sessions: 'protocol', commands: 'protocol', type: 'text' },
  client: { sessions: 'client_address', commands: 'client_address', type: 'text' },
  session: { sessions: 'session_id', commands: 'session_id', type: 'exact' },
  is: { sessions: 'status', commands: 'session_id', type: 'live' },
  decision: { commands: 'decision', type: 'exact' },
  status: { commands: 'status', type: 'exact' },
  text: { commands: 'text', type: 'words' },
  output: { commands: 'seq', type: 'output' },
  reason: { commands: 'reason', type: 'words' },
  statement: { commands: 'statements', type: 'array' },
  object: { commands: 'objects', type: 'array' },
  column: { commands: 'columns_read', type: 'array' },
  class: { commands: 'data_classes', type: 'array' },
  rule: { commands: 'rule', type: 'text' },
  approver: { commands: 'approvers', type: 'array' },
  error: { commands: 'error_code', type: 'exact' },
  fingerprint: { commands: 'fingerprint', type: 'exact' },
  rows: { commands: 'rows', type: 'number' },
  masked: { commands: 'masked_values', type: 'number' },
  bytes: { commands: 'bytes', type: 'number' },
  duration: { commands: 'duration_us', type: 'number' },
};

const comparisons = { '=': '=', '<': '<', '<=': '<=', '>': '>', '>=': '>=' } as const;

/**
 * @param fromMs what is looked at is not older than this: a search goes back in windows until it has enough (session-search.ts).
 */
export function searchSql(over: Over, { query, sinceMs, untilMs }: ParsedQuery, scope: SearchScope, fromMs?: number): SearchSql {
  const parameters: Record<string, unknown> = {};
  const bind = (value: unknown, type: string): string => {
    const name = `p${Object.keys(parameters).length}`;
    parameters[name] = value;
    return `{${name}:${type}}`;
  };
  const time = (ms: number) => `fromUnixTimestamp64Milli(${bind(ms, 'Int64')}, 'UTC')`;
  const bounds = (column: string): string[] => {
    const from = Math.max(sinceMs ?? 0, fromMs ?? 0);
    return [...(from > 0 ? [`${column} >= ${time(from)}`] : []), ...(untilMs === undefined ? [] : [`${column} <= ${time(untilMs)}`])];
  };
  const owned = (own: SearchScope['own']): string[] =>
    own === undefined ? [] : [`principal = ${bind(own.principal, 'String')}`, `issuer = ${bind(own.issuer, 'String')}`];

  const termSql = (term: Term, place: Over): string => {
    const column = columns[term.field.name];
    const name = column?.[place];
    if (column === undefined || name === undefined) return '0';
    return any(term.values.map(value => valueSql(column, name, value, term, place)));
  };
  const words = (name: string, value: string | number) =>
    `lowerUTF8(${name}) LIKE lowerUTF8(${bind(`%${escapedLike(String(value))}%`, 'String')})`;
  const valueSql = (column: Column, name: string, value: string | number, term: Term, place: Over): string => {
    switch (column.type) {
      case 'exact':
        return `${name} = ${bind(value, 'String')}`;
      case 'number':
        return `${name} ${comparisons[term.comparison]} ${bind(value, 'UInt64')}`;
      case 'text':
        return isPattern(value) ? `${name} LIKE ${bind(likePattern(String(value)), 'String')}` : `${name} = ${bind(value, 'String')}`;
      case 'array':
        return isPattern(value)
          ? `arrayExists(each -> each LIKE ${bind(likePattern(String(value)), 'String')}, ${name})`
          : `has(${name}, ${bind(value, 'String')})`;
      case 'chain': {
        // Both ends of a delegation: the programs that act, and the person for whom they do.
        const pattern = bind(likePattern(String(value)), 'String');
        return `(notEmpty(${name}) AND (principal LIKE ${pattern} OR arrayExists(each -> each LIKE ${pattern}, ${name})))`;
      }
      case 'words':
        // In this form the store uses its index over three characters each (migrations/0006_search.sql).
        return words(name, value);
      case 'output': {
        // Output comes after its command: what is older than the window is not of its commands.
        const from = Math.max(sinceMs ?? 0, fromMs ?? 0);
        const shown = all([...(from > 0 ? [`at >= ${time(from)}`] : []), words('text', value)]);
        return `(session_id, ${name}) IN (SELECT session_id, command_seq FROM sallyport.output WHERE ${shown})`;
      }
      case 'live': {
        const live = `session_id IN ${bind(scope.liveIds, 'Array(String)')}`;
        if (value === 'live') return live;
        // A session whose end nobody could record has ended all the same.
        if (place === 'sessions') return value === 'ended' ? `(status != 'refused' AND NOT ${live})` : `status = ${bind(value, 'String')}`;
        return value === 'ended' ? `NOT ${live}` : '0';
      }
    }
  };

  const overCommands = (part: Query): string => {
    if (part.kind === 'term') return termSql(part, 'commands');
    if (part.kind === 'not') return `NOT ${overCommands(part.part)}`;
    const inner = part.parts.map(overCommands);
    return part.kind === 'and' ? all(inner) : any(inner);
  };

  const someCommand = (parts: Query[]): string => {
    const onlyNegated = parts.every(part => part.kind === 'not');
    const conditions = parts.map(part => overCommands(onlyNegated && part.kind === 'not' ? part.part : part));
    const inside = (condition: string) =>
      `session_id IN (SELECT session_id FROM sallyport.commands WHERE ${all([...owned(scope.ownCommands), ...bounds('at'), condition])})`;
    return onlyNegated ? all(conditions.map(condition => `NOT ${inside(condition)}`)) : inside(all(conditions));
  };

  const overSessions = (part: Query): string => {
    if (isOfCommands(part)) return someCommand([part]);
    if (part.kind === 'term') return termSql(part, 'sessions');
    if (part.kind === 'not') return `NOT ${overSessions(part.part)}`;
    if (part.kind === 'or') return any(part.parts.map(overSessions));
    const ofCommands = part.parts.filter(isOfCommands);
    const others = part.parts.filter(each => !isOfCommands(each)).map(overSessions);
    return all([...others, ...(ofCommands.length === 0 ? [] : [someCommand(ofCommands)])]);
  };

  const conditions = owned(over === 'commands' ? scope.ownCommands : scope.own);
  if (over === 'commands') conditions.push(...bounds('at'));
  // With terms about commands the time is the commands' time; a long session counts by what was done in it.
  else if (query === null || !mentionsCommands(query)) conditions.push(...bounds('started_at'));
  if (query !== null) conditions.push(over === 'commands' ? overCommands(query) : overSessions(query));
  return { where: conditions.length === 0 ? '' : `WHERE ${all(conditions)}`, parameters };
}

/** What must be in the output of the commands that are found; not what must not. */
export function outputWords(part: Query): string[] {
  if (part.kind === 'term') return part.field.name === 'output' ? part.values.map(String) : [];
  return part.kind === 'not' ? [] : part.parts.flatMap(outputWords);
}

/** Is it about commands alone, with nothing that a session has by itself? */
function isOfCommands(part: Query): boolean {
  if (part.kind === 'term') return part.field.scope === 'command';
  return part.kind === 'not' ? isOfCommands(part.part) : part.parts.every(isOfCommands);
}

export function mentionsCommands(part: Query): boolean {
  if (part.kind === 'term') return part.field.scope === 'command';
  return part.kind === 'not' ? mentionsCommands(part.part) : part.parts.some(mentionsCommands);
}

/** The first field that can be asked of sessions only; a search over commands says so instead of finding nothing. */
export function sessionOnlyField(part: Query): Field | null {
  if (part.kind === 'term') return part.field.scope === 'session' && part.field.name !== 'is' ? part.field : null;
  if (part.kind === 'not') return sessionOnlyField(part.part);
  return part.parts.map(sessionOnlyField).find(field => field !== null) ?? null;
}

function isPattern(value: string | number): boolean {
  return String(value).includes('*');
}

/** `*` stands for anything. */
function likePattern(text: string): string {
  return escapedLike(text).replaceAll('*', '%');
}

/** What LIKE itself would read stands for itself. */
function escapedLike(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&');
}

function all(conditions: string[]): string {
  return conditions.length === 1 ? (conditions[0] ?? '1') : conditions.length === 0 ? '1' : `(${conditions.join(' AND ')})`;
}

function any(conditions: string[]): string {
  return conditions.length === 1 ? (conditions[0] ?? '0') : conditions.length === 0 ? '0' : `(${conditions.join(' OR ')})`;
}
