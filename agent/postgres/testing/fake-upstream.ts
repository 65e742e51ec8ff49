/** A PostgreSQL server that lets everybody in and then says what the test tells it to, in the pieces that the test wants. */
import { createServer, type Server, type Socket } from 'node:net';
import { encodeAuthenticationOk, encodeBackendKeyData, encodeParameterStatus, encodeReadyForQuery } from '../messages.ts';

export class FakeUpstream {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Gets each whole frame that the gateway sends after start-up. */
  onFrame: (type: string, body: Buffer, socket: Socket) => void = () => undefined;

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', socket => this.#serve(socket));
  }

  static async start(): Promise<FakeUpstream> {
    const server = createServer({ noDelay: true });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    return new FakeUpstream(server);
  }

  get address(): string {
    const address = this.#server.address();
    return address !== null && typeof address === 'object' ? `127.0.0.1:${address.port}` : '';
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    let pending = Buffer.alloc(0);
    let started = false;
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      if (!started) {
        if (pending.length < 4 || pending.length < pending.readInt32BE(0)) return;
        pending = pending.subarray(pending.readInt32BE(0));
        started = true;
        socket.write(
          Buffer.concat([
            encodeAuthenticationOk(),
            encodeParameterStatus('client_encoding', 'UTF8'),
            encodeParameterStatus('standard_conforming_strings', 'on'),
            encodeBackendKeyData(7, Buffer.from([1, 2, 3, 4])),
            encodeReadyForQuery('I'),
          ]),
        );
      }
      while (pending.length >= 5 && pending.length >= 1 + pending.readInt32BE(1)) {
        const end = 1 + pending.readInt32BE(1);
        const frame = pending.subarray(0, end);
        pending = pending.subarray(end);
        this.onFrame(String.fromCharCode(frame[0] ?? 0), frame.subarray(5), socket);
      }
    });
  }

  stop(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
