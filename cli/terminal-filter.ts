/**
 * Takes out of a terminal's recorded output what would do more than draw: titles, clipboards, links, questions that the terminal would
 * answer as if somebody typed, programs of fonts and graphics. What a host wrote must not act on the terminal of who looks at it later.
 *
 * Sequences may be cut between two pieces; what is not whole yet waits, up to a bound.
 *
 * @see https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
 */
import { escapeSequenceEnd } from '@sallyport/shared/records/terminal-text.ts';

const PENDING_MAX = 64 * 1024;
const ESC = '\u001b';

/** Final bytes of CSI sequences that move, erase, insert, delete, scroll, colour, and set modes of the screen. */
const DRAWING = new Set('@ABCDEFGHIJKLMPSTXZ`abdefghlmrsu');
/** Modes that only change what is drawn: cursor keys and mouse reports are left out. */
const DRAWN_MODES = new Set(['3', '5', '6', '7', '12', '25', '45', '47', '69', '1047', '1048', '1049']);

export class TerminalFilter {
  #pending = '';

  /** @returns what may be written to a terminal. */
  write(text: string): string {
    const input = this.#pending + text;
    this.#pending = '';
    let output = '';
    let at = 0;
    while (at < input.length) {
      const begin = input.indexOf(ESC, at);
      if (begin < 0) return output + plain(input.slice(at));
      output += plain(input.slice(at, begin));
      const end = escapeSequenceEnd(input, begin);
      if (end < 0) {
        // A sequence without an end: it waits for the rest, but not for ever.
        const rest = input.slice(begin);
        if (rest.length <= PENDING_MAX) this.#pending = rest;
        return output;
      }
      output += kept(input.slice(begin, end));
      at = end;
    }
    return output;
  }
}

/** Controls beside those that move the cursor do nothing good; C1 controls begin sequences of their own. */
function plain(text: string): string {
  let result = '';
  for (const c of text) {
    const code = c.codePointAt(0) ?? 0;
    const isControl = code < 0x20 || (code >= 0x7f && code < 0xa0);
    if (!isControl || c === '\n' || c === '\r' || c === '\t' || c === '\b') result += c;
  }
  return result;
}

function kept(sequence: string): string {
  const second = sequence[1] ?? '';
  if (second === '[') {
    const final = sequence.at(-1) ?? '';
    const parameters = sequence.slice(2, -1);
    if (!DRAWING.has(final)) return '';
    if (/^[\d;:]*$/.test(parameters)) return sequence;
    const modes = parameters.startsWith('?') && (final === 'h' || final === 'l') ? parameters.slice(1).split(';') : [];
    return modes.length > 0 && modes.every(mode => DRAWN_MODES.has(mode)) ? sequence : '';
  }
  return '78DEMc()'.includes(second) ? sequence : '';
}
