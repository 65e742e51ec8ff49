/** SFTP spoken packet by packet through OpenSSH's `ssh -s`: what no tool would ask for, in whatever order. */
import { type ChildProcess, spawn } from 'node:child_process';
import { packet, Sftp } from '@sallyport/agent/ssh/sftp/messages.ts';
import { PacketCutter } from '@sallyport/agent/ssh/sftp/packet-cutter.ts';
import { SshReader, type SshWriter } from '@sallyport/shared/ssh/wire.ts';

export interface SftpReply {
  readonly type: number;
  /** Behind the number. */
  readonly fields: SshReader;
}

export class RawSftp {
  readonly child: ChildProcess;
  readonly #cutter = new PacketCutter();
  readonly #asked = new Map<number, (reply: SftpReply) => void>();
  #nextId = 1;
  stderr = '';
  readonly ready: Promise<void>;
  readonly ended: Promise<number | null>;

  constructor(call: { program: string; args: readonly string[]; env: Record<string, string> }) {
    this.child = spawn(call.program, call.args, { env: { ...process.env, ...call.env }, stdio: ['pipe', 'pipe', 'pipe'] });
    let begun = (): void => undefined;
    this.ended = new Promise(resolve => this.child.once('close', resolve));
    this.ready = new Promise((resolve, reject) => {
      begun = resolve;
      void this.ended.then(() => reject(new Error(`it ended: ${this.stderr}`)));
    });
    this.ready.catch(() => undefined);
    this.child.stdin?.on('error', () => undefined); // it may have ended
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    this.child.stdout?.on('data', (chunk: Buffer) => {
      for (const view of this.#cutter.push(chunk)) {
        const payload = Buffer.from(view);
        if (payload[0] === Sftp.version) begun();
        else {
          const reader = new SshReader(payload, 1);
          const id = reader.uint32();
          this.#asked.get(id)?.({ type: payload[0] as number, fields: reader });
          this.#asked.delete(id);
        }
      }
    });
    this.#write(packet(Sftp.init, writer => writer.uint32(3)));
  }

  #write(bytes: Buffer): void {
    this.child.stdin?.write(bytes);
  }

  ask(type: number, write: (writer: SshWriter) => void): Promise<SftpReply> {
    const id = this.#nextId++;
    const reply = new Promise<SftpReply>((resolve, reject) => {
      this.#asked.set(id, resolve);
      void this.ended.then(() => reject(new Error(`it ended: ${this.stderr}`)));
    });
    reply.catch(() => undefined);
    this.#write(packet(type, writer => write(writer.uint32(id))));
    return reply;
  }

  /** The status of a request; 0 is success. */
  async status(type: number, write: (writer: SshWriter) => void): Promise<number> {
    const reply = await this.ask(type, write);
    return reply.type === Sftp.status ? reply.fields.uint32() : 0;
  }

  /** @returns the handle, or the status that came instead. */
  async open(path: string, flags: number): Promise<Buffer | number> {
    const reply = await this.ask(Sftp.open, writer => void writer.string(path).uint32(flags).uint32(0));
    return reply.type === Sftp.handle ? reply.fields.bytes() : reply.fields.uint32();
  }

  /** @returns null: a status came instead. */
  async read(handle: Buffer, offset: number, length: number): Promise<Buffer | null> {
    const reply = await this.ask(Sftp.read, writer => void writer.string(handle).uint64(BigInt(offset)).uint32(length));
    return reply.type === Sftp.data ? reply.fields.bytes() : null;
  }

  write(handle: Buffer, offset: number, data: Buffer): Promise<number> {
    return this.status(Sftp.write, writer => void writer.string(handle).uint64(BigInt(offset)).string(data));
  }

  close(handle: Buffer): Promise<number> {
    return this.status(Sftp.close, writer => void writer.string(handle));
  }

  async end(): Promise<void> {
    this.child.stdin?.end();
    await this.ended;
  }
}
