/**
 * The console's two cookies, and no others. Over TLS they carry the `__Host-` prefix, which browsers accept from this very host
 * alone; without TLS (loopback only) they cannot.
 *
 * @see RFC 6265bis section 4.1.3.2
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

const cookieBytesMax = 4000;

export class Cookies {
  readonly #isSecure: boolean;

  /** @param isSecure whether browsers reach the console over TLS. */
  constructor(isSecure: boolean) {
    this.#isSecure = isSecure;
  }

  /** @returns undefined when the browser sent none, or more than one of the name: then somebody planted one. */
  read(header: string | undefined, name: string): string | undefined {
    const wanted = this.#named(name);
    const values = (header ?? '').split(';').flatMap(pair => {
      const equals = pair.indexOf('=');
      return equals > 0 && pair.slice(0, equals).trim() === wanted ? [pair.slice(equals + 1).trim()] : [];
    });
    const [value] = values;
    return values.length === 1 && value !== undefined && /^[A-Za-z0-9_-]+$/.test(value) ? value : undefined;
  }

  /**
   * A `Set-Cookie` value. `Lax` is for what must come back from another site's redirect, `Strict` for all else.
   * @param value base64url.
   */
  set(name: string, value: string, sameSite: 'Lax' | 'Strict', maxAgeSeconds: number): string {
    return `${this.#named(name)}=${value}; Path=/; HttpOnly; SameSite=${sameSite}; Max-Age=${maxAgeSeconds}${this.#isSecure ? '; Secure' : ''}`;
  }

  clear(name: string): string {
    return this.set(name, '', 'Strict', 0);
  }

  #named(name: string): string {
    return this.#isSecure ? `__Host-${name}` : name;
  }
}

/** Seals what a browser keeps for us between two requests: it can neither read nor change it. AES-256-GCM, base64url. */
export function sealForBrowser(key: Buffer, value: unknown): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  const sealed = Buffer.concat([nonce, cipher.update(JSON.stringify(value), 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return sealed.toString('base64url');
}

/** @returns undefined for whatever was not sealed with this key. */
export function openFromBrowser(key: Buffer, text: string, charactersMax = cookieBytesMax): unknown {
  if (text.length > charactersMax) return undefined;
  const sealed = Buffer.from(text, 'base64url');
  if (sealed.length < 28) return undefined;
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12), { authTagLength: 16 });
    decipher.setAuthTag(sealed.subarray(sealed.length - 16));
    return JSON.parse(Buffer.concat([decipher.update(sealed.subarray(12, sealed.length - 16)), decipher.final()]).toString('utf8'));
  } catch {
    return undefined; // not ours, or changed: the same as none
  }
}
