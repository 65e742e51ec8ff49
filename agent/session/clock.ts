/**
 * The time that records carry: microseconds since 1970 that never go backwards within a thread, close to the system's clock.
 *
 * `Date.now` has milliseconds only; the high-resolution clock drifts from the system's. This takes the second and re-reads the
 * first once a second.
 */
let offsetMs = Date.now() - performance.now();
let readAtMs = performance.now();
let last = 0;

export function nowUnixUs(): number {
  const monotonicMs = performance.now();
  if (monotonicMs - readAtMs > 1000) {
    offsetMs = Date.now() - monotonicMs;
    readAtMs = monotonicMs;
  }
  const now = Math.floor((offsetMs + monotonicMs) * 1000);
  if (now > last) last = now;
  return last;
}
