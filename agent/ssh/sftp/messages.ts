/**
 * SFTP, version 3: packets and their fields, as far as a gateway has to know them. Nothing here decides anything.
 *
 * @see https://datatracker.ietf.org/doc/html/draft-ietf-secsh-filexfer-02
 * @see https://github.com/openssh/openssh-portable/blob/master/PROTOCOL (extensions, and the order of SYMLINK's fields)
 */
import { type SshReader, SshWriter } from '@sallyport/shared/ssh/wire.ts';

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

/** SSH_FILEXFER_ATTR_*, those that stand before the others. */
const Attribute = { size: 1, ids: 2, permissions: 4 } as const;
const FILE_TYPE = 0o170000;
const REGULAR_FILE = 0o100000;

/** SSH_FXF_*. */
export const OpenFlag = { read: 1, write: 2, append: 4, create: 8, truncate: 16, exclusive: 32 } as const;

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

/** The size in attributes, or null: there is none in them. */
export function sizeIn(attributes: SshReader): number | null {
  const flags = attributes.uint32();
  return (flags & Attribute.size) === 0 ? null : Number(attributes.uint64());
}

/** Do attributes say that it is a plain file, so that nothing lies below it and it leads nowhere else? */
export function isRegularFile(attributes: SshReader): boolean {
  const flags = attributes.uint32();
  if ((flags & Attribute.size) !== 0) attributes.uint64();
  if ((flags & Attribute.ids) !== 0) {
    attributes.uint32();
    attributes.uint32();
  }
  return (flags & Attribute.permissions) !== 0 && (attributes.uint32() & FILE_TYPE) === REGULAR_FILE;
}

/** A request with other paths in place of those asked for, without a length; `rest` is what stands behind them. */
export function rewritten(type: number, paths: readonly (string | Uint8Array)[], rest?: Uint8Array): Buffer {
  return packet(type, writer => fields(writer.uint32(0), paths, rest)).subarray(4);
}

export function extended(name: string, paths: readonly (string | Uint8Array)[], rest?: Uint8Array): Buffer {
  return packet(Sftp.extended, writer => fields(writer.uint32(0).string(name), paths, rest)).subarray(4);
}

function fields(writer: SshWriter, paths: readonly (string | Uint8Array)[], rest: Uint8Array | undefined): void {
  for (const path of paths) writer.string(path);
  if (rest !== undefined) writer.raw(rest);
}
