/**
 * What comes from a host on its way to the client: secrets and personal data are masked across pieces and across escape sequences,
 * the result is recorded, and then released.
 *
 * While nothing is looked for, pieces pass as they came. Otherwise the end of what has come is held back, for 50 ms at most, in
 * case a finding goes on in the next piece. A mask never stands inside of an escape sequence or a UTF-8 character.
 */
import type { DetectorSet, Span } from '@sallyport/shared/detectors/engine.ts';
import { replaceSpans } from '@sallyport/shared/masking/mask.ts';
import type { MaskKind } from '@sallyport/shared/policy/model.ts';

const HOLD_MS = 50;
/** Where nothing but credentials by value is looked for: what belongs together and is not sent slowly on purpose comes within this. */
const HOLD_FEW_MS = 10;
/** For records, which nobody waits for: until nothing has come for so long. */
const QUIET_MS = 300;
/** Bytes held back: a finding that is cut is no longer than this, as a rule. */
const HOLD_BYTES = 1024;
/** A finding that reaches the end is held as a whole up to this length. */
const HELD_BYTES_MAX = 32 * 1024;
/** Bytes that were released, in front of what is looked at: words that findings need beside them. */
const CONTEXT_BYTES = 256;
const ESC = 0x1b;

export interface MaskOptions {
  detectors: DetectorSet;
  kind: MaskKind;
  key: Uint8Array;
}

/** Text without escape sequences, and where each of its bytes stood. */
interface Stripped {
  text: Uint8Array;
  /** null: nothing was taken out. */
  offsets: Uint32Array | null;
}

export class MaskingStream {
  readonly #options: MaskOptions;
  readonly #release: (bytes: Buffer, credit: number) => void;
  readonly #classify: (detector: string) => void;
  #held: Buffer = Buffer.alloc(0);
  #context: Buffer = Buffer.alloc(0);
  #credit = 0;
  #timer: NodeJS.Timeout | null = null;
  readonly #holdMs: number;
  readonly #untilQuiet: boolean;

  /**
   * @param release takes what may go on, and how many of the bytes that came are done with.
   * @param classify takes each finding's detector.
   * @param untilQuiet for records of terminals: what is typed letter by letter is looked at as a whole.
   */
  constructor(
    options: MaskOptions,
    release: (bytes: Buffer, credit: number) => void,
    classify: (detector: string) => void,
    untilQuiet = false,
  ) {
    this.#untilQuiet = untilQuiet;
    const isFew = options.detectors.names.every(name => name === 'known-credentials');
    this.#holdMs = untilQuiet ? QUIET_MS : isFew ? HOLD_FEW_MS : HOLD_MS;
    this.#options = options;
    this.#release = release;
    this.#classify = classify;
  }

  push(chunk: Buffer): void {
    this.#credit += chunk.length;
    this.#held = this.#held.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#held, chunk]);
    this.#pass(false);
    if (this.#held.length === 0) return;
    if (this.#untilQuiet && this.#timer !== null) this.#timer.refresh();
    else this.#timer ??= setTimeout(() => this.#late(), this.#holdMs);
  }

  /**
   * Lets through at once what the client itself has just typed; it is no news to it.
   * @returns false: something is held in front of it, and it has to wait there.
   */
  passEcho(chunk: Buffer): boolean {
    if (this.#held.length > 0) return false;
    this.#context = Buffer.concat([this.#context, chunk]).subarray(-CONTEXT_BYTES);
    this.#release(chunk, chunk.length);
    return true;
  }

  #late(): void {
    this.#timer = null;
    this.#pass(true);
    // What is left looks like the beginning of a character or a sequence; if nothing more comes of it, it is none.
    if (this.#held.length > 0)
      this.#timer = setTimeout(() => {
        this.#timer = null;
        this.#pass(true, true);
      }, this.#holdMs);
  }

  /** Everything goes: the stream ends. */
  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#pass(true, true);
  }

  /** @param last nothing comes behind it: what looks like the beginning of something is all there is of it. */
  #pass(all: boolean, last = false): void {
    const held = this.#held;
    if (held.length === 0) {
      this.#settle();
      return;
    }
    const joined = this.#context.length === 0 ? held : Buffer.concat([this.#context, held]);
    const from = this.#context.length;
    const spans = this.#find(joined).filter(span => span.end > from);
    let cut = all ? joined.length : Math.max(from, joined.length - HOLD_BYTES);
    if (!all) {
      for (const span of spans) if (span.start < cut && span.end > cut) cut = Math.max(from, span.start);
      // A line that has ended, and that nothing was found to go on from, is not waited with.
      if (joined.length - cut > HELD_BYTES_MAX) cut = joined.length;
    }
    if (!last) cut = Math.max(from, beforePartial(joined, cut));
    if (cut > from) {
      const inside = spans
        .filter(span => span.start < cut)
        .map(span => ({ ...span, start: Math.max(span.start, from), end: Math.min(span.end, cut) }));
      for (const span of inside) this.#classify(span.detector);
      const bytes = inside.length === 0 ? joined.subarray(from, cut) : this.#masked(joined, from, cut, inside);
      this.#context = joined.subarray(Math.max(0, cut - CONTEXT_BYTES), cut);
      this.#held = joined.subarray(cut);
      const credit = this.#credit - this.#held.length;
      this.#credit -= credit;
      this.#release(bytes, credit);
    }
    if (this.#held.length === 0) this.#settle();
  }

  #settle(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #find(bytes: Buffer): Span[] {
    const { detectors } = this.#options;
    if (!bytes.includes(ESC)) return [...detectors.scan(bytes, 0, bytes.length)];
    const { text, offsets } = stripEscapes(bytes);
    const spans = detectors.scan(text, 0, text.length);
    if (offsets === null) return [...spans];
    return spans.map(span => ({
      detector: span.detector,
      start: offsets[span.start] as number,
      end: (offsets[span.end - 1] as number) + 1,
    }));
  }

