/**
 * What the store already has of the records that a batch speaks of. Reads only.
 *
 * Needed after a restart, and when records come twice or late: in the steady state ingest remembers its sessions and asks nothing but
 * whether a session that it sees for the first time is new. Long lists are asked in pieces, since parameters travel in the URL.
 */
import { TupleParam } from '@clickhouse/client';
import type { Record as SessionRecord } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { decodeStored } from './decode.ts';
import type { SessionStore } from './session-store.ts';

export interface RecordKey {
  sessionId: string;
  seq: number;
}

export interface StoredRecord extends RecordKey {
  offset: bigint;
  index: number;
  message: SessionRecord;
  encoded: Uint8Array;
}

interface Row {
  session_id: string;
  seq: string;
  log_offset: string;
  log_index: number;
  encoded: string;
}

const fields = 'session_id, seq, log_offset, log_index, base64Encode(encoded) AS encoded';
const answeredElsewhere = `AND (session_id, seq) NOT IN (
             SELECT session_id, assumeNotNull(command_seq) FROM sallyport.record_rows
             WHERE session_id IN {ids:Array(String)} AND type = 'response')`;
const idsPerQuery = 500;
const keysPerQuery = 1000;
/** Each may be tens of kilobytes. */
const piecesPerQuery = 200;

export class StoredRecords {
  readonly #store: SessionStore;

  constructor(store: SessionStore) {
    this.#store = store;
  }

