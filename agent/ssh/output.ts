/**
 * What comes from a host on its way to the client: secrets and personal data are masked across pieces and across escape sequences,
 * the result is recorded, and then released.
 *
 * While nothing is looked for, pieces pass as they came. Otherwise the end of what has come is held back, for 50 ms at most, in
 * case a finding goes on in the next piece; one that had to be let go before its end is masked on in what comes. A mask never stands
 * inside of an escape sequence or a UTF-8 character.
 */
import type { DetectorSet, Span } from '@sallyport/shared/detectors/engine.ts';
import { blockEnd } from '@sallyport/shared/detectors/secrets/private-key.ts';
import { replaceSpans } from '@sallyport/shared/masking/mask.ts';
import type { MaskKind } from '@sallyport/shared/policy/model.ts';

const HOLD_MS = 50;
/** Where nothing but credentials by value is looked for: what belongs together and is not sent slowly on purpose comes within this. */
const HOLD_FEW_MS = 10;
/** For records, which nobody waits for: until nothing has come for so long. */
const QUIET_MS = 300;
/** Bytes held back at least; for known credentials that are longer, more, and the whole of a word that goes over the place. */
const HOLD_BYTES = 1024;
const HOLD_KNOWN_BYTES_MAX = 8 * 1024;
/** Bytes held back at most: a finding or a word that reaches the end is held as a whole up to this length. */
const HELD_BYTES_MAX = 32 * 1024;
/** What a finding that was released before its end goes on for, at most. */
const OPEN_BYTES_MAX = 64 * 1024;
/** Bytes that were released, in front of what is looked at: words that findings need beside them. */
const CONTEXT_BYTES = 256;
const BACKSPACE = 0x08;
const ESC = 0x1b;
const NOTHING = Buffer.alloc(0);

export interface MaskOptions {
  detectors: DetectorSet;
  kind: MaskKind;
  key: Uint8Array;
}

/** A finding that goes on: its detector, and how much of what comes may still be its. */
interface Open {
  readonly detector: string;
  readonly bytesMax: number;
}

/** What stands together in a text at `at`, and stood from `from` to `to` among escape sequences. */
interface Run {
  readonly at: number;
  readonly from: number;
  readonly to: number;
}

/** Text without escape sequences, and where its parts stood. */
interface Stripped {
  text: Uint8Array;
  /** In order; null: nothing was taken out. */
  runs: readonly Run[] | null;
}

/** Where what is held and what comes are put beside each other: one space for all streams, which nothing of them stays in. */
const space = Buffer.allocUnsafeSlow(64 * 1024);

export class MaskingStream {
  readonly #options: MaskOptions;
  readonly #release: (bytes: Buffer, credit: number) => void;
  readonly #classify: (detector: string) => void;
  /** Context, which has been released, and behind it what is held. */
  #tail: Buffer = NOTHING;
  #contextLength = 0;
  #credit = 0;
  #timer: NodeJS.Timeout | null = null;
  readonly #holdMs: number;
  readonly #untilQuiet: boolean;
  readonly #holdBytes: number;
  /** The finding that was released up to where it had come. */
  #open: Open | null = null;

