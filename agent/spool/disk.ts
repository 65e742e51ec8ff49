/**
 * The file operations that a spool needs, as an interface, so that tests can make each of them fail. Only the spool's folder is
 * touched, and only with these.
 */
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import path from 'node:path';

export interface SegmentFile {
  readonly bytes: number;
  /** Calls back when `buffer[offset..offset+length)` is on disk at `position`, with the number of bytes written. */
  write(buffer: Buffer, offset: number, length: number, position: number, done: (error: Error | null, written: number) => void): void;
  /** @returns the number of bytes read; fewer than asked only at the end of the file. */
  read(into: Buffer, offset: number, length: number, position: number): Promise<number>;
  close(): Promise<void>;
}

export interface SpoolDisk {
  /** Makes the folder (mode 0700) if it is missing, and names its files. */
  list(dir: string): Promise<string[]>;
  /** Opens an existing file so that every write is durable when it calls back (O_DSYNC). */
  open(file: string): Promise<SegmentFile>;
  /** Makes a file of `bytes` zeros, all of its blocks really allocated, so that later writes change no metadata. */
  allocate(file: string, bytes: number): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(file: string): Promise<void>;
  /** Makes creations, renames and deletions in the folder durable. */
  syncDir(dir: string): Promise<void>;
  /** @returns null when there is no such file. */
  readFile(file: string): Promise<Buffer | null>;
  /** Replaces a small file so that after a crash either the old or the new contents are there. */
  replaceFile(file: string, contents: string): Promise<void>;
}

const ZEROS = Buffer.alloc(256 * 1024);

/** By descriptor: a FileHandle that is collected before it is closed ends the process. */
class NodeSegmentFile implements SegmentFile {
  readonly #fd: number;
  readonly bytes: number;

  constructor(fd: number, bytes: number) {
    this.#fd = fd;
    this.bytes = bytes;
  }

  write(buffer: Buffer, offset: number, length: number, position: number, done: (error: Error | null, written: number) => void): void {
    fs.write(this.#fd, buffer, offset, length, position, done);
  }

  async read(into: Buffer, offset: number, length: number, position: number): Promise<number> {
    let got = 0;
    while (got < length) {
      const count = await readOnce(this.#fd, into, offset + got, length - got, position + got);
      if (count === 0) break;
      got += count;
    }
    return got;
  }

  close(): Promise<void> {
    return new Promise((resolve, reject) => fs.close(this.#fd, error => (error == null ? resolve() : reject(error))));
  }
}

function readOnce(fd: number, into: Buffer, offset: number, length: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, into, offset, length, position, (error, count) => (error === null ? resolve(count) : reject(error)));
  });
}

async function syncDir(dir: string): Promise<void> {
  const handle = await fsp.open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The real one. */
export const nodeDisk: SpoolDisk = {
  async list(dir) {
    await fsp.mkdir(dir, { recursive: true, mode: 0o700 });
    return fsp.readdir(dir);
  },
  async open(file) {
    const { size } = await fsp.stat(file);
    const fd = await new Promise<number>((resolve, reject) => {
      fs.open(file, fs.constants.O_RDWR | fs.constants.O_DSYNC, (error, opened) => (error === null ? resolve(opened) : reject(error)));
    });
    return new NodeSegmentFile(fd, size);
  },
  async allocate(file, bytes) {
    const handle = await fsp.open(file, 'w', 0o600);
    try {
      for (let at = 0; at < bytes; at += ZEROS.length) await handle.write(ZEROS, 0, Math.min(ZEROS.length, bytes - at), at);
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  rename: fsp.rename,
  unlink: fsp.unlink,
  syncDir,
  async readFile(file) {
    try {
      return await fsp.readFile(file);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
      throw error;
    }
  },
  async replaceFile(file, contents) {
    const temporary = `${file}.new`;
    const handle = await fsp.open(temporary, 'w', 0o600);
    try {
      await handle.writeFile(contents);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await fsp.rename(temporary, file);
    await syncDir(path.dirname(file));
  },
};
