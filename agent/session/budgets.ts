/**
 * What principals have read of resources, as one worker knows it: its own sessions' reading at once, that of other workers and of
 * before a restart as the main thread tells it (host/usage-journal.ts).
 *
 * Own reading is told in small batches, so that two workers overshoot a budget together by no more than a batch each.
 */
import { createHash } from 'node:crypto';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import { type Budget, BudgetMeter, Usage } from '@sallyport/shared/policy/usage.ts';

const TELL_MS = 50;
const TELL_ROWS = 1000;
const TELL_BYTES = 1024 * 1024;
/** Principals times resources; beyond, those that have read nothing for longest go first. */
const USAGES_MAX = 100_000;

/** The key of a principal's reading of a resource. It holds no name: it lies in a file. */
export function usageKey(principal: Pick<Principal, 'issuer' | 'subject'>, resource: string): string {
  return createHash('sha256')
    .update(JSON.stringify([resource, principal.issuer, principal.subject]))
    .digest('base64url');
}

export class Budgets {
  readonly #tell: (key: string, rows: number, bytes: number) => void;
  readonly #usages = new Map<string, Usage>();
  readonly #pending = new Map<string, { rows: number; bytes: number }>();
  #timer: NodeJS.Timeout | null = null;

  constructor(tell: (key: string, rows: number, bytes: number) => void) {
    this.#tell = tell;
  }

  #usage(key: string): Usage {
    let usage = this.#usages.get(key);
    if (usage === undefined) {
      usage = new Usage();
      if (this.#usages.size >= USAGES_MAX) {
        const oldest = this.#usages.keys().next();
        if (!oldest.done) this.#usages.delete(oldest.value);
      }
    } else this.#usages.delete(key);
    this.#usages.set(key, usage);
    return usage;
  }

  meter(key: string, budget: Budget): BudgetMeter {
    return new BudgetMeter(budget, this.#usage(key));
  }

  /** What a session of this worker was given. */
  spend(key: string, meter: BudgetMeter, rows: number, bytes: number, nowMs: number): void {
    meter.usage.add(nowMs, rows, bytes);
    let pending = this.#pending.get(key);
    if (pending === undefined) {
      pending = { rows: 0, bytes: 0 };
      this.#pending.set(key, pending);
    }
    pending.rows += rows;
    pending.bytes += bytes;
    if (pending.rows >= TELL_ROWS || pending.bytes >= TELL_BYTES) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), TELL_MS);
  }

  /** What was read elsewhere, or before. */
  heard(key: string, rows: number, bytes: number, atMs: number): void {
    this.#usage(key).add(atMs, rows, bytes);
  }

  /** Tells what has not been told yet. */
  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    for (const [key, { rows, bytes }] of this.#pending) this.#tell(key, rows, bytes);
    this.#pending.clear();
  }
}

/** One session's side of a budget. */
export class SessionBudget {
  readonly role: string;
  readonly meter: BudgetMeter;
  readonly #key: string;
  readonly #budgets: Budgets;

  constructor(budgets: Budgets, key: string, role: string, budget: Budget) {
    this.#budgets = budgets;
    this.#key = key;
    this.role = role;
    this.meter = budgets.meter(key, budget);
  }

  /** Counts one row. @returns false: it is over the budget, is not counted, and must not be released. */
  take(bytes: number): boolean {
    const nowMs = Date.now();
    if (this.meter.exceededBy(1, bytes, nowMs)) return false;
    this.#budgets.spend(this.#key, this.meter, 1, bytes, nowMs);
    return true;
  }

  /**
   * Counts bytes of what has no rows.
   * @param whole what is released in parts is of no use: all are taken, or none.
   * @returns how many of them may be released: all, or what is left of the budget.
   */
  takeBytes(bytes: number, whole = false): number {
    const nowMs = Date.now();
    const { budget } = this.meter;
    const left = budget.bytes === undefined ? bytes : Math.max(0, budget.bytes - this.meter.used(nowMs).bytes);
    const taken = whole && left < bytes ? 0 : Math.min(bytes, left);
    if (taken > 0) this.#budgets.spend(this.#key, this.meter, 0, taken, nowMs);
    return taken;
  }

  get spent(): boolean {
    return this.meter.spent(Date.now());
  }

  describe(): string {
    return this.meter.describe(this.role, Date.now());
  }
}
