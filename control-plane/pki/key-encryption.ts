/**
 * The key-encryption key (32 bytes, AES-256) and what keeps it. A file holds it as it is. Otherwise it lies wrapped beside the data
 * (`pki/kek.wrapped`, which opens nothing by itself), and a keeper unwraps it at the start: a key in the environment, Vault's or
 * OpenBao's transit engine, AWS KMS. It is then in this process's memory and nowhere else.
 *
 * The keeper is asked once at a start, so that sessions and leases do not depend on it. Changing the keeper, or its key, wraps the same
 * key anew (`rewrap`): what is sealed in the log stays readable, and who had the old keeper's key and the old file has it for ever. Where
 * to ask and with what is the environment's (VAULT_ADDR, VAULT_TOKEN …, AWS_…), as for secrets of credentials.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { awsEncryption } from '../credentials/aws-kms.ts';
import { vaultEncryption } from '../credentials/vault-transit.ts';
import { secretFile } from './files.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** Wraps and unwraps a key of 32 bytes. The text is the keeper's own; it is no secret. */
export interface KeyKeeper {
  wrap(key: Buffer): Promise<string>;
  /** @throws {GatewayError} SECRET_MISSING, KEK_UNWRAPPABLE. */
  unwrap(wrapped: string): Promise<Buffer>;
}

export interface KekOptions {
  /** `file:PATH` or a path, `env:NAME`, `vault:MOUNT/KEY`, `aws-kms:KEY`; absent: pki/kek of the data folder. */
  kek?: string;
  /** Of keepers; absent: pki/kek.wrapped of the data folder. */
  wrappedFile?: string;
  dataDir: string;
  env: Env;
}

const keyLength = 32;

/**
 * The key-encryption key, made at the first start.
 * @param mayMake false: it must be there, for what is sealed to it is there.
 * @throws {GatewayError} KEK_MISSING, KEY_INVALID, KEK_UNAVAILABLE, KEK_UNWRAPPABLE, SECRET_FILE_OPEN.
 */
export async function openKek(options: KekOptions, mayMake = true): Promise<Buffer> {
  const { scheme, rest } = parsed(options);
  if (scheme === 'file') {
    if (!mayMake) return checked(await existing(rest), rest);
    return checked(await secretFile(rest, () => randomBytes(keyLength)), rest);
  }
  const keeper = keeperOf(options);
  const file = wrappedFileOf(options);
  const make = async () => {
    if (!mayMake) throw missing(file);
    return wrappedText(options, await keeper.wrap(randomBytes(keyLength)));
  };
  const text = (await secretFile(file, make)).toString('utf8');
  return checked(await asked(() => keeper.unwrap(readWrapped(text, file, options))), file);
}

/**
 * Wraps the key-encryption key for another keeper, or for the newest key of the same.
 * @returns the file that was written. One that holds the key as it is, is left where it is.
 * @throws {GatewayError} as `openKek`; KEK_TARGET for a file that is there already.
 */
export async function rewrap(from: KekOptions, to: KekOptions): Promise<string> {
  const key = await openKek(from, false);
  try {
    const { scheme, rest } = parsed(to);
    if (scheme === 'file') {
      const there = await secretFile(rest, () => key);
      if (there.equals(key)) return rest;
      throw new GatewayError('KEK_TARGET', 'conflict', `${rest} is there already, and is another key: name a file that is not there.`);
    }
    const keeper = keeperOf(to);
    const file = wrappedFileOf(to);
    const wrapped = await asked(() => keeper.wrap(key));
    // What cannot be unwrapped again would lose everything.
    const again = await asked(() => keeper.unwrap(wrapped));
    if (!again.equals(key)) throw unwrappable('what was wrapped does not come back the same');
    const next = `${file}.${randomBytes(8).toString('hex')}.new`;
    try {
      await secretFile(next, () => wrappedText(to, wrapped));
      await rename(next, file);
    } finally {
      await rm(next, { force: true });
    }
    return file;
  } finally {
    key.fill(0);
  }
}

/** @returns the problem with a `--kek`, as a sentence; null: it is one. */
export function kekProblem(kek: string): string | null {
  const { scheme, rest } = schemeOf(kek);
  if (scheme === 'env' && !/^[A-Za-z_][A-Za-z0-9_]*$/.test(rest)) return 'env:NAME needs the name of a variable';
  if (scheme === 'vault' && !/^[^/]+(\/[^/]+)+$/.test(rest))
    return 'vault:MOUNT/KEY needs the transit engine’s mount and the name of a key';
  if (scheme === 'aws-kms' && rest === '') return 'aws-kms:KEY needs the id, ARN or alias of a key';
  return rest === '' ? 'it names nothing' : null;
}

/** Whether a `--kek` is a file that holds the key as it is. */
export function isInFile(kek: string | undefined): boolean {
  return kek === undefined || schemeOf(kek).scheme === 'file';
}

