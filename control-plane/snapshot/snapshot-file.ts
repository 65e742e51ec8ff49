/**
 * A snapshot of the control plane's state as a file: what was folded, up to which entry of the log, and the tree over those entries. It is a
 * cache: whatever is wrong with it, the log is read from its beginning instead.
 *
 * Only who has the installation's keys can make one that counts (HMAC-SHA256 over all of it), and it counts only for the very code that made
 * it, for the shape of the state is nobody's contract.
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { errorText } from '@sallyport/shared/errors.ts';
import type { ProjectionState } from '../aggregates/projection.ts';
import type { TreeState } from '../evidence/control-tree.ts';

export interface Snapshot {
  /** Entries that were folded: the next one's offset. */
  position: bigint;
  state: ProjectionState;
  tree: TreeState;
}

const MAGIC = Buffer.from('sallyport-snapshot-v1\n', 'latin1');
const MAC_BYTES = 32;

/** Of the code that the state comes from: the aggregates, their fold, and the tree. */
export function shapeOfState(): string {
  const here = import.meta.dirname;
  const folder = join(here, '..', 'aggregates');
  const files = readdirSync(folder)
    .filter(name => name.endsWith('.ts') && !name.includes('.test.'))
    .sort()
    .map(name => join(folder, name));
  const texts = [...files, join(here, '..', 'evidence', 'control-tree.ts'), import.meta.filename].map(file => readFileSync(file));
  return hash('sha256', Buffer.concat(texts), 'hex');
}

/** Writes it whole or not at all. @throws when the file cannot be written. */
export async function writeSnapshot(file: string, snapshot: Snapshot, key: Uint8Array, shape: string): Promise<void> {
  const body = serialize({ shape, ...snapshot });
  const temporary = `${file}.new`;
  const handle = await open(temporary, 'w', 0o600);
  try {
    await handle.writeFile(Buffer.concat([MAGIC, mac(key, body), body]));
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
  const folder = await open(dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** @returns the snapshot, or why there is none that counts; null when there is no file. */
export async function readSnapshot(file: string, key: Uint8Array, shape: string): Promise<Snapshot | { problem: string } | null> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    return { problem: `it cannot be read: ${errorText(error)}` };
  }
  const bodyAt = MAGIC.length + MAC_BYTES;
  if (bytes.length < bodyAt || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return { problem: 'it is of another format' };
  const body = bytes.subarray(bodyAt);
  // Before a byte of it is parsed.
  if (!timingSafeEqual(bytes.subarray(MAGIC.length, bodyAt), mac(key, body)))
    return { problem: 'its checksum is wrong: it is damaged, or of another installation' };
  const { shape: made, ...snapshot } = deserialize(body) as Snapshot & { shape: string };
  return made === shape ? snapshot : { problem: 'another version made it' };
}

function mac(key: Uint8Array, body: Uint8Array): Buffer {
  return createHmac('sha256', key).update(MAGIC).update(body).digest();
}
