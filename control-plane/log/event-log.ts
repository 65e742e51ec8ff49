/**
 * The event log as the control plane sees it: one topic, one order, entries that never change once they are there.
 *
 * Two interfaces: `EventLog` for the one who appends, `LogReader` for everyone who follows, also from another process. What is not
 * here: what an entry means, and whether an appended event counts. That is decided by log order, above (aggregates/).
 * Implementations: files (file-log.ts, log-reader.ts) and Kafka (kafka-log.ts). Every implementation passes the suite in conformance.ts.
 */

/** One entry. `offset` counts entries of the topic from 0, without holes. */
export interface Entry {
  offset: bigint;
  key: Uint8Array;
  value: Uint8Array;
  /** When it was appended, by the writer's clock, milliseconds since 1970. */
  timestampMs: number;
}

export interface NewEntry {
  key: Uint8Array;
  value: Uint8Array;
}

export interface LogReader {
  /**
   * Reads up to `max` entries from `fromOffset` on, fewer when they would exceed some megabytes, none when there is nothing yet.
   * An entry that was returned once is durable: it survives a crash of the writer and of the machine, at the same offset.
   * @throws {GatewayError} LOG_CORRUPT, when durable bytes fail their checksum; LOG_OFFSET_GONE, below the first kept entry.
   */
  read(fromOffset: bigint, max: number): Promise<Entry[]>;
  /** The offset that the next durable entry will get. */
  endOffset(): Promise<bigint>;
  /** Resolves true as soon as an entry at `offset` is durable, false when the time is over or the signal fires. */
  waitFor(offset: bigint, timeoutMs: number, signal?: AbortSignal): Promise<boolean>;
  close(): Promise<void>;
}

export interface EventLog extends LogReader {
  /**
   * Appends entries together, in order, and resolves when they are durable.
   * @returns the offset of the first.
   * @throws {GatewayError} LOG_ENTRY_TOO_LARGE, LOG_BUSY (queue full), LOG_BROKEN (the disk refused; nothing more is taken), LOG_CLOSED,
   *   LOG_UNCERTAIN (Kafka did not answer in time: append again what can be told from its double).
   *   After LOG_BROKEN it is not known whether the entries are in the log: read again after a restart.
   */
  append(entries: readonly NewEntry[]): Promise<bigint>;
}

export { openLogReader } from './log-reader.ts';
