/** What agents add to a command, set against the whole time of commands: a part is never longer than the whole. */
import { bucketFloor, latencyQuantile } from '@sallyport/shared/records/latency-buckets.ts';

/** Microseconds; null: not known. */
export interface Quantiles {
  p50Us: number | null;
  p95Us: number | null;
  p99Us: number | null;
}

/**
 * @param counts by bucket, of the commands that were measured. @param whole of the time of all commands.
 * @returns nulls of nothing, and where those that were measured cannot stand for all: they would have taken longer for a part than all
 *   did for the whole.
 */
export function addedQuantiles(counts: readonly number[], whole: Quantiles): Quantiles {
  const p50Us = within(latencyQuantile(counts, 0.5), whole.p50Us);
  const p95Us = within(latencyQuantile(counts, 0.95), whole.p95Us);
  const p99Us = within(latencyQuantile(counts, 0.99), whole.p99Us);
  return p50Us === null || p95Us === null || p99Us === null ? { p50Us: null, p95Us: null, p99Us: null } : { p50Us, p95Us, p99Us };
}

function within(addedUs: number | null, wholeUs: number | null): number | null {
  if (addedUs === null || wholeUs === null || addedUs <= wholeUs) return addedUs;
  // A bucket is known by its upper bound: what is in it may be less.
  return bucketFloor(addedUs) <= wholeUs ? wholeUs : null;
}
