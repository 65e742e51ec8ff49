/**
 * The records of the log as an output follows them: from where its cursor says, moved on when what was read has been taken. In files that
 * is one offset; in Kafka (kafka-records.ts) one for each partition.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Entry, LogReader } from '../log/event-log.ts';

/** Next offset in files, or partition → next offset in Kafka; null: the beginning. */
export type RecordsPosition = bigint | Readonly<Record<string, bigint>> | null;

export interface RecordsSource {
  /**
   * Goes to where a cursor says.
   * @throws {GatewayError} OUTPUT_LOG_REPLACED: the cursor belongs to another log; LOG_OFFSET_GONE: the log no longer keeps what comes next.
   */
  open(position: RecordsPosition, output: string): Promise<void>;
  /** Some entries from the position on, in order within each session; none when there is nothing yet. */
  read(max: number): Promise<Entry[]>;
  /** Moves the position behind what `read` gave last. */
  advance(): void;
  /** For a cursor. */
  readonly position: RecordsPosition;
  /** Waits until there may be more. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export class FileRecords implements RecordsSource {
  readonly #reader: LogReader;
  #at = 0n;
  #read = 0;

  constructor(reader: LogReader) {
    this.#reader = reader;
  }

  async open(position: RecordsPosition, output: string): Promise<void> {
    if (position !== null && typeof position !== 'bigint') throw elsewhere(output, 'Kafka');
    this.#at = position ?? 0n;
    const end = await this.#reader.endOffset();
    if (end < this.#at) throw replaced(output, `sallyport.records ends at ${end}`, this.#at);
  }

  async read(max: number): Promise<Entry[]> {
    const entries = await this.#reader.read(this.#at, max);
    this.#read = entries.length;
    return entries;
  }

  advance(): void {
    this.#at += BigInt(this.#read);
    this.#read = 0;
  }

  get position(): bigint {
    return this.#at;
  }

  async wait(timeoutMs: number, signal: AbortSignal): Promise<void> {
    await this.#reader.waitFor(this.#at, timeoutMs, signal);
  }

  close(): Promise<void> {
    return this.#reader.close();
  }
}

export function replaced(output: string, what: string, at: bigint): GatewayError {
  const message = `${what}, but output ${output} has sent up to ${at}: its cursor belongs to another log.`;
  return new GatewayError('OUTPUT_LOG_REPLACED', 'conflict', message);
}

export function elsewhere(output: string, where: string): GatewayError {
  const message = `The cursor of output ${output} is of a log in ${where}. Start as before, or delete the cursor to send everything again.`;
  return new GatewayError('OUTPUT_LOG_REPLACED', 'conflict', message);
}
