/**
 * Which Sallyport of this machine and user a port is for. Between choosing a port and a child's own bind lie seconds, in which another
 * `sallyport up` would find it free: a claim is taken at the choice, atomically, and held for as long as the supervisor lives.
 *
 * A claim is the kernel's lock of a folder, so it ends with its process however that dies. It says nothing to other programs: they may
 * still take the port, which the start finds out and answers with other ports.
 */
import { lstatSync, mkdirSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type DirectoryLock, lockDirectory } from '@sallyport/control-plane/log/directory-lock.ts';
import { GatewayError } from '@sallyport/shared/errors.ts';

export class PortClaims {
  readonly #folder: string;
  readonly #held = new Map<number, DirectoryLock>();

  /** @throws {GatewayError} CLAIMS_UNWRITABLE when the folder cannot be made, or is another user's. */
  constructor(folder = path.join(os.tmpdir(), `sallyport-ports-${process.getuid?.() ?? os.userInfo().username}`)) {
    this.#folder = folder;
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw unwritable(folder, cause);
    }
    const stat = lstatSync(folder);
    // Whoever else could write into it could keep every port from us, or have us write where they like.
    if (!stat.isDirectory() || (process.getuid !== undefined && (stat.uid !== process.getuid() || (stat.mode & 0o022) !== 0))) {
      throw unwritable(folder);
    }
  }

  /** @returns false when another supervisor has it. Claiming a port twice is claiming it once. */
  claim(port: number): boolean {
    if (this.#held.has(port)) return true;
    const folder = path.join(this.#folder, String(port));
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      this.#held.set(port, lockDirectory(folder));
      return true;
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'DATA_LOCKED') return false;
      throw unwritable(this.#folder, error);
    }
  }

  /** Gives up all ports but these. */
  keepOnly(ports: Iterable<number>): void {
    const kept = new Set(ports);
    for (const [port, lock] of this.#held) {
      if (kept.has(port)) continue;
      lock.release();
      this.#held.delete(port);
    }
  }

  release(): void {
    this.keepOnly([]);
  }
}

function unwritable(folder: string, cause?: unknown): GatewayError {
  return new GatewayError(
    'CLAIMS_UNWRITABLE',
    'unavailable',
    `${folder}, where starts of the same moment agree about ports, must be a folder that only you may write. Remove it, or set TMPDIR.`,
    cause === undefined ? {} : { cause },
  );
}
