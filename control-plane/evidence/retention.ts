/**
 * Deletes sessions from the session store when every AuditPolicy about their resource lets them go, and no legal hold keeps them. It runs
 * every hour, and when it is asked to.
 *
 * The tables have no TTL of their own: ClickHouse would delete what a hold keeps, and would leave no trace of it. Here a deletion is in
 * the control log before it is done, and verifiers can tell it from a theft. Sessions of resources that no policy with `retention`
 * selects are kept for ever. What is deleted twice (two replicas, a crash half-way) is deleted once.
 *
 * Not here: the records in the event log, which have a retention of their own (docs/evidence.md).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import { selects } from '@sallyport/shared/policy/selectors.ts';
import type { Logger } from 'pino';
import { action, type ControlLog, type Provenance } from '../aggregates/control-log.ts';
import { type LegalHold, retentionAggregate } from '../aggregates/retention.ts';
import type { SessionStore } from '../ingest/session-store.ts';
import { noteChangedDays } from '../rollups/roll-up.ts';

export interface RetentionOptions {
  control: Pick<ControlLog, 'execute' | 'catchUp'> & { state: Pick<ControlLog['state'], 'retention' | 'manifest' | 'manifests'> };
  /** null: there is no store. */
  store: SessionStore | null;
  logger: Logger;
  clock: () => number;
}

/** What would go now, of one resource. */
export interface Due {
  resource: string;
  policies: string[];
  /** null: kept for ever. */
  retentionMs: number | null;
  /** Sessions that ended before this moment. */
  beforeMs: number | null;
  /** How many are due. */
  sessions: number;
  /** How many more would be due without legal holds. */
  held: number;
  /** How many began before that moment and have no end in the records: none is deleted before its agent has said how it ended. */
  open: number;
  /** When the next session is due that is not yet; null: none is kept for a time only. Milliseconds since 1970. */
  nextMs: number | null;
}

const HOUR_MS = 3_600_000;
const FIRST_RUN_MS = 60_000;
const CLOSE_MS = 2000;
const CATCH_UP_MS = 30_000;
/** Deleted in one go: a mutation rewrites the parts it touches, so few large ones are best. */
const TABLES = ['command_revisions', 'output_rows', 'record_rows', 'approval_event_rows', 'session_rows'] as const;

