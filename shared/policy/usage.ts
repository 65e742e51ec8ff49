/**
 * How much a principal has read of a resource, over a window that slides.
 *
 * Reading is kept in buckets that grow with age: a bucket is never wider than a sixty-fourth of its age, so that a year takes a
 * thousand of them. What is read counts until the end of its bucket has left the window: never too short, and at most a
 * sixty-fourth of the window too long.
 *
 * Pure: the time is given. Where usage is kept, and who else must hear of it, is the caller's.
 */
export interface Bucket {
  startMs: number;
  endMs: number;
  rows: number;
  bytes: number;
}

export interface Amount {
  rows: number;
  bytes: number;
}

export interface Budget {
  rows?: number;
  bytes?: number;
  perMs: number;
}

/** What is read within this time shares a bucket. */
const BUCKET_MS = 1000;
const COMPACT_AT = 2048;
const YEAR_MS = 365 * 86_400_000;

/** What one principal has read of one resource. */
export class Usage {
  #buckets: Bucket[] = [];
  /** Everything that was ever added: the difference of two readings is what came in between. */
  addedRows = 0;
  addedBytes = 0;

  get buckets(): readonly Bucket[] {
    return this.#buckets;
  }

  /** Adds what was read at `atMs`; times may come a little out of order. */
  add(atMs: number, rows: number, bytes: number): void {
    this.addedRows += rows;
    this.addedBytes += bytes;
    const last = this.#buckets.at(-1);
    if (last !== undefined && atMs - last.startMs < BUCKET_MS) {
      last.rows += rows;
      last.bytes += bytes;
      if (atMs > last.endMs) last.endMs = atMs;
      return;
    }
    this.#buckets.push({ startMs: atMs, endMs: atMs, rows, bytes });
    if (this.#buckets.length >= COMPACT_AT) this.compact(atMs);
  }

  /** Merges what is old enough to be merged, and forgets what no window can reach. */
  compact(nowMs: number): void {
    const merged: Bucket[] = [];
    for (const bucket of this.#buckets) {
      if (nowMs - bucket.endMs >= YEAR_MS) continue;
      const last = merged.at(-1);
      if (last !== undefined && bucket.endMs - last.startMs <= (nowMs - bucket.endMs) / 64) {
        last.endMs = bucket.endMs;
        last.rows += bucket.rows;
        last.bytes += bucket.bytes;
      } else merged.push({ ...bucket });
    }
    this.#buckets = merged;
  }

  /** What counts now, and when the next of it stops counting (Infinity: nothing counts). */
  within(windowMs: number, nowMs: number): Amount & { untilMs: number } {
    let rows = 0;
    let bytes = 0;
    let untilMs = Number.POSITIVE_INFINITY;
    for (const bucket of this.#buckets) {
      const freeAtMs = bucket.endMs + windowMs;
      if (freeAtMs <= nowMs) continue;
      rows += bucket.rows;
      bytes += bucket.bytes;
      if (freeAtMs < untilMs) untilMs = freeAtMs;
    }
    return { rows, bytes, untilMs };
  }
}

/** Measures one session's reading against its budget; sessions of a principal share the usage. */
export class BudgetMeter {
  readonly budget: Budget;
  readonly usage: Usage;
  #rows = 0;
  #bytes = 0;
  #atRows = 0;
  #atBytes = 0;
  #untilMs = 0;

  constructor(budget: Budget, usage: Usage) {
    this.budget = budget;
    this.usage = usage;
  }

  #settle(nowMs: number): void {
    if (nowMs < this.#untilMs) return;
    const { rows, bytes, untilMs } = this.usage.within(this.budget.perMs, nowMs);
    this.#rows = rows;
    this.#bytes = bytes;
    this.#atRows = this.usage.addedRows;
    this.#atBytes = this.usage.addedBytes;
    // With nothing counting, the first that is added counts for a whole window.
    this.#untilMs = Math.min(untilMs, nowMs + this.budget.perMs);
  }

  used(nowMs: number): Amount {
    this.#settle(nowMs);
    return { rows: this.#rows + this.usage.addedRows - this.#atRows, bytes: this.#bytes + this.usage.addedBytes - this.#atBytes };
  }

  /** Would this much more go over the budget? */
  exceededBy(rows: number, bytes: number, nowMs: number): boolean {
    const used = this.used(nowMs);
    const { budget } = this;
    return (
      (budget.rows !== undefined && used.rows + rows > budget.rows) || (budget.bytes !== undefined && used.bytes + bytes > budget.bytes)
    );
  }

  /** Is nothing left? */
  spent(nowMs: number): boolean {
    const used = this.used(nowMs);
    const { budget } = this;
    return (budget.rows !== undefined && used.rows >= budget.rows) || (budget.bytes !== undefined && used.bytes >= budget.bytes);
  }

  /** For people: the budget, what is used of it, and when some of it is free again. */
  describe(role: string, nowMs: number): string {
    const { budget } = this;
    const used = this.used(nowMs);
    const { untilMs } = this.usage.within(budget.perMs, nowMs);
    const parts = [
      ...(budget.rows === undefined ? [] : [`${used.rows} of ${budget.rows} rows`]),
      ...(budget.bytes === undefined ? [] : [`${used.bytes} of ${budget.bytes} bytes`]),
    ];
    const free = Number.isFinite(untilMs) ? `; it frees again from ${new Date(untilMs).toISOString().slice(0, 19)}Z on` : '';
    return `the budget of role ${role} is spent: ${parts.join(' and ')} in ${windowText(budget.perMs)} are used${free}`;
  }
}

function windowText(ms: number): string {
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000}h`;
  if (ms % 60_000 === 0) return `${ms / 60_000}m`;
  return `${ms / 1000}s`;
}
