/** The client's end of a gRPC stream without a network: what is written is heard by `onWrite`, what the test says is read. */
import { Duplex } from 'node:stream';
import type { ClientDuplexStream } from '@grpc/grpc-js';

export class FakeStream<Sent, Received> extends Duplex {
  cancelled = false;
  readonly #onWrite: (message: Sent, stream: FakeStream<Sent, Received>) => void;

  constructor(onWrite: (message: Sent, stream: FakeStream<Sent, Received>) => void) {
    super({ objectMode: true });
    this.#onWrite = onWrite;
  }

  override _read(): void {}

  override _write(message: Sent, _encoding: string, done: (error?: Error | null) => void): void {
    setImmediate(() => {
      if (!this.cancelled) this.#onWrite(message, this);
      done();
    });
  }

  cancel(): void {
    this.cancelled = true;
  }

  say(message: Received): void {
    if (!this.cancelled) this.push(message);
  }

  fail(code: number, details = 'broken'): void {
    if (!this.cancelled) this.emit('error', Object.assign(new Error(details), { code, details }));
  }

  asCall(): ClientDuplexStream<Sent, Received> {
    return this as unknown as ClientDuplexStream<Sent, Received>;
  }
}
