/**
 * A PostgreSQL client that is nothing but bytes: what tests send and what came back, frame by frame. It deliberately shares no
 * code with the gateway, so that a mistake there is not made here too.
 *
 * @see https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
import net from 'node:net';
import tls from 'node:tls';

export interface Frame {
  type: string;
  /** Payload without type and length. */
  body: Buffer;
}

export interface RawOptions {
  host: string;
  port: number;
  user: string;
  database?: string;
  password: string;
  /** PEM of the CA that the server must be signed by; absent: not verified. */
  ca?: string;
  parameters?: Record<string, string>;
  protocol?: number;
}

const int32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
const int16 = (value: number) => {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
};
const cstring = (text: string) => Buffer.from(`${text}\0`);

/** One frontend frame. */
export const frame = (type: string, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body]);
};

/** Frontend messages, as the specification names them. */
export const message = {
  query: (sql: string | Buffer) => frame('Q', Buffer.from(sql), Buffer.from([0])),
  parse: (name: string, sql: string, types: number[] = []) =>
    frame('P', cstring(name), cstring(sql), int16(types.length), ...types.map(int32)),
  bind: (
    portal: string,
    statement: string,
    values: (string | Buffer | null)[] = [],
    resultFormats: number[] = [],
    valueFormats: number[] = [],
  ) =>
    frame(
      'B',
      cstring(portal),
      cstring(statement),
      int16(valueFormats.length),
      ...valueFormats.map(int16),
      int16(values.length),
      ...values.flatMap(value => (value === null ? [int32(-1)] : [int32(Buffer.byteLength(value)), Buffer.from(value)])),
      int16(resultFormats.length),
      ...resultFormats.map(int16),
    ),
  describe: (kind: 'S' | 'P', name: string) => frame('D', Buffer.from(kind), cstring(name)),
  execute: (portal: string, rows = 0) => frame('E', cstring(portal), int32(rows)),
  close: (kind: 'S' | 'P', name: string) => frame('C', Buffer.from(kind), cstring(name)),
  sync: () => frame('S'),
  flush: () => frame('H'),
  terminate: () => frame('X'),
  copyData: (data: string | Buffer) => frame('d', Buffer.from(data)),
  copyDone: () => frame('c'),
  copyFail: (why: string) => frame('f', cstring(why)),
  password: (text: string) => frame('p', cstring(text)),
};

export const sslRequest = Buffer.concat([int32(8), int32(80877103)]);
export const gssRequest = Buffer.concat([int32(8), int32(80877104)]);

export function startup(parameters: Record<string, string>, protocol = 196608): Buffer {
  const body = Buffer.concat([
    int32(protocol),
    ...Object.entries(parameters).flatMap(([name, value]) => [cstring(name), cstring(value)]),
    Buffer.from([0]),
  ]);
  return Buffer.concat([int32(body.length + 4), body]);
}

/** Fields of an ErrorResponse or NoticeResponse: `C` SQLSTATE, `M` message, `S` severity … */
export function fields(body: Buffer): Record<string, string> {
  const out: Record<string, string> = {};
  for (let at = 0; at < body.length && body[at] !== 0; ) {
    const name = String.fromCharCode(body[at] ?? 0);
    const end = body.indexOf(0, at + 1);
    out[name] = body.toString('utf8', at + 1, end);
    at = end + 1;
  }
  return out;
}

/** The values of a DataRow. */
export function values(body: Buffer): (Buffer | null)[] {
  const out: (Buffer | null)[] = [];
  let at = 2;
  for (let n = body.readInt16BE(0); n > 0; n--) {
    const length = body.readInt32BE(at);
    at += 4;
    out.push(length < 0 ? null : body.subarray(at, at + length));
    at += Math.max(0, length);
  }
  return out;
}

