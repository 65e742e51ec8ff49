/** What agents add to a command, set against the whole time of commands: a part is never longer than the whole. */
import { bucketFloor, latencyQuantile } from '@sallyport/shared/records/latency-buckets.ts';

/**
 * @param counts by bucket, of the commands that were measured. @param share 0.5 is the median.
 * @param wholeUs the same quantile of the whole time of all commands; null: not known.
 * @returns microseconds; null of nothing, and where those that were measured cannot stand for all: they would have taken longer for a
 *   part than all did for the whole.
 */
export function addedQuantile(counts: readonly number[], share: number, wholeUs: number | null): number | null {
  const addedUs = latencyQuantile(counts, share);
  if (addedUs === null || wholeUs === null || addedUs <= wholeUs) return addedUs;
  // A bucket is known by its upper bound: what is in it may be less.
  return bucketFloor(addedUs) <= wholeUs ? wholeUs : null;
}
