/**
 * Follows a terminal to know, before Enter goes upstream, which line the shell is about to read: from what the host shows, with
 * the keys as a second witness.
 *
 * What it guarantees: a `text` is what stands on the screen behind the prompt. While only plain keys were used (characters,
 * Backspace, arrows, Control-A/E/B/F/D/K/U, pasted text) it is also what these keys make, and both agree. After others (history,
 * completion, search) it is what the screen shows, of a line editor that announced itself, with no output that came by itself.
 * In every other case the line is `uncertain`, and says why.
 *
 * What it cannot know: what keys mean to a shell whose bindings were changed, aliases, and what a program does with a line that
 * it reads instead of the shell. Programs of the host that time their output to a key could show another line than the one
 * recalled; see docs/guides/ssh.md.
 */
import { Keys } from './keys.ts';
import { Screen } from './screen.ts';

/**
 * `waiting`: the host has not shown yet what was typed; ask again once it has, or after a moment.
 * `hidden`: it does not echo, as for a password, and it is no line editor that reads: nothing of the line may be recorded.
 */
export type LineAtEnter = { readonly text: string } | { readonly uncertain: string; readonly waiting?: true; readonly hidden?: true };

export interface LineFollowerOptions {
  columns: number;
  rows: number;
  /** Monotonic, in milliseconds; for tests. */
  now?: () => number;
}

/** Output this long after the last key, or the output before it, came by itself. */
const BY_ITSELF_MS = 400;
/** After keys whose effect is not known, what the host shows counts when it has been silent for so long. */
const SETTLED_MS = 100;
const LINES_MAX = 200;
const PROMPT_MAX = 1000;
/** What a shell asks with for more of a command, as long as nobody changes it (PS2). */
const CONTINUATION_PROMPT = '> ';

/** Where the line stands that is being typed. */
type Line =
  | { state: 'none' }
  /** `prompt`: what stood before the cursor when the line began. */
  | { state: 'begun'; prompt: string; pasteMode: number };

export class LineFollower {
  readonly #screen: Screen;
  readonly #keys = new Keys();
  readonly #now: () => number;
  #line: Line = { state: 'none' };
  #doubt: string | null = null;
  #lastAt = 0;
  /** The prompt of the last line that the line editor asked for. */
  #lastPrompt: string | null = null;
  #continued: string[] = [];
  /** A line editor was seen in this session. */
  #editorSeen = false;
  /** The line was cleared at the host, and no key was pressed since. */
  #cleared = false;
  /** How often the editor had asked when the last line ended. */
  #askedAtEnd = -1;

  constructor(options: LineFollowerOptions) {
    this.#screen = new Screen(options.columns, options.rows);
    this.#now = options.now ?? (() => performance.now());
  }

