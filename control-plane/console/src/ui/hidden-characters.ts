/**
 * What an eye would miss in a text: control, bidirectional, zero-width and tag characters, and spaces that are not the common one.
 * Look-alike letters are letters: they stay.
 */

/** Written names of what is most often hidden in texts; others get their code point. */
const names: Record<number, string> = {
  0: 'NUL',
  7: 'BEL',
  8: 'BS',
  27: 'ESC',
  127: 'DEL',
  173: 'SHY',
  8203: 'ZWSP',
  8204: 'ZWNJ',
  8205: 'ZWJ',
  8206: 'LRM',
  8207: 'RLM',
  8234: 'LRE',
  8235: 'RLE',
  8236: 'PDF',
  8237: 'LRO',
  8238: 'RLO',
  8288: 'WJ',
  8294: 'LRI',
  8295: 'RLI',
  8296: 'FSI',
  8297: 'PDI',
  65279: 'BOM',
};

/** Characters that leave no mark on paper and are not white space that people type. */
export const hidden = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Cn}\u2028\u2029\u115f\u1160\u3164\uffa0\u00a0\u2000-\u200a\u202f\u205f\u2800]/u;
const plainSpace = new Set(['\n', '\t', '\r']);

export interface Piece {
  text: string;
  /** What is hidden here, e.g. `RLO`; absent for what can be seen. */
  mark?: string;
}

/** Splits a text into what can be seen and what cannot. Whole emoji sequences with joiners are shown apart: no joiner is trusted. */
export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let plain = '';
  for (const character of text) {
    if (!hidden.test(character) || plainSpace.has(character)) {
      if (character === '\r') continue;
      plain += character;
      continue;
    }
    if (plain !== '') found.push({ text: plain });
    plain = '';
    const code = character.codePointAt(0) ?? 0;
    found.push({ text: character, mark: names[code] ?? `U+${code.toString(16).toUpperCase().padStart(4, '0')}` });
  }
  if (plain !== '') found.push({ text: plain });
  return found;
}
