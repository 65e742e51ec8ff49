/** Values that stand where a secret would stand and are none: masks, templates, types, calls, names of variables. */

import { latin1 } from '../bytes.ts';
import { entropy } from '../entropy.ts';

const WORDS = new Set(
  (
    'null nil none undefined true false yes no on off empty string str text number int integer bool boolean bytes varchar char object any ' +
    'required optional invalid incorrect missing wrong expired reset changed updated rotated revoked redacted masked hidden removed omitted secret ' +
    'password passwd passphrase token changeme changeit change-me change_me example placeholder todo tbd unknown default test testing sample dummy ' +
    'fake value key apikey input output prompt vault env file stdin self this function return new await async const let var credential credentials ' +
    'username user login admin root bearer basic digest oauth2 not the and for with your my must should cannot failed failure success successful ' +
    'field form type enabled disabled protected encrypted plaintext hash hashed'
  ).split(' '),
);

const LIKE_A_TEMPLATE =
  /^(?:\$|%|\{|<|\[|#|@|!|\*|\.\.|--|&|~|process\.|os\.|env\.|config\.|settings\.|self\.|this\.|secrets?\.|vault:|arn:|https?:\/\/|\/)/i;
/** Also of `•` and `●`, byte by byte. */
const FILLER = /^(?:x+|\*+|\.+|-+|_+|0+|#+|(?:\xe2\x80\xa2)+|(?:\xe2\x97\x8f)+|\?+)$/i;
const IDENTIFIER = /^[A-Za-z_][A-Za-z_]*(?:[.:\->]+[A-Za-z_]+)*$/;
const SPEAKING = /your|example|placeholder|changeme|change[_-]?me|replace|insert|redacted|xxxx|\*\*\*|todo|dummy|<|>|\.\.\.|0{8}/i;

/**
 * Whether a value is not a secret for certain. The patterns have no nested repetition over the same characters and see at most
 * 256 bytes.
 */
export function isPlaceholder(bytes: Uint8Array, start: number, end: number): boolean {
  const text = latin1(bytes, start, Math.min(end, start + 256));
  if (LIKE_A_TEMPLATE.test(text) || FILLER.test(text) || WORDS.has(text.toLowerCase())) return true;
  if (text.includes('(') || text.includes('${') || text.includes('{{') || text.includes('[redacted]')) return true;
  return entropy(bytes, start, end) < 1.5;
}

/** Whether a value talks about being none: `your-api-key-here`. */
export function speaksOfPlaceholder(bytes: Uint8Array, start: number, end: number): boolean {
  return SPEAKING.test(latin1(bytes, start, Math.min(end, start + 256)));
}

/** A name of something (`user_password`, `config.token`), no value. IDENTIFIER's parts are separated by characters it excludes. */
export function isIdentifier(bytes: Uint8Array, start: number, end: number): boolean {
  return IDENTIFIER.test(latin1(bytes, start, Math.min(end, start + 256)));
}
