/**
 * Finds credentials that Sallyport itself holds, in raw, URL-encoded, base64, base64url and hex form.
 *
 * Two ways: by value, for what the agent holds, and by fingerprint, for what only the control plane can read. A fingerprint has
 * a 24-bit hash of the form's first eight bytes (the filter: computed for every position of the text) and a truncated
 * HMAC-SHA256 of the whole form (the proof: computed where the filter hits). docs/adr/0004-detector-engine.md says what a stolen
 * list reveals. Credentials shorter than eight bytes are not fingerprinted: their forms would be found everywhere.
 */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import {
  BIT_SHIFT,
  createFingerprintPass,
  FACTOR_HIGH,
  FACTOR_LAST,
  FACTOR_LOW,
  FILTER_BYTES,
  type FingerprintPass,
  POSITIONS_MAX,
  WINDOW,
} from './fingerprint-pass.ts';
import { PRIORITY, type Scan } from './span.ts';

export const CREDENTIAL_BYTES_MIN = 8;
export const CREDENTIAL_BYTES_MAX = 16_384;
const PROOF_BYTES = 16;
/** Fewer positions are not worth a copy into the pass's memory. */
const PASS_FROM = 128;
/** In wire mode a call ends at the first finding: what is looked at behind it is looked at again by the next. */
const WIRE_STEP = 512;
const DETECTOR = 'known-credentials';

/** A form's bytes, and how many characters beside them hold some of the secret's bits (base64). */
export interface EncodedForm {
  bytes: Uint8Array;
  before: number;
  after: number;
}

/** One encoded form: its length in bytes, the neighbours to mask with it, the filter's hash and the proof in base64. */
export interface FormFingerprint {
  length: number;
  before: number;
  after: number;
  filter: number;
  proof: string;
}

/** What the control plane puts into a lease for one credential. */
export interface CredentialFingerprint {
  forms: FormFingerprint[];
}

/** What a scan needs; build with {@link knownCredentials} or {@link knownCredentialsFromValues}. */
export interface KnownCredentials {
  /** Encoded forms of values that are at hand. */
  literals: EncodedForm[];
  fingerprints: FingerprintIndex | undefined;
}

const encoder = new TextEncoder();

/**
 * Every form in which a secret is looked for, without repetition. In base64 a secret may begin at any of three places of the
 * enclosing text; of each alignment only the characters that depend on the secret alone are kept.
 */
