/**
 * Which keys a host may show. Keys of the manifest are the only ones where there are any; where there are none, the first key that
 * this agent sees is held, in a file that all its workers share, and every other one is refused from then on.
 *
 * One file per resource and address; it is made whole or not at all, and never changed.
 */
import { linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { fingerprint, parsePublicKeyLine } from '@sallyport/shared/ssh/keys.ts';

export interface KnownHost {
  /** `pinned` by the manifest, `held` since the first connection, `unknown`: this is the first. */
  readonly how: 'pinned' | 'held' | 'unknown';
  readonly keys: readonly { type: string; blob: Buffer }[];
}

export interface KnownHostsOptions {
  /** Folder of the files. */
  dir: string;
  resource: string;
  address: string;
  pinned: readonly string[] | undefined;
}

function fileOf({ dir, resource, address }: KnownHostsOptions): string {
  return path.join(dir, `${resource}@${encodeURIComponent(address)}`);
}

/** @throws {GatewayError} SSH_KEY_MALFORMED, SSH_KNOWN_HOSTS: the file cannot be read, so nothing is known for certain. */
export function knownHost(options: KnownHostsOptions): KnownHost {
  if (options.pinned !== undefined) return { how: 'pinned', keys: options.pinned.map(parsePublicKeyLine) };
  let text: string;
  try {
    text = readFileSync(fileOf(options), 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return { how: 'unknown', keys: [] };
    throw new GatewayError('SSH_KNOWN_HOSTS', 'unavailable', 'the host key that is held cannot be read', { cause });
  }
  return { how: 'held', keys: [parsePublicKeyLine(text)] };
}

/** Holds a host's first key. @returns false when another one was held meanwhile. */
export function holdHostKey(options: KnownHostsOptions, type: string, blob: Buffer): boolean {
  mkdirSync(options.dir, { recursive: true, mode: 0o700 });
  const file = fileOf(options);
  const draft = `${file}.${process.pid}.${crypto.randomUUID()}`;
  writeFileSync(draft, `${type} ${blob.toString('base64')}\n`, { mode: 0o600, flush: true });
  try {
    linkSync(draft, file);
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'))
      throw new GatewayError('SSH_KNOWN_HOSTS', 'unavailable', 'the host key cannot be held', { cause });
  } finally {
    unlinkSync(draft);
  }
  return knownHost(options).keys.some(key => key.blob.equals(blob));
}

/** What is said when a host shows another key: both fingerprints, for the person who has to decide which is right. */
export function mismatch(known: KnownHost, shown: Buffer): GatewayError {
  const expected = known.keys.map(key => `${key.type} ${fingerprint(key.blob)}`).join(', ');
  const how = known.how === 'pinned' ? 'the resource pins' : 'the first connection saw';
  return new GatewayError(
    'SSH_HOST_KEY_MISMATCH',
    'denied',
    `the host shows the key ${fingerprint(shown)}, but ${how} ${expected}; no credential was sent. If the host was given a new key, put it into the resource's \`hostKeys\`.`,
  );
}
