/**
 * What a terminal of the client's size shows of a host's output: just enough of a VT to read one line from it. Characters, the
 * cursor, wrapping, erasing, inserting and deleting are followed; colours, titles and mouse reports are passed over.
 *
 * What it does not follow it says (`doubt`), so that nobody reads a line from a screen that may look otherwise. Memory is bounded
 * by the size of the screen. It is not for display: there is no scrollback and no attribute.
 *
 * @see https://www.ecma-international.org/publications-and-standards/standards/ecma-48/
 * @see https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
 */
const COLUMNS_MAX = 2000;
const ROWS_MAX = 500;
/** An escape sequence that is longer than this is none. */
const SEQUENCE_MAX = 256;
const STRING_MAX = 65_536;

type Parse =
  | { at: 'ground' }
  | { at: 'escape' }
  | { at: 'charset'; which: string }
  | { at: 'csi'; text: string }
  | { at: 'string'; length: number; escape: boolean };

interface Row {
  cells: string[]; // '' where nothing was written
  /** The row before it ran over into this one. */
  continues: boolean;
}

export class Screen {
  columns: number;
  rows: number;
  x = 0;
  y = 0;
  /** A full-screen program has it. */
  alternate = false;
  /** The shell's line editor asks for pasted text to be marked: it is reading a line. */
  bracketedPaste = false;
  /** Counts each time that it began to. */
  pasteModeBegun = 0;
  /** It has written something since. */
  printedSincePasteMode = false;
  #lines: Row[];
  #wrap = false; // the next character begins the next row
  #parse: Parse = { at: 'ground' };
  #saved = { x: 0, y: 0 };
  #decoder = new TextDecoder('utf-8');
  /** Why what is shown may differ; cleared by who begins a new line. */
  #doubt: string | null = null;
  /** Modes that make it differ as long as they last. */
  readonly #modes = new Map<string, string>();

  constructor(columns: number, rows: number) {
    this.columns = bounded(columns, COLUMNS_MAX);
    this.rows = bounded(rows, ROWS_MAX);
    this.#lines = this.#blank(this.rows);
  }

  get doubt(): string | null {
    return this.#doubt ?? [...this.#modes.values()][0] ?? null;
  }

  clearDoubt(): void {
    this.#doubt = null;
  }

