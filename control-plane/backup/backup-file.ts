/**
 * The file of a backup: lines of JSON, so that it can be looked at, sent through any compressor, and read by other programs.
 *
 *     {"sallyport":"control-backup","version":1,"madeAt":…}
 *     {"key":"lease.key","sealed":…}                       a key of the installation, sealed to the key-encryption key
 *     {"offset":"0","key":…,"value":…}                     an entry of the control log, base64, from 0 on without a hole
 *     {"end":true,"keys":…,"entries":…,"sha256":…}         SHA-256, hexadecimal, of all bytes before this line
 *
 * Not here: what the entries mean, and where they come from and go.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';

export interface BackupEntry {
  key: Uint8Array;
  value: Uint8Array;
}

export type BackupItem = { type: 'key'; name: string; sealed: string } | ({ type: 'entry'; offset: bigint } & BackupEntry);

export interface BackupSize {
  keys: number;
  entries: number;
}

const format = { sallyport: 'control-backup', version: 1 };

/**
 * Writes a backup (mode 0600), syncs it, and takes it away again when something goes wrong half-way.
 * @throws {GatewayError} BACKUP_UNWRITABLE, also when the file exists; what `items` throws.
 */
export async function writeBackup(path: string, items: AsyncIterable<BackupItem>, madeAtMs: number): Promise<BackupSize> {
  const file = await open(path, 'wx', 0o600).catch((cause: unknown) => {
    throw new GatewayError('BACKUP_UNWRITABLE', 'unavailable', `${path} cannot be made: ${errorText(cause)}.`, { cause });
  });
  const size: BackupSize = { keys: 0, entries: 0 };
  const hash = createHash('sha256');
  const write = async (line: unknown): Promise<void> => {
    const text = `${JSON.stringify(line)}\n`;
    hash.update(text);
    await file.write(text);
  };
  try {
    await write({ ...format, madeAt: new Date(madeAtMs).toISOString() });
    for await (const item of items) {
      if (item.type === 'key') {
        size.keys++;
        await write({ key: item.name, sealed: item.sealed });
      } else {
        size.entries++;
        await write({ offset: String(item.offset), key: base64(item.key), value: base64(item.value) });
      }
    }
    await file.write(`${JSON.stringify({ end: true, ...size, sha256: hash.digest('hex') })}\n`);
    await file.sync();
    return size;
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

/**
 * Reads a backup. What it yields is only known to be whole when it has ended without an error: read it once to check it, and again to
 * use it.
 * @throws {GatewayError} BACKUP_UNREADABLE, BACKUP_CORRUPT.
 */
export async function* readBackup(path: string): AsyncGenerator<BackupItem> {
  const corrupt = (why: string, cause?: unknown) =>
    new GatewayError(
      'BACKUP_CORRUPT',
      'invalid',
      `${path} is no whole backup: ${why}. Take another copy of it.`,
      cause === undefined ? {} : { cause },
    );
  const hash = createHash('sha256');
  let line = 0;
  let next = 0n;
  let keys = 0;
  let ended = false;
  const stream = createReadStream(path);
  const failed = new Promise<never>((_, reject) => stream.once('error', reject));
  failed.catch(() => undefined); // Seen below.
  try {
    const lines = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })[Symbol.asyncIterator]();
    for (;;) {
      const read = await Promise.race([lines.next(), failed]);
      if (read.done === true) break;
      if (ended) throw corrupt('there is more behind its end');
      line++;
      let item: Record<string, unknown>;
      try {
        item = JSON.parse(read.value) as Record<string, unknown>;
      } catch (cause) {
        throw corrupt(`line ${line} is no JSON`, cause);
      }
      if (line === 1) {
        if (item.sallyport !== format.sallyport || item.version !== format.version)
          throw corrupt('it does not begin as one of this version');
      } else if (item.end === true) {
        if (item.entries !== Number(next) || item.keys !== keys)
          throw corrupt(`it ends after ${next} entries and says ${String(item.entries)}`);
        if (item.sha256 !== hash.digest('hex')) throw corrupt('its checksum does not match');
        ended = true;
        continue;
      } else if (typeof item.sealed === 'string' && typeof item.key === 'string') {
        keys++;
        yield { type: 'key', name: item.key, sealed: item.sealed };
      } else if (typeof item.key === 'string' && typeof item.value === 'string') {
        if (item.offset !== String(next)) throw corrupt(`line ${line} has entry ${String(item.offset)} where ${next} should be`);
        yield { type: 'entry', offset: next++, key: Buffer.from(item.key, 'base64'), value: Buffer.from(item.value, 'base64') };
      } else throw corrupt(`line ${line} is of no known kind`);
      hash.update(`${read.value}\n`);
    }
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause;
    throw new GatewayError('BACKUP_UNREADABLE', 'unavailable', `${path} cannot be read: ${errorText(cause)}.`, { cause });
  } finally {
    stream.destroy();
  }
  if (!ended) throw corrupt('its end is missing');
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
