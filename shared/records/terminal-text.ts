/**
 * The text of what a terminal showed, for searching: escape sequences are gone, moves of the cursor are breaks, and what was wiped out by
 * backspaces is not there. No screen is drawn: text that a program puts together out of order on the screen is not put together here.
 *
 * @see https://invisible-island.net/xterm/ctlseqs/ctlseqs.html and ECMA-48, 5.4 and 5.6
 */
const ESC = '\u001b';

/** Final bytes of CSI sequences that leave the cursor where it is: colours, modes, erasing behind it. */
const STAYS = new Set('mhlKJXPLM@nqrpgcst');

/**
 * @param text what was shown before; the piece may wipe out its end.
 * @param piece output of a terminal in which no escape sequence is cut. One that is cut at the end is left out.
 * @returns both, as text with line feeds and spaces as its only control characters.
 */
export function withShown(text: string, piece: string): string {
  const shown = new Shown(text);
  let from = 0;
  for (let at = 0; at < piece.length; ) {
    const code = piece.charCodeAt(at);
    if (code >= 0x20 && code !== 0x7f && (code < 0x80 || code >= 0xa0)) {
      at += 1;
      continue;
    }
    shown.add(piece.slice(from, at));
    let end = at + 1;
    if (code === 0x1b) {
      end = escapeSequenceEnd(piece, at);
      if (end < 0) return shown.text();
      const final = piece[end - 1] ?? '';
      if (piece[at + 1] === '[' && !STAYS.has(final)) {
        if (final === 'C') shown.add(' ');
        else shown.break();
      }
    } else if (code === 0x08) shown.wipe();
    else if (code === 0x09) shown.add(' ');
    else if (code >= 0x0a && code <= 0x0d) shown.break();
    at = end;
    from = end;
  }
  shown.add(piece.slice(from));
  return shown.text();
}

/** In parts, since a host can make a hundred thousand of them in one piece. */
class Shown {
  readonly #parts: string[];

  constructor(text: string) {
    this.#parts = text === '' ? [] : [text];
  }

  add(part: string): void {
    if (part !== '') this.#parts.push(part);
  }

  break(): void {
    const last = this.#parts.at(-1);
    if (last !== undefined && !last.endsWith('\n')) this.#parts.push('\n');
  }

  wipe(): void {
    const last = this.#parts.pop();
    if (last === undefined) return;
    const rest = last.endsWith('\n') ? last : last.slice(0, -1);
    if (rest !== '') this.#parts.push(rest);
  }

  text(): string {
    return this.#parts.join('');
  }
}

/** Where an escape sequence that begins at `from` ends; -1: not within the text. */
export function escapeSequenceEnd(text: string, from: number): number {
  const second = text[from + 1];
  if (second === undefined) return -1;
  if (second === '[') {
    for (let i = from + 2; i < text.length; i++) {
      const c = text[i] as string;
      if (c >= '@' && c <= '~') return i + 1;
      if (c < ' ' || c > '?') return i;
    }
    return -1;
  }
  if (second === ']' || second === 'P' || second === 'X' || second === '^' || second === '_') {
    for (let i = from + 2; i < text.length; i++) {
      if (text[i] === '\u0007') return i + 1;
      if (text[i] === ESC) return text[i + 1] === undefined ? -1 : text[i + 1] === '\\' ? i + 2 : i;
    }
    return -1;
  }
  if (second >= ' ' && second <= '/') return text[from + 2] === undefined ? -1 : from + 3;
  return from + 2;
}