export class Retention {
  readonly #options: RetentionOptions;
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<unknown> = Promise.resolve();
  #stopped = false;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  start(): void {
    this.#next(FIRST_RUN_MS);
  }

  async close(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    // What a store that does not answer keeps waiting is done by the next start.
    await Promise.race([this.#running, delay(CLOSE_MS, undefined, { ref: false })]);
  }

  get holds(): LegalHold[] {
    return Object.values(this.#options.control.state.retention().holds);
  }

  /** How many sessions of a person are on hold; at least one when a hold names the person alone. @throws {GatewayError} STORE_UNAVAILABLE. */
  async heldOf(person: string): Promise<number> {
    const parameters = { person };
    const [count] = await this.#store().rows<{ n: string }>(
      `SELECT count() AS n FROM sallyport.sessions WHERE principal = {person:String} AND ${this.#keptSql(parameters)}`,
      parameters,
    );
    const isNamed = this.holds.some(hold => hold.person === person && hold.resource === undefined && hold.session === undefined);
    return Math.max(Number(count?.n ?? 0), isNamed ? 1 : 0);
  }

  /** @throws {GatewayError} STORE_UNAVAILABLE. */
  async due(): Promise<Due[]> {
    const store = this.#store();
    const nowMs = this.#options.clock();
    const known = await store.rows<{ resource: string }>('SELECT DISTINCT resource FROM sallyport.session_rows ORDER BY resource');
    const result: Due[] = [];
    for (const { resource } of known) {
      const { retentionMs, policies } = this.#retentionOf(resource);
      if (retentionMs === null) {
        result.push({ resource, policies, retentionMs, beforeMs: null, sessions: 0, held: 0, open: 0, nextMs: null });
        continue;
      }
      const beforeMs = nowMs - retentionMs;
      const { where, parameters } = this.#dueSql(resource, beforeMs);
      const [count] = await store.rows<{ due: string; held: string; open: string; oldest: string | null }>(
        `SELECT countIf(${where} AND NOT kept) AS due, countIf(${where} AND kept) AS held,
           countIf(ended_at IS NULL AND started_at < fromUnixTimestamp64Milli({before:Int64})) AS open,
           toUnixTimestamp64Milli(minOrNullIf(assumeNotNull(ended_at), NOT kept AND ended_at >= fromUnixTimestamp64Milli({before:Int64}))) AS oldest
         FROM (SELECT session_id, resource, started_at, ended_at, ${this.#keptSql(parameters)} AS kept FROM sallyport.sessions WHERE resource = {resource:String})`,
        parameters,
      );
      const [sessions, held, open] = [Number(count?.due ?? 0), Number(count?.held ?? 0), Number(count?.open ?? 0)];
      const nextMs = count?.oldest == null ? null : Number(count.oldest) + retentionMs;
      result.push({ resource, policies, retentionMs, beforeMs, sessions, held, open, nextMs });
    }
    return result;
  }

  /** Deletes what is due. One run at a time. */
  run(provenance: Provenance): Promise<Due[]> {
    const run = this.#running.then(() => this.#run(provenance));
    this.#running = run.catch(() => {}); // who asked is told; the next run stands for itself
    return run;
  }

  async #run(provenance: Provenance): Promise<Due[]> {
    const store = this.#store();
    const all = await this.due();
    for (const { resource, policies, beforeMs, sessions } of all) {
      if (beforeMs === null || sessions === 0) continue;
      const expiry = { resource, policies, beforeMs, sessions };
      const outcome = await this.#options.control.execute([action(retentionAggregate, 'log', { type: 'expire', expiry })], provenance);
      if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
      // A hold that was placed while this went on is in the log before the deletion, or after it: either way it counts.
      const { where, parameters } = this.#dueSql(resource, beforeMs);
      const ids = `SELECT session_id FROM sallyport.sessions WHERE ${where} AND NOT ${this.#keptSql(parameters)}`;
      // The list outlives a crash between two tables: what is on it goes.
      await store.command(
        `INSERT INTO sallyport.expired_sessions (session_id, resource, days)
         SELECT s.session_id, {resource:String}, r.days FROM (${ids}) AS s
         LEFT JOIN (SELECT session_id, groupUniqArray(toDate(at)) AS days FROM sallyport.record_rows WHERE session_id IN (${ids}) GROUP BY session_id) AS r
         ON r.session_id = s.session_id`,
        parameters,
      );
      this.#options.logger.info({ resource, sessions, before: new Date(beforeMs).toISOString() }, 'evidence expired and is deleted');
    }
    if (await this.#isListed(store)) await this.#takeBackHeld(store);
    if (await this.#isListed(store)) {
      for (const table of TABLES) {
        await store.command(
          `ALTER TABLE sallyport.${table} DELETE WHERE session_id IN (SELECT session_id FROM sallyport.expired_sessions WHERE deleted_at IS NULL) SETTINGS mutations_sync = 2`,
        );
      }
      const days = await store.rows<{ day: string }>(
        'SELECT DISTINCT toString(arrayJoin(days)) AS day FROM sallyport.expired_sessions WHERE deleted_at IS NULL',
      );
      await noteChangedDays(
        store,
        days.map(({ day }) => day),
      );
      await store.command(
        'ALTER TABLE sallyport.expired_sessions UPDATE deleted_at = now() WHERE deleted_at IS NULL SETTINGS mutations_sync = 2',
      );
    }
    return all;
  }

  /** Takes off the list what is on hold by now: the list may be of a run that broke off, or be older than a hold. */
  async #takeBackHeld(store: SessionStore): Promise<void> {
    // Holds of other replicas, too.
    if (!(await this.#options.control.catchUp(CATCH_UP_MS)))
      throw new GatewayError('LOG_UNAVAILABLE', 'unavailable', 'The control log cannot be read up to its end, and may hold legal holds.');
    const parameters = {};
    const held = `deleted_at IS NULL AND session_id IN (SELECT session_id FROM sallyport.sessions WHERE ${this.#keptSql(parameters)})`;
    const [some] = await store.rows<{ n: string }>(`SELECT count() AS n FROM sallyport.expired_sessions WHERE ${held}`, parameters);
    if (Number(some?.n ?? 0) > 0)
      await store.command(`ALTER TABLE sallyport.expired_sessions DELETE WHERE ${held} SETTINGS mutations_sync = 2`, parameters);
  }

  /** Is something due that is not deleted yet? */
  async #isListed(store: SessionStore): Promise<boolean> {
    const [left] = await store.rows<{ n: string }>('SELECT count() AS n FROM sallyport.expired_sessions WHERE deleted_at IS NULL');
    return Number(left?.n ?? 0) > 0;
  }

  #store(): SessionStore {
    if (this.#options.store === null)
      throw new GatewayError('STORE_UNAVAILABLE', 'unavailable', 'This control plane has no session store (--clickhouse).');
    return this.#options.store;
  }

  /** The longest of what the policies about a resource say; a resource that is gone has no labels any more. */
  #retentionOf(resource: string): { retentionMs: number | null; policies: string[] } {
    const { state } = this.#options.control;
    const labels = state.manifest('Resource', resource)?.manifest.labels ?? {};
    const about = state
      .manifests('AuditPolicy')
      .map(({ manifest }) => manifest as Manifest<'AuditPolicy'>)
      .filter(({ spec }) => spec.retentionMs !== undefined && selects(spec.resources, resource, labels));
    if (about.length === 0) return { retentionMs: null, policies: [] };
    return { retentionMs: Math.max(...about.map(({ spec }) => spec.retentionMs ?? 0)), policies: about.map(({ name }) => name) };
  }

  /**
   * Sessions that are over. One that has no end in the records is not: its agent may be cut off and have more of it, and a verifier takes
   * only what the agent signed as ended for expired.
   */
  #dueSql(resource: string, beforeMs: number): { where: string; parameters: Record<string, unknown> } {
    return {
      where: `resource = {resource:String} AND ended_at < fromUnixTimestamp64Milli({before:Int64}) AND session_id NOT IN (SELECT session_id FROM sallyport.expired_sessions)`,
      parameters: { resource, before: beforeMs },
    };
  }

  /** A condition that holds for sessions on hold; what the holds name goes into `parameters`. */
  #keptSql(parameters: Record<string, unknown>): string {
    const each = this.holds.map((hold, at) => {
      const part = (column: string, name: 'person' | 'resource' | 'session') => {
        if (hold[name] === undefined) return [];
        parameters[`${name}${at}`] = hold[name];
        return [`${column} = {${name}${at}:String}`];
      };
      return `(${[...part('principal', 'person'), ...part('resource', 'resource'), ...part('session_id', 'session')].join(' AND ')})`;
    });
    return each.length === 0 ? '(0 = 1)' : `(${each.join(' OR ')})`;
  }

  #next(delayMs: number): void {
    if (this.#stopped || this.#options.store === null) return;
    this.#timer = setTimeout(() => {
      this.run({ author: 'system', authorAddress: '', reason: 'retention of the audit policies', requestId: '' })
        .catch((error: unknown) =>
          this.#options.logger.warn({ err: errorText(error) }, 'expired evidence was not deleted; it is tried again'),
        )
        .finally(() => this.#next(HOUR_MS));
    }, delayMs);
    this.#timer.unref();
  }
}
