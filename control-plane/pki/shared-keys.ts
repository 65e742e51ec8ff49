/**
 * The keys of an installation with several replicas: in the control log, each in a stream of its own, sealed to the key-encryption key,
 * which every replica is given (key-encryption.ts). The first replica proposes keys; of two that propose at the same moment the one that comes
 * first in the log wins, and the other takes its keys. A replica's own folder is a cache of them: it can be deleted.
 *
 * Runs before the keys are opened (keys.ts, authority.ts), which find their files as if they had made them.
 */
import { randomUUIDv7 } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ControlEventSchema } from '@sallyport/proto/gen/sallyport/control/v1/control_pb.js';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type InstallationKeyEvent, installationKeyAggregate } from '../aggregates/installation-key.ts';
import { currentSchema } from '../aggregates/upcast.ts';
import type { EventLog } from '../log/event-log.ts';
import { openAuthority } from './authority.ts';
import { publicFile, secretFile } from './files.ts';
import { openKeys, sealer } from './keys.ts';

export interface SharedKeysOptions {
  log: EventLog;
  dataDir: string;
  /** Opens the key-encryption key, 32 bytes; at the installation's first start it may be made. */
  openKek: (mayMake: boolean) => Promise<Buffer>;
  clock: () => number;
  makeAdminToken: () => Uint8Array;
}

/** Files that are only good together are adopted together. */
const groups: Readonly<Record<string, readonly string[]>> = { ca: ['ca.key', 'ca.crt'] };
const readMax = 500;
const adminTokenFile = 'admin-token';

/**
 * Brings the files under `dataDir` in line with the log, and the log up to date with files that it does not have.
 * @throws {GatewayError} KEK_MISSING, SECRET_UNSEALABLE when the key-encryption key is not the installation's; KEY_FOREIGN when the
 *   folder has keys of another installation; the log's errors.
 * @returns the key-encryption key.
 */
export async function shareKeys({ log, dataDir, openKek, clock, makeAdminToken }: SharedKeysOptions): Promise<Buffer> {
  let adopted = await adoptedKeys(log);
  const kek = await openKek(adopted.size === 0);
  const { sealAtRest, openAtRest } = sealer(kek);
  const open = (stream: string, sealed: string) => JSON.parse(openAtRest(sealed, stream).toString('utf8')) as Record<string, string>;

  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const draft = await mkdtemp(join(dataDir, 'keys-'));
  try {
    const known = new Set<string>();
    for (const [stream, sealed] of adopted) {
      for (const [name, content] of Object.entries(open(stream, sealed))) {
        await writeFile(join(draft, name), Buffer.from(content, 'base64'), { mode: 0o600 });
        known.add(name);
      }
    }
    // What a single control plane made before it had company is kept.
    for (const name of await readdir(join(dataDir, 'pki')).catch(() => [])) {
      if (/\.(key|crt)$/.test(name) && !known.has(name)) await copyFile(join(dataDir, 'pki', name), join(draft, name));
    }
    await openAuthority(draft, clock);
    await openKeys(draft, kek);
    const own = await readFile(join(dataDir, adminTokenFile)).catch(() => null);
    await secretFile(join(draft, adminTokenFile), () => own ?? makeAdminToken());

    const proposals = new Map<string, Record<string, string>>();
    for (const name of await readdir(draft)) {
      if (known.has(name)) continue;
      const group = Object.keys(groups).find(each => groups[each]?.includes(name)) ?? name;
      const stream = `${installationKeyAggregate.name}/${group}`;
      proposals.set(stream, { ...proposals.get(stream), [name]: (await readFile(join(draft, name))).toString('base64') });
    }
    if (proposals.size > 0) {
      const entries = [...proposals].map(([stream, files]) =>
        encodeAdoption(stream, sealAtRest(Buffer.from(JSON.stringify(files)), stream), clock()),
      );
      await log.append(entries);
      adopted = await adoptedKeys(log);
    }
    for (const [stream, sealed] of adopted) {
      for (const [name, content] of Object.entries(open(stream, sealed))) await install(dataDir, name, Buffer.from(content, 'base64'));
    }
    return kek;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** stream → the sealed key that was accepted first: the same rule by which every reader of the log accepts events. */
async function adoptedKeys(log: EventLog): Promise<Map<string, string>> {
  const adopted = new Map<string, string>();
  const end = await log.endOffset();
  const prefix = `${installationKeyAggregate.name}/`;
  for (let next = 0n; next < end; ) {
    for (const entry of await log.read(next, readMax)) {
      next = entry.offset + 1n;
      // The key of an entry is its stream: the others need not be decoded.
      if (!Buffer.from(entry.key).toString('utf8').startsWith(prefix)) continue;
      const { stream, expectedVersion, payload } = fromBinary(ControlEventSchema, entry.value);
      if (!stream.startsWith(prefix) || expectedVersion !== 0n || adopted.has(stream)) continue;
      adopted.set(stream, (JSON.parse(Buffer.from(payload).toString('utf8')) as InstallationKeyEvent['payload']).sealed);
    }
  }
  return adopted;
}

function encodeAdoption(stream: string, sealed: string, nowMs: number): { key: Uint8Array; value: Uint8Array } {
  const event: InstallationKeyEvent = { type: 'KeyAdopted', payload: { sealed } };
  const message = create(ControlEventSchema, {
    eventId: randomUUIDv7(),
    stream,
    expectedVersion: 0n,
    type: event.type,
    schema: currentSchema,
    payload: Buffer.from(JSON.stringify(event.payload)),
    atUnixUs: BigInt(nowMs) * 1000n,
    author: 'system',
    reason: 'a key that all replicas share',
  });
  return { key: Buffer.from(stream), value: toBinary(ControlEventSchema, message) };
}

async function install(dataDir: string, name: string, content: Buffer): Promise<void> {
  const path = name === adminTokenFile ? join(dataDir, name) : join(dataDir, 'pki', name);
  const there = await (name.endsWith('.crt') ? publicFile : secretFile)(path, () => content);
  if (there.equals(content)) return;
  throw new GatewayError(
    'KEY_FOREIGN',
    'conflict',
    `${path} is not the key of the installation whose log this is: the folder belongs to another. Start with an empty data folder and the key-encryption key of this installation.`,
  );
}