  /** What the host writes, in order, before or after it is passed on. */
  fromHost(bytes: Uint8Array): void {
    const now = this.#now();
    if (this.#line.state === 'begun' && this.#keys.line === null && this.#keys.unanswered === 0 && now - this.#lastAt > BY_ITSELF_MS) {
      this.#doubt ??= 'the host wrote something by itself while the line was edited';
    }
    this.#screen.write(bytes);
    if (this.#screen.bracketedPaste) this.#editorSeen = true;
    this.#keys.unanswered = 0;
    this.#lastAt = now;
    this.#beginAfresh();
  }

  /**
   * Once a line was cleared and the editor asks for another behind the same prompt, that one is new, and no doubt about the one
   * before concerns it. Keys that came in between may stand in it already, or not: then the doubt stays.
   */
  #beginAfresh(): void {
    if (!this.#cleared || this.#line.state !== 'begun' || this.#screen.pasteModeBegun === this.#line.pasteMode) return;
    const before = (this.#screen.y - this.#screen.firstRow()) * this.#screen.columns + this.#screen.x;
    const text = this.#screen.textFrom(this.#screen.firstRow());
    if (text !== null && text.trimEnd() === this.#line.prompt.trimEnd() && before === this.#line.prompt.length) this.entered('withdrawn');
  }

  /**
   * Where the first byte stands that would make the host read the line (Enter, Control-J, Control-O, Control-X Control-E); -1:
   * none. What is before it goes to `fromClient` and upstream; then ask `lineAtEnter`.
   */
  endOfLine(bytes: Uint8Array): number {
    return this.#keys.endOfLine(bytes, this.#screen.bracketedPaste);
  }

  /** Keys that go upstream, without the one that ends a line. */
  fromClient(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#begin();
    this.#cleared = false;
    this.#keys.press(bytes, this.#screen.bracketedPaste);
    this.#lastAt = this.#now();
  }

  /** The keys by which the gateway clears a line that it refused go upstream. */
  cleared(keys: Uint8Array): void {
    this.fromClient(keys);
    this.#cleared = true;
  }

  /** The client's window changed; the host is told as well. */
  resize(columns: number, rows: number): void {
    this.#screen.resize(columns, rows);
    if (this.#line.state === 'begun') this.#doubt ??= 'the window changed its size while the line was edited';
  }

  /** A line editor was seen before, and none reads now: a program has the terminal. */
  get programReads(): boolean {
    return this.#editorSeen && !this.#screen.bracketedPaste;
  }

  /** A line editor reads. */
  get editorReads(): boolean {
    return this.#screen.bracketedPaste;
  }

  /** Something of a line was typed. */
  get begun(): boolean {
    return this.#line.state === 'begun';
  }

  /** Counts the lines that the editor has asked for. */
  get linesAskedFor(): number {
    return this.#screen.pasteModeBegun;
  }

  /**
   * The editor has asked, and its prompt is one that is known. A host may write the beginning of a prompt long before the rest: a
   * key that goes up in between would take the rest for what was typed.
   */
  get promptIsKnown(): boolean {
    if (!this.#screen.bracketedPaste || !this.#screen.printedSincePasteMode) return false;
    const text = this.#beforeCursor();
    return text === this.#lastPrompt || (this.continues && text === CONTINUATION_PROMPT);
  }

  /** The line goes on in ones that were sent before. */
  get continues(): boolean {
    return this.#continued.length > 0;
  }

  /**
   * The line that Enter would have the host read, with the lines that it continues.
   *
   * It changes nothing, so it may be asked again. Say with `entered` what became of the line.
   */
  lineAtEnter(): LineAtEnter {
    this.#begin();
    const { line } = this.#keys;
    if (this.#line.state === 'none') return { uncertain: 'no line was begun' };
    if (this.#screen.alternate) return { uncertain: 'a full-screen program has the terminal' };
    const doubt = this.#doubt ?? this.#screen.doubt;
    if (doubt !== null) return { uncertain: doubt };
    if (this.#keys.severalLines) return { uncertain: 'several lines were pasted' };
    if (this.#keys.pasting) return { uncertain: 'text is being pasted' };
    const shown = this.#shown(this.#line);
    if (line === null && (this.#keys.unanswered > 0 || this.#now() - this.#lastAt < SETTLED_MS))
      return { uncertain: 'the host has not shown the line yet', waiting: true };
    if (typeof shown !== 'string') return line !== null && this.#keys.unanswered > 0 ? { ...shown, waiting: true } : shown;
    if (line === null) {
      if (!this.#screen.bracketedPaste) return { uncertain: 'keys were used whose effect is not known' };
      const { tail } = this.#keys;
      if (tail !== null && !shown.endsWith(tail.trimEnd())) return { uncertain: 'what was typed last is not shown yet', waiting: true };
      if (shown.endsWith('\\')) return { uncertain: 'it cannot be seen whether blanks follow the backslash at its end' };
      return this.#joined(shown);
    }
    if (shown === line.trimEnd()) return this.#joined(line);
    if (shown === '' && line !== '') {
      if (this.#keys.unanswered > 0 && this.#screen.bracketedPaste)
        return { uncertain: 'the host has not shown the line yet', waiting: true };
      return this.#screen.bracketedPaste
        ? { uncertain: 'the host does not show what is typed' }
        : { uncertain: 'the host does not echo', hidden: true };
    }
    // A busy host shows keys by and by: that it has answered some says nothing of the others.
    return { uncertain: 'what is shown is not what was typed', waiting: true };
  }

  /**
   * What became of the line.
   *
   * @param how `sent`: Enter went upstream and the line was whole; `continued`: it went, and the shell will ask for more of the
   *   same command; `withdrawn`: it did not, and the line was cleared at the host instead.
   */
  entered(how: 'sent' | 'continued' | 'withdrawn'): void {
    if (how === 'continued' && this.#continued.length < LINES_MAX) {
      const line = this.lineAtEnter();
      this.#continued = 'text' in line ? line.text.split('\n') : [...this.#continued, ''];
      if (!('text' in line)) this.#continued = [];
    } else this.#continued = [];
    this.#line = { state: 'none' };
    this.#askedAtEnd = this.#screen.pasteModeBegun;
    this.#cleared = false;
    this.#keys.restart();
    this.#doubt = null;
    this.#screen.clearDoubt();
  }

  #begin(): void {
    if (this.#line.state === 'begun') return;
    const prompt = this.#beforeCursor();
    const { bracketedPaste, pasteModeBegun } = this.#screen;
    this.#line = { state: 'begun', prompt, pasteMode: pasteModeBegun };
    if (prompt.length > PROMPT_MAX) this.#doubt ??= 'the prompt is too long';
    // A host that is slow has not even ended the line before: what stands there is no prompt.
    if (bracketedPaste && pasteModeBegun !== this.#askedAtEnd) this.#lastPrompt = prompt;
    // Keys may already have been pressed when an answer of the host made the line end (Control-C): they belong to it.
    if (this.#keys.any) this.#keys.restart();
  }

  #beforeCursor(): string {
    const text = this.#screen.textFrom(this.#screen.firstRow()) ?? '';
    const before = (this.#screen.y - this.#screen.firstRow()) * this.#screen.columns + this.#screen.x;
    return text.slice(0, before).padEnd(before);
  }

  /** What stands behind the prompt. */
  #shown(line: Line & { state: 'begun' }): string | { uncertain: string } {
    const text = this.#screen.textFrom(this.#screen.firstRow());
    if (text === null) return { uncertain: 'the beginning of the line is not on the screen' };
    // The editor asked only after keys had come: its prompt is known when it is the one from before, or the one for more lines.
    const asked = this.#screen.pasteModeBegun !== line.pasteMode;
    const goesOn = this.continues && this.#keys.line !== null && text.startsWith(CONTINUATION_PROMPT);
    const prompt = !asked ? line.prompt : goesOn ? CONTINUATION_PROMPT : this.#lastPrompt;
    if (prompt === null) return { uncertain: 'keys came before the shell asked for a line' };
    const search = /^\(reverse-i-search\)`(.*?)': (.*)$/s.exec(text);
    if (search !== null && this.#keys.line === null) {
      if ((search[2] ?? '').includes("': ") || (search[1] ?? '').includes("'"))
        return { uncertain: 'the search in the history cannot be read' };
      return (search[2] ?? '').trimEnd();
    }
    if (!text.padEnd(prompt.length).startsWith(prompt)) return { uncertain: 'the prompt is not where the line began' };
    if (prompt === CONTINUATION_PROMPT && this.#continued.length === 0 && this.#editorSeen)
      return { uncertain: 'the shell goes on with a line that is not known' };
    return text.slice(prompt.length).trimEnd();
  }

  #joined(line: string): LineAtEnter {
    return { text: [...this.#continued, line].join('\n') };
  }
}
