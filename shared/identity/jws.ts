/**
 * JSON Web Signature, compact form: taking one apart strictly, and checking its signature with a cached public key.
 *
 * Deliberately absent: unsigned tokens and HMAC (`none`, `HS*` are no algorithms here), encrypted tokens, detached and unencoded
 * payloads (`b64`), critical extensions (`crit`), and every way of naming a key by its place or value in the token (`jku`, `x5u`,
 * `jwk`, `x5c` are not read).
 *
 * @see RFC 7515, RFC 7518 section 3, RFC 8037, RFC 8725
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import type { PublicJwk } from '../policy/bundle.ts';

/** Longer tokens are refused before they are looked at. */
export const TOKEN_BYTES_MAX = 16 * 1024;

interface Algorithm {
  kty: 'RSA' | 'EC' | 'OKP';
  crv?: string;
  hash: string | null;
  pss?: { saltLength: number };
}

const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>([
  ['RS256', { kty: 'RSA', hash: 'sha256' }],
  ['RS384', { kty: 'RSA', hash: 'sha384' }],
  ['RS512', { kty: 'RSA', hash: 'sha512' }],
  ['PS256', { kty: 'RSA', hash: 'sha256', pss: { saltLength: 32 } }],
  ['PS384', { kty: 'RSA', hash: 'sha384', pss: { saltLength: 48 } }],
  ['PS512', { kty: 'RSA', hash: 'sha512', pss: { saltLength: 64 } }],
  ['ES256', { kty: 'EC', crv: 'P-256', hash: 'sha256' }],
  ['ES384', { kty: 'EC', crv: 'P-384', hash: 'sha384' }],
  ['ES512', { kty: 'EC', crv: 'P-521', hash: 'sha512' }],
  ['EdDSA', { kty: 'OKP', crv: 'Ed25519', hash: null }],
  ['Ed25519', { kty: 'OKP', crv: 'Ed25519', hash: null }],
]);

const RSA_BITS_MIN = 2048;
const RSA_BITS_MAX = 8192;
/** How many keys of one key id are tried. */
const CANDIDATES_MAX = 4;

/** `typ` values that a token for signing in may have (RFC 7519, RFC 9068). A logout or DPoP token is signed by the same keys. */
const TYPES: ReadonlySet<string> = new Set(['jwt', 'application/jwt', 'at+jwt', 'application/at+jwt']);

export interface Jws {
  alg: string;
  kid: string | null;
  claims: Record<string, unknown>;
  signed: Buffer;
  signature: Buffer;
}

export type Parsed = { ok: true; jws: Jws } | { ok: false; code: string; reason: string };

const no = (code: string, reason: string): Parsed => ({ ok: false, code, reason });
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Takes a token apart. Nothing in the result is verified. Never throws, whatever the input. */
export function parseJws(token: string): Parsed {
  if (token.length > TOKEN_BYTES_MAX) return no('TOKEN_TOO_LARGE', `the token is longer than ${TOKEN_BYTES_MAX} bytes`);
  const parts = token.split('.', 4);
  const [first, second, third] = parts;
  if (parts.length !== 3 || first === undefined || second === undefined || third === undefined) {
    return no('TOKEN_MALFORMED', 'the password is no compact JWS (three parts with dots between)');
  }
  const header = jsonObject(base64url(first));
  if (header === null) return no('TOKEN_MALFORMED', "the token's header is no base64url-coded JSON object with distinct names");
  const { alg, kid, typ } = header;
  if (typeof alg !== 'string' || !ALGORITHMS.has(alg))
    return no('TOKEN_ALG_REFUSED', 'the token is unsigned, or signed in a way that is never accepted');
  for (const name of ['crit', 'b64', 'zip', 'enc']) {
    if (Object.hasOwn(header, name)) return no('TOKEN_HEADER_REFUSED', `the token's header has '${name}', which is not supported`);
  }
  if (typ !== undefined && (typeof typ !== 'string' || !TYPES.has(typ.toLowerCase()))) {
    return no('TOKEN_TYPE_REFUSED', 'the token is of a type that is not for signing in');
  }
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > 512))
    return no('TOKEN_MALFORMED', "the token's key id is no short string");
  const claims = jsonObject(base64url(second));
  if (claims === null) return no('TOKEN_MALFORMED', "the token's payload is no base64url-coded JSON object with distinct names");
  const signature = base64url(third);
  if (signature === null) return no('TOKEN_MALFORMED', "the token's signature is missing or not base64url");
  const signed = Buffer.from(token.slice(0, first.length + 1 + second.length), 'latin1');
  return { ok: true, jws: { alg, kid: kid ?? null, claims, signed, signature } };
}

/** @returns null unless the text is base64url in its one canonical form. */
function base64url(text: string): Buffer | null {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) return null;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : null;
}

function jsonObject(bytes: Buffer | null): Record<string, unknown> | null {
  if (bytes === null) return null;
  try {
    const text = utf8.decode(bytes);
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || Array.isArray(value) || repeatsName(text)) return null;
    return value as Record<string, unknown>;
  } catch {
    return null;
  }
}

/**
 * Does any object in this JSON text (which must be valid) give a name twice? Which of two values counts differs between parsers,
 * so that what was checked need not be what somebody else reads.
 */
