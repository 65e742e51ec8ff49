/**
 * The SQL prompt for machines without psql: statements that end with `;`, results as tables, `\q` to leave. It does nothing
 * else that psql does. With `-c STATEMENT` it runs that one and ends.
 */
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import pg from 'pg';
import type { ConnectTarget } from './commands/connect.ts';
import { table } from './table.ts';
import type { Terminal } from './terminal.ts';
import { UsageError } from './usage-error.ts';

const ROWS_SHOWN_MAX = 500;

/** @returns 0, or 1 when the last statement failed. */
export async function sqlPrompt(target: ConnectTarget, args: readonly string[], terminal: Terminal): Promise<number> {
  const single = singleStatement(args);
  const client = new pg.Client({
    host: target.host,
    port: target.port,
    user: target.user,
    database: target.database,
    password: target.ticket,
    ssl: { ca: await readFile(target.caFile, 'utf8'), servername: target.host },
    // Values are shown as the server writes them.
    types: { getTypeParser: () => (text: string) => text },
  });
  client.on('notice', notice => terminal.err(`${notice.severity}: ${notice.message}`));
  let lost = false;
  client.on('error', () => {
    lost = true;
  });
  await client.connect();
  try {
    if (single !== undefined) return (await execute(client, single, terminal)) ? 0 : 1;
    const interactive = 'isTTY' in terminal.stdin && terminal.stdin.isTTY === true;
    const lines = createInterface({ input: terminal.stdin, ...(interactive ? { output: process.stdout } : {}), terminal: interactive });
    if (interactive) terminal.err(`Connected to ${target.database} as ${target.user}. End a statement with ; and leave with \\q.`);
    const prompt = (continued: boolean) => {
      if (!interactive) return;
      lines.setPrompt(continued ? `${' '.repeat(target.database.length)}> ` : `${target.database}> `);
      lines.prompt();
    };
    let statement = '';
    let fine = true;
    prompt(false);
    for await (const line of lines) {
      if (/^\s*(\\q|exit|quit)\s*;?\s*$/.test(line)) break;
      statement += `${line}\n`;
      if (/;\s*$/.test(line)) {
        fine = await execute(client, statement, terminal);
        statement = '';
      }
      if (lost) break;
      prompt(statement.trim() !== '');
    }
    if (statement.trim() !== '' && !lost) fine = await execute(client, statement, terminal);
    return fine && !lost ? 0 : 1;
  } finally {
    await client.end().catch(() => {}); // it may be gone already
  }
}

function singleStatement(args: readonly string[]): string | undefined {
  if (args.length === 0) return undefined;
  const [flag, statement, ...more] = args;
  if (flag !== '-c' || statement === undefined || more.length > 0) {
    throw new UsageError('psql is not installed here; the built-in prompt understands only -c STATEMENT');
  }
  return statement;
}

async function execute(client: pg.Client, statement: string, terminal: Terminal): Promise<boolean> {
  try {
    const results = (await client.query({ text: statement, rowMode: 'array' })) as pg.QueryArrayResult | pg.QueryArrayResult[];
    for (const result of Array.isArray(results) ? results : [results]) showResult(result, terminal);
    return true;
  } catch (error) {
    const { severity, code } = error as { severity?: string; code?: string };
    terminal.err(
      terminal.errStyle.red(`${severity ?? 'ERROR'}: ${error instanceof Error ? error.message : String(error)}${code ? ` (${code})` : ''}`),
    );
    return false;
  }
}

function showResult(result: pg.QueryArrayResult, { out, style }: Terminal): void {
  if (result.fields.length === 0) {
    out([result.command, result.rowCount].filter(part => part !== null).join(' '));
    return;
  }
  const rows = result.rows.slice(0, ROWS_SHOWN_MAX) as (string | null)[][];
  const columns = result.fields.map((field, index) => ({
    title: field.name,
    value: (row: (string | null)[]) => row[index] ?? '',
  }));
  out(table(rows, columns, style, '(no rows)'));
  if (result.rows.length > ROWS_SHOWN_MAX) out(`… and ${result.rows.length - ROWS_SHOWN_MAX} rows more`);
}
