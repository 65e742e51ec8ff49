/**
 * Histograms of times between some microseconds and a second: counts by bucket, small enough to be sent and added up, exact to a fifth.
 * Agents and control planes must agree on the bounds: they are part of the protocol (Health.added_latency).
 */

const FIRST_US = 20;
const GROWTH = 2 ** 0.25;

export const LATENCY_BUCKETS = 64;

/** Upper bounds in microseconds; what is above the last is counted there. */
const bounds = Float64Array.from({ length: LATENCY_BUCKETS }, (_, bucket) => FIRST_US * GROWTH ** bucket);

/** @param us microseconds. */
export function latencyBucket(us: number): number {
  if (!(us > FIRST_US)) return 0;
  return Math.min(LATENCY_BUCKETS - 1, Math.ceil(Math.log2(us / FIRST_US) * 4 - 1e-9));
}

/** @param boundUs the upper bound of a bucket. @returns its lower bound, in microseconds. */
export function bucketFloor(boundUs: number): number {
  return boundUs <= FIRST_US ? 0 : boundUs / GROWTH;
}

/** @param share 0.5 is the median. @returns microseconds, the bound of the bucket that holds it; null of nothing. */
export function latencyQuantile(counts: readonly number[], share: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let below = 0;
  for (const [bucket, count] of counts.entries()) {
    below += count;
    if (below >= share * total) return bounds[Math.min(bucket, LATENCY_BUCKETS - 1)] ?? null;
  }
  return bounds[LATENCY_BUCKETS - 1] ?? null;
}

/** Adds `counts` to `sum`; of another length, only what both have. */
export function addCounts(sum: number[], counts: readonly number[]): void {
  for (let bucket = 0; bucket < sum.length; bucket++) sum[bucket] = (sum[bucket] ?? 0) + (counts[bucket] ?? 0);
}

export function noLatencies(): number[] {
  return new Array<number>(LATENCY_BUCKETS).fill(0);
}
