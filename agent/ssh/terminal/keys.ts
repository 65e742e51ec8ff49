/**
 * What keys make of a line, as far as line editors agree: characters, Backspace, the arrows and their Control letters. Any other
 * key (history, completion, search, words, macros) ends the model; the screen is then all there is.
 *
 * It also finds the keys that end a line, which must not go upstream unjudged.
 */
const LINE_MAX = 65_536;

const ENTER = new Set([0x0d, 0x0a, 0x0f]); // CR, LF, and Control-O, which accepts a line as well
/**
 * Behind Escape, in the line editors' own bindings: `#` runs the line as a comment or takes the mark away, Control-E runs what is
 * substituted in it, `a` runs and keeps it, digits and `-` begin a number that changes what `#` does.
 */
const ESCAPED_ENDS = new Set([0x05, ...Buffer.from('#aA-0123456789')]);
const PASTE_BEGINS = '\u001b[200~';
const PASTE_ENDS = '\u001b[201~';

export class Keys {
  /** The line, or null once a key was used whose effect is not modelled. */
  line: string | null = '';
  #cursor = 0;
  /** What was typed plainly since the last such key: it stands at the end of the line. null: nobody knows where. */
  tail: string | null = null;
  /** Keys since the host last wrote something. */
  unanswered = 0;
  /** Any key at all since the line began. */
  any = false;
  /** A line break was pasted into the line. */
  severalLines = false;
  #escape = '';
  #pasting = false;
  #controlX = false;
  #decoder = new TextDecoder('utf-8');

  get pasting(): boolean {
    return this.#pasting;
  }

  restart(): void {
    this.line = '';
    this.tail = null;
    this.#cursor = 0;
    this.any = false;
    this.severalLines = false;
    this.#controlX = false;
  }

  /**
   * Where the first byte stands that may end a line.
   *
   * @param marked the host understands marks around pasted text; between them a line break is a character.
   * @returns its offset, or -1.
   */
  endOfLine(bytes: Uint8Array, marked: boolean): number {
    let pasting = this.#pasting;
    let controlX = this.#controlX;
    let tail = this.#escape;
    for (let i = 0; i < bytes.length; i += 1) {
      const byte = bytes[i] ?? 0;
      tail = (tail + String.fromCharCode(byte)).slice(-PASTE_BEGINS.length);
      if (marked && tail === PASTE_BEGINS) pasting = true;
      else if (tail === PASTE_ENDS) pasting = false;
      if (pasting && marked) continue;
      if (ENTER.has(byte) || (controlX && byte === 0x05)) return i;
      if (marked && tail.at(-2) === '\u001b' && ESCAPED_ENDS.has(byte)) return i;
      controlX = byte === 0x18;
    }
    return -1;
  }

  /** @param marked as above. */
  press(bytes: Uint8Array, marked: boolean): void {
    for (const c of this.#decoder.decode(bytes, { stream: true })) {
      this.any = true;
      this.unanswered += 1;
      const wasKnown = this.line !== null;
      const wasAtEnd = this.#cursor === this.line?.length;
      this.#key(c, marked);
      if (this.line !== null) continue;
      if (wasKnown) this.tail = wasAtEnd && c !== '\u0012' ? '' : null;
      else this.#followTail(c);
    }
  }

  #key(c: string, marked: boolean): void {
    if (this.#escape !== '') {
      this.#escape += c;
      this.#sequence(marked);
      return;
    }
    if (c === '\u001b') {
      this.#escape = c;
      return;
    }
    if (this.#pasting && marked) {
      if (c === '\r' || c === '\n') this.severalLines = true;
      this.#insert(c === '\r' ? '\n' : c);
      if (c === '\t') this.line = null;
      return;
    }
    this.#controlX = c === '\u0018';
    switch (c) {
      case '\u007f':
      case '\b':
        this.#delete(-1);
        return;
      case '\u0001':
        this.#cursor = 0;
        return;
      case '\u0005':
        this.#cursor = this.line?.length ?? 0;
        return;
      case '\u0002':
        this.#cursor = Math.max(0, this.#cursor - 1);
        return;
      case '\u0006':
        this.#cursor = Math.min(this.line?.length ?? 0, this.#cursor + 1);
        return;
      case '\u0004':
        this.#delete(1);
        return;
      case '\u000b':
        if (this.line !== null) this.line = this.line.slice(0, this.#cursor);
        return;
      case '\u0015':
        if (this.line !== null) this.line = this.line.slice(this.#cursor);
        this.#cursor = 0;
        return;
      case '\u000c':
        return;
      case '\u0003':
        this.restart();
        this.any = true;
        return;
      default:
        if (c < ' ') this.line = null;
        else this.#insert(c);
    }
  }

  #followTail(c: string): void {
    const isPlain = c >= ' ' && c !== '\u007f' && this.#escape === '';
    if (isPlain) this.tail = this.tail === null ? null : this.tail + c;
    else if (c === '\u007f' || c === '\b') this.tail = this.tail?.slice(0, -1) ?? null;
    else if (c === '\u0005' || (c === '\t' && this.tail !== null)) this.tail = '';
    else this.tail = null;
  }

  #sequence(marked: boolean): void {
    const sequence = this.#escape;
    const rest = sequence.slice(1);
    const done = /^[^[O]$/.test(rest) || /^\[[\d;?]*[@-~]$/.test(rest) || /^O.$/.test(rest);
    if (!done) {
      if (sequence.length > 32) {
        this.#escape = '';
        this.line = null;
      }
      return;
    }
    this.#escape = '';
    switch (rest) {
      case '[200~':
        if (marked) this.#pasting = true;
        else this.line = null;
        return;
      case '[201~':
        this.#pasting = false;
        return;
      case '[D':
      case 'OD':
        this.#cursor = Math.max(0, this.#cursor - 1);
        return;
      case '[C':
      case 'OC':
        this.#cursor = Math.min(this.line?.length ?? 0, this.#cursor + 1);
        return;
      case '[H':
      case 'OH':
      case '[1~':
        this.#cursor = 0;
        return;
      case '[F':
      case 'OF':
      case '[4~':
        this.#cursor = this.line?.length ?? 0;
        return;
      case '[3~':
        this.#delete(1);
        return;
      default:
        // A terminal's own answers (where the cursor is, what it is) are no keys.
        if (!/^\[[?>]?[\d;]*[Rcn]$|^\[[IO]$/.test(rest)) this.line = null;
    }
  }

  #insert(c: string): void {
    if (this.line === null) return;
    this.line = this.line.slice(0, this.#cursor) + c + this.line.slice(this.#cursor);
    this.#cursor += c.length;
    if (this.line.length > LINE_MAX) this.line = null;
  }

  #delete(direction: -1 | 1): void {
    if (this.line === null) return;
    const from = direction < 0 ? this.#cursor - 1 : this.#cursor;
    if (from < 0 || from >= this.line.length) return;
    this.line = this.line.slice(0, from) + this.line.slice(from + 1);
    this.#cursor = from;
  }
}
