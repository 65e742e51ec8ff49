/**
 * A worker for tests of the host: speaks all of worker-messages.ts, with a real spool and real listeners, and no protocol. A client's
 * connection is a session; each line is a command. `die` ends the thread at once, `who` tells the worker's number.
 */
import { randomUUID } from 'node:crypto';
import net from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { encodeCommand, encodeSessionEnded, encodeSessionStarted } from '@sallyport/shared/records/encode.ts';
import { openSpool } from '../spool/spool.ts';
import type { FromWorker, ToWorker, WorkerData } from '../worker-messages.ts';

const data = workerData as WorkerData;
const post = (message: FromWorker) => parentPort?.postMessage(message);
const spool = await openSpool({
  dir: data.spoolDir,
  bytesMax: data.spoolBytesMax,
  onDurable: nextIndex => post({ type: 'durable', nextIndex }),
});
const servers = new Map<string, { address: string; server: net.Server }>();
const sockets = new Map<string, net.Socket>();
const endings = new Map<string, (reason: string) => void>();
const heard: string[] = [];
let commands = 0;

function serve(resource: string, socket: net.Socket): void {
  const sessionId = randomUUID();
  let seq = 0;
  const head = () => ({ sessionId, seq: seq++, atUnixUs: Date.now() * 1000 });
  sockets.set(sessionId, socket);
  spool.append(encodeSessionStarted(head(), { resource, agent: data.agentName, protocol: 'fake' }));
  post({
    type: 'sessionStarted',
    session: {
      sessionId,
      resource,
      principal: 'ann',
      principalKind: 'person',
      clientAddress: `${socket.remoteAddress}:${socket.remotePort}`,
      startedUnixUs: Date.now() * 1000,
      issuer: '',
      role: 'any',
    },
  });
  let rest = '';
  socket.on('error', () => undefined);
  socket.on('data', chunk => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === 'die') process.exit(7);
      if (line === 'throw') throw new Error('thrown in a worker');
      if (line === 'heard') {
        socket.write(`${JSON.stringify(heard)}\n`);
        continue;
      }
      if (line.startsWith('miss ')) {
        post({ type: 'jwksMiss', issuer: line.slice(5) });
        continue;
      }
      commands++;
      const index = spool.append(encodeCommand(head(), { kind: 'line', text: line }));
      spool.whenDurable(index, error => socket.write(error === null ? `${data.index} ${sessionId} ${line}\n` : `${error.message}\n`));
    }
  });
  const end = (reason: string) => {
    if (!sockets.delete(sessionId)) return;
    endings.delete(sessionId);
    spool.append(encodeSessionEnded(head(), { reason }));
    post({ type: 'sessionEnded', sessionId });
    socket.destroy();
  };
  endings.set(sessionId, end);
  socket.on('close', () => end('client closed'));
}

parentPort?.on('message', (message: ToWorker) => {
  heard.push(message.type === 'jwks' ? `jwks ${message.issuer} ${message.keys.length}` : message.type);
  switch (message.type) {
    case 'lease':
      for (const [resource, { address, server }] of servers) {
        if (message.listen[resource] === address) continue;
        server.close();
        servers.delete(resource);
      }
      for (const [resource, address] of Object.entries(message.listen)) {
        if (servers.has(resource)) continue;
        const server = net.createServer(socket => serve(resource, socket));
        servers.set(resource, { address, server });
        server.on('error', error => post({ type: 'problem', resource, reason: error.message }));
        const colon = address.lastIndexOf(':');
        server.listen(
          { host: address.slice(0, colon), port: Number(address.slice(colon + 1)), reusePort: data.workers > 1, exclusive: true },
          () => post({ type: 'listening', resource, address }),
        );
      }
      break;
    case 'shipped':
      spool.shipped(message.nextIndex);
      break;
    case 'kill':
      endings.get(message.sessionId)?.('killed');
      break;
    case 'stats':
      post({
        type: 'stats',
        id: message.id,
        metrics: { commands, sessions: sockets.size, spoolBytes: spool.stats().bytes },
        addedLatency: [],
      });
      break;
    case 'drain':
      for (const { server } of servers.values()) server.close();
      break;
    case 'stop':
      for (const end of endings.values()) end('agent stopped');
      setImmediate(() => {
        spool.close().then(
          () => post({ type: 'stopped' }),
          () => post({ type: 'stopped' }),
        );
      });
      break;
    default:
      break;
  }
});
post({ type: 'ready' });
