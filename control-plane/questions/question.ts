/**
 * What a question to the evidence is: a title, the controls it answers, the parameters it takes, and one query whose values are
 * parameters of the store, never text. The questions themselves are in catalogue.ts, asking them is in ask.ts.
 */

/** Frameworks whose controls a question answers; the ids are the frameworks' own. */
export type Framework = 'SOC 2' | 'ISO 27001' | 'PCI DSS 4' | 'HIPAA';

/** Values that a question takes. Each has a type of the store, and what it is when it is not given. */
export const PARAMETERS = {
  since: { type: "DateTime64(6, 'UTC')", what: 'from this time on: RFC 3339, or how long ago, e.g. 90d, 12h', absent: '90d' },
  until: { type: "DateTime64(6, 'UTC')", what: 'before this time: RFC 3339, or how long ago', absent: '0s' },
  person: { type: 'String', what: 'the principal, as their identity provider names them; a workload by its name', absent: '' },
  resource: { type: 'String', what: 'the resource', absent: '' },
  column: { type: 'String', what: 'schema.table.column; `%` stands for anything', absent: '%' },
  rows: { type: 'UInt64', what: 'at least this many rows', absent: '1000' },
  left: { type: "DateTime64(6, 'UTC')", what: 'when the person left: RFC 3339, or how long ago', absent: '30d' },
} as const;

export type ParameterName = keyof typeof PARAMETERS;

/** How an answer is drawn best: `x` and `y` are columns of it. */
export interface Chart {
  kind: 'bar' | 'line';
  x: string;
  y: string;
}

export interface Question {
  /** As it is typed: `sallyport evidence query NAME`. */
  name: string;
  /** The question in an auditor's words. */
  title: string;
  /** What the columns mean and what to look for. */
  description: string;
  controls: Partial<Record<Framework, readonly string[]>>;
  parameters: readonly ParameterName[];
  /** Must be given. */
  required?: readonly ParameterName[];
  /** An answer without rows is the good one: rows are findings. */
  emptyIsGood?: boolean;
  chart?: Chart;
  /** One SELECT for the session store, with `{name:Type}` for each parameter. */
  query: string;
}
