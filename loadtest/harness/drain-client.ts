/**
 * Asks one query and reads the answer as fast as bytes come, looking at nothing but the end. A program of its own, so that it
 * shares no event loop with what is measured: `node drain-client.ts PORT plain|tls USER PASSWORD DATABASE QUERY [stall]`.
 * Prints {"bytes","seconds"}; with `stall` it stops reading after the first piece and prints nothing until it is ended.
 */
import net from 'node:net';
import tls from 'node:tls';
import { message, sslRequest, startup } from '../../e2e/components/raw-postgres.ts';

const [port, mode, user = '', password = '', database = '', query = '', stall] = process.argv.slice(2);
const buffer = Buffer.allocUnsafe(256 * 1024);
let bytes = 0;
let started = 0;
let phase: 'login' | 'draining' = 'login';
let socket: net.Socket;

function read(size: number, chunk: Uint8Array): boolean {
  const view = Buffer.from(chunk.buffer, chunk.byteOffset, size);
  if (phase === 'login') {
    if (view[0] === 0x52 && size >= 9 && view.readInt32BE(5) === 3) socket.write(message.password(password));
    else if (view[0] === 0x45) throw new Error(`refused: ${view.toString('latin1')}`);
    if (view.subarray(-6).equals(Buffer.from([0x5a, 0, 0, 0, 5, 0x49]))) {
      phase = 'draining';
      started = performance.now();
      socket.write(message.query(query));
    }
    return true;
  }
  bytes += size;
  if (stall) {
    socket.pause();
    return false;
  }
  // An idle ReadyForQuery is the end; within rows of this benchmark's text these six bytes do not occur.
  if (size >= 6 && view.subarray(-6).equals(Buffer.from([0x5a, 0, 0, 0, 5, 0x49]))) {
    console.log(JSON.stringify({ bytes, seconds: (performance.now() - started) / 1000 }));
    socket.destroy();
  }
  return true;
}

if (mode === 'tls') {
  const raw = net.connect(Number(port), '127.0.0.1');
  raw.write(sslRequest);
  raw.once('data', answer => {
    if (answer.toString() !== 'S') throw new Error('no TLS');
    socket = tls.connect({ socket: raw, rejectUnauthorized: false });
    socket.on('data', (chunk: Buffer) => read(chunk.length, chunk));
    socket.write(startup({ user, database }));
  });
} else {
  socket = net.connect({ port: Number(port), host: '127.0.0.1', onread: { buffer, callback: read } });
  socket.write(startup({ user, database }));
}
