/**
 * A lexer for one purpose: to give a statement a key in which literals are left out, in one pass over its bytes, so that a
 * statement seen before with other literals is recognised in a microsecond. It follows PostgreSQL 18's scan.l.
 *
 * The key must be sound: two texts with one key must have the same tokens but for the values of their literals. So
 * everything is copied to the key byte for byte except white space and comments (one space) and literals (a marker with the
 * literal's kind). Wherever a literal's value could change how the text is split or parsed, the lexer does not decide: it
 * says that there is no key, and the statement is cached by its exact text only. There is no key for: strings with
 * backslash escapes, Unicode escapes (`U&`), string continuation lines, numbers next to letters, hexadecimal and `_` numbers,
 * FLOAT(n), control characters, anything outside ASCII, and several statements.
 *
 * It makes no tokens, resolves no keywords, and reports no errors: PostgreSQL's parser does. lex.test.ts checks it against
 * PostgreSQL's own scanner.
 *
 * @see https://github.com/postgres/postgres/blob/REL_18_STABLE/src/backend/parser/scan.l
 */

/** What one pass over a text found. One object is reused for every call: read it before the next. */
export interface Lexed {
  /** Is `key` usable? */
  keyed: boolean;
  /** The key's bytes are the first `keyLength` of `key`; valid until the next call. */
  key: Uint8Array;
  keyLength: number;
  hash: number; // 32 bits of the key
  ascii: boolean;
  /** Where the lexer lost track (an unterminated string, a control character …): positions behind it are not known. */
  confused: boolean;
  /** A plain or national string holds a backslash: standard_conforming_strings decides what it means. */
  backslashInPlain: boolean;
  /** The only statement: byte offsets of its first token and behind its last; 0, 0 when there is none. */
  start: number;
  end: number;
}

/** A literal as the lexer saw it, for tests. Kinds: I integer, F float, S string, D dollar-quoted, E escape, B bit, X hex, U Unicode. */
export interface LexedLiteral {
  start: number;
  end: number;
  kind: string;
}

const KEY_BYTES_MAX = 32 * 1024;

