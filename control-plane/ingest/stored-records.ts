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

export interface StoredRecord {
  sessionId: string;
  seq: number;
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
const idsPerQuery = 500;
const keysPerQuery = 1000;

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
  async byKey(keys: readonly { sessionId: string; seq: number }[]): Promise<StoredRecord[]> {
    const found: StoredRecord[] = [];
    for (const piece of pieces(keys, keysPerQuery)) {
      found.push(
        ...(await this.#records(
          `SELECT ${fields} FROM sallyport.record_rows FINAL WHERE (session_id, seq) IN {keys:Array(Tuple(String, UInt64))}`,
          { keys: piece.map(key => new TupleParam([key.sessionId, key.seq])) },
        )),
      );
    }
    return found;
  }

  /** Commands of a session, and their responses, up to `limit` commands after `afterSeq`. `onlyOpen`: those without a response. */
  async commands(sessionId: string, options: { afterSeq: number; limit: number; onlyOpen: boolean }): Promise<number[]> {
    const rows = await this.#store.rows<{ seq: string }>(
      `SELECT seq FROM sallyport.record_rows FINAL
       WHERE session_id = {id:String} AND type = 'command' AND seq > {after:Int64}
       ${options.onlyOpen ? "AND seq NOT IN (SELECT assumeNotNull(command_seq) FROM sallyport.record_rows WHERE session_id = {id:String} AND type = 'response')" : ''}
       ORDER BY seq LIMIT {limit:UInt32}`,
      { id: sessionId, after: options.afterSeq, limit: options.limit },
    );
    return rows.map(row => Number(row.seq));
  }

  /** Responses to these commands of a session. */
  async responses(sessionId: string, commandSeqs: readonly number[]): Promise<StoredRecord[]> {
    const found: StoredRecord[] = [];
    for (const seqs of pieces(commandSeqs, keysPerQuery)) {
      found.push(
        ...(await this.#records(
          `SELECT ${fields} FROM sallyport.record_rows FINAL
           WHERE session_id = {id:String} AND type = 'response' AND command_seq IN {seqs:Array(UInt64)} ORDER BY seq`,
          { id: sessionId, seqs },
        )),
      );
    }
    return found;
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

function* pieces<Item>(items: readonly Item[], size: number): Generator<Item[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}