export function repeatsName(text: string): boolean {
  const names: (Set<string> | null)[] = [];
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === '{') names.push(new Set());
    else if (char === '[') names.push(null);
    else if (char === '}' || char === ']') names.pop();
    else if (char === '"') {
      const start = i;
      for (i++; text[i] !== '"'; i++) if (text[i] === '\\') i++;
      const seen = names.at(-1);
      if (seen === null || seen === undefined || !nameEndsAt(text, i + 1)) continue;
      const name: unknown = JSON.parse(text.slice(start, i + 1));
      if (typeof name !== 'string' || seen.has(name)) return true;
      seen.add(name);
    }
  }
  return false;
}

/** In a valid JSON text, a string is a name when a colon follows. */
function nameEndsAt(text: string, at: number): boolean {
  while (text[at] === ' ' || text[at] === '\t' || text[at] === '\n' || text[at] === '\r') at++;
  return text[at] === ':';
}

interface ImportedKey {
  kid: string | null;
  alg: string | null;
  kty: string;
  crv: string | null;
  key: KeyObject;
}

/** A set of public keys, imported once. Keys that no supported algorithm can use are left out. */
export class KeySet {
  readonly #keys: ImportedKey[] = [];

  constructor(jwks: readonly PublicJwk[]) {
    for (const jwk of jwks.slice(0, 256)) {
      const imported = importKey(jwk);
      if (imported !== null) this.#keys.push(imported);
    }
  }

  get size(): number {
    return this.#keys.length;
  }

  /**
   * The keys that may have signed this token: of its key id, of the algorithm's type and curve. A token without a key id is
   * taken only if a single key fits.
   */
  candidates(jws: Jws): KeyObject[] {
    const algorithm = ALGORITHMS.get(jws.alg);
    if (algorithm === undefined) return [];
    const fitting = this.#keys.filter(
      key =>
        (jws.kid === null || key.kid === jws.kid) &&
        key.kty === algorithm.kty &&
        (algorithm.crv === undefined || key.crv === algorithm.crv) &&
        (key.alg === null || key.alg === jws.alg || (algorithm.kty === 'OKP' && ALGORITHMS.get(key.alg)?.kty === 'OKP')),
    );
    if (jws.kid === null && fitting.length !== 1) return [];
    return fitting.slice(0, CANDIDATES_MAX).map(key => key.key);
  }
}

/** Only the public members of a JWK are taken; a private or symmetric key is no key here. */
function importKey(jwk: PublicJwk): ImportedKey | null {
  const { kty, kid, alg, use, key_ops: operations } = jwk;
  if (use !== undefined && use !== 'sig') return null;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return null;
  if (alg !== undefined && (typeof alg !== 'string' || !ALGORITHMS.has(alg))) return null;
  const members = kty === 'RSA' ? ['n', 'e'] : kty === 'EC' ? ['crv', 'x', 'y'] : kty === 'OKP' ? ['crv', 'x'] : null;
  if (members === null) return null;
  const plain: Record<string, string> = { kty };
  for (const name of members) {
    const value = jwk[name];
    if (typeof value !== 'string' || value.length > 4096) return null;
    plain[name] = value;
  }
  try {
    const key = createPublicKey({ key: plain, format: 'jwk' });
    const bits = key.asymmetricKeyDetails?.modulusLength;
    if (kty === 'RSA' && (bits === undefined || bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)) return null;
    return { kid: typeof kid === 'string' ? kid : null, alg: alg ?? null, kty, crv: plain.crv ?? null, key };
  } catch {
    return null;
  }
}

/**
 * A check that takes less than handing it to another thread and waiting for the answer: tens of microseconds. A key of a provider may
 * be one that takes milliseconds (many bits, a large exponent), which would hold up everybody's sessions.
 */
function isQuick(key: KeyObject, algorithm: Algorithm): boolean {
  if (algorithm.kty !== 'RSA') return algorithm.crv === 'P-256' || algorithm.crv === 'Ed25519';
  const { modulusLength = Number.POSITIVE_INFINITY, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  return modulusLength <= 4096 && publicExponent > 0n && publicExponent <= 65_537n;
}

/** Is the signature that of one of the keys? Runs off this thread where that takes long; never rejects. */
export async function signatureChecks(jws: Jws, keys: readonly KeyObject[]): Promise<boolean> {
  const algorithm = ALGORITHMS.get(jws.alg);
  if (algorithm === undefined) return false;
  for (const key of keys) {
    const good = await new Promise<boolean>(resolve => {
      const input =
        algorithm.kty === 'EC'
          ? { key, dsaEncoding: 'ieee-p1363' as const }
          : algorithm.pss !== undefined
            ? { key, padding: 6, saltLength: algorithm.pss.saltLength } // RSA_PKCS1_PSS_PADDING
            : { key };
      try {
        if (isQuick(key, algorithm)) resolve(verify(algorithm.hash, jws.signed, input, jws.signature));
        else verify(algorithm.hash, jws.signed, input, jws.signature, (error, result) => resolve(error === null && result));
      } catch {
        resolve(false);
      }
    });
    if (good) return true;
  }
  return false;
}
