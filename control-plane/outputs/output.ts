/**
 * One output: follows the log from its own cursor, picks the events that it is about, and sends them until the far side has taken them.
 * It shares nothing with other outputs, so that one that is slow or down holds back nobody; what waits, waits in the log. At least once:
 * after a crash the last batch may come again, with the same ids.
 */
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { fromBinary } from '@bufbuild/protobuf';
import { ControlEventSchema } from '@sallyport/proto/gen/sallyport/control/v1/control_pb.js';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Logger } from 'pino';
import { Acceptance } from '../aggregates/acceptance.ts';
import { decodeEntry } from '../ingest/decode.ts';
import type { Entry, LogReader } from '../log/event-log.ts';
import type { OutputConfig } from './config.ts';
import { readCursor, writeCursor } from './cursor.ts';
import type { Destination } from './destination.ts';
import { EventSource, type OutputEvent } from './event.ts';
import type { RecordsSource } from './records-source.ts';

export interface OutputOptions {
  config: OutputConfig;
  destination: Destination;
  records: RecordsSource;
  control: LogReader;
  cursorFile: string;
  logger: Logger;
  /** First pause after a failure; it doubles up to a minute. Default 1 s. */
  retryMs?: number;
}

const ENTRIES_MAX = 64;
const EVENTS_PER_SEND = 500;
const IDLE_MS = 2000;
const RETRY_MS_MAX = 60_000;
/** A cursor that moves over what is not sent is written so often at most. */
const SKIPPED_SAVE_MS = 5000;

export class Output {
  readonly #options: OutputOptions;
  #sent = 0;
  #problem: string | null = null;

  constructor(options: OutputOptions) {
    this.#options = options;
  }

  get figures(): { name: string; sent: number; problem: string | null } {
    return { name: this.#options.config.name, sent: this.#sent, problem: this.#problem };
  }

  /**
   * Runs until the signal fires.
   * @throws {GatewayError} OUTPUT_CURSOR_INVALID, OUTPUT_LOG_REPLACED, LOG_CORRUPT: nothing that waiting would mend.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { records, control, cursorFile, config } = this.#options;
    const cursor = await readCursor(cursorFile);
    await this.#untilAnswered(() => records.open(cursor.records, config.name), signal);
    const end = (await this.#untilAnswered(() => control.endOffset(), signal)) ?? cursor.control;
    if (end < cursor.control) {
      const message = `sallyport.control ends at ${end}, but output ${config.name} has sent up to ${cursor.control}: its cursor belongs to another log.`;
      throw new GatewayError('OUTPUT_LOG_REPLACED', 'conflict', message);
    }
    const source = new EventSource(cursor.sessions);
    const acceptance = await this.#untilAnswered(() => this.#acceptanceAt(cursor.control), signal);
    if (acceptance === null) return;
    let savedAtMs = Date.now();
    while (!signal.aborted) {
      const some = await this.#untilAnswered(
        () => Promise.all([records.read(ENTRIES_MAX), control.read(cursor.control, ENTRIES_MAX)]),
        signal,
      );
      if (some === null) return;
      const [someRecords, someChanges] = some;
      if (someRecords.length + someChanges.length === 0) {
        await Promise.race([records.wait(IDLE_MS, signal), control.waitFor(cursor.control, IDLE_MS, signal)]);
        continue;
      }
      const events = [...recordEvents(someRecords, source), ...changeEvents(someChanges, source, acceptance)].filter(event =>
        this.#wants(event),
      );
      for (let at = 0; at < events.length; at += EVENTS_PER_SEND) {
        if (
          !(await this.#send(
            events.slice(at, at + EVENTS_PER_SEND).map(event => this.#without(event)),
            signal,
          ))
        )
          return;
      }
      records.advance();
      cursor.records = records.position;
      cursor.control += BigInt(someChanges.length);
      if (events.length === 0 && Date.now() - savedAtMs < SKIPPED_SAVE_MS) continue;
      await writeCursor(cursorFile, { ...cursor, sessions: source.sessions });
      savedAtMs = Date.now();
    }
  }

  /** Asks the log until it answers: an outage ends. @returns null when the signal fired first. */
  async #untilAnswered<Answer>(ask: () => Promise<Answer>, signal: AbortSignal): Promise<Answer | null> {
    const { config, logger } = this.#options;
    for (let pauseMs = this.#options.retryMs ?? 1000; ; pauseMs = Math.min(pauseMs * 2, RETRY_MS_MAX)) {
      if (signal.aborted) return null;
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof GatewayError) || error.kind !== 'unavailable') throw error;
        if (signal.aborted) return null;
        logger.warn({ output: config.name, err: errorText(error), retryMs: pauseMs }, 'the log does not answer an output');
        await delay(pauseMs, undefined, { signal }).catch(() => {}); // the signal ends the loop above
      }
    }
  }

  /** @returns false when the signal fired first. */
  async #send(events: readonly OutputEvent[], signal: AbortSignal): Promise<boolean> {
    const { destination, config, logger } = this.#options;
    for (let pauseMs = this.#options.retryMs ?? 1000; ; pauseMs = Math.min(pauseMs * 2, RETRY_MS_MAX)) {
      if (signal.aborted) return false;
      try {
        await destination.send(events, signal);
        this.#sent += events.length;
        if (this.#problem !== null) logger.info({ output: config.name }, 'the output takes events again');
        this.#problem = null;
        return true;
      } catch (error) {
        if (signal.aborted) return false;
        this.#problem = errorText(error);
        logger.warn({ output: config.name, err: this.#problem, retryMs: pauseMs }, 'an output does not take events; they wait in the log');
        // Spread, so that outputs that failed together do not come back together.
        await delay(pauseMs * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => {}); // the signal ends the loop above
      }
    }
  }

  #wants({ type, id, fields }: OutputEvent): boolean {
    const { events, resources, sample } = this.#options.config;
    if (!events.has(type)) return false;
    if (resources.size > 0 && type !== 'change' && !resources.has(String(fields['resource']))) return false;
    const share = sample[type];
    // By its id: the same events are chosen when they are sent again.
    return share === undefined || createHash('sha256').update(id).digest().readUInt32BE() < share * 2 ** 32;
  }

  #without(event: OutputEvent): OutputEvent {
    const { drop } = this.#options.config;
    return drop.size === 0
      ? event
      : { ...event, fields: Object.fromEntries(Object.entries(event.fields).filter(([name]) => !drop.has(name))) };
  }

  /** What counts from an offset on: that depends on all that is before it. */
  async #acceptanceAt(offset: bigint): Promise<Acceptance> {
    const acceptance = new Acceptance();
    for (let at = 0n; at < offset; ) {
      const entries = await this.#options.control.read(at, ENTRIES_MAX);
      if (entries.length === 0) break;
      for (const { value } of entries.slice(0, Number(offset - at))) acceptance.counts(fromBinary(ControlEventSchema, value));
      at += BigInt(entries.length);
    }
    return acceptance;
  }
}

function recordEvents(entries: readonly Entry[], source: EventSource): OutputEvent[] {
  return entries.flatMap(({ offset, value }) => decodeEntry(offset, value).records.flatMap(record => source.ofRecord(record) ?? []));
}

function changeEvents(entries: readonly Entry[], source: EventSource, acceptance: Acceptance): OutputEvent[] {
  return entries.flatMap(({ value }) => {
    const event = fromBinary(ControlEventSchema, value);
    return acceptance.counts(event) ? (source.ofChange(event) ?? []) : [];
  });
}
