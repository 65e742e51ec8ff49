/**
 * `sallyport control-plane backup|restore`: the control log and the installation's keys, out of files or Kafka into one file, and back
 * into either. A backup is taken while the control plane runs; it is restored into an empty folder and an empty log, and so is the way
 * to move from files to Kafka and from Kafka to files.
 *
 * The key-encryption key is not in it: whoever has the file alone can open none of its secrets. Records are not in it either; they have
 * their own topic and their own store.
 */
import { access, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KafkaConfig } from '@sallyport/kafka/config.ts';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { pino } from 'pino';
import { lockDirectory } from '../log/directory-lock.ts';
import { type LogReader, openLogReader } from '../log/event-log.ts';
import { openLogs } from '../open-logs.ts';
import { publicFile, secretFile } from '../pki/files.ts';
import { isInFile, openKek } from '../pki/key-encryption.ts';
import { sealer } from '../pki/keys.ts';
import { type BackupItem, type BackupSize, readBackup, writeBackup } from './backup-file.ts';

export interface BackupOptions {
  dataDir: string;
  file: string;
  kafka: KafkaConfig | null;
  /** As the control plane's `--kek`; default pki/kek of the data folder. */
  kek?: string;
  kekWrappedFile?: string;
  env?: Readonly<Record<string, string | undefined>>;
}

const readMax = 500;
const appendBytesMax = 1024 * 1024;
const context = (name: string) => `backup/${name}`;

/** @throws {GatewayError} DATA_UNREADABLE, BACKUP_UNWRITABLE, the log's errors. */
export async function backup(options: BackupOptions): Promise<BackupSize> {
  const { dataDir, file, kafka } = options;
  const log: LogReader =
    kafka === null
      ? openLogReader(join(dataDir, 'log', 'sallyport.control'))
      : (await import('../log/kafka-log.ts')).openKafkaLogReader(kafka, kafka.topics.control);
  try {
    const { sealAtRest } = sealer(await kekOf(options));
    // Fixed now: the log goes on growing.
    const end = await log.endOffset();
    async function* items(): AsyncGenerator<BackupItem> {
      for (const { name, path } of await keyFiles(dataDir)) {
        yield { type: 'key', name, sealed: sealAtRest(await readFile(path), context(name)) };
      }
      for (let next = 0n; next < end; ) {
        for (const { offset, key, value } of await log.read(next, readMax)) {
          if (offset >= end) return;
          yield { type: 'entry', offset, key, value };
          next = offset + 1n;
        }
      }
    }
    return await writeBackup(file, items(), Date.now());
  } finally {
    await log.close();
  }
}

/**
 * Reads the whole file first and opens every key in it; only then anything is written.
 * @throws {GatewayError} BACKUP_…; SECRET_UNSEALABLE when the key-encryption key is another; RESTORE_NOT_EMPTY.
 */
export async function restore(options: BackupOptions): Promise<BackupSize> {
  const { dataDir, file, kafka } = options;
  const kek = await kekOf(options);
  const { openAtRest } = sealer(kek);
  const keys = new Map<string, Buffer>();
  const size: BackupSize = { keys: 0, entries: 0 };
  for await (const item of readBackup(file)) {
    if (item.type === 'entry') size.entries++;
    else {
      if (!/^[A-Za-z0-9._-]+$/.test(item.name) || item.name.startsWith('.')) {
        throw new GatewayError('BACKUP_CORRUPT', 'invalid', `${file} has a key of the name ${JSON.stringify(item.name)}.`);
      }
      size.keys++;
      keys.set(item.name, openAtRest(item.sealed, context(item.name)));
    }
  }
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  if ((await keyFiles(dataDir)).length > 0) {
    throw new GatewayError('RESTORE_NOT_EMPTY', 'conflict', `${dataDir} has keys already: restore into an empty folder.`);
  }
  const lock = lockDirectory(dataDir);
  const closers: (() => Promise<void> | void)[] = [() => lock.release()];
  try {
    const logger = pino({ name: 'restore' }, pino.destination({ fd: 2, sync: true }));
    const { control } = await openLogs({ dataDir, kafka, clock: Date.now, logger, onOpened: closer => closers.push(closer) });
    if ((await control.endOffset()) > 0n) {
      throw new GatewayError(
        'RESTORE_NOT_EMPTY',
        'conflict',
        `The control log ${kafka === null ? `in ${dataDir}` : kafka.topics.control} has entries already: restore into an empty one (--kafka-topics names others).`,
      );
    }
    if (isInFile(options.kek)) await install(join(dataDir, 'pki', 'kek'), kek);
    for (const [name, content] of keys) await install(pathOf(dataDir, name), content);
    let waiting: BackupItem[] = [];
    let bytes = 0;
    let next = 0n;
    const flush = async () => {
      const entries = waiting.filter(item => item.type === 'entry');
      if (entries.length === 0) return;
      const at = await control.append(entries);
      if (at !== next) {
        throw new GatewayError('RESTORE_DISTURBED', 'conflict', 'Somebody else wrote to the control log: restore into another topic.');
      }
      next += BigInt(entries.length);
      waiting = [];
      bytes = 0;
    };
    for await (const item of readBackup(file)) {
      if (item.type !== 'entry') continue;
      waiting.push(item);
      bytes += item.value.length;
      if (bytes >= appendBytesMax || waiting.length >= readMax) await flush();
    }
    await flush();
    return size;
  } finally {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer();
  }
}

function kekOf({ dataDir, kek, kekWrappedFile, env = {} }: BackupOptions): Promise<Buffer> {
  const wrapped = kekWrappedFile === undefined ? {} : { wrappedFile: kekWrappedFile };
  return openKek({ dataDir, env, ...(kek === undefined ? {} : { kek }), ...wrapped }, false);
}

/** The installation's keys but for the key-encryption key. */
async function keyFiles(dataDir: string): Promise<{ name: string; path: string }[]> {
  const names = (await readdir(join(dataDir, 'pki')).catch(() => [])).filter(name => /\.(key|crt)$/.test(name));
  const token = pathOf(dataDir, 'admin-token');
  const hasToken = await access(token).then(
    () => true,
    () => false,
  );
  return [...names.map(name => ({ name, path: pathOf(dataDir, name) })), ...(hasToken ? [{ name: 'admin-token', path: token }] : [])];
}

function pathOf(dataDir: string, name: string): string {
  return name === 'admin-token' ? join(dataDir, name) : join(dataDir, 'pki', name);
}

async function install(path: string, content: Buffer): Promise<void> {
  const there = await (path.endsWith('.crt') ? publicFile : secretFile)(path, () => content);
  if (!there.equals(content)) throw new GatewayError('RESTORE_NOT_EMPTY', 'conflict', `${path} is there already, and is another key.`);
}
