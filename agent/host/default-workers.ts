/**
 * How many threads serve connections when nobody says so.
 *
 * On two cores, which the main thread, the disk's threads and often the database and the control plane share, a second thread makes
 * every command dearer: half as many records go into one synced write, and twice as much code is compiled and kept in caches. Measured
 * there with 16 clients: 27 % less CPU per command with one thread, and a third less memory.
 */
const CORES_PER_WORKER = 2;
const WORKERS_MAX = 2;

/** @param cores that the process may use; at least 1. */
export function defaultWorkers(cores: number): number {
  return Math.max(1, Math.min(WORKERS_MAX, Math.floor(cores / CORES_PER_WORKER)));
}