// Character classes of scan.l.
const SPACE = 1;
const IDENT_START = 2; // letters, _, and every byte over 0x7f
const DIGIT = 4;
const IDENT_CONT = 8; // IDENT_START, digits and $
const CONTROL = 16;
const CLASS = new Uint8Array(256);
for (let c = 0; c < 256; c++) {
  const letter = (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === 95 || c >= 128;
  const digit = c >= 48 && c <= 57;
  const space = c === 32 || (c >= 9 && c <= 13);
  CLASS[c] =
    (space ? SPACE : 0) |
    (letter ? IDENT_START : 0) |
    (digit ? DIGIT : 0) |
    (letter || digit || c === 36 ? IDENT_CONT : 0) |
    ((c < 32 && !space) || c === 127 ? CONTROL : 0);
}

const MARK = 1; // starts a literal's marker in the key; as input it is CONTROL and leaves no key
const MARK_I = 73;
const MARK_F = 70;
const MARK_S = 83;
const MARK_D = 68;
const MARK_E = 69;
const MARK_B = 66;
const MARK_X = 88;
const MARK_U = 85;

const scratch = new Uint8Array(KEY_BYTES_MAX + 64);
const result: Lexed = {
  keyed: false,
  key: scratch,
  keyLength: 0,
  hash: 0,
  ascii: true,
  confused: false,
  backslashInPlain: false,
  start: 0,
  end: 0,
};

/**
 * Reads a text once.
 *
 * @param bytes the text; bytes over 0x7f count as letters, as in PostgreSQL, whatever the encoding.
 * @param literals when given, every literal is added to it (slow; for tests).
 * @returns an object that the next call overwrites.
 */
export function lex(bytes: Uint8Array, from: number, to: number, literals?: LexedLiteral[]): Lexed {
  let keyed = true;
  let ascii = true;
  let plainBackslash = false;
  let confused = false;
  let first = -1;
  let last = 0;
  let ended = false; // a `;` was seen
  let n = 0; // bytes of the key
  let hash = 0x811c9dc5;
  let gap = false; // white space or a comment stands before the next token
  let i = from;

  while (i < to) {
    const c = bytes[i] as number;
    const cls = CLASS[c] as number;
    if ((cls & SPACE) !== 0) {
      gap = true;
      i++;
      continue;
    }
    const next = i + 1 < to ? (bytes[i + 1] as number) : 0;
    if (c === 45 && next === 45) {
      i = lineEnd(bytes, i + 2, to);
      gap = true;
      continue;
    }
    if (c === 47 && next === 42) {
      const end = commentEnd(bytes, i + 2, to);
      if (end < 0) {
        confused = true;
        break;
      }
      i = end;
      gap = true;
      continue;
    }
    if (c === 59) {
      ended = true;
      gap = false;
      i++;
      continue;
    }
    if (ended && first >= 0) keyed = false; // a second statement
    if (first < 0) first = i;
    if (n >= KEY_BYTES_MAX) keyed = false;
    if (gap) {
      gap = false;
      if (n > 0 && keyed) {
        scratch[n++] = 32;
        hash = Math.imul(hash ^ 32, 0x01000193);
      }
    }

    let mark = 0;
    const start = i;
    if ((cls & IDENT_START) !== 0) {
      if (next === 39) {
        const lower = c | 32;
        if (lower === 101) {
          // E'…': backslashes escape; the value of an escape can be an error, so such a string leaves no key.
          i = quoteEnd(bytes, i + 2, to, true);
          if (i < 0) {
            confused = true;
            break;
          }
          if (sawBackslash) keyed = false;
          mark = MARK_E;
        } else if (lower === 98 || lower === 120) {
          i = bitEnd(bytes, i + 2, to);
          if (i < 0) {
            confused = true;
            break;
          }
          mark = lower === 98 ? MARK_B : MARK_X;
        }
        // N'…' is the keyword NCHAR and then a plain string: the letter is copied, the string is met in the next round.
      } else if ((c | 32) === 117 && next === 38 && i + 2 < to) {
        const quote = bytes[i + 2] as number;
        if (quote === 39 || quote === 34) {
          keyed = false;
          i = quote === 39 ? quoteEnd(bytes, i + 3, to, false) : identEnd(bytes, i + 3, to);
          if (i < 0) {
            confused = true;
            break;
          }
          if (quote === 39) mark = MARK_U;
          else {
            last = i;
            continue;
          }
        }
      }
      if (mark === 0) {
        i++;
        let high = c >= 128;
        while (i < to && ((CLASS[bytes[i] as number] as number) & IDENT_CONT) !== 0) {
          if ((bytes[i] as number) >= 128) high = true;
          i++;
        }
        if (high) {
          ascii = false;
          keyed = false;
        }
        if (i - start === 5 && isFloat(bytes, start)) keyed = false;
        if (keyed && n + (i - start) < KEY_BYTES_MAX) {
          for (let k = start; k < i; k++) {
            const b = bytes[k] as number;
            scratch[n++] = b;
            hash = Math.imul(hash ^ b, 0x01000193);
          }
        } else keyed = false;
        last = i;
        continue;
      }
    } else if ((cls & DIGIT) !== 0 || (c === 46 && ((CLASS[next] as number) & DIGIT) !== 0)) {
      let value = 0;
      let float = false;
      while (i < to && ((CLASS[bytes[i] as number] as number) & DIGIT) !== 0) {
        value = value * 10 + (bytes[i] as number) - 48;
        i++;
      }
      if (i < to && bytes[i] === 46) {
        if (i + 1 < to && bytes[i + 1] === 46) {
          keyed = false; // 1..10 in PL/pgSQL
        } else {
          float = true;
          i++;
          while (i < to && ((CLASS[bytes[i] as number] as number) & DIGIT) !== 0) i++;
        }
      }
      if (i < to && ((bytes[i] as number) | 32) === 101) {
        let k = i + 1;
        if (k < to && (bytes[k] === 43 || bytes[k] === 45)) k++;
        if (k < to && ((CLASS[bytes[k] as number] as number) & DIGIT) !== 0) {
          float = true;
          while (k < to && ((CLASS[bytes[k] as number] as number) & DIGIT) !== 0) k++;
          i = k;
        }
      }
      mark = float || value > 2147483647 ? MARK_F : MARK_I;
      if (!float && value > 2147483647) keyed = false; // bigint or numeric, by its value
      const after = i < to ? (bytes[i] as number) : 0;
      if (((CLASS[after] as number) & IDENT_START) !== 0 || after === 46 || after === 36) {
        // Junk behind a number, 0x1f, 1_000: take what belongs to the word, and leave no key.
        keyed = false;
        while (i < to && ((CLASS[bytes[i] as number] as number) & IDENT_CONT) !== 0) {
          if ((bytes[i] as number) >= 128) ascii = false;
          i++;
        }
      }
    } else if (c === 39) {
      i = quoteEnd(bytes, i + 1, to, false);
      if (i < 0) {
        confused = true;
        break;
      }
      if (sawBackslash) {
        plainBackslash = true;
      }
      mark = MARK_S;
    } else if (c === 36) {
      if (((CLASS[next] as number) & DIGIT) !== 0) {
        // $1: a parameter's number is part of the key.
        i += 2;
        while (i < to && ((CLASS[bytes[i] as number] as number) & DIGIT) !== 0) i++;
        if (i < to && ((CLASS[bytes[i] as number] as number) & IDENT_START) !== 0) keyed = false;
        if (keyed && n + (i - start) < KEY_BYTES_MAX) {
          for (let k = start; k < i; k++) {
            const b = bytes[k] as number;
            scratch[n++] = b;
            hash = Math.imul(hash ^ b, 0x01000193);
          }
        } else keyed = false;
        last = i;
        continue;
      }
      const end = dollarEnd(bytes, i, to);
      if (end < 0) {
        confused = true;
        break;
      }
      if (sawHigh) {
        ascii = false;
        keyed = false;
      }
      i = end;
      mark = MARK_D;
    } else if (c === 34) {
      i = identEnd(bytes, i + 1, to);
      if (i < 0) {
        confused = true;
        break;
      }
      if (sawHigh) {
        ascii = false;
        keyed = false;
      }
      if (keyed && n + (i - start) < KEY_BYTES_MAX) {
        for (let k = start; k < i; k++) {
          const b = bytes[k] as number;
          if (((CLASS[b] as number) & CONTROL) !== 0) keyed = false;
          scratch[n++] = b;
          hash = Math.imul(hash ^ b, 0x01000193);
        }
      } else keyed = false;
      last = i;
      continue;
    } else {
      if ((cls & CONTROL) !== 0) {
        confused = true;
        break;
      }
      // Operators and punctuation, byte for byte: `--` and `/*` end an operator in PostgreSQL too.
      if (keyed) {
        scratch[n++] = c;
        hash = Math.imul(hash ^ c, 0x01000193);
      }
      i++;
      if (c === 46 && next === 46) {
        i++; // `..` is one token, so that `a..2` holds the integer 2
        keyed = false;
      }
      last = i;
      continue;
    }

    // A literal.
    if (sawHigh) {
      ascii = false;
      keyed = false;
      sawHigh = false;
    }
    if (mark !== MARK_I && mark !== MARK_F && mark !== MARK_D && continues(bytes, i, to)) {
      // 'a' newline 'b' is one string in PostgreSQL. Where the second part ends depends on the first's kind.
      keyed = false;
      confused = true;
      break;
    }
    literals?.push({ start, end: i, kind: String.fromCharCode(mark) });
    scratch[n++] = MARK;
    scratch[n++] = mark;
    hash = Math.imul(Math.imul(hash ^ MARK, 0x01000193) ^ mark, 0x01000193);
    last = i;
    if (n >= KEY_BYTES_MAX) {
      keyed = false;
      n = 0;
    }
  }
  sawHigh = false;
  sawBackslash = false;
  if (confused) {
    // What lies behind is not known: look at its bytes only.
    keyed = false;
  }
  if (!keyed && ascii) {
    for (let k = from; k < to; k++) {
      if ((bytes[k] as number) >= 128) {
        ascii = false;
        break;
      }
    }
  }
  result.keyed = keyed;
  result.keyLength = keyed ? n : 0;
  result.hash = hash | 0;
  result.ascii = ascii;
  result.confused = confused;
  result.backslashInPlain = plainBackslash;
  result.start = Math.max(first, 0);
  result.end = last;
  return result;
}

// Set by the functions below, for the literal just read: a second result without an object per call.
let sawHigh = false;
let sawBackslash = false;

/** Behind the closing quote of a string that begins at `i`; -1 when it does not end. */
function quoteEnd(bytes: Uint8Array, i: number, to: number, escapes: boolean): number {
  sawHigh = false;
  sawBackslash = false;
  while (i < to) {
    const c = bytes[i] as number;
    if (c === 39) {
      if (i + 1 < to && bytes[i + 1] === 39) {
        i += 2;
        continue;
      }
      return i + 1;
    }
    if (c === 92) {
      sawBackslash = true;
      if (escapes) i++;
    } else if (c >= 128) sawHigh = true;
    i++;
  }
  return -1;
}

/** Behind the closing quote of a bit string, in which a doubled quote is no escape; -1 when it does not end. */
function bitEnd(bytes: Uint8Array, i: number, to: number): number {
  sawHigh = false;
  sawBackslash = false;
  while (i < to) {
    const c = bytes[i] as number;
    if (c === 39) return i + 1;
    if (c >= 128) sawHigh = true;
    i++;
  }
  return -1;
}

/** Behind the closing double quote of an identifier; -1 when it does not end. */
function identEnd(bytes: Uint8Array, i: number, to: number): number {
  sawHigh = false;
  while (i < to) {
    const c = bytes[i] as number;
    if (c === 34) {
      if (i + 1 < to && bytes[i + 1] === 34) {
        i += 2;
        continue;
      }
      return i + 1;
    }
    if (c >= 128) sawHigh = true;
    i++;
  }
  return -1;
}

/** Behind a dollar-quoted string that begins at `i`; -1 when it does not end or the `$` begins none. */
function dollarEnd(bytes: Uint8Array, start: number, to: number): number {
  sawHigh = false;
  let i = start + 1;
  while (i < to && ((CLASS[bytes[i] as number] as number) & (IDENT_START | DIGIT)) !== 0) {
    if ((bytes[i] as number) >= 128) sawHigh = true;
    i++;
  }
  if (i >= to || bytes[i] !== 36) return -1;
  const tag = i + 1 - start;
  for (i = i + 1; i + tag <= to; i++) {
    const c = bytes[i] as number;
    if (c >= 128) sawHigh = true;
    if (c !== 36) continue;
    let k = 1;
    while (k < tag && bytes[i + k] === bytes[start + k]) k++;
    if (k === tag) return i + tag;
  }
  return -1;
}

function lineEnd(bytes: Uint8Array, i: number, to: number): number {
  while (i < to && bytes[i] !== 10 && bytes[i] !== 13) i++;
  return i;
}

/** Behind a comment that may hold comments; -1 when it does not end. */
function commentEnd(bytes: Uint8Array, i: number, to: number): number {
  let depth = 1;
  while (i + 1 < to) {
    const c = bytes[i];
    const next = bytes[i + 1];
    if (c === 42 && next === 47) {
      i += 2;
      if (--depth === 0) return i;
    } else if (c === 47 && next === 42) {
      i += 2;
      depth++;
    } else i++;
  }
  return -1;
}

/** Does a quote follow behind white space and comments, with a line break between? Without one it is a syntax error. */
function continues(bytes: Uint8Array, i: number, to: number): boolean {
  while (i < to) {
    const c = bytes[i] as number;
    if (((CLASS[c] as number) & SPACE) !== 0) i++;
    else if (c === 45 && bytes[i + 1] === 45 && i + 1 < to) i = lineEnd(bytes, i + 2, to);
    else return c === 39;
  }
  return false;
}

/** The word FLOAT: FLOAT(n) is real or double precision by the value of n, and an error over 53. */
function isFloat(bytes: Uint8Array, i: number): boolean {
  return (
    ((bytes[i] as number) | 32) === 102 &&
    ((bytes[i + 1] as number) | 32) === 108 &&
    ((bytes[i + 2] as number) | 32) === 111 &&
    ((bytes[i + 3] as number) | 32) === 97 &&
    ((bytes[i + 4] as number) | 32) === 116
  );
}
