/**
 * Recordings of terminals in asciinema's formats: written from pieces of output as records hold them (version 3), and turned into version 2
 * for players that know no other. Pure; one line at a time, so that a recording of a day needs no more memory than one of a second.
 *
 * @see https://docs.asciinema.org/manual/asciicast/v3/ and https://docs.asciinema.org/manual/asciicast/v2/
 */
import { GatewayError } from '../errors.ts';

/** One piece of a recording: `o` and `e` output, `i` input, `r` a new size, `m` a mark. */
export interface RecordedPiece {
  readonly atUnixUs: number;
  readonly stream: string;
  readonly data: Uint8Array;
}

export interface RecordingHead {
  readonly startedUnixUs: number;
  readonly title: string;
  readonly command: string;
}

const COLUMNS = 80;
const ROWS = 24;

export class AsciicastWriter {
  readonly #head: RecordingHead;
  #lastUs: number;
  #begun = false;
  /** Of each stream, since a character may be cut between two pieces. */
  readonly #decoders = new Map<string, TextDecoder>();

  constructor(head: RecordingHead) {
    this.#head = head;
    this.#lastUs = head.startedUnixUs;
  }

  /** @returns lines without their ends; before the first event comes the header, whose size is that of a first `r`. */
  *lines(piece: RecordedPiece): Generator<string> {
    const { stream, data, atUnixUs } = piece;
    if (!this.#begun) {
      this.#begun = true;
      const size = stream === 'r' ? sizeOf(Buffer.from(data).toString('latin1')) : null;
      yield this.#header(size?.columns ?? COLUMNS, size?.rows ?? ROWS);
      if (size !== null) return;
    }
    let decoder = this.#decoders.get(stream);
    if (decoder === undefined) {
      decoder = new TextDecoder('utf-8');
      this.#decoders.set(stream, decoder);
    }
    const text = decoder.decode(data, { stream: true });
    if (text === '') return;
    const isOutput = stream === 'o' || stream === 'e' || stream === '';
    yield this.#event(atUnixUs, isOutput ? 'o' : stream, text);
  }

  /** The end, with the status where it is known. */
  *end(atUnixUs: number, exitStatus: number | null): Generator<string> {
    if (!this.#begun) {
      this.#begun = true;
      yield this.#header(COLUMNS, ROWS);
    }
    if (exitStatus !== null) yield this.#event(atUnixUs, 'x', String(exitStatus));
  }

  #header(cols: number, rows: number): string {
    const { startedUnixUs, title, command } = this.#head;
    return JSON.stringify({ version: 3, term: { cols, rows, type: 'xterm' }, timestamp: Math.floor(startedUnixUs / 1e6), title, command });
  }

  #event(atUnixUs: number, code: string, text: string): string {
    const passed = Math.max(0, atUnixUs - this.#lastUs) / 1e6;
    this.#lastUs = Math.max(this.#lastUs, atUnixUs);
    return JSON.stringify([Number(passed.toFixed(6)), code, text]);
  }
}

export interface AsciicastHeader {
  version: 3;
  term: { cols: number; rows: number };
  timestamp?: number;
  title?: string;
  command?: string;
}

/** Seconds since the event before, what it is, and its text. */
export type AsciicastEvent = [interval: number, code: string, text: string];

function malformed(what: string): GatewayError {
  return new GatewayError('RECORDING_MALFORMED', 'invalid', `the recording cannot be read: ${what}`);
}

/** @throws {GatewayError} RECORDING_MALFORMED. */
export function parseHeader(line: string): AsciicastHeader {
  const value = parseJson(line);
  if (typeof value !== 'object' || value === null || !('version' in value) || value.version !== 3 || !('term' in value))
    throw malformed('its first line is no header of asciicast version 3');
  return value as AsciicastHeader;
}

/** @returns null for a comment or an empty line. @throws {GatewayError} RECORDING_MALFORMED. */
export function parseEvent(line: string): AsciicastEvent | null {
  if (line.trim() === '' || line.startsWith('#')) return null;
  const value = parseJson(line);
  if (!Array.isArray(value) || typeof value[0] !== 'number' || typeof value[1] !== 'string' || typeof value[2] !== 'string')
    throw malformed('a line of it is no event');
  return [value[0], value[1], value[2]];
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw malformed('a line of it is no JSON');
  }
}

/** Turns the lines of version 3 into those of version 2: times count from the beginning, and there is no exit status. */
export class VersionTwo {
  #seconds = 0;
  #begun = false;

  /** @returns the line, or null where version 2 has nothing for it. */
  line(line: string): string | null {
    if (!this.#begun) {
      this.#begun = true;
      const { term, timestamp, title, command } = parseHeader(line);
      return JSON.stringify({ version: 2, width: term.cols, height: term.rows, timestamp, title, command });
    }
    const event = parseEvent(line);
    if (event === null) return null;
    this.#seconds += event[0];
    return event[1] === 'x' ? null : JSON.stringify([Number(this.#seconds.toFixed(6)), event[1], event[2]]);
  }
}

/** `80x24`. */
export function sizeOf(text: string): { columns: number; rows: number } | null {
  const match = /^(\d{1,5})x(\d{1,5})$/.exec(text);
  return match === null ? null : { columns: Number(match[1]), rows: Number(match[2]) };
}