function keeperOf(options: KekOptions): KeyKeeper {
  const { scheme, rest } = parsed(options);
  const { env } = options;
  if (scheme === 'vault') {
    const slash = rest.lastIndexOf('/');
    return vaultEncryption(rest.slice(0, slash), rest.slice(slash + 1), env);
  }
  if (scheme === 'aws-kms') return awsEncryption(rest, env);
  return localEncryption(rest, env);
}

/** By a key in the environment, as orchestrators hand out secrets. */
function localEncryption(name: string, env: Env): KeyKeeper {
  const key = () => {
    const text = env[name]?.trim() ?? '';
    const bytes = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : Buffer.from(text, 'base64');
    if (bytes.length === keyLength) return bytes;
    throw new GatewayError('KEK_MISSING', 'invalid', `${name} must hold ${keyLength} bytes as base64 or hex (openssl rand -base64 32).`);
  };
  const aad = Buffer.from('sallyport-kek-v1');
  return {
    async wrap(plain) {
      const nonce = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', key(), nonce, { authTagLength: 16 }).setAAD(aad);
      return Promise.resolve(Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]).toString('base64'));
    },
    async unwrap(wrapped) {
      const bytes = Buffer.from(wrapped, 'base64');
      const wrapping = key();
      try {
        const decipher = createDecipheriv('aes-256-gcm', wrapping, bytes.subarray(0, 12), { authTagLength: 16 }).setAAD(aad);
        decipher.setAuthTag(bytes.subarray(-16));
        return await Promise.resolve(Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]));
      } catch (cause) {
        throw unwrappable(`it was wrapped by another key than ${name} holds, or was changed`, cause);
      }
    },
  };
}

export function unwrappable(why: string, cause?: unknown): GatewayError {
  return new GatewayError('KEK_UNWRAPPABLE', 'internal', `The key-encryption key cannot be unwrapped: ${why}.`, { cause });
}

type Scheme = 'file' | 'env' | 'vault' | 'aws-kms';

function schemeOf(kek: string): { scheme: Scheme; rest: string } {
  const colon = kek.indexOf(':');
  const [scheme, rest] = [kek.slice(0, Math.max(0, colon)), kek.slice(colon + 1)];
  return scheme === 'file' || scheme === 'env' || scheme === 'vault' || scheme === 'aws-kms'
    ? { scheme, rest }
    : { scheme: 'file', rest: kek };
}

function parsed({ kek, dataDir }: KekOptions): { scheme: Scheme; rest: string } {
  if (kek === undefined) return { scheme: 'file', rest: join(dataDir, 'pki', 'kek') };
  const problem = kekProblem(kek);
  if (problem !== null) throw new GatewayError('KEK_MISSING', 'invalid', `--kek ${kek} cannot be used: ${problem}.`);
  return schemeOf(kek);
}

function wrappedFileOf({ wrappedFile, dataDir }: KekOptions): string {
  return wrappedFile ?? join(dataDir, 'pki', 'kek.wrapped');
}

/** Says which keeper wrapped it, so that another is not asked in vain. */
function wrappedText({ kek = '' }: KekOptions, wrapped: string): Buffer {
  return Buffer.from(`${JSON.stringify({ keeper: schemeOf(kek).scheme, wrapped })}\n`);
}

function readWrapped(text: string, file: string, { kek = '' }: KekOptions): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw unwrappable(`${file} is damaged`, cause);
  }
  const { keeper, wrapped } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  if (typeof wrapped !== 'string' || typeof keeper !== 'string') throw unwrappable(`${file} is damaged`);
  const { scheme } = schemeOf(kek);
  if (keeper !== scheme)
    throw unwrappable(`${file} was wrapped by ${keeper}:, and --kek names ${scheme}: (see \`sallyport control-plane rotate-key\`)`);
  return wrapped;
}

async function existing(path: string): Promise<Buffer> {
  return readFile(path).catch((cause: unknown) => {
    throw missing(path, cause);
  });
}

function missing(path: string, cause?: unknown): GatewayError {
  const why = cause === undefined ? '' : `: ${errorText(cause)}`;
  return new GatewayError(
    'KEK_MISSING',
    'conflict',
    `The keys of this installation are sealed to a key-encryption key that is not at ${path}${why}. Copy pki/kek of another replica there (mode 0600), or name it with --kek.`,
    { cause },
  );
}

function checked(key: Buffer, where: string): Buffer {
  if (key.length === keyLength) return key;
  throw new GatewayError('KEY_INVALID', 'invalid', `The key-encryption key of ${where} must have ${keyLength} bytes, not ${key.length}.`);
}

/** A keeper that does not answer is not a secret that is missing. */
async function asked<Value>(work: () => Promise<Value>): Promise<Value> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof GatewayError && cause.code === 'SECRET_MISSING')) throw cause;
    throw new GatewayError('KEK_UNAVAILABLE', 'unavailable', `The keeper of the key-encryption key: ${cause.message}`, { cause });
  }
}
