/**
 * A PostgreSQL that answers one query without work, so that what is measured is what stands before it. It relays everything to
 * a real server, login and catalog included; only a simple Query that starts with `select * from bulk` is answered from memory:
 * the real server's own RowDescription, then the same block of DataRows again and again until MB are sent.
 *
 * Run as a program: `node canned-server.ts UPSTREAM_PORT ROW_DESCRIPTION_HEX MB [KEY CERTIFICATE]`; prints its port.
 */
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';

const [upstreamPort, descriptionHex, megabytes, key, certificate] = process.argv.slice(2);
const description = Buffer.from(descriptionHex ?? '', 'hex');
const columns = description.readInt16BE(5);

function dataRow(i: number): Buffer {
  const values = Array.from({ length: columns }, (_, column) =>
    Buffer.from(column === 0 ? String(i) : `value ${i} of column ${column}, some words of text`),
  );
  const body = Buffer.concat([
    Buffer.from([columns >> 8, columns & 255]),
    ...values.flatMap(value => {
      const length = Buffer.alloc(4);
      length.writeInt32BE(value.length);
      return [length, value];
    }),
  ]);
  const head = Buffer.alloc(5);
  head.write('D');
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}
const rows: Buffer[] = [];
for (let size = 0, i = 1; size < 1 << 20; i++) {
  const row = dataRow(i);
  rows.push(row);
  size += row.length;
}
const block = Buffer.concat(rows);
const blocks = Math.ceil((Number(megabytes) * 1e6) / block.length);
const tag = `SELECT ${blocks * rows.length}\0`;
const complete = Buffer.alloc(5 + tag.length);
complete.write('C');
complete.writeInt32BE(4 + tag.length, 1);
complete.write(tag, 5);
const ready = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

function serve(client: net.Socket): void {
  const server = net.connect(Number(upstreamPort), '127.0.0.1');
  client.setNoDelay(true);
  server.setNoDelay(true);
  const end = () => {
    client.destroy();
    server.destroy();
  };
  client.on('error', end).on('close', end);
  server.on('error', end).on('close', end);
  server.on('data', chunk => client.write(chunk));
  client.on('data', chunk => {
    // Clients of the benchmark send the query in one piece and alone.
    if (chunk[0] !== 0x51 || !chunk.toString('latin1', 5, 24).startsWith('select * from bulk')) {
      server.write(chunk);
      return;
    }
    client.write(description);
    let left = blocks;
    const more = () => {
      while (left > 0) {
        left--;
        if (!client.write(block)) {
          client.once('drain', more);
          return;
        }
      }
      client.write(Buffer.concat([complete, ready]));
    };
    more();
  });
}

const listener = net.createServer(socket => {
  if (!key || !certificate) {
    serve(socket);
    return;
  }
  socket.once('data', () => {
    socket.write('S');
    serve(new tls.TLSSocket(socket, { isServer: true, key: readFileSync(key), cert: readFileSync(certificate) }));
  });
});
listener.listen(0, '127.0.0.1', () => {
  const address = listener.address();
  console.log(typeof address === 'object' ? address?.port : '');
});
