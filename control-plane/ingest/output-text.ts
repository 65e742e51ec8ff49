/**
 * From pieces of output to rows that can be searched: each piece's text behind the end of what the command had shown before. Pure; the
 * same pieces give the same rows, and one that comes late gives those behind it a higher revision. Not here: where pieces come from.
 */
import type { OutputChunk } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { withShown } from '@sallyport/shared/records/terminal-text.ts';
import type { OutputRow } from './tables.ts';

/** What is searched for is found across pieces up to this length. */
const beforeCharacters = 256;

/** Is it what somebody saw, and readable here? Sealed pieces have no data. */
export function isSearchable({ stream, data }: OutputChunk): boolean {
  return (stream === 'o' || stream === 'e') && data.length > 0;
}

/** How far the output of one command is known. */
export class OutputSoFar {
  #before: string;
  #pieces: bigint;

  /** @param last the row before; absent: nothing was shown yet. */
  constructor(last?: { text: string; revision: bigint }) {
    this.#before = endOf(last?.text ?? '');
    this.#pieces = last === undefined ? 0n : last.revision + 1n;
  }

  /** The row of the next piece. */
  row(sessionId: string, seq: number, at: bigint, chunk: OutputChunk): OutputRow {
    const text = withShown(this.#before, Buffer.from(chunk.data).toString('utf8'));
    const row = { session_id: sessionId, command_seq: chunk.commandSeq, seq, at, revision: this.#pieces, text };
    this.#before = endOf(text);
    this.#pieces += 1n;
    return row;
  }
}

function endOf(text: string): string {
  // Copied: a slice would keep all of the text in memory. What is cut of a character of two units is no text.
  return Buffer.from(text.slice(-beforeCharacters), 'utf16le')
    .toString('utf16le')
    .toWellFormed()
    .replace(/^\ufffd/, '');
}
