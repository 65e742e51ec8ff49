/**
 * Reading of files whose contents are looked at. Every read takes what stands around it along, whatever was read before, so that a
 * value is found wherever a client cuts it, in whatever order, and however little the host gives at a time. What may be shown is
 * open-file.ts's to say.
 */
import { SshReader } from '@sallyport/shared/ssh/wire.ts';
import type { HostLink } from './host-link.ts';
import { packet, Sftp, Status, statusPacket } from './messages.ts';

/** Bytes on either side of those asked for: findings up to this length are found whole without asking for more. */
const AROUND_BYTES = 8 * 1024;
/** With what is around them they are the 32 KiB that every server gives in one answer (the draft's section 3). */
export const READ_BYTES_MAX = 16 * 1024;
/** Fetched at a time where a long finding may have begun before, or may go on behind. */
const MORE_BYTES = 16 * 1024;
/** Reads at the same time; further ones wait as the small requests that they are. */
const READS_MAX = 64;
/** A host that gives less than this part of what is asked for at a time is not asked for ever. */
const PIECES_MAX = 64;

export interface ContentRead {
  readonly handle: Buffer;
  readonly offset: number;
  readonly length: number;
  /**
   * Must more be fetched that stands before `joined`, which begins at `start` of the file?
   * @param fetchedBytes that were fetched on that account already.
   */
  readonly needsBefore: (start: number, joined: Buffer, fetchedBytes: number) => boolean;
  /** Must more be fetched that stands behind `joined`, of which was asked for what ends at `to`? */
  readonly needsAfter: (joined: Buffer, to: number, fetchedBytes: number) => boolean;
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

  #run({ handle, offset, length, needsBefore, needsAfter, found, done }: ContentRead): void {
    const before = Math.min(offset, AROUND_BYTES);
    const bytes = Math.min(length, READ_BYTES_MAX);
    const finish = (answer: Buffer) => {
      done(answer);
      this.#running--;
      this.#next();
    };
    const judge = (start: number, joined: Buffer, fetched: number) => {
      const from = offset - start;
      const to = Math.min(joined.length, from + bytes);
      // Nothing is there that was asked for: what is before it is nobody's business.
      if (to <= from) finish(statusOnly(Status.eof, 'end of file'));
      else if (needsBefore(start, joined, fetched)) {
        const more = Math.min(start, MORE_BYTES);
        this.#ask(handle, start - more, more, finish, piece => {
          // A file that has become shorter meanwhile is not what was read.
          if (piece.length < more) finish(statusOnly(Status.failure, 'the file changes while it is read'));
          else judge(start - more, Buffer.concat([piece, joined]), fetched + more);
        });
      } else onward(start, joined, to, 0);
    };
    let isWhole = false;
    const onward = (start: number, joined: Buffer, to: number, fetched: number) => {
      if (isWhole || !needsAfter(joined, to, fetched)) {
        finish(found(joined, offset - start, to));
        return;
      }
      this.#ask(handle, start + joined.length, MORE_BYTES, finish, piece => {
        isWhole = piece.length < MORE_BYTES;
        onward(start, Buffer.concat([joined, piece]), to, fetched + MORE_BYTES);
      });
    };
    const wanted = before + bytes + AROUND_BYTES;
    this.#ask(handle, offset - before, wanted, finish, joined => {
      isWhole = joined.length < wanted;
      judge(offset - before, joined, 0);
    });
  }

  /** @param failed takes an answer that says why not. @param got all that is there, up to what is wanted. */
  #ask(handle: Buffer, start: number, wanted: number, failed: (answer: Buffer) => void, got: (bytes: Buffer) => void): void {
    const pieces: Buffer[] = [];
    let size = 0;
    const ask = () => {
      const request = packet(
        Sftp.read,
        writer =>
          void writer
            .uint32(0)
            .string(handle)
            .uint64(BigInt(start + size))
            .uint32(wanted - size),
      ).subarray(4);
      this.#link.ask(request, answer => {
        if (answer[0] === Sftp.status) {
          const isEnd = new SshReader(answer, 5).uint32() === Status.eof;
          if (isEnd) got(Buffer.concat(pieces));
          else failed(Buffer.from(answer));
          return;
        }
        const data = answer[0] === Sftp.data ? new SshReader(answer, 5).bytes() : Buffer.alloc(0);
        if (data.length === 0 || data.length > wanted - size || pieces.length >= PIECES_MAX) {
          failed(statusOnly(Status.failure, 'the host does not give what is asked for'));
          return;
        }
        pieces.push(Buffer.from(data));
        size += data.length;
        if (size < wanted) ask();
        else got(Buffer.concat(pieces));
      });
    };
    ask();
  }
}

/** A status without length or number, which the caller puts in. */
export function statusOnly(code: number, message: string): Buffer {
  return statusPacket(0, code, message).subarray(4);
}