  /** The host is told of the size as well; what it draws from then on is right, what stands there may be torn. */
  resize(columns: number, rows: number): void {
    this.columns = bounded(columns, COLUMNS_MAX);
    const count = bounded(rows, ROWS_MAX);
    const dropped = Math.max(0, this.y - count + 1);
    this.#lines = [...this.#lines.slice(dropped), ...this.#blank(count)].slice(0, count);
    for (const line of this.#lines) line.cells.length = Math.min(line.cells.length, this.columns);
    this.rows = count;
    this.y = Math.max(0, this.y - dropped);
    this.x = Math.min(this.x, this.columns - 1);
    this.#wrap = false;
  }

  /** @param bytes of the host; may end inside of a character or a sequence. */
  write(bytes: Uint8Array): void {
    for (const c of this.#decoder.decode(bytes, { stream: true })) this.#character(c);
  }

  /** The row that holds the cursor, or the one in which the text that runs into it began. */
  firstRow(): number {
    let y = this.y;
    while (y > 0 && this.#lines[y]?.continues === true) y -= 1;
    return y;
  }

  /** Text of a row and the rows that it runs over into. @returns null when its beginning is off the screen. */
  textFrom(y: number): string | null {
    const first = this.#lines[y];
    if (first === undefined || first.continues) return null;
    let text = rowText(first.cells, this.#lines[y + 1]?.continues === true ? this.columns : first.cells.length);
    for (let next = y + 1; this.#lines[next]?.continues === true; next += 1) {
      const cells = this.#lines[next]?.cells ?? [];
      text += rowText(cells, this.#lines[next + 1]?.continues === true ? this.columns : cells.length);
    }
    return text;
  }

  #blank(count: number): Row[] {
    return Array.from({ length: count }, () => ({ cells: [], continues: false }));
  }

  #row(): Row {
    const row = this.#lines[this.y];
    if (row === undefined) throw new RangeError('the cursor is off the screen');
    return row;
  }

  #character(c: string): void {
    const state = this.#parse;
    if (c === '\u0018' || c === '\u001a') {
      this.#parse = { at: 'ground' };
      return;
    }
    switch (state.at) {
      case 'ground':
        this.#ground(c);
        return;
      case 'escape':
        this.#escape(c);
        return;
      case 'charset':
        this.#parse = { at: 'ground' };
        if (c === 'B' || c === 'A') this.#modes.delete(`charset ${state.which}`);
        else this.#modes.set(`charset ${state.which}`, 'the host uses another character set');
        return;
      case 'csi':
        if (c === '\u001b') this.#parse = { at: 'escape' };
        else if (c >= '@' && c <= '~') {
          this.#parse = { at: 'ground' };
          this.#control(state.text, c);
        } else if (c < ' ') this.#ground(c);
        else {
          state.text += c;
          if (state.text.length > SEQUENCE_MAX) {
            this.#parse = { at: 'ground' };
            this.#doubt = 'an escape sequence is not understood';
          }
        }
        return;
      case 'string':
        state.length += 1;
        if (c === '\u0007' || c === '\u009c' || (state.escape && c === '\\')) this.#parse = { at: 'ground' };
        else if (state.escape) {
          this.#parse = { at: 'escape' };
          this.#escape(c);
        } else if (state.length > STRING_MAX) {
          this.#parse = { at: 'ground' };
          this.#doubt = 'an escape sequence is not understood';
        } else state.escape = c === '\u001b';
        return;
      default:
        state satisfies never;
    }
  }

  #ground(c: string): void {
    switch (c) {
      case '\u001b':
        this.#parse = { at: 'escape' };
        return;
      case '\r':
        this.x = 0;
        this.#wrap = false;
        return;
      case '\n':
      case '\v':
      case '\f':
        this.#lineFeed();
        return;
      case '\b':
        if (this.x > 0) this.x -= 1;
        this.#wrap = false;
        return;
      case '\t':
        this.x = Math.min(this.columns - 1, (Math.floor(this.x / 8) + 1) * 8);
        return;
      case '\u0000':
      case '\u0007':
      case '\u007f':
        return;
      case '\u000e':
        this.#modes.set('shift', 'the host uses another character set');
        return;
      case '\u000f':
        this.#modes.delete('shift');
        return;
      case '\u009b':
        this.#parse = { at: 'csi', text: '' };
        return;
      default:
        if (c < ' ' || (c >= '\u0080' && c < '\u00a0')) this.#doubt = 'a control character is not understood';
        else this.#print(c);
    }
  }

  #print(c: string): void {
    // One column each, surely: Latin, Greek, Cyrillic and their like. What is wider or joins is left to displays.
    if (c > '\u02ff' && !(c >= '\u0370' && c <= '\u0482') && !(c >= '\u2010' && c <= '\u2027') && !(c >= '\u2500' && c <= '\u259f')) {
      this.#doubt = 'a character takes more or less than one column';
    }
    if (this.#wrap) {
      this.#lineFeed();
      this.x = 0;
      this.#row().continues = true;
    }
    const { cells } = this.#row();
    while (cells.length < this.x) cells.push('');
    cells[this.x] = c;
    if (this.x === this.columns - 1) this.#wrap = true;
    else this.x += 1;
    this.printedSincePasteMode = true;
  }

