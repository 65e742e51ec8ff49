/**
 * What an operator wants at a glance, each number with the list that it counts. Numbers of the store are null while it is down; all
 * others are of this replica and of the logs.
 */
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { addCounts, noLatencies } from '@sallyport/shared/records/latency-buckets.ts';
import { addedQuantiles } from './added-quantile.ts';
import type { ApiContext } from './context.ts';

/** A number, and the API path of what it counts. */
export interface Counted {
  value: number | null;
  list: string;
}

export interface Overview {
  at: string;
  /** Commands, decisions and refusals are of this time. */
  windowSeconds: number;
  store: { status: 'up' | 'down' | 'none'; detail?: string };
  commandsPerSecond: Counted;
  decisions: { allow: Counted; deny: Counted; hold: Counted };
  refusedSessions: Counted;
  /** From the command's arrival to the last byte of its answer, the resource's own time and the wait for approvals included. */
  duration: { p50Us: number | null; p95Us: number | null; p99Us: number | null; list: string };
  /** What agents themselves add to a command, without the resource's time and people's; sampled. Null: too few were measured to say. */
  addedLatency: { p50Us: number | null; p95Us: number | null; p99Us: number | null; samples: number; list: string };
  held: Counted;
  liveSessions: Counted;
  agents: { online: Counted; offline: Counted; withProblems: Counted };
  /** What connected agents have on disk and the log has not acknowledged. */
  spool: { records: Counted; bytes: Counted };
  log: { control: string; records: string };
  /** Entries of the log that the store has not taken in, and how old the first of them is. */
  storeLag: { entries: number | null; seconds: number | null; list: string };
  /** Oldest first, without gaps. */
  series: { at: string; allow: number; deny: number; hold: number }[];
}

const windowSeconds = 300;
const stepSeconds = 5;
/** Everybody who looks sees the same answer for this long. */
const keptMs = 2000;
const recordsTopic = 'sallyport.records';

interface FromStore {
  commands: number;
  allow: number;
  deny: number;
  hold: number;
  refused: number;
  p50: number | null;
  p95: number | null;
  p99: number | null;
  next: bigint | null;
  series: Overview['series'];
}

export class OverviewDesk {
  readonly #context: ApiContext;
  #kept: { atMs: number; answer: Promise<Overview> } | null = null;

  constructor(context: ApiContext) {
    this.#context = context;
  }

