/**
 * Rolls up days that are over, one after the other: those that were not, and those of which something was written or deleted since.
 *
 * What makes it right is the order. Who changes a day notes that afterwards (`changed_days`), before it counts as done; here the notes are
 * counted before the day is read. So a change is either in what was read or its note is one more than was counted, and then the day is
 * read from the commands until it has been rolled up again. A build is new rows under a new number, named last: who dies half-way leaves
 * rows that nobody reads, and two who do the same day do harm to nobody.
 *
 * Not here: what is added up (rollups.ts).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { SessionStore } from '../ingest/session-store.ts';
import { ROLLUPS, rollUpSql } from './rollups.ts';

export interface RollUpOptions {
  store: SessionStore;
  log: (level: 'info' | 'warn', fields: Record<string, unknown>, message: string) => void;
  /** Between looks. */
  intervalMs?: number;
  /** How long a day must have been over, and nothing of it changed. Longer than clocks of this installation differ. */
  overMs?: number;
  quietMs?: number;
}

const minuteMs = 60_000;
const daysAtOnce = 7;
/** Rows of builds that are replaced stay for queries that have begun, and unnamed ones for a build that goes on. */
const replacedKeptMs = 24 * 60 * minuteMs;

/** Runs until the signal fires. What fails is tried again at the next look. */
export async function rollUpDays(options: RollUpOptions, signal: AbortSignal): Promise<void> {
  const { store, log, intervalMs = minuteMs } = options;
  while (!signal.aborted) {
    try {
      const days = await daysToRollUp(options);
      for (let from = 0; from < days.length && !signal.aborted; from += daysAtOnce)
        await rollUp(store, days.slice(from, from + daysAtOnce));
      if (days.length > 0) log('info', { days: days.length, first: days.at(-1), last: days[0] }, 'days were rolled up');
      await dropReplaced(store);
    } catch (error) {
      log('warn', { error: errorText(error) }, 'days were not rolled up; it is tried again');
    }
    // Several ingesters do not look at the same time for ever.
    await delay(intervalMs * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => undefined);
  }
}

/** @returns days, the newest first: those that people ask for. */
export async function daysToRollUp({ store, overMs = 60 * minuteMs, quietMs = minuteMs }: RollUpOptions): Promise<string[]> {
  const rows = await store.rows<{ day: string }>(
    `WITH (SELECT (min(at), max(at)) FROM sallyport.command_revisions) AS bounds,
       least(toDate(bounds.2), toDate(now64(3, 'UTC') - toIntervalMillisecond({overMs:UInt64})) - 1) AS newest
     SELECT toString(d.date) AS day
     FROM (SELECT arrayJoin(arrayMap(n -> newest - n, range(toUInt32(greatest(0, newest - toDate(bounds.1) + 1))))) AS date) AS d
     WHERE d.date NOT IN (SELECT day FROM sallyport.unchanged_days)
       AND d.date NOT IN (SELECT day FROM sallyport.changed_days GROUP BY day HAVING max(changed_at) > now64(3, 'UTC') - toIntervalMillisecond({quietMs:UInt64}))
     ORDER BY d.date DESC`,
    { overMs, quietMs },
  );
  return rows.map(({ day }) => day);
}

/** The number of a build: the time at which it began, with 16 bits left for its day. */
function buildSql(began: string): string {
  return `intDiv(toUInt64(toUnixTimestamp64Micro(${began})), 8) * 65536`;
}

/** @param days YYYY-MM-DD, in UTC; few, since they are added up together. */
export async function rollUp(store: SessionStore, days: readonly string[]): Promise<void> {
  const [before] = await store.rows<{ changes: Record<string, string>; build: string }>(
    `SELECT sumMap(map(toString(day), toUInt64(1))) AS changes, toString(${buildSql('now64(6)')}) AS build
     FROM sallyport.changed_days WHERE day IN {days:Array(Date)}`,
    { days: [...days] },
  );
  if (before === undefined) throw new GatewayError('STORE_REFUSED', 'internal', 'The session store did not count the changes of days.');
  const build = BigInt(before.build);
  for (const rollup of ROLLUPS) {
    const names = rollup.columns.map(({ name }) => name).join(', ');
    await store.command(
      `INSERT INTO sallyport.${rollup.table} (day, build, ${names})
       SELECT day, {build:UInt64} + toUInt16(day), ${names} FROM (${rollUpSql(rollup, 'toDate(at) IN {days:Array(Date)}')})`,
      { days: [...days], build },
    );
  }
  await store.command(
    `INSERT INTO sallyport.rolled_up_days (day, build, changes)
     SELECT day, {build:UInt64} + toUInt16(day), changes FROM (SELECT arrayJoin(arrayZip({days:Array(Date)}, {changes:Array(UInt64)})) AS each, each.1 AS day, each.2 AS changes)`,
    { days: [...days], build, changes: days.map(day => Number(before.changes[day] ?? 0)) },
  );
}

/** Notes that something of these days was written or deleted. To be called when that has been done. @param days YYYY-MM-DD, in UTC. */
export async function noteChangedDays(store: SessionStore, days: readonly string[]): Promise<void> {
  if (days.length > 0)
    await store.command('INSERT INTO sallyport.changed_days (day) SELECT arrayJoin({days:Array(Date)})', { days: [...days] });
}

async function dropReplaced(store: SessionStore): Promise<void> {
  const parameters = { keptMs: replacedKeptMs };
  const condition = `build < ${buildSql('now64(6) - toIntervalMillisecond({keptMs:UInt64})')}
    AND (day, build) NOT IN (SELECT day, build FROM sallyport.rolled_up_days FINAL)`;
  for (const { table } of ROLLUPS) {
    const [left] = await store.rows<{ n: string }>(`SELECT count() AS n FROM sallyport.${table} WHERE ${condition}`, parameters);
    if (Number(left?.n ?? 0) > 0)
      await store.command(`ALTER TABLE sallyport.${table} DELETE WHERE ${condition} SETTINGS mutations_sync = 1`, parameters);
  }
}
