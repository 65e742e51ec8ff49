/**
 * Queries of the gateway's own, on a connection of their own: short, text only, read to the end. Not for anything that a client
 * asked.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { readInt32 } from '@sallyport/shared/wire/bytes.ts';
import { Backend, encodeQuery, encodeTerminate } from './messages.ts';
import { connectUpstream, type UpstreamTarget } from './upstream.ts';

const RESULT_BYTES_MAX = 256 * 1024 * 1024;
const QUERY_MS = 30_000;

/**
 * Runs statements one after the other on a new connection.
 * @returns per statement its rows, values as text.
 * @throws {GatewayError} PG_SIDE_QUERY and what connectUpstream throws.
 */
export async function simpleQuery(
  target: UpstreamTarget,
  database: string,
  statements: readonly string[],
  startup: readonly [string, string][] = [],
): Promise<(string | null)[][][]> {
  const upstream = await connectUpstream(target, [
    ['database', database],
    ['application_name', 'sallyport catalog'],
    ['client_encoding', 'UTF8'],
    ...startup,
  ]);
  const timer = setTimeout(() => upstream.socket.destroy(), QUERY_MS);
  try {
    const results: (string | null)[][][] = [];
    for (const statement of statements) results.push(await one(upstream.socket, statement));
    upstream.socket.end(encodeTerminate());
    return results;
  } finally {
    clearTimeout(timer);
    upstream.socket.destroy();
  }
}

function one(socket: Awaited<ReturnType<typeof connectUpstream>>['socket'], statement: string): Promise<(string | null)[][]> {
  return new Promise((resolve, reject) => {
    const rows: (string | null)[][] = [];
    let failed: GatewayError | null = null;
    let bytes = 0;
    let rest: Buffer = Buffer.alloc(0);
    const fail = (what: string) => reject(new GatewayError('PG_SIDE_QUERY', 'unavailable', what));
    socket.start(
      chunk => {
        bytes += chunk.length;
        if (bytes > RESULT_BYTES_MAX) {
          socket.destroy();
          fail('the catalog is larger than the gateway reads');
          return;
        }
        const buffer = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
        let at = 0;
        while (buffer.length - at >= 5) {
          const end = at + 1 + readInt32(buffer, at + 1);
          if (end < at + 5) {
            socket.destroy();
            fail('the database sent a malformed message');
            return;
          }
          if (end > buffer.length) break;
          const type = buffer[at];
          if (type === Backend.DataRow) rows.push(values(buffer, at + 5));
          else if (type === Backend.ErrorResponse)
            failed = new GatewayError('PG_SIDE_QUERY', 'unavailable', 'the database refused a catalog query');
          else if (type === Backend.ReadyForQuery) {
            if (failed === null) resolve(rows);
            else reject(failed);
          }
          at = end;
        }
        rest = Buffer.from(buffer.subarray(at));
      },
      () => fail('the database closed the side connection'),
    );
    socket.write(encodeQuery(statement));
  });
}

function values(buffer: Buffer, start: number): (string | null)[] {
  const row: (string | null)[] = new Array(buffer.readUInt16BE(start));
  let at = start + 2;
  for (let i = 0; i < row.length; i++) {
    const length = readInt32(buffer, at);
    at += 4;
    if (length < 0) row[i] = null;
    else {
      row[i] = buffer.toString('utf8', at, at + length);
      at += length;
    }
  }
  return row;
}