  /** Findings become masks; escape sequences that stood inside of them stay, behind the mask. */
  #masked(bytes: Buffer, from: number, to: number, spans: readonly Span[]): Buffer {
    const { kind, key } = this.#options;
    const parts: Uint8Array[] = [];
    let at = from;
    for (const span of spans) {
      parts.push(bytes.subarray(at, span.start));
      const inner = bytes.subarray(span.start, span.end);
      const { text, offsets } = stripEscapes(inner);
      parts.push(replaceSpans(text, 0, text.length, [{ start: 0, end: text.length, detector: span.detector }], kind, key));
      if (offsets !== null) parts.push(onlyEscapes(inner, offsets));
      at = span.end;
    }
    parts.push(bytes.subarray(at, to));
    return Buffer.concat(parts);
  }
}

/** The same for a whole text, such as a command's. */
export function maskWhole(text: string, options: MaskOptions, classify: (detector: string) => void = () => undefined): string {
  const bytes = Buffer.from(text, 'utf8');
  const spans = options.detectors.scan(bytes, 0, bytes.length);
  if (spans.length === 0) return text;
  for (const span of spans) classify(span.detector);
  return Buffer.from(replaceSpans(bytes, 0, bytes.length, spans, options.kind, options.key)).toString('utf8');
}

/** Where an escape sequence that begins at `at` ends; -1: not within these bytes. ECMA-48, 5.4 and 5.6. */
export function escapeEnd(bytes: Uint8Array, at: number): number {
  const second = bytes[at + 1];
  if (second === undefined) return -1;
  if (second === 0x5b) {
    // CSI: parameters and intermediates, then one final byte.
    for (let i = at + 2; i < bytes.length; i++) {
      const byte = bytes[i] as number;
      if (byte >= 0x40 && byte <= 0x7e) return i + 1;
      if (byte < 0x20 || byte > 0x3f) return i;
    }
    return -1;
  }
  if (second === 0x5d || second === 0x50 || second === 0x58 || second === 0x5e || second === 0x5f) {
    // OSC, DCS, SOS, PM, APC: up to ST, or BEL.
    for (let i = at + 2; i < bytes.length; i++) {
      if (bytes[i] === 0x07) return i + 1;
      if (bytes[i] === ESC && bytes[i + 1] === 0x5c) return i + 2;
      if (i - at > 4096) return i;
    }
    return -1;
  }
  if (second >= 0x20 && second <= 0x2f) return bytes.length > at + 2 ? at + 3 : -1;
  return at + 2;
}

function stripEscapes(bytes: Uint8Array): Stripped {
  if (!bytes.includes(ESC)) return { text: bytes, offsets: null };
  const text = new Uint8Array(bytes.length);
  const offsets = new Uint32Array(bytes.length);
  let length = 0;
  for (let i = 0; i < bytes.length; ) {
    if (bytes[i] === ESC) {
      const end = escapeEnd(bytes, i);
      // A string sequence (a title, a link) holds text as well: it is looked at too.
      const second = bytes[i + 1];
      if (second !== undefined && second !== 0x5b && end - i > 3) {
        i += 2;
        continue;
      }
      i = end < 0 ? bytes.length : end;
      continue;
    }
    text[length] = bytes[i] as number;
    offsets[length++] = i++;
  }
  return { text: text.subarray(0, length), offsets: offsets.subarray(0, length) };
}

function onlyEscapes(bytes: Uint8Array, offsets: Uint32Array): Uint8Array {
  const kept = new Set(offsets);
  const rest: number[] = [];
  for (let i = 0; i < bytes.length; i++) if (!kept.has(i)) rest.push(bytes[i] as number);
  return Uint8Array.from(rest);
}

/** A cut that splits no UTF-8 character and no escape sequence, at `cut` or before it. */
function beforePartial(bytes: Buffer, cut: number): number {
  const earliest = Math.max(0, cut - 64);
  for (let i = cut - 1; i >= earliest; i--) {
    if (bytes[i] !== ESC) continue;
    const end = escapeEnd(bytes, i);
    if (end < 0 || end > cut) return i;
    break;
  }
  for (let i = cut - 1; i >= Math.max(0, cut - 4); i--) {
    const byte = bytes[i] as number;
    if (byte < 0x80) break;
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return i + length > cut ? i : cut;
    }
  }
  return cut;
}
