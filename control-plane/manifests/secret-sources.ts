/**
 * Reads what manifests point to outside of themselves: secrets from the control plane's environment and files, certificates from files.
 * A relative path starts at the manifest's folder, on this machine.
 *
 * Whoever may apply manifests may thereby have any file sent to a database of their choice, as its password. The control plane's own
 * data folder and its own environment variables are therefore out of reach.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, relative, resolve, sep } from 'node:path';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { SecretSource } from '@sallyport/shared/policy/model.ts';
import { readAwsSecret } from '../credentials/aws-secrets-manager.ts';
import { readVault } from '../credentials/vault.ts';
import { issueUser, renewLease, revokeLease } from '../credentials/vault-database.ts';
import type { UserLeases } from './leased-users.ts';

export interface SecretSources {
  /** @throws {GatewayError} SECRET_MISSING: the variable or file is not there, empty or out of reach; the message names the source only. */
  secret(source: SecretSource, manifestPath: string): Promise<Buffer>;
  /** Users of databases that Vault leases. */
  users: UserLeases;
  /** For PEM files. @throws an error with a `code` like the file system's. */
  readFile(path: string, manifestPath: string): string;
}

const fileBytesMax = 65_536;
/** Variables that name files with the control plane's own tokens. */
const ownFiles = [
  'VAULT_TOKEN_FILE',
  'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE',
  'AWS_WEB_IDENTITY_TOKEN_FILE',
  'AWS_SHARED_CREDENTIALS_FILE',
];

/** @param forbiddenDir the control plane's data folder. */
export function secretSources(env: Readonly<Record<string, string | undefined>>, forbiddenDir: string): SecretSources {
  const forbidden = realpathSync(forbiddenDir);
  const readBounded = (path: string, manifestPath: string): Buffer => {
    const real = realpathSync(isAbsolute(path) ? path : resolve(dirname(manifestPath), path));
    const inside = relative(forbidden, real);
    if (inside === '' || (inside !== '..' && !inside.startsWith(`..${sep}`) && !isAbsolute(inside))) {
      throw new GatewayError('SECRET_MISSING', 'denied', "it is in the control plane's own data folder");
    }
    if (ownFiles.some(name => env[name] !== undefined && isSameFile(env[name], real))) {
      throw new GatewayError('SECRET_MISSING', 'denied', 'it is what the control plane itself logs in with');
    }
    // /proc has this process's whole environment, the memory and open files of others: none of it is anybody's secret file.
    if (/^\/(proc|sys|dev)\//.test(real)) throw new GatewayError('SECRET_MISSING', 'denied', 'it is no file on a disk');
    const stat = statSync(real);
    if (!stat.isFile()) throw new GatewayError('SECRET_MISSING', 'invalid', 'it is not a plain file');
    if (stat.size > fileBytesMax) throw new GatewayError('SECRET_MISSING', 'invalid', `it is larger than ${fileBytesMax} bytes`);
    return readFileSync(real);
  };
  return {
    async secret(source, manifestPath) {
      if ('value' in source) return nonEmpty(Buffer.from(source.value, 'utf8'), 'the value');
      if ('env' in source) {
        const value = isOwn(source.env) ? undefined : env[source.env];
        if (value === undefined) {
          throw missing(`the control plane has no environment variable ${source.env}. Set it and start the control plane again.`);
        }
        return nonEmpty(Buffer.from(value, 'utf8'), `the environment variable ${source.env}`);
      }
      if ('vault' in source) return nonEmpty(Buffer.from(await readVault(source.vault, env), 'utf8'), 'the secret in Vault');
      if ('awsSecret' in source) {
        return nonEmpty(Buffer.from(await readAwsSecret(source.awsSecret, env, Date.now()), 'utf8'), 'the secret of AWS Secrets Manager');
      }
      let content: Buffer;
      try {
        content = readBounded(source.file, manifestPath);
      } catch (cause) {
        throw missing(`the file ${source.file} cannot be read: ${reason(cause)}.`, cause);
      }
      // Editors end a file with a line feed that is no part of the secret.
      return nonEmpty(withoutLastLineFeed(content), `the file ${source.file}`);
    },
    users: {
      issue: engine => issueUser(engine, env),
      renew: leaseId => renewLease(leaseId, env),
      revoke: leaseId => revokeLease(leaseId, env),
    },
    readFile: (path, manifestPath) => readBounded(path, manifestPath).toString('utf8'),
  };
}

function isSameFile(path: string, real: string): boolean {
  try {
    return realpathSync(path) === real;
  } catch {
    return false; // It is not there, and so nobody's.
  }
}

/** What the control plane itself logs in with: nobody's database password. */
function isOwn(name: string): boolean {
  return /^(SALLYPORT|VAULT|AWS)_/i.test(name);
}

function withoutLastLineFeed(content: Buffer): Buffer {
  let end = content.length;
  if (content[end - 1] === 0x0a) end--;
  if (end < content.length && content[end - 1] === 0x0d) end--;
  return content.subarray(0, end);
}

function nonEmpty(secret: Buffer, what: string): Buffer {
  if (secret.length === 0) throw missing(`${what} is empty.`);
  return secret;
}

function missing(message: string, cause?: unknown): GatewayError {
  return new GatewayError('SECRET_MISSING', 'invalid', message, cause === undefined ? undefined : { cause });
}

function reason(cause: unknown): string {
  if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return 'there is no such file';
  if (cause instanceof Error && 'code' in cause && cause.code === 'EACCES') return 'permission denied';
  return errorText(cause);
}
