/**
 * Brings the tables of `sallyport` up to date: statement by statement, each recorded after it ran.
 *
 * Every statement can run twice without harm (IF NOT EXISTS, OR REPLACE), so a crash between running and recording is repaired by the
 * next start. A file that was applied is never edited; what changes comes as a new file. The same files serve the embedded store and a
 * ClickHouse server (deploy/clickhouse).
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { SessionStore } from './session-store.ts';

export interface Migration {
  version: number;
  name: string;
  statements: readonly string[];
}

/** A statement with it is run for each month of `command_rows`, the newest first: all at once would take the store's memory and patience. */
const eachMonth = '{month:UInt32}';

const folder = new URL('./migrations/', import.meta.url);

/** The migrations in order. */
export async function loadMigrations(): Promise<Migration[]> {
  const names = (await readdir(folder)).filter(name => name.endsWith('.sql')).sort();
  return await Promise.all(names.map(async name => parseMigration(name, await readFile(new URL(name, folder), 'utf8'))));
}

/**
 * @param name e.g. 0001_records.sql
 * @param text statements, each ended by a semicolon at the end of a line; lines that begin with `--` are left out.
 */
export function parseMigration(name: string, text: string): Migration {
  const version = Number(/^(\d{4})_[a-z0-9_]+\.sql$/.exec(name)?.[1] ?? Number.NaN);
  if (Number.isNaN(version))
    throw new GatewayError('MIGRATION_NAME_INVALID', 'invalid', `${name} is not named like 0001_what_it_makes.sql.`);
  const statements = text
    .replaceAll(/^\s*--.*$/gm, '')
    .split(/;[ \t]*(?:\n|$)/)
    .map(statement => statement.trim())
    .filter(statement => statement !== '');
  return { version, name, statements };
}

/**
 * Applies what is missing.
 * @returns the number of statements that ran.
 * @throws {GatewayError} MIGRATION_CHANGED, when a statement that was applied reads differently now; what the store throws.
 */
export async function migrate(store: SessionStore, migrations: readonly Migration[]): Promise<number> {
  await store.command('CREATE DATABASE IF NOT EXISTS sallyport');
  await store.command(`
    CREATE TABLE IF NOT EXISTS sallyport.schema_migrations
    (version UInt32, statement UInt32, name String, checksum String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3))
    ENGINE = ReplacingMergeTree ORDER BY (version, statement)`);
  const applied = new Map<string, string>();
  for (const row of await store.rows<{ version: number; statement: number; checksum: string }>(
    'SELECT version, statement, checksum FROM sallyport.schema_migrations FINAL',
  )) {
    applied.set(`${row.version}/${row.statement}`, row.checksum);
  }
  let ran = 0;
  for (const { version, name, statements } of migrations) {
    for (const [index, statement] of statements.entries()) {
      const checksum = createHash('sha256').update(statement).digest('hex');
      const before = applied.get(`${version}/${index}`);
      if (before === checksum) continue;
      if (before !== undefined) {
        throw new GatewayError(
          'MIGRATION_CHANGED',
          'conflict',
          `Statement ${index + 1} of ${name} is not the one that this store was made with. Put the file back and write a new migration.`,
        );
      }
      if (!statement.includes(eachMonth)) await store.command(statement);
      else for (const month of await monthsOfCommands(store)) await store.command(statement, { month });
      await store.command(
        'INSERT INTO sallyport.schema_migrations (version, statement, name, checksum) VALUES ({version:UInt32}, {statement:UInt32}, {name:String}, {checksum:String})',
        { version, statement: index, name, checksum },
      );
      ran += 1;
    }
  }
  return ran;
}

async function monthsOfCommands(store: SessionStore): Promise<number[]> {
  const rows = await store.rows<{ month: number }>('SELECT DISTINCT toYYYYMM(at) AS month FROM sallyport.command_rows ORDER BY month DESC');
  return rows.map(({ month }) => month);
}