  #lineFeed(): void {
    this.#wrap = false;
    if (this.y < this.rows - 1) {
      this.y += 1;
      return;
    }
    this.#lines.shift();
    this.#lines.push({ cells: [], continues: false });
  }

  #escape(c: string): void {
    this.#parse = { at: 'ground' };
    switch (c) {
      case '[':
        this.#parse = { at: 'csi', text: '' };
        return;
      case ']':
      case 'P':
      case '^':
      case '_':
      case 'X':
        this.#parse = { at: 'string', length: 0, escape: false };
        return;
      case '(':
      case ')':
      case '*':
      case '+':
        this.#parse = { at: 'charset', which: c };
        return;
      case '7':
        this.#saved = { x: this.x, y: this.y };
        return;
      case '8':
        this.#move(this.#saved.x, this.#saved.y);
        return;
      case 'D':
        this.#lineFeed();
        return;
      case 'E':
        this.#lineFeed();
        this.x = 0;
        return;
      case 'M':
        if (this.y > 0) this.y -= 1;
        else {
          this.#lines.pop();
          this.#lines.unshift({ cells: [], continues: false });
        }
        this.#wrap = false;
        return;
      case 'c':
        this.#lines = this.#blank(this.rows);
        this.#modes.clear();
        this.alternate = false;
        this.#move(0, 0);
        return;
      case '=':
      case '>':
      case '\\':
        return;
      default:
        this.#doubt = 'an escape sequence is not understood';
    }
  }

  #move(x: number, y: number): void {
    this.x = Math.max(0, Math.min(this.columns - 1, x));
    this.y = Math.max(0, Math.min(this.rows - 1, y));
    this.#wrap = false;
  }

  #control(text: string, final: string): void {
    if (/^[?>=<]/.test(text) || /[ !"$'#*]$/.test(text)) {
      this.#private(text, final);
      return;
    }
    if (!/^[\d;:]*$/.test(text)) {
      this.#doubt = 'an escape sequence is not understood';
      return;
    }
    const numbers = text.split(';').map(Number);
    const first = numbers[0] ?? 0;
    const count = Math.max(1, Math.min(first, 10_000));
    const { cells } = this.#row();
    switch (final) {
      case 'A':
        this.#move(this.x, this.y - count);
        return;
      case 'B':
      case 'e':
        this.#move(this.x, this.y + count);
        return;
      case 'C':
      case 'a':
        this.#move(this.x + count, this.y);
        return;
      case 'D':
        this.#move(this.x - count, this.y);
        return;
      case 'E':
        this.#move(0, this.y + count);
        return;
      case 'F':
        this.#move(0, this.y - count);
        return;
      case 'G':
      case '`':
        this.#move(count - 1, this.y);
        return;
      case 'd':
        this.#move(this.x, count - 1);
        return;
      case 'H':
      case 'f':
        this.#move(Math.max(1, numbers[1] ?? 1) - 1, count - 1);
        return;
      case 'K':
        this.#eraseInLine(first);
        return;
      case 'J':
        this.#eraseInScreen(first);
        return;
      case 'P':
        cells.splice(this.x, count);
        this.#wrap = false;
        return;
      case '@':
        while (cells.length < this.x) cells.push('');
        cells.splice(this.x, 0, ...Array<string>(Math.min(count, this.columns)).fill(''));
        cells.length = Math.min(cells.length, this.columns);
        this.#wrap = false;
        return;
      case 'X':
        for (let i = this.x; i < Math.min(this.x + count, cells.length); i += 1) cells[i] = '';
        return;
      case 'L':
      case 'M': {
        const rows = Math.min(count, this.rows - this.y);
        if (final === 'L') {
          this.#lines.splice(this.y, 0, ...this.#blank(rows));
          this.#lines.length = this.rows;
        } else {
          this.#lines.splice(this.y, rows);
          this.#lines.push(...this.#blank(rows));
        }
        return;
      }
      case 's':
        this.#saved = { x: this.x, y: this.y };
        return;
      case 'u':
        this.#move(this.#saved.x, this.#saved.y);
        return;
      case 'r':
        if (text === '' || (first <= 1 && (numbers[1] ?? this.rows) >= this.rows)) this.#modes.delete('region');
        else this.#modes.set('region', 'the host scrolls a part of the screen');
        this.#move(0, 0);
        return;
      case 'h':
        if (numbers.includes(4)) this.#modes.set('insert', 'the host inserts what it writes');
        return;
      case 'l':
        if (numbers.includes(4)) this.#modes.delete('insert');
        return;
      case 'm':
      case 'n':
      case 'c':
      case 't':
      case 'q':
      case 'g':
        return;
      default:
        this.#doubt = 'an escape sequence is not understood';
    }
  }

  #private(text: string, final: string): void {
    if (!text.startsWith('?') || (final !== 'h' && final !== 'l')) {
      // Requests for what the terminal is, and settings of keys and cursors.
      if (!'mcnqupt'.includes(final)) this.#doubt = 'an escape sequence is not understood';
      return;
    }
    const on = final === 'h';
    for (const mode of text.slice(1).split(';')) {
      switch (mode) {
        case '47':
        case '1047':
        case '1049':
          this.alternate = on;
          break;
        case '2004':
          this.bracketedPaste = on;
          if (on) {
            this.pasteModeBegun += 1;
            this.printedSincePasteMode = false;
          }
          break;
        case '7':
          if (on) this.#modes.delete('wrap');
          else this.#modes.set('wrap', 'the host does not wrap lines');
          break;
        case '6':
          if (on) this.#modes.set('origin', 'the host counts rows from another place');
          else this.#modes.delete('origin');
          break;
        case '3':
        case '69':
          this.#doubt = 'the host changes the size of the screen';
          break;
        default: // cursor keys, mouse, focus, cursor's form: nothing that is shown
      }
    }
  }

  #eraseInLine(which: number): void {
    const { cells } = this.#row();
    if (which === 0) cells.length = Math.min(cells.length, this.x);
    else if (which === 2) cells.length = 0;
    else for (let i = 0; i <= Math.min(this.x, cells.length - 1); i += 1) cells[i] = '';
    const next = this.#lines[this.y + 1];
    if (which !== 1 && next !== undefined) next.continues = false;
    this.#wrap = false;
  }

  #eraseInScreen(which: number): void {
    if (which === 0) {
      this.#eraseInLine(0);
      for (let y = this.y + 1; y < this.rows; y += 1) this.#lines[y] = { cells: [], continues: false };
    } else if (which === 1) {
      this.#eraseInLine(1);
      for (let y = 0; y < this.y; y += 1) this.#lines[y] = { cells: [], continues: false };
    } else this.#lines = this.#blank(this.rows);
  }
}

function rowText(cells: readonly string[], length: number): string {
  let text = '';
  for (let i = 0; i < length; i += 1) text += cells[i] || ' ';
  return text;
}

function bounded(value: number, max: number): number {
  return Number.isFinite(value) ? Math.max(1, Math.min(max, Math.trunc(value))) : 80;
}
