/** What a search can ask about: the fields of the query language, for its parser, its completion, its reference and its SQL. */

export type FieldType = 'name' | 'text' | 'enum' | 'amount' | 'bytes' | 'duration' | 'time' | 'id';

/** `session`: of the session alone; `command`: of one command; `both`: of a session, and of every command in it. */
export type FieldScope = 'session' | 'command' | 'both';

export interface Field {
  name: string;
  type: FieldType;
  scope: FieldScope;
  about: string;
  /** For `enum`: what may be asked, and how it is recorded. */
  values?: Readonly<Record<string, string>>;
  example: string;
}

export const FIELDS: readonly Field[] = [
  { name: 'resource', type: 'name', scope: 'both', about: 'the resource', example: 'resource:crm' },
  { name: 'who', type: 'name', scope: 'both', about: 'the person or program; `*` stands for anything', example: 'who:*@example.com' },
  {
    name: 'kind',
    type: 'enum',
    scope: 'both',
    about: 'person or workload',
    values: { person: 'person', workload: 'workload' },
    example: 'kind:workload',
  },
  { name: 'group', type: 'name', scope: 'both', about: 'a group of the principal', example: 'group:support' },
  {
    name: 'for',
    type: 'name',
    scope: 'both',
    about: 'where one acts for another: the program that acts, or the person for whom',
    example: 'for:ann@example.com',
  },
  { name: 'role', type: 'name', scope: 'both', about: 'the role that admitted it', example: 'role:support' },
  { name: 'agent', type: 'name', scope: 'both', about: 'the agent that served it', example: 'agent:eu-1' },
  { name: 'protocol', type: 'name', scope: 'both', about: 'postgres, ssh …', example: 'protocol:ssh' },
  { name: 'client', type: 'name', scope: 'both', about: 'the address that it came from', example: 'client:10.0.*' },
  { name: 'session', type: 'id', scope: 'both', about: 'the id of a session', example: 'session:0199…' },
  {
    name: 'is',
    type: 'enum',
    scope: 'session',
    about: 'live, ended or refused',
    values: { live: 'live', ended: 'ended', refused: 'refused' },
    example: 'is:live',
  },
  {
    name: 'decision',
    type: 'enum',
    scope: 'command',
    about: 'what was decided',
    values: { allowed: 'allow', denied: 'deny', held: 'hold' },
    example: 'decision:denied',
  },
  {
    name: 'status',
    type: 'enum',
    scope: 'command',
    about: 'what became of it',
    values: { ok: 'ok', error: 'error', refused: 'refused', cancelled: 'cancelled', aborted: 'aborted', pending: 'pending' },
    example: 'status:error',
  },
  { name: 'text', type: 'text', scope: 'command', about: 'words of the command, in any case', example: 'text:"drop table"' },
  {
    name: 'output',
    type: 'text',
    scope: 'command',
    about: 'what a terminal or a program on a host showed',
    example: 'output:"permission denied"',
  },
  { name: 'statement', type: 'name', scope: 'command', about: 'a kind of statement', example: 'statement:delete' },
  { name: 'object', type: 'name', scope: 'command', about: 'a table or other thing that it names', example: 'object:public.customers' },
  { name: 'column', type: 'name', scope: 'command', about: 'a column that it read', example: 'column:public.customers.email' },
  { name: 'class', type: 'name', scope: 'command', about: 'a class of data that was masked', example: 'class:payment-card' },
  { name: 'rule', type: 'name', scope: 'command', about: 'the rule that decided', example: 'rule:sql-safety/*' },
  { name: 'reason', type: 'text', scope: 'command', about: 'words of the reason', example: 'reason:migrations' },
  { name: 'approver', type: 'name', scope: 'command', about: 'who approved it', example: 'approver:bob@example.com' },
  { name: 'error', type: 'name', scope: 'command', about: 'the code of its error', example: 'error:42501' },
  { name: 'fingerprint', type: 'id', scope: 'command', about: 'commands that differ in literals only', example: 'fingerprint:9f3c…' },
  { name: 'rows', type: 'amount', scope: 'command', about: 'rows that came back', example: 'rows:>1000' },
  { name: 'masked', type: 'amount', scope: 'command', about: 'values that were masked', example: 'masked:>0' },
  { name: 'bytes', type: 'bytes', scope: 'command', about: 'bytes that came back', example: 'bytes:>10MB' },
  { name: 'duration', type: 'duration', scope: 'command', about: 'how long it took', example: 'duration:>500ms' },
  { name: 'since', type: 'time', scope: 'both', about: 'not before: 15m, 7d, or a date', example: 'since:7d' },
  { name: 'until', type: 'time', scope: 'both', about: 'not after', example: 'until:2026-01-31' },
];

const byName = new Map(FIELDS.map(field => [field.name, field]));
const aliases: Readonly<Record<string, string>> = {
  principal: 'who',
  user: 'who',
  after: 'since',
  before: 'until',
  table: 'object',
  host: 'client',
};

export function fieldNamed(name: string): Field | undefined {
  const lower = name.toLowerCase();
  return byName.get(Object.hasOwn(aliases, lower) ? (aliases[lower] ?? lower) : lower);
}
