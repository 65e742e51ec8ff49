/**
 * Which days of a period are rolled up and as they were. Asked once for a query, whose two halves then agree on it: what changes in
 * between is in the answer after the next.
 */
export interface RolledUpDays {
  /** Of each day, in the same order. */
  builds: bigint[];
  /** Days that lie wholly in the period, as YYYY-MM-DD in UTC. */
  days: string[];
}

type Rows = (sql: string, parameters: Record<string, unknown>) => Promise<{ day: string; build: string }[]>;

/** @param since and until: as the store reads times, in UTC; the period has its beginning and not its end. */
export async function rolledUpDays(rows: Rows, since: string, until: string): Promise<RolledUpDays> {
  const known = await rows(
    `SELECT toString(u.day) AS day, toString(u.build) AS build FROM sallyport.unchanged_days AS u
     WHERE toDateTime64(u.day, 6, 'UTC') >= {since:DateTime64(6, 'UTC')} AND toDateTime64(u.day + 1, 6, 'UTC') <= {until:DateTime64(6, 'UTC')}`,
    { since, until },
  );
  return { builds: known.map(({ build }) => BigInt(build)), days: known.map(({ day }) => day) };
}
