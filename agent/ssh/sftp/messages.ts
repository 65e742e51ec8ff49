/**
 * SFTP, version 3: packets and their fields, as far as a gateway has to know them. Nothing here decides anything.
 *
 * @see https://datatracker.ietf.org/doc/html/draft-ietf-secsh-filexfer-02
 * @see https://github.com/openssh/openssh-portable/blob/master/PROTOCOL (extensions, and the order of SYMLINK's fields)
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { SshWriter } from '@sallyport/shared/ssh/wire.ts';

export const Sftp = {
  init: 1,
  version: 2,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  rename: 18,
  readlink: 19,
  symlink: 20,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attrs: 105,
  extended: 200,
  extendedReply: 201,
} as const;

export const Status = { ok: 0, eof: 1, noSuchFile: 2, permissionDenied: 3, failure: 4, badMessage: 5, unsupported: 8 } as const;

/** SSH_FXF_*. */
export const OpenFlag = { read: 1, write: 2, append: 4, create: 8, truncate: 16, exclusive: 32 } as const;

/** OpenSSH's own bound. */
export const PACKET_BYTES_MAX = 256 * 1024;

/** Cuts a stream into packets without their lengths; what is not whole waits. */
export class PacketCutter {
  #pending: Buffer = Buffer.alloc(0);

  /** @throws {GatewayError} SFTP_PACKET_LENGTH; nothing after it can be read. */
  *push(data: Buffer): Generator<Buffer> {
    let bytes = this.#pending.length === 0 ? data : Buffer.concat([this.#pending, data]);
    while (bytes.length >= 4) {
      const length = bytes.readUInt32BE(0);
      if (length < 1 || length > PACKET_BYTES_MAX + 1024)
        throw new GatewayError('SFTP_PACKET_LENGTH', 'protocol', `an SFTP packet of ${length} bytes`);
      if (bytes.length < 4 + length) break;
      yield bytes.subarray(4, 4 + length);
      bytes = bytes.subarray(4 + length);
    }
    this.#pending = bytes.length === 0 ? Buffer.alloc(0) : Buffer.from(bytes);
  }
}

/** A packet with its length. */
export function packet(type: number, write: (writer: SshWriter) => void): Buffer {
  const writer = new SshWriter(128).uint32(0).byte(type);
  write(writer);
  const bytes = writer.finish();
  bytes.writeUInt32BE(bytes.length - 4, 0);
  return bytes;
}

/** The same request under another id. */
export function withId(payload: Buffer, id: number): Buffer {
  const bytes = Buffer.allocUnsafe(payload.length + 4);
  bytes.writeUInt32BE(payload.length, 0);
  payload.copy(bytes, 4);
  bytes.writeUInt32BE(id, 5);
  return bytes;
}

export function statusPacket(id: number, code: number, message: string): Buffer {
  return packet(Sftp.status, writer => writer.uint32(id).uint32(code).string(message).string(''));
}