  async overview(): Promise<Overview> {
    const nowMs = this.#context.clock();
    if (this.#kept === null || Math.abs(nowMs - this.#kept.atMs) >= keptMs) {
      const answer = this.#look(nowMs);
      this.#kept = { atMs: nowMs, answer };
      answer.catch(() => {
        if (this.#kept?.answer === answer) this.#kept = null; // The next one tries again.
      });
    }
    return this.#kept.answer;
  }

  async #look(nowMs: number): Promise<Overview> {
    const { control, records, fleet } = this.#context;
    const { stored, store } = await this.#fromStore(nowMs);
    const agents = control.state.agents().filter(([, state]) => state.status === 'active');
    const connections = fleet.connections();
    const sum = (count: (health: { spoolRecords: bigint; spoolBytes: bigint }) => bigint) =>
      Number(connections.reduce((total, { health }) => total + (health === null ? 0n : count(health)), 0n));
    const latencies = noLatencies();
    for (const { health } of connections) if (health !== null) addCounts(latencies, health.addedLatency);
    const end = await records.endOffset();
    const since = `since:${windowSeconds / 60}m`;
    const commands = (query: string) => `/v1/search/commands?q=${encodeURIComponent(`${query} ${since}`.trim())}`;
    const whole = { p50Us: stored?.p50 ?? null, p95Us: stored?.p95 ?? null, p99Us: stored?.p99 ?? null };
    const counted = (value: number | null | undefined, list: string): Counted => ({ value: value ?? null, list });
    return {
      at: new Date(nowMs).toISOString(),
      windowSeconds,
      store,
      commandsPerSecond: counted(stored === null ? null : stored.commands / windowSeconds, commands('')),
      decisions: {
        allow: counted(stored?.allow, commands('decision:allowed')),
        deny: counted(stored?.deny, commands('decision:denied')),
        hold: counted(stored?.hold, commands('decision:held')),
      },
      refusedSessions: counted(stored?.refused, `/v1/search/sessions?q=${encodeURIComponent(`is:refused ${since}`)}`),
      duration: { ...whole, list: commands('') },
      addedLatency: {
        ...addedQuantiles(latencies, whole),
        samples: latencies.reduce((sum, count) => sum + count, 0),
        list: '/v1/agents',
      },
      held: counted(control.state.pendingApprovals().length, '/v1/approvals'),
      liveSessions: counted(fleet.liveSessions().length, '/v1/sessions?live=true'),
      agents: {
        online: counted(connections.length, '/v1/agents'),
        offline: counted(agents.filter(([id]) => fleet.connection(id) === undefined).length, '/v1/agents'),
        withProblems: counted(connections.filter(({ problems }) => Object.keys(problems).length > 0).length, '/v1/agents'),
      },
      spool: {
        records: counted(
          sum(({ spoolRecords }) => spoolRecords),
          '/v1/agents',
        ),
        bytes: counted(
          sum(({ spoolBytes }) => spoolBytes),
          '/v1/agents',
        ),
      },
      log: { control: String(control.position), records: String(end) },
      storeLag: { ...(await this.#lag(stored?.next ?? null, end, nowMs)), list: '/v1/status' },
      series: stored?.series ?? [],
    };
  }

  async #lag(next: bigint | null, end: bigint, nowMs: number): Promise<{ entries: number | null; seconds: number | null }> {
    if (next === null) return { entries: null, seconds: null };
    if (next >= end) return { entries: 0, seconds: 0 };
    const [oldest] = await this.#context.records.read(next, 1);
    const seconds = oldest === undefined ? null : Math.max(0, (nowMs - oldest.timestampMs) / 1000);
    return { entries: Number(end - next), seconds };
  }

  async #fromStore(nowMs: number): Promise<{ stored: FromStore | null; store: Overview['store'] }> {
    const { history, logger } = this.#context;
    if (!history.isConfigured) return { stored: null, store: { status: 'none' } };
    // Whole steps, so that no bar is of a part of its time.
    const untilMs = Math.floor(nowMs / (stepSeconds * 1000)) * stepSeconds * 1000;
    const fromMs = untilMs - windowSeconds * 1000;
    const parameters = { from: fromMs / 1000, until: untilMs / 1000 };
    const inTime = (column: string) =>
      `${column} >= toDateTime64({from:Int64}, 6, 'UTC') AND ${column} < toDateTime64({until:Int64}, 6, 'UTC')`;
    try {
      const [steps, quantiles, refused, progress] = await Promise.all([
        history.rows<{ step: number; allow: number; deny: number; hold: number; commands: number }>(
          `SELECT toUnixTimestamp(toStartOfInterval(at, INTERVAL ${stepSeconds} SECOND)) AS step, count() AS commands,
             countIf(decision = 'allow') AS allow, countIf(decision = 'deny') AS deny, countIf(decision = 'hold') AS hold
           FROM sallyport.commands WHERE ${inTime('at')} GROUP BY step`,
          parameters,
        ),
        history.rows<{ answered: number; p: number[] }>(
          `SELECT countIf(duration_us > 0) AS answered, quantilesIf(0.5, 0.95, 0.99)(duration_us, duration_us > 0) AS p
           FROM sallyport.commands WHERE ${inTime('at')}`,
          parameters,
        ),
        history.rows<{ refused: number }>(
          `SELECT count() AS refused FROM sallyport.sessions WHERE status = 'refused' AND ${inTime('started_at')}`,
          parameters,
        ),
        history.rows<{ next: string }>(
          // In Kafka each partition has a place of its own, TOPIC/NUMBER; the log counts entries over all of them.
          `SELECT toString(sum(next)) AS next FROM (
             SELECT topic, max(next_offset) AS next FROM sallyport.ingest_progress
             WHERE topic = {topic:String} OR startsWith(topic, concat({topic:String}, '/')) GROUP BY topic
           ) HAVING count() > 0`,
          { topic: recordsTopic },
        ),
      ]);
      const byStep = new Map(steps.map(step => [step.step, step]));
      const series: Overview['series'] = [];
      for (let at = parameters.from; at < parameters.until; at += stepSeconds) {
        const { allow = 0, deny = 0, hold = 0 } = byStep.get(at) ?? {};
        series.push({ at: new Date(at * 1000).toISOString(), allow, deny, hold });
      }
      const total = (of: 'allow' | 'deny' | 'hold' | 'commands') => steps.reduce((sum, step) => sum + step[of], 0);
      const [durations] = quantiles;
      const quantile = (index: number) => (durations === undefined || durations.answered === 0 ? null : (durations.p[index] ?? null));
      const [at] = progress;
      return {
        store: { status: 'up' },
        stored: {
          ...{ commands: total('commands'), allow: total('allow'), deny: total('deny'), hold: total('hold') },
          ...{ refused: refused[0]?.refused ?? 0, p50: quantile(0), p95: quantile(1), p99: quantile(2) },
          next: at === undefined ? null : BigInt(at.next),
          series,
        },
      };
    } catch (error) {
      if (!(error instanceof GatewayError) || error.kind !== 'unavailable') throw error;
      logger.warn({ code: error.code }, error.message);
      return { stored: null, store: { status: 'down', detail: errorText(error) } };
    }
  }
}
