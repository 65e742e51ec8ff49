/**
 * Reading of files whose contents are looked at. Every read takes what stands around it along, whatever was read before, so that a
 * value is found wherever a client cuts it, in whatever order, and however little the host gives at a time. What may be shown is
 * open-file.ts's to say.
 */
import { SshReader } from '@sallyport/shared/ssh/wire.ts';
import type { HostLink } from './host-link.ts';
import { packet, Sftp, Status, statusPacket } from './messages.ts';

/** Bytes on either side of those asked for: findings up to this length are found whole. */
export const AROUND_BYTES = 8 * 1024;
/** With what is around them they are the 32 KiB that every server gives in one answer (the draft's section 3). */
export const READ_BYTES_MAX = 16 * 1024;
/** Reads at the same time; further ones wait as the small requests that they are. */
const READS_MAX = 64;
/** A host that gives less than this part of what is asked for at a time is not asked for ever. */
const PIECES_MAX = 64;

export interface ContentRead {
  readonly handle: Buffer;
  readonly offset: number;
  readonly length: number;
  /** What was asked for, from `from` on up to `to` of `joined`, and what stands around it. @returns the answer, without a length. */
  readonly found: (joined: Buffer, from: number, to: number) => Buffer;
  /** Takes the answer for the client. */
  readonly done: (answer: Buffer) => void;
}

export class ContentReads {
  readonly #link: HostLink;
  readonly #waiting: ContentRead[] = [];
  #running = 0;

  constructor(link: HostLink) {
    this.#link = link;
  }

  read(read: ContentRead): void {
    this.#waiting.push(read);
    this.#next();
  }

  #next(): void {
    while (this.#running < READS_MAX) {
      const read = this.#waiting.shift();
      if (read === undefined) return;
      this.#running++;
      this.#run(read);
    }
  }

  #run({ handle, offset, length, found, done }: ContentRead): void {
    const before = Math.min(offset, AROUND_BYTES);
    const bytes = Math.min(length, READ_BYTES_MAX);
    const wanted = before + bytes + AROUND_BYTES;
    const pieces: Buffer[] = [];
    let got = 0;
    const finish = (answer: Buffer) => {
      done(answer);
      this.#running--;
      this.#next();
    };
    const judge = () => {
      const to = Math.min(got, before + bytes);
      // Nothing is there that was asked for: what is before it is nobody's business.
      finish(to <= before ? statusOnly(Status.eof, 'end of file') : found(Buffer.concat(pieces), before, to));
    };
    const ask = () => {
      const at = BigInt(offset - before + got);
      const request = packet(
        Sftp.read,
        writer =>
          void writer
            .uint32(0)
            .string(handle)
            .uint64(at)
            .uint32(wanted - got),
      ).subarray(4);
      this.#link.ask(request, answer => {
        if (answer[0] === Sftp.status) {
          const isEnd = new SshReader(answer, 5).uint32() === Status.eof;
          if (isEnd) judge();
          else finish(Buffer.from(answer));
          return;
        }
        const data = answer[0] === Sftp.data ? new SshReader(answer, 5).bytes() : Buffer.alloc(0);
        if (data.length === 0 || data.length > wanted - got || pieces.length >= PIECES_MAX) {
          finish(statusOnly(Status.failure, 'the host does not give what is asked for'));
          return;
        }
        pieces.push(Buffer.from(data));
        got += data.length;
        if (got < wanted) ask();
        else judge();
      });
    };
    ask();
  }
}

/** A status without length or number, which the caller puts in. */
export function statusOnly(code: number, message: string): Buffer {
  return statusPacket(0, code, message).subarray(4);
}
