/** `sallyport evidence query [NAME] [key=value …]`: asks one of the auditors' questions, as a table, JSON or CSV. */
import { writeFile } from 'node:fs/promises';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Command } from 'commander';
import { administratorRequest, type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { shortened, table } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';

interface Question {
  name: string;
  title: string;
  description: string;
  controls: Record<string, string[]>;
  parameters: { name: string; what: string; required: boolean; absent: string }[];
  emptyIsGood: boolean;
}

interface Answer {
  question: string;
  askedAt: string;
  parameters: Record<string, string>;
  columns: { name: string; type: string }[];
  rows: unknown[][];
  truncated: boolean;
}

type Options = ConnectionOptions & { json?: true; csv?: true; limit: number; output?: string };

export function addQuery(evidence: Command, terminal: Terminal): void {
  withConnectionOptions(evidence.command('query'))
    .description("Asks one of the auditors' questions; without a name, lists them.")
    .argument('[question]', 'its name, e.g. who-read')
    .argument('[values...]', 'what it takes, e.g. column=public.customers.email since=30d person=alice@example.com')
    .option('--json', 'print JSON')
    .option('--csv', 'print CSV with a head line')
    .option('--limit <N>', 'at most so many rows (default 1000, at most 100000)', rowLimit, 1000)
    .option('-o, --output <FILE>', 'write to a file (mode 0600) instead')
    .action(async (name: string | undefined, values: string[], options: Options) => {
      if (options.json && options.csv) throw new UsageError('give either --json or --csv');
      const connection = await findConnection(options, terminal);
      const { questions } = (await administratorRequest(connection, 'GET', '/v1/evidence/questions')) as { questions: Question[] };
      if (name === undefined) return list(questions, options, terminal);
      const question = questions.find(known => known.name === name);
      if (question === undefined) {
        throw new UsageError(`there is no question \`${name}\`; \`sallyport evidence query\` lists them`);
      }
      const parameters = parsed(question, values);
      const answer = (await administratorRequest(connection, 'POST', `/v1/evidence/questions/${name}`, {
        parameters,
        limit: options.limit,
      })) as Answer;
      const text = options.json
        ? JSON.stringify(asObjects(answer), null, 2)
        : options.csv
          ? csv(answer)
          : shown(question, answer, terminal);
      if (options.output === undefined) terminal.out(text);
      else await write(options.output, `${text}\n`);
      if (answer.truncated) {
        terminal.err(
          `${terminal.errStyle.yellow('warning:')} there are more than ${answer.rows.length} rows; raise --limit or narrow the period`,
        );
      }
      if (options.output !== undefined) terminal.err(`${answer.rows.length} rows written to ${options.output}`);
    });
}

function list(questions: readonly Question[], options: Options, { out, style }: Terminal): void {
  if (options.json) {
    out(JSON.stringify({ questions }, null, 2));
    return;
  }
  out(
    table(
      questions,
      [
        { title: 'QUESTION', value: question => question.name },
        { title: 'ASKS', value: question => question.title },
        { title: 'TAKES', value: ({ parameters }) => parameters.map(({ name, required }) => (required ? name : `[${name}]`)).join(' ') },
      ],
      style,
      'no questions',
    ),
  );
  out(`\n${style.dim('Ask one:')} sallyport evidence query who-read column=public.customers.email since=30d`);
}

function parsed(question: Question, values: readonly string[]): Record<string, string> {
  const parameters: Record<string, string> = {};
  for (const value of values) {
    const at = value.indexOf('=');
    const name = value.slice(0, at);
    if (at < 1) throw new UsageError(`\`${value}\` is not of the form name=value`);
    if (!question.parameters.some(parameter => parameter.name === name)) {
      const takes = question.parameters.map(parameter => `${parameter.name} (${parameter.what})`).join('; ');
      throw new UsageError(`\`${question.name}\` does not take \`${name}\`. It takes ${takes || 'nothing'}.`);
    }
    parameters[name] = value.slice(at + 1);
  }
  return parameters;
}

function shown(question: Question, answer: Answer, { style }: Terminal): string {
  const asked = Object.entries(answer.parameters)
    .filter(([, value]) => value !== '' && value !== '%')
    .map(([name, value]) => `${name}=${value.replace(/\.000$/, '')}`)
    .join('  ');
  const rows = table(
    answer.rows,
    answer.columns.map(({ name, type }, index) => ({
      title: name.toUpperCase().replaceAll('_', ' '),
      value: (row: unknown[]) => shortened(cell(row[index], type), 72),
      ...(/^(Nullable\()?U?Int|^(Nullable\()?Float/.test(type) ? { align: 'right' as const } : {}),
    })),
    style,
    question.emptyIsGood ? 'nothing found, as it should be' : 'nothing found',
  );
  return `${style.bold(question.title)}\n${style.dim(asked)}\n\n${rows}`;
}

/** For people: lists with commas, times to the second. */
function cell(value: unknown, type: string): string {
  if (value === null || value === undefined) return '';
  if (Array.isArray(value)) return value.map(String).join(', ');
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
  return type.includes('DateTime') ? text.replace('T', ' ').replace(/(\.\d+)?Z$/, '') : text;
}

function asObjects(answer: Answer) {
  const { columns, rows, ...rest } = answer;
  return { ...rest, rows: rows.map(row => Object.fromEntries(columns.map(({ name }, index) => [name, row[index]]))) };
}

/**
 * RFC 4180. A cell that a spreadsheet would take for a formula gets an apostrophe before it: what clients sent must not run on an
 * auditor's machine.
 */
export function csv({ columns, rows }: Pick<Answer, 'columns' | 'rows'>): string {
  const line = (values: readonly unknown[]) => values.map(quoted).join(',');
  return [line(columns.map(({ name }) => name)), ...rows.map(line)].join('\r\n');
}

function quoted(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
  return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
}

async function write(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text, { mode: 0o600 });
  } catch (cause) {
    throw new GatewayError('FILE_UNWRITABLE', 'invalid', `the answer cannot be written to ${file}: ${errorText(cause)}.`, { cause });
  }
}

function rowLimit(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 100_000) throw new UsageError(`--limit is a number from 1 to 100000, not \`${text}\``);
  return value;
}
