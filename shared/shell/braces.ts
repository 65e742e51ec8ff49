/**
 * Brace expansion, on the characters of a word before anything else of it is expanded, as bash does it.
 *
 * @see https://www.gnu.org/software/bash/manual/html_node/Brace-Expansion.html
 */

/** A character or something inside a word; only unquoted characters have a meaning here. */
export interface BraceAtom {
  readonly kind: string;
}

type CharOf<A> = (atom: A | undefined) => string | null;

/** A sequence is cut off long before it could fill memory: the caller takes more as not known. */
export const WORDS_MAX = 256;

/**
 * @param char the character that an atom is when it is unquoted, else null.
 * @param make an atom for a character of a sequence (`{1..3}`).
 * @returns the words, at least one; null when there are more than `WORDS_MAX`.
 */
export function expandBraces<A extends BraceAtom>(atoms: readonly A[], char: CharOf<A>, make: (c: string) => A): A[][] | null {
  for (let i = 0; i < atoms.length; i += 1) {
    if (char(atoms[i]) !== '{') continue;
    const found = matching(atoms, i, char);
    if (found === null) continue;
    const { end, commas } = found;
    const inner = atoms.slice(i + 1, end);
    let middles: A[][] | null;
    if (commas.length > 0) {
      middles = [];
      let from = i + 1;
      for (const to of [...commas, end]) {
        const piece = expandBraces(atoms.slice(from, to), char, make);
        if (piece === null) return null;
        middles.push(...piece);
        from = to + 1;
      }
    } else {
      const members = sequence(inner.map(char));
      if (members === undefined) continue;
      if (members === null) return null;
      middles = members.map(member => member.split('').map(make));
    }
    const rests = expandBraces(atoms.slice(end + 1), char, make);
    if (rests === null || middles.length * rests.length > WORDS_MAX) return null;
    const before = atoms.slice(0, i);
    return middles.flatMap(middle => rests.map(rest => [...before, ...middle, ...rest]));
  }
  return [[...atoms]];
}

function matching<A>(atoms: readonly A[], start: number, char: CharOf<A>): { end: number; commas: number[] } | null {
  let depth = 0;
  const commas: number[] = [];
  for (let i = start; i < atoms.length; i += 1) {
    const c = char(atoms[i]);
    if (c === '{') depth += 1;
    else if (c === ',' && depth === 1) commas.push(i);
    else if (c === '}') {
      depth -= 1;
      if (depth === 0) return { end: i, commas };
    }
  }
  return null;
}

/** @returns undefined when it is no sequence, null when it is too long. */
function sequence(chars: readonly (string | null)[]): string[] | null | undefined {
  if (chars.includes(null)) return undefined;
  const match = /^(-?\d{1,9}|[A-Za-z])\.\.(-?\d{1,9}|[A-Za-z])(?:\.\.(-?\d{1,9}))?$/.exec(chars.join(''));
  const [, first, last, by] = match ?? [];
  if (first === undefined || last === undefined) return undefined;
  const letters = /[A-Za-z]/.test(first);
  if (letters !== /[A-Za-z]/.test(last)) return undefined;
  const from = letters ? first.charCodeAt(0) : Number(first);
  const to = letters ? last.charCodeAt(0) : Number(last);
  const stride = Math.max(1, Math.abs(Number(by ?? 1)));
  if (Math.abs(to - from) / stride >= WORDS_MAX) return null;
  const padded = [first, last].some(each => /^-?0\d/.test(each));
  const width = padded ? Math.max(first.length, last.length) : 0;
  const members: string[] = [];
  for (let value = from; from <= to ? value <= to : value >= to; value += from <= to ? stride : -stride) {
    members.push(letters ? String.fromCharCode(value) : pad(value, width));
  }
  return members;
}

function pad(value: number, width: number): string {
  const digits = String(Math.abs(value));
  return value < 0 ? `-${digits.padStart(width - 1, '0')}` : digits.padStart(width, '0');
}
