/** Pieces of a recorded terminal, from the session store in pages: a recording of a day costs no more memory than one of a minute. */
import { fromBinary } from '@bufbuild/protobuf';
import { RecordSchema, type Record as SessionRecord } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import type { SessionHistory } from '../session-history.ts';

/** Pieces read at once. */
export const PAGE = 500;

/** A command that had a terminal. */
export interface Recorded {
  seq: number;
  text: string;
  tag: string;
  started_us: number;
  answered_us: number | null;
}

export interface RecordedPiece {
  /** Of its record in the session. */
  readonly seq: number;
  readonly atUnixUs: number;
  readonly stream: string;
  readonly data: Uint8Array;
}

/**
 * Pieces behind one; fewer than a page: there are no more yet.
 *
 * @param after seq of the last piece that is known already; -1: none. @param open gives a record with its contents.
 */
export async function pageOfPieces(
  history: Pick<SessionHistory, 'rows'>,
  id: string,
  command: number,
  after: number,
  open: (record: SessionRecord) => SessionRecord,
): Promise<RecordedPiece[]> {
  const rows = await history.rows<{ seq: number; encoded: string }>(
    `SELECT seq, base64Encode(encoded) AS encoded FROM sallyport.records
     WHERE session_id = {id:String} AND type = 'output_chunk' AND command_seq = {command:UInt64} AND seq > {after:Int64}
     ORDER BY seq LIMIT ${PAGE}`,
    { id, command, after },
  );
  return rows.flatMap(({ seq, encoded }) => {
    const record = open(fromBinary(RecordSchema, Buffer.from(encoded, 'base64')));
    if (record.body.case !== 'outputChunk') return [];
    const { stream, data } = record.body.value;
    return [{ seq: Number(seq), atUnixUs: Number(record.atUnixUs), stream, data }];
  });
}

/** All of them, in order. */
export async function* recordedPieces(
  history: Pick<SessionHistory, 'rows'>,
  id: string,
  command: number,
  open: (record: SessionRecord) => SessionRecord,
): AsyncGenerator<RecordedPiece> {
  for (let after = -1; ; ) {
    const pieces = await pageOfPieces(history, id, command, after, open);
    yield* pieces;
    after = pieces.at(-1)?.seq ?? after;
    if (pieces.length < PAGE) return;
  }
}

/** The exit status in a command's tag, or null. */
export function exitOf(tag: string): number | null {
  const exit = /^exit (\d+)$/.exec(tag);
  return exit === null ? null : Number(exit[1]);
}
