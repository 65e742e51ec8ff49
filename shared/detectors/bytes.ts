/** Classes of ASCII bytes as bit masks, and the few byte-string tests that matchers share. */

export const DIGIT = 1;
export const UPPER = 2;
export const LOWER = 4;
export const HEX_LOWER = 8; // 0-9 a-f
export const HEX_UPPER = 16; // 0-9 A-F
export const UNDERSCORE = 32;
export const DASH = 64;
export const PLUS_SLASH = 128;
export const EQUALS = 256;
export const DOT = 512;
export const BASE32 = 1024; // A-Z 2-7
export const HIGH = 2048; // 0x80 and above: part of a UTF-8 sequence
export const SPACE = 4096;
export const COLON = 8192;
export const TILDE = 16384;
export const PERCENT = 32768;

export const ALPHA = UPPER | LOWER;
export const ALNUM = ALPHA | DIGIT;
export const WORD = ALNUM | UNDERSCORE;
export const BASE64URL = WORD | DASH;
export const BASE64 = ALNUM | PLUS_SLASH;

/** Byte → union of its classes. */
export const CLASS: Uint16Array = (() => {
  const table = new Uint16Array(256);
  const mark = (characters: string, bit: number): void => {
    for (const character of characters) {
      const code = character.charCodeAt(0);
      table[code] = (table[code] as number) | bit;
    }
  };
  mark('0123456789', DIGIT | HEX_LOWER | HEX_UPPER);
  mark('ABCDEFGHIJKLMNOPQRSTUVWXYZ', UPPER | BASE32);
  mark('abcdefghijklmnopqrstuvwxyz', LOWER);
  mark('abcdef', HEX_LOWER);
  mark('ABCDEF', HEX_UPPER);
  mark('234567', BASE32);
  mark('_', UNDERSCORE);
  mark('-', DASH);
  mark('+/', PLUS_SLASH);
  mark('=', EQUALS);
  mark('.', DOT);
  mark(' \t\r\n\f\v', SPACE);
  mark(':', COLON);
  mark('~', TILDE);
  mark('%', PERCENT);
  for (let byte = 128; byte < 256; byte++) table[byte] = HIGH;
  return table;
})();

/** Whether the byte is of one of the classes; -1 (outside of the window) is of none. */
export function is(byte: number, mask: number): boolean {
  return byte >= 0 && ((CLASS[byte] as number) & mask) !== 0;
}

/** End of the run of bytes of the classes that starts at `at`, at most `limit`. */
export function runEnd(bytes: Uint8Array, at: number, limit: number, mask: number): number {
  let i = at;
  while (i < limit && ((CLASS[bytes[i] as number] as number) & mask) !== 0) i++;
  return i;
}

/** Start of the run of bytes of the classes that ends before `at`, at least `limit`. */
export function runStart(bytes: Uint8Array, at: number, limit: number, mask: number): number {
  let i = at;
  while (i > limit && ((CLASS[bytes[i - 1] as number] as number) & mask) !== 0) i--;
  return i;
}

/** ASCII bytes of a literal of this code base. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, character => character.charCodeAt(0));
}

/** Whether `literal` stands at `at` and ends by `end`. */
export function hasAt(bytes: Uint8Array, at: number, end: number, literal: Uint8Array): boolean {
  if (at < 0 || at + literal.length > end) return false;
  for (let i = 0; i < literal.length; i++) if (bytes[at + i] !== literal[i]) return false;
  return true;
}

export function lower(byte: number): number {
  return byte >= 65 && byte <= 90 ? byte | 32 : byte;
}

/** Bytes [start, end) as text, one character a byte: for ASCII windows of bounded length. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let i = start; i < end; i++) text += String.fromCharCode(bytes[i] as number);
  return text;
}