  /**
   * @param release takes what may go on, and how many of the bytes that came are done with. The bytes are good for the call alone.
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
    this.#holdBytes = Math.max(HOLD_BYTES, Math.min(HOLD_KNOWN_BYTES_MAX, options.detectors.reachBytes));
    this.#options = options;
    this.#release = release;
    this.#classify = classify;
  }

  get #holds(): boolean {
    return this.#tail.length > this.#contextLength;
  }

  /** @param chunk the caller's again when this returns. */
  push(chunk: Buffer): void {
    this.#credit += chunk.length;
    const length = this.#tail.length + chunk.length;
    const joined = length <= space.length ? space.subarray(0, length) : Buffer.allocUnsafe(length);
    joined.set(this.#tail, 0);
    joined.set(chunk, this.#tail.length);
    this.#pass(joined, false);
    if (!this.#holds) return;
    if (this.#untilQuiet && this.#timer !== null) this.#timer.refresh();
    else this.#timer ??= setTimeout(() => this.#late(), this.#holdMs);
  }

  /**
   * Lets through at once what says nothing: what the client itself has just typed, or an erasure.
   * @returns false: something is held in front of it, or a finding goes on, and it has to wait there.
   */
  passEcho(chunk: Buffer): boolean {
    if (this.#holds || this.#open !== null) return false;
    this.#tail = Buffer.concat([this.#tail, chunk]).subarray(-CONTEXT_BYTES);
    this.#contextLength = this.#tail.length;
    this.#release(chunk, chunk.length);
    return true;
  }

  #late(): void {
    this.#timer = null;
    this.#pass(this.#tail, true);
    // What is left looks like the beginning of a character or a sequence; if nothing more comes of it, it is none.
    if (this.#holds)
      this.#timer = setTimeout(() => {
        this.#timer = null;
        this.#pass(this.#tail, true, true);
      }, this.#holdMs);
  }

  /** Everything goes: the stream ends. */
  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#pass(this.#tail, true, true);
  }

  /**
   * @param joined context, what was held, and what has come; this stream's tail itself, or memory that is not kept.
   * @param last nothing comes behind it: what looks like the beginning of something is all there is of it.
   */
  #pass(joined: Buffer, all: boolean, last = false): void {
    const from = this.#contextLength;
    if (joined.length === from) {
      this.#settle();
      return;
    }
    const found = this.#find(joined).filter(span => span.end > from);
    const rest = this.#open === null ? null : openRest(joined, from, this.#open);
    const spans = rest === null ? found : [rest, ...found.filter(span => span.end > rest.end)];
    let cut = all ? joined.length : Math.max(from, joined.length - this.#holdBytes);
    if (!all) {
      for (const span of spans) if (span.start < cut && span.end > cut) cut = Math.max(from, span.start);
      cut = Math.max(from, wordStart(joined, cut));
      // A line that has ended, and that nothing was found to go on from, is not waited with.
      if (joined.length - cut > HELD_BYTES_MAX) cut = joined.length;
    }
    if (!last) cut = Math.max(from, beforePartial(joined, cut));
    const context = cut > from ? Math.max(0, cut - CONTEXT_BYTES) : 0;
    if (context > 0 || joined !== this.#tail) this.#tail = Buffer.from(joined.subarray(context));
    this.#contextLength = cut - context;
    if (cut > from) {
      const inside = spans
        .filter(span => span.start < cut)
        .map(span => ({ ...span, start: Math.max(span.start, from), end: Math.min(span.end, cut) }));
      for (const span of inside) if (span !== inside[0] || rest === null) this.#classify(span.detector);
      this.#open = cut < joined.length ? null : openAfter(joined, inside, rest, this.#open);
      const bytes = inside.length === 0 ? joined.subarray(from, cut) : this.#masked(joined, from, cut, inside);
      const credit = this.#credit - (joined.length - cut);
      this.#credit -= credit;
      this.#release(bytes, credit);
    }
    if (!this.#holds) this.#settle();
  }

  #settle(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #find(bytes: Buffer): Span[] {
    const { detectors } = this.#options;
    if (!bytes.includes(ESC)) return [...detectors.scan(bytes, 0, bytes.length)];
    const { text, runs } = stripEscapes(bytes);
    const spans = detectors.scan(text, 0, text.length);
    if (runs === null) return [...spans];
    return spans.map(span => ({
      detector: span.detector,
      start: placeOf(runs, span.start),
      end: placeOf(runs, span.end - 1) + 1,
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
      const { text, runs } = stripEscapes(inner);
      parts.push(replaceSpans(text, 0, text.length, [{ start: 0, end: text.length, detector: span.detector }], kind, key));
      if (runs !== null) parts.push(onlyEscapes(inner, runs));
      at = span.end;
    }
    parts.push(bytes.subarray(at, to));
    return Buffer.concat(parts);
  }
}

/** What a line editor sends to take back what stands on the screen: steps to the left, spaces, and "erase to the end of the line". */
export function isErasure(bytes: Uint8Array): boolean {
  let erases = false;
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] === BACKSPACE) erases = true;
    else if (bytes[at] === ESC && bytes[at + 1] === 0x5b && bytes[at + 2] === 0x4b) at += 2;
    else if (bytes[at] !== 0x20) return false;
  }
  return erases;
}

/** Token bytes, of which values without a space in them are made. */
function isOfWord(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte === 0x2b || // +
    (byte >= 0x2d && byte <= 0x2f) || // - . /
    byte === 0x3d || // =
    byte === 0x5f // _
  );
}

/** Where the word begins that goes over `cut`, unless it is too long to be held; otherwise `cut`. */
function wordStart(bytes: Uint8Array, cut: number): number {
  const next = bytes[cut];
  if (next === undefined || !isOfWord(next)) return cut;
  const earliest = Math.max(0, bytes.length - HELD_BYTES_MAX);
  let start = cut;
  while (start > earliest && isOfWord(bytes[start - 1] as number)) start--;
  return start === earliest && earliest > 0 ? cut : start;
}

const BLOCK_BEGIN = Buffer.from('-----BEGIN ');
const BLOCK_END = Buffer.from('-----END ');
const DASHES = Buffer.from('-----');

/** Is the finding a block of a private key whose last line is not there? */
function isOpenBlock(bytes: Buffer, { start, end }: Span): boolean {
  return bytes.subarray(start, start + BLOCK_BEGIN.length).equals(BLOCK_BEGIN) && !bytes.subarray(end - DASHES.length, end).equals(DASHES);
}

/** What of the bytes from `from` on belongs to a finding that was released before its end; null: nothing. */
function openRest(bytes: Buffer, from: number, open: Open): Span | null {
  const limit = Math.min(bytes.length, from + open.bytesMax);
  let end = from;
  if (open.detector === 'private-key') end = blockEnd(bytes, from, limit);
  else while (end < limit && isOfWord(bytes[end] as number)) end++;
  return end > from ? { start: from, end, detector: open.detector } : null;
}

/** What goes on behind all of the bytes, which are released. @param inside their findings. @param rest what was open before them. */
function openAfter(bytes: Buffer, inside: readonly Span[], rest: Span | null, before: Open | null): Open | null {
  const span = inside.at(-1);
  if (span === undefined) return null;
  const { detector } = span;
  const isBlock = detector === 'private-key';
  if (rest !== null && before !== null && inside.length === 1) {
    const piece = bytes.subarray(span.start, span.end);
    const isEnded = span.end < bytes.length || (isBlock && piece.includes(BLOCK_END));
    return isEnded || before.bytesMax <= piece.length ? null : { detector, bytesMax: before.bytesMax - piece.length };
  }
  const goesOn = isBlock ? isOpenBlock(bytes, span) && blockEnd(bytes, span.end, bytes.length) === bytes.length : span.end === bytes.length;
  return goesOn ? { detector, bytesMax: OPEN_BYTES_MAX } : null;
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
  let next = bytes.indexOf(ESC);
  if (next < 0) return { text: bytes, runs: null };
  const text = Buffer.allocUnsafe(bytes.length);
  const runs: Run[] = [];
  let length = 0;
  for (let i = 0; i < bytes.length; ) {
    if (next >= 0 && next < i) next = bytes.indexOf(ESC, i);
    const stop = next < 0 ? bytes.length : next;
    if (stop > i) {
      runs.push({ at: length, from: i, to: stop });
      text.set(bytes.subarray(i, stop), length);
      length += stop - i;
      i = stop;
      continue;
    }
    const end = escapeEnd(bytes, i);
    // A string sequence (a title, a link) holds text as well: it is looked at too.
    const second = bytes[i + 1];
    if (second !== undefined && second !== 0x5b && end - i > 3) i += 2;
    else i = end < 0 ? bytes.length : end;
  }
  return { text: text.subarray(0, length), runs };
}

/** Where a byte of the text stood. */
function placeOf(runs: readonly Run[], at: number): number {
  let [low, high] = [0, runs.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((runs[middle]?.at ?? 0) <= at) low = middle;
    else high = middle - 1;
  }
  const run = runs[low];
  return run === undefined ? at : run.from + at - run.at;
}

function onlyEscapes(bytes: Uint8Array, runs: readonly Run[]): Uint8Array {
  const rest: Uint8Array[] = [];
  let at = 0;
  for (const { from, to } of runs) {
    rest.push(bytes.subarray(at, from));
    at = to;
  }
  rest.push(bytes.subarray(at));
  return Buffer.concat(rest);
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
