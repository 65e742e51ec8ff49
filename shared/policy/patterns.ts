/**
 * Patterns over dotted names (`schema.table.column`) with `*` as a wildcard, as guards and data policies write them.
 *
 * A part may be quoted as in SQL (`public."Odd.Name"`): inside quotes dots and stars are literal. Names are compared as the
 * server stores them, so unquoted SQL identifiers are lower case here. This file knows nothing of SQL beyond that.
 */

export interface NamePattern {
  readonly source: string;
  readonly parts: readonly PartPattern[];
  /** Without any wildcard. */
  readonly exact: boolean;
}

/** The literal pieces between the stars; one piece: no star. */
interface PartPattern {
  readonly pieces: readonly string[];
}

export type PatternProblem = { problem: string };

const PATTERN_LENGTH_MAX = 600;

/** How surely something matches: `maybe` when a part of the name could not be resolved. */
export type Match = 'no' | 'maybe' | 'yes';

/** What `match.objects` may say: a table, or a column of it. */
export const OBJECT_FORMS: readonly string[] = ['schema.table', 'schema.table.column'];
/** A function's name alone means that name in any schema. */
export const FUNCTION_FORMS: readonly string[] = ['function', 'schema.function'];
export const COLUMN_FORMS: readonly string[] = ['schema.table.column'];

/**
 * @param forms the forms that the pattern may have, told apart by how many parts they have.
 * @returns the pattern, or what is wrong with it (a predicate of which the pattern is the subject).
 */
export function parsePattern(source: string, forms: readonly string[]): NamePattern | PatternProblem {
  if (source.length > PATTERN_LENGTH_MAX) return { problem: `is longer than ${PATTERN_LENGTH_MAX} characters` };
  const parts = splitName(source);
  if (parts === null) return { problem: 'has a double quote that is not closed or stands inside a name' };
  if (parts.some(part => part.text === '')) return { problem: 'has an empty part' };
  if (!forms.some(form => form.split('.').length === parts.length)) {
    const written = `${parts.length} ${parts.length === 1 ? 'part' : 'parts'}`;
    return { problem: `has ${written}; write it as ${forms.map(form => `\`${form}\``).join(' or ')}` };
  }
  const patterns = parts.map(part => ({ pieces: part.quoted ? [part.text] : part.text.split('*') }));
  return { source, parts: patterns, exact: patterns.every(part => part.pieces.length === 1) };
}

export function isPattern(value: NamePattern | PatternProblem): value is NamePattern {
  return 'parts' in value;
}

/** Whether some part of the pattern can match only an identifier that was quoted in SQL: it has a capital letter outside quotes. */
export function needsQuotedIdentifier(source: string): boolean {
  return (splitName(source) ?? []).some(part => !part.quoted && /[A-Z]/.test(part.text));
}

/**
 * Matches a name, given as its parts.
 *
 * @param name as many parts as known; a part `*` could not be resolved and counts as `maybe`.
 */
export function matchName(pattern: NamePattern, name: readonly string[]): Match {
  if (name.length !== pattern.parts.length) return 'no';
  let sure: Match = 'yes';
  for (let index = 0; index < name.length; index++) {
    const part = pattern.parts[index];
    const text = name[index];
    if (part === undefined || text === undefined) return 'no';
    if (part.pieces.length === 2 && part.pieces[0] === '' && part.pieces[1] === '') continue;
    if (text === '*') sure = 'maybe';
    else if (!matchPart(part.pieces, text)) return 'no';
  }
  return sure;
}

/** Glob match without backtracking: each piece is found leftmost after the one before it, the last at the end. */
function matchPart(pieces: readonly string[], text: string): boolean {
  const first = pieces[0] ?? '';
  if (pieces.length === 1) return text === first;
  const last = pieces[pieces.length - 1] ?? '';
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  let at = first.length;
  const end = text.length - last.length;
  for (let index = 1; index < pieces.length - 1; index++) {
    const piece = pieces[index] ?? '';
    const found = text.indexOf(piece, at);
    if (found < 0 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return true;
}

/**
 * Splits a dotted name as facts and patterns carry it; a part in double quotes is taken literally.
 *
 * @returns the parts, or null when the quoting is broken.
 */
export function splitName(name: string): { text: string; quoted: boolean }[] | null {
  if (!name.includes('"')) return name.split('.').map(text => ({ text, quoted: false }));
  const parts: { text: string; quoted: boolean }[] = [];
  let at = 0;
  for (;;) {
    if (name[at] === '"') {
      let text = '';
      let next = at + 1;
      for (;;) {
        const close = name.indexOf('"', next);
        if (close < 0) return null;
        text += name.slice(next, close);
        if (name[close + 1] !== '"') {
          next = close + 1;
          break;
        }
        text += '"';
        next = close + 2;
      }
      parts.push({ text, quoted: true });
      at = next;
    } else {
      const dot = name.indexOf('.', at);
      const text = name.slice(at, dot < 0 ? name.length : dot);
      if (text.includes('"')) return null;
      parts.push({ text, quoted: false });
      at += text.length;
    }
    if (at >= name.length) return parts;
    if (name[at] !== '.') return null;
    at += 1;
  }
}

/** Joins parts into the dotted form of facts: a part that holds a dot, a double quote or a star, or is empty, is quoted. */
export function joinName(parts: readonly string[]): string {
  return parts.map(part => (/^[^."*]+$/.test(part) ? part : `"${part.replaceAll('"', '""')}"`)).join('.');
}