  /** The highest sequence number of each session that has records; others are not in the result. */
  async lastSeqs(sessionIds: readonly string[]): Promise<Map<string, number>> {
    const found = new Map<string, number>();
    for (const ids of pieces(sessionIds, idsPerQuery)) {
      const rows = await this.#store.rows<{ session_id: string; last: string }>(
        'SELECT session_id, max(seq) AS last FROM sallyport.record_rows WHERE session_id IN {ids:Array(String)} GROUP BY session_id',
        { ids },
      );
      for (const row of rows) found.set(row.session_id, Number(row.last));
    }
    return found;
  }

  /** How these sessions began and ended. */
  async framing(sessionIds: readonly string[]): Promise<StoredRecord[]> {
    const found: StoredRecord[] = [];
    for (const ids of pieces(sessionIds, idsPerQuery)) {
      found.push(
        ...(await this.#records(
          `SELECT ${fields} FROM sallyport.record_rows FINAL
           WHERE session_id IN {ids:Array(String)} AND type IN ('session_started', 'session_refused', 'session_ended')`,
          { ids },
        )),
      );
    }
    return found;
  }

  /** The records under these keys, as far as there are any. */
  async byKey(keys: readonly RecordKey[]): Promise<StoredRecord[]> {
    const found: StoredRecord[] = [];
    for (const piece of pieces(keys, keysPerQuery)) {
      found.push(
        ...(await this.#records(
          `SELECT ${fields} FROM sallyport.record_rows FINAL WHERE (session_id, seq) IN {keys:Array(Tuple(String, UInt64))}`,
          { keys: tuples(piece) },
        )),
      );
    }
    return found;
  }

  /** Where records with these keys lie in the log, and the SHA-256 of their bytes, as far as there are any. */
  async positions(keys: readonly RecordKey[]): Promise<(RecordKey & { offset: bigint; index: number; sha256: string })[]> {
    const found: (RecordKey & { offset: bigint; index: number; sha256: string })[] = [];
    for (const piece of pieces(keys, keysPerQuery)) {
      const rows = await this.#store.rows<Row & { sha256: string }>(
        `SELECT session_id, seq, log_offset, log_index, lower(hex(SHA256(encoded))) AS sha256 FROM sallyport.record_rows FINAL
         WHERE (session_id, seq) IN {keys:Array(Tuple(String, UInt64))}`,
        { keys: tuples(piece) },
      );
      for (const row of rows) {
        found.push({
          sessionId: row.session_id,
          seq: Number(row.seq),
          offset: BigInt(row.log_offset),
          index: row.log_index,
          sha256: row.sha256,
        });
      }
    }
    return found;
  }

  /** The commands of these sessions, page by page. `onlyOpen`: those without a response. */
  async *commands(sessionIds: readonly string[], onlyOpen: boolean): AsyncGenerator<RecordKey[]> {
    for (const ids of pieces(sessionIds, idsPerQuery)) {
      let after: RecordKey = { sessionId: '', seq: 0 };
      for (;;) {
        const rows = await this.#store.rows<{ session_id: string; seq: string }>(
          `SELECT session_id, seq FROM sallyport.record_rows FINAL
           WHERE session_id IN {ids:Array(String)} AND type = 'command' AND (session_id, seq) > ({afterId:String}, {afterSeq:UInt64})
           ${onlyOpen ? answeredElsewhere : ''}
           ORDER BY session_id, seq LIMIT ${keysPerQuery}`,
          { ids, afterId: after.sessionId, afterSeq: after.seq },
        );
        const page = rows.map(row => ({ sessionId: row.session_id, seq: Number(row.seq) }));
        const last = page.at(-1);
        if (last === undefined) break;
        yield page;
        if (page.length < keysPerQuery) break;
        after = last;
      }
    }
  }

  /** Responses to these commands. */
  async responses(commands: readonly RecordKey[]): Promise<StoredRecord[]> {
    const found: StoredRecord[] = [];
    for (const piece of pieces(commands, keysPerQuery)) {
      found.push(
        ...(await this.#records(
          `SELECT ${fields} FROM sallyport.record_rows FINAL
           WHERE session_id IN {ids:Array(String)} AND type = 'response'
             AND (session_id, assumeNotNull(command_seq)) IN {keys:Array(Tuple(String, UInt64))} ORDER BY session_id, seq`,
          { ids: [...new Set(piece.map(key => key.sessionId))], keys: tuples(piece) },
        )),
      );
    }
    return found;
  }

  /** The row of a command's output before a record; undefined: there is none. */
  async outputBefore(sessionId: string, commandSeq: number, seq: number): Promise<{ text: string; revision: bigint } | undefined> {
    const [row] = await this.#store.rows<{ text: string; revision: string }>(
      `SELECT text, revision FROM sallyport.output_rows FINAL
       WHERE session_id = {id:String} AND command_seq = {command:UInt64} AND seq < {seq:UInt64} ORDER BY seq DESC LIMIT 1`,
      { id: sessionId, command: commandSeq, seq },
    );
    return row === undefined ? undefined : { text: row.text, revision: BigInt(row.revision) };
  }

  /** A command's output from a record on, in order, page by page. */
  async *pieces(sessionId: string, commandSeq: number, fromSeq: number): AsyncGenerator<StoredRecord[]> {
    for (let from = fromSeq; ; ) {
      const page = await this.#records(
        `SELECT ${fields} FROM sallyport.record_rows FINAL
         WHERE session_id = {id:String} AND type = 'output_chunk' AND command_seq = {command:UInt64} AND seq >= {from:UInt64}
         ORDER BY seq LIMIT ${piecesPerQuery}`,
        { id: sessionId, command: commandSeq, from },
      );
      const last = page.at(-1);
      if (last === undefined) return;
      yield page;
      if (page.length < piecesPerQuery) return;
      from = last.seq + 1;
    }
  }

  async #records(sql: string, parameters: Record<string, unknown>): Promise<StoredRecord[]> {
    return (await this.#store.rows<Row>(sql, parameters)).map(row => {
      const encoded = Buffer.from(row.encoded, 'base64');
      return {
        sessionId: row.session_id,
        seq: Number(row.seq),
        offset: BigInt(row.log_offset),
        index: row.log_index,
        message: decodeStored(encoded),
        encoded,
      };
    });
  }
}

function tuples(keys: readonly RecordKey[]): TupleParam[] {
  return keys.map(key => new TupleParam([key.sessionId, key.seq]));
}

function* pieces<Item>(items: readonly Item[], size: number): Generator<Item[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}
