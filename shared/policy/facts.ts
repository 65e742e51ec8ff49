import type { ShellAnalysis } from '../shell/facts.ts';

/**
 * What the policy engine may know of a command. Protocols make facts; `decide` reads them; CEL expressions see the same
 * names (docs/reference/facts.md). Dotted names quote a part that holds a dot, a double quote or a star, as `joinName` of
 * patterns.ts does.
 */
export interface CommandFacts {
  /** Statement kinds found anywhere in the command, also inside CTEs and EXPLAIN ANALYZE: `select`, `update`, `drop` … */
  statements: readonly string[];
  /** `schema.table` it names, `*` schema when the name could not be resolved. */
  objects: readonly string[];
  /** `schema.table.column` it reads, as far as resolved. */
  columnsRead: readonly string[];
  /** `schema.table.column` it writes (INSERT's list, UPDATE's SET), as far as resolved. */
  columnsWritten?: readonly string[];
  /** Set when both column lists are complete; otherwise a rule about a column matches every use of its table. */
  columnsResolved?: boolean;
  /** `schema.function` it calls. */
  functions: readonly string[];
  /** How its update/delete/merge statements are limited: the weakest found. */
  where: 'none' | 'tautology' | 'some' | 'notApplicable';
  multiStatement: boolean;
  /** May it change anything? Unknown counts as yes. */
  writes: boolean;
  /** Why it cannot be judged fully; empty when it can. */
  opaque: readonly string[];
  /** Set when it could not be parsed: the reason. */
  unparseable?: string;
  /** Protected columns that predicates, orders or groups depend on. */
  inferences: readonly { column: string; kind: 'equality' | 'other' | 'enumeration' }[];
  /** Set when the planner's estimate was asked for: rows that it would return or change, whichever are more. */
  estimatedRows?: number;
  /** Set when it was asked for and there is none: why. */
  notEstimated?: string;
  /** What it does on a host: a shell text's commands, a file operation or a forwarded connection in the same form. */
  shell?: ShellAnalysis;
  /** The account on the host. */
  account?: string;
}