export function encodedForms(secret: string): EncodedForm[] {
  const raw = encoder.encode(secret);
  const forms = new Map<string, EncodedForm>();
  const add = (bytes: Uint8Array, before = 0, after = 0): void => {
    const id = Buffer.from(bytes).toString('latin1');
    if (bytes.length >= CREDENTIAL_BYTES_MIN && !forms.has(id)) forms.set(id, { bytes, before, after });
  };
  const text = (form: string, before = 0, after = 0): void => add(encoder.encode(form), before, after);
  add(raw);
  if (secret.isWellFormed()) {
    const percent = encodeURIComponent(secret);
    text(percent);
    text(percent.replace(/%20/g, '+'));
    text(percent.replace(/%[0-9A-F]{2}/g, encoded => encoded.toLowerCase()));
    text(percent.replace(/[!'()*]/g, character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`));
    text(JSON.stringify(secret).slice(1, -1));
    text(
      secret.replace(
        /[&<>"']/g,
        character => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[character] ?? character,
      ),
    );
  }
  const hex = Buffer.from(raw).toString('hex');
  text(hex);
  text(hex.toUpperCase());
  for (let shift = 0; shift < 3; shift++) {
    const padded = new Uint8Array(shift + raw.length);
    padded.set(raw, shift);
    const base64 = Buffer.from(padded).toString('base64').replace(/=+$/, '');
    // The first characters hold bits of what stands before, the last may hold bits of what follows.
    const from = shift === 0 ? 0 : shift + 1;
    const to = padded.length % 3 === 0 ? base64.length : base64.length - 1;
    const inner = base64.slice(from, to);
    const before = shift === 0 ? 0 : 1;
    const after = base64.length - to;
    text(inner, before, after);
    text(inner.replace(/\+/g, '-').replace(/\//g, '_'), before, after);
  }
  return [...forms.values()];
}

/** The filter: 24 bits over eight bytes, mixed with the lease's key. */
export interface FilterKey {
  low: number;
  high: number;
}

function filterKey(key: Uint8Array): FilterKey {
  const derived = Buffer.from(hkdfSync('sha256', key, new Uint8Array(0), 'sallyport known-credentials filter', 8));
  return { low: derived.readInt32LE(0), high: derived.readInt32LE(4) };
}

function filterHash(low: number, high: number, key: FilterKey): number {
  let h = Math.imul(low ^ key.low, FACTOR_LOW) ^ Math.imul(high ^ key.high, FACTOR_HIGH);
  h = Math.imul(h ^ (h >>> 15), FACTOR_LAST);
  return h >>> 8;
}

function proofOf(key: Uint8Array, form: Uint8Array): Buffer {
  return createHmac('sha256', key).update('sallyport known-credentials proof').update(form).digest().subarray(0, PROOF_BYTES);
}

function windowOf(form: Uint8Array): [number, number] {
  const view = new DataView(form.buffer, form.byteOffset, form.byteLength);
  return [view.getInt32(0, true), view.getInt32(4, true)];
}

/**
 * Fingerprints a credential so that an agent can find it without being able to read it.
 *
 * @param secret the credential's value; UTF-8.
 * @param key 32 random bytes that every fingerprint of a lease shares.
 * @returns no forms for a value that is shorter than eight bytes or longer than 16 KiB: the caller warns that it is not looked for.
 */
export function fingerprintCredential(secret: string, key: Uint8Array): CredentialFingerprint {
  const size = encoder.encode(secret).length;
  if (size < CREDENTIAL_BYTES_MIN || size > CREDENTIAL_BYTES_MAX) return { forms: [] };
  const filter = filterKey(key);
  return {
    forms: encodedForms(secret).map(({ bytes, before, after }) => ({
      length: bytes.length,
      before,
      after,
      filter: filterHash(...windowOf(bytes), filter),
      proof: proofOf(key, bytes).toString('base64'),
    })),
  };
}

/** The fingerprints of a lease, indexed for the scan. */
export class FingerprintIndex {
  readonly #key: Uint8Array;
  readonly #filter: FilterKey;
  readonly #bits = new Uint8Array(FILTER_BYTES);
  /** Made when a text is long enough for it. */
  #pass: FingerprintPass | undefined;
  readonly #byHash = new Map<number, { length: number; before: number; after: number; proof: Buffer }[]>();
  /** Of the longest form. */
  readonly reachBytes: number;

  constructor(key: Uint8Array, forms: readonly FormFingerprint[]) {
    this.#key = key;
    this.#filter = filterKey(key);
    this.reachBytes = forms.reduce((longest, form) => Math.max(longest, form.before + form.length + form.after), 0);
    for (const form of forms) {
      const bit = form.filter >>> (BIT_SHIFT - 8);
      this.#bits[bit >>> 3] = (this.#bits[bit >>> 3] as number) | (1 << (bit & 7));
      const entry = { length: form.length, before: form.before, after: form.after, proof: Buffer.from(form.proof, 'base64') };
      const others = this.#byHash.get(form.filter);
      if (others === undefined) this.#byHash.set(form.filter, [entry]);
      else others.push(entry);
    }
  }

  /** Adds every credential in the scan's window that begins before `until`; in wire mode only the first. */
  scan(scan: Scan, until: number): void {
    const end = Math.min(scan.end, until + WINDOW - 1);
    const positions = end - scan.start - WINDOW + 1;
    if (positions >= PASS_FROM) this.#scanLong(scan, positions);
    else if (positions > 0) this.#scanShort(scan, end);
  }

  #scanLong(scan: Scan, positions: number): void {
    if (this.#pass === undefined) {
      this.#pass = createFingerprintPass();
      this.#pass.bits.set(this.#bits);
    }
    const { text, reports, run } = this.#pass;
    const { low, high } = this.#filter;
    const step = scan.wire ? WIRE_STEP : POSITIONS_MAX;
    for (let done = 0; done < positions; done += step) {
      const from = scan.start + done;
      const count = Math.min(step, positions - done);
      text.set(scan.bytes.subarray(from, from + count + WINDOW - 1));
      const found = run(count, low, high);
      for (let n = 0; n < found; n++) {
        const at = reports[n] as number;
        // Positions are looked at four at a time: up to three of them are not the window's.
        if (at >= count) break;
        this.#confirm(scan, from + at, filterHash(...windowOf(scan.bytes.subarray(from + at, from + at + WINDOW)), this.#filter));
        if (scan.wire && scan.hit >= 0) return;
      }
    }
  }

  #scanShort(scan: Scan, end: number): void {
    const { bytes } = scan;
    const bits = this.#bits;
    const keyLow = this.#filter.low;
    const keyHigh = this.#filter.high;
    let low = 0;
    let high = 0;
    let at = scan.start;
    for (const primed = at + WINDOW - 1; at < primed; at++) {
      low = (low >>> 8) | (high << 24);
      high = (high >>> 8) | ((bytes[at] as number) << 24);
    }
    for (; at < end; at++) {
      low = (low >>> 8) | (high << 24);
      high = (high >>> 8) | ((bytes[at] as number) << 24);
      let h = Math.imul(low ^ keyLow, FACTOR_LOW) ^ Math.imul(high ^ keyHigh, FACTOR_HIGH);
      h = Math.imul(h ^ (h >>> 15), FACTOR_LAST);
      if (((bits[h >>> (BIT_SHIFT + 3)] as number) & (1 << ((h >>> BIT_SHIFT) & 7))) !== 0) {
        this.#confirm(scan, at - WINDOW + 1, h >>> 8);
        if (scan.wire && scan.hit >= 0) return;
      }
    }
  }

  #confirm(scan: Scan, start: number, hash: number): void {
    const candidates = this.#byHash.get(hash);
    if (candidates === undefined) return;
    for (const { length, before, after, proof } of candidates) {
      if (start + length > scan.end) continue;
      const actual = proofOf(this.#key, scan.bytes.subarray(start, start + length));
      if (timingSafeEqual(actual, proof)) scan.add(start - before, start + length + after, DETECTOR, PRIORITY.known);
    }
  }
}

/**
 * Reads the lease's `knownCredentials`.
 * @throws {GatewayError} KNOWN_CREDENTIALS_INVALID when it has another shape: a scan that silently looks for nothing would be worse.
 */
export function knownCredentials(json: unknown): KnownCredentials {
  if (json === undefined || json === null) return { literals: [], fingerprints: undefined };
  const invalid = (what: string): GatewayError =>
    new GatewayError(
      'KNOWN_CREDENTIALS_INVALID',
      'invalid',
      `the lease's known credentials cannot be read: ${what}; upgrade the agent or the control plane`,
    );
  if (typeof json !== 'object' || !('key' in json) || typeof json.key !== 'string') throw invalid('no key');
  if (!('fingerprints' in json) || !Array.isArray(json.fingerprints)) throw invalid('no list of fingerprints');
  const key = Buffer.from(json.key, 'base64');
  if (key.length < 16) throw invalid('the key is shorter than 16 bytes');
  const forms: FormFingerprint[] = [];
  for (const fingerprint of json.fingerprints as unknown[]) {
    if (typeof fingerprint !== 'object' || fingerprint === null || !('forms' in fingerprint) || !Array.isArray(fingerprint.forms)) {
      throw invalid('a fingerprint has no forms');
    }
    for (const form of fingerprint.forms as unknown[]) {
      if (!isFormFingerprint(form)) throw invalid('a form of a fingerprint is incomplete');
      forms.push(form);
    }
  }
  return { literals: [], fingerprints: forms.length === 0 ? undefined : new FingerprintIndex(key, forms) };
}

function isFormFingerprint(form: unknown): form is FormFingerprint {
  return (
    typeof form === 'object' &&
    form !== null &&
    'length' in form &&
    Number.isSafeInteger(form.length) &&
    (form.length as number) >= WINDOW &&
    (form.length as number) <= CREDENTIAL_BYTES_MAX * 12 &&
    'before' in form &&
    (form.before === 0 || form.before === 1) &&
    'after' in form &&
    (form.after === 0 || form.after === 1) &&
    'filter' in form &&
    Number.isSafeInteger(form.filter) &&
    'proof' in form &&
    typeof form.proof === 'string' &&
    Buffer.from(form.proof, 'base64').length === PROOF_BYTES
  );
}

/** What the agent holds itself, found by value. Values shorter than eight bytes are left out. */
export function knownCredentialsFromValues(values: readonly string[]): KnownCredentials {
  const literals: EncodedForm[] = [];
  for (const value of values) {
    const size = encoder.encode(value).length;
    if (size < CREDENTIAL_BYTES_MIN || size > CREDENTIAL_BYTES_MAX) continue;
    literals.push(...encodedForms(value));
  }
  return { literals, fingerprints: undefined };
}

/** Both ways in one. Of several fingerprint lists the last counts: a lease has one. */
export function mergeKnownCredentials(...parts: readonly KnownCredentials[]): KnownCredentials {
  return {
    literals: parts.flatMap(part => part.literals),
    fingerprints: parts.findLast(part => part.fingerprints !== undefined)?.fingerprints,
  };
}