export class RawClient {
  readonly socket: net.Socket;
  /** Frames of the start-up, up to and with the first ReadyForQuery. */
  greeting: Frame[] = [];
  private pending = Buffer.alloc(0);
  private frames: Frame[] = [];
  private waiters: (() => void)[] = [];
  private ended: Error | null = null;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.pending = Buffer.concat([this.pending, chunk]);
      while (this.pending.length >= 5) {
        const length = this.pending.readInt32BE(1);
        if (this.pending.length < length + 1) break;
        this.frames.push({ type: String.fromCharCode(this.pending[0] ?? 0), body: Buffer.from(this.pending.subarray(5, length + 1)) });
        this.pending = this.pending.subarray(length + 1);
      }
      this.wake();
    });
    socket.on('error', error => this.end(error));
    socket.on('close', () => this.end(new Error('the connection was closed')));
  }

  private wake(): void {
    for (const waiter of this.waiters.splice(0)) waiter();
  }

  private end(error: Error): void {
    this.ended ??= error;
    this.wake();
  }

  /** The next frame; an error once the connection is closed and all frames are read, or after `limitMs`. */
  async next(limitMs = 180_000): Promise<Frame> {
    const deadline = Date.now() + limitMs;
    for (;;) {
      const frame = this.frames.shift();
      if (frame) return frame;
      if (this.ended) throw this.ended;
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`no frame within ${limitMs} ms`);
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>(resolve => {
        timer = setTimeout(resolve, left);
        this.waiters.push(resolve);
      });
      clearTimeout(timer);
    }
  }

  /** Frames up to and with the next one of these types. */
  async until(types: string, limitMs?: number): Promise<Frame[]> {
    const out: Frame[] = [];
    for (;;) {
      const frame = await this.next(limitMs);
      out.push(frame);
      if (types.includes(frame.type)) return out;
    }
  }

  send(...messages: Buffer[]): void {
    this.socket.write(Buffer.concat(messages));
  }

  async simple(sql: string): Promise<Frame[]> {
    this.send(message.query(sql));
    return this.until('Z');
  }

  async extended(
    sql: string,
    parameters: (string | Buffer | null)[] = [],
    options: { binary?: boolean; describe?: boolean } = {},
  ): Promise<Frame[]> {
    this.send(
      message.parse('', sql),
      message.bind('', '', parameters, options.binary ? [1] : []),
      ...(options.describe === false ? [] : [message.describe('P', '')]),
      message.execute(''),
      message.sync(),
    );
    return this.until('Z');
  }

  close(): void {
    this.socket.destroy();
  }

  /** TLS, start-up, clear-text password, to the first ReadyForQuery. Throws the server's error text when it refuses. */
  static async connect(options: RawOptions): Promise<RawClient> {
    const plain = net.connect(options.port, options.host);
    plain.write(sslRequest);
    const answer = await new Promise<Buffer>((resolve, reject) => {
      plain.once('data', resolve);
      plain.once('error', reject);
      plain.once('close', () => reject(new Error('closed before TLS')));
      // While a gateway is down, its port may be somebody else's, who answers nothing.
      plain.setTimeout(60_000, () => plain.destroy(new Error('no answer to the request for TLS')));
    });
    plain.setTimeout(0);
    if (answer.toString() !== 'S') throw new Error(`no TLS: ${answer.toString('latin1')}`);
    plain.removeAllListeners();
    const secure = tls.connect({
      socket: plain,
      servername: 'localhost',
      ...(options.ca ? { ca: options.ca } : { rejectUnauthorized: false }),
    });
    const client = new RawClient(secure);
    client.send(
      startup({ user: options.user, ...(options.database ? { database: options.database } : {}), ...options.parameters }, options.protocol),
    );
    for (;;) {
      const frame = await client.next();
      client.greeting.push(frame);
      if (frame.type === 'R' && frame.body.readInt32BE(0) === 3) client.send(message.password(options.password));
      else if (frame.type === 'R' && frame.body.readInt32BE(0) !== 0) throw new Error(`authentication method ${frame.body.readInt32BE(0)}`);
      else if (frame.type === 'E') {
        client.close();
        const error = fields(frame.body);
        throw Object.assign(new Error(error['M']), { code: error['C'], severity: error['S'] });
      } else if (frame.type === 'Z') return client;
    }
  }
}
