/**
 * SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, client side (RFC 5802, RFC 7677; channel binding `tls-server-end-point`, RFC 5929).
 *
 * Keys derived from a password are kept by salt and iteration count for as long as the credential's object lives: a server uses
 * one salt per role, and the derivation is most of a login's cost. Deliberately absent: SASLprep beyond what PostgreSQL
 * itself falls back to (a password that is not valid UTF-8 or needs no mapping is used as it is).
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual, X509Certificate } from 'node:crypto';
import { promisify } from 'node:util';
import { GatewayError } from '@sallyport/shared/errors.ts';

const pbkdf2Async = promisify(pbkdf2);
/** A server could ask for any count: more than this would be a way to keep the agent busy. */
const ITERATIONS_MAX = 1_000_000;
const DERIVED_MAX = 8;

interface DerivedKeys {
  clientKey: Buffer;
  serverKey: Buffer;
}

const derived = new WeakMap<object, Map<string, DerivedKeys>>();

function scramError(what: string): GatewayError {
  return new GatewayError('PG_UPSTREAM_SCRAM', 'unavailable', `the database\u2019s SCRAM exchange failed: ${what}`);
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

async function deriveKeys(credential: { password: string }, salt: Buffer, iterations: number): Promise<DerivedKeys> {
  let bySalt = derived.get(credential);
  if (bySalt === undefined) {
    bySalt = new Map();
    derived.set(credential, bySalt);
  }
  const id = `${iterations}:${salt.toString('base64')}`;
  const known = bySalt.get(id);
  if (known !== undefined) return known;
  const salted = await pbkdf2Async(credential.password.normalize('NFKC'), salt, iterations, 32, 'sha256');
  const keys = { clientKey: hmac(salted, 'Client Key'), serverKey: hmac(salted, 'Server Key') };
  if (bySalt.size >= DERIVED_MAX) bySalt.clear();
  bySalt.set(id, keys);
  return keys;
}

/** The hash of the server's certificate as `tls-server-end-point` wants it: its signature's hash, SHA-256 in place of MD5 and SHA-1. */
export function endPointBinding(certificate: X509Certificate | Buffer): Buffer {
  const x509 = certificate instanceof X509Certificate ? certificate : new X509Certificate(certificate);
  const algorithm = /sha-?(384|512)/i.exec(x509.signatureAlgorithm ?? '');
  return createHash(algorithm === null ? 'sha256' : `sha${algorithm[1]}`)
    .update(x509.raw)
    .digest();
}

export class ScramClient {
  readonly mechanism: 'SCRAM-SHA-256' | 'SCRAM-SHA-256-PLUS';
  readonly #credential: { password: string };
  readonly #channelBinding: Buffer | null;
  readonly #gs2Header: string;
  readonly #nonce: string;
  readonly #firstBare: string;
  #expectedServerSignature: Buffer | null = null;

  /**
   * @param offered mechanisms as the server lists them.
   * @param channelBinding the end point binding of the TLS connection; null without TLS.
   */
  constructor(
    credential: { password: string },
    offered: readonly string[],
    channelBinding: Buffer | null,
    nonce = randomBytes(18).toString('base64'),
  ) {
    this.#credential = credential;
    this.#nonce = nonce;
    this.#firstBare = `n=,r=${nonce}`;
    if (channelBinding !== null && offered.includes('SCRAM-SHA-256-PLUS')) {
      this.mechanism = 'SCRAM-SHA-256-PLUS';
      this.#channelBinding = channelBinding;
      this.#gs2Header = 'p=tls-server-end-point,,';
    } else if (offered.includes('SCRAM-SHA-256')) {
      this.mechanism = 'SCRAM-SHA-256';
      this.#channelBinding = null;
      // `y` says that binding was possible and not offered: a server that did offer it then sees that somebody removed it.
      this.#gs2Header = channelBinding === null ? 'n,,' : 'y,,';
    } else {
      throw scramError('the server offers no mechanism that is supported (SCRAM-SHA-256, SCRAM-SHA-256-PLUS)');
    }
  }

  first(): Buffer {
    return Buffer.from(this.#gs2Header + this.#firstBare);
  }

  /** Answers the server's challenge. @throws {GatewayError} PG_UPSTREAM_SCRAM */
  async final(challenge: Buffer): Promise<Buffer> {
    const serverFirst = challenge.toString('utf8');
    const match = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/=]+),i=(\d{1,9})(?:,|$)/.exec(serverFirst);
    if (match === null) throw scramError('the challenge is malformed');
    const [, nonce, salt, count] = match as unknown as [string, string, string, string];
    if (!nonce.startsWith(this.#nonce) || nonce.length <= this.#nonce.length) throw scramError('the nonce does not continue ours');
    const iterations = Number(count);
    if (iterations < 1 || iterations > ITERATIONS_MAX) throw scramError(`an iteration count of ${iterations}`);
    const keys = await deriveKeys(this.#credential, Buffer.from(salt, 'base64'), iterations);
    const header = Buffer.from(this.#gs2Header);
    const binding = this.#channelBinding === null ? header : Buffer.concat([header, this.#channelBinding]);
    const withoutProof = `c=${binding.toString('base64')},r=${nonce}`;
    const authMessage = `${this.#firstBare},${serverFirst},${withoutProof}`;
    const storedKey = createHash('sha256').update(keys.clientKey).digest();
    const proof = Buffer.from(keys.clientKey);
    const signature = hmac(storedKey, authMessage);
    for (let i = 0; i < proof.length; i++) proof[i] = (proof[i] as number) ^ (signature[i] as number);
    this.#expectedServerSignature = hmac(keys.serverKey, authMessage);
    return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`);
  }

  /** Checks that the server knows the password too. @throws {GatewayError} PG_UPSTREAM_SCRAM */
  verify(serverFinal: Buffer): void {
    const match = /^v=([A-Za-z0-9+/=]+)(?:,|$)/.exec(serverFinal.toString('utf8'));
    const expected = this.#expectedServerSignature;
    const given = match === null ? Buffer.alloc(0) : Buffer.from(match[1] as string, 'base64');
    if (expected === null || given.length !== expected.length || !timingSafeEqual(given, expected))
      throw scramError('the server\u2019s signature is wrong');
    this.#expectedServerSignature = null;
  }

  get verified(): boolean {
    return this.#expectedServerSignature === null;
  }
}

/** The answer to AuthenticationMD5Password: `md5` + md5(md5(password + user) + salt), in hex. */
export function md5Password(user: string, password: string, salt: Uint8Array): string {
  const inner = createHash('md5')
    .update(password + user)
    .digest('hex');
  return `md5${createHash('md5').update(inner).update(salt).digest('hex')}`;
}
