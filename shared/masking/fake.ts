/**
 * Deterministic stand-ins of the same shape: digits for digits, letters for letters of the same case, everything else kept.
 *
 * The stream of choices is AES-256-CTR under HMAC(key, text): the same text gives the same stand-in under the same key, and
 * nothing of the text can be computed from it without the key. Values that have rules of their own keep them: an email address
 * ends in the reserved `.example`, a payment card passes Luhn, an IBAN passes mod 97, a date exists.
 */
import { createCipheriv, createHmac } from 'node:crypto';
import { luhn, mod97 } from '../detectors/checksums.ts';

const EMAIL = /^([^@\s]{1,64})@([^@\s]{1,253})$/u;
const ISO_DATE = /^(\d{4})([-/.])(\d{2})\2(\d{2})(?:([ T])(\d{2}):(\d{2})(?::(\d{2})(.*))?)?$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const IPV4 = /^\d{1,3}(?:\.\d{1,3}){3}$/;
const IBAN = /^[A-Z]{2}\d{2}[ ]?(?:[A-Z0-9]{1,4}[ ]?){2,8}$/;

/** @param hint the detector's or column's name: `payment-card` and `iban` keep their check digits right. */
export function fakeText(text: string, key: Uint8Array, hint = ''): string {
  const stream = choices(text, key);
  const email = EMAIL.exec(text);
  if (email !== null) return fakeEmail(email[1] as string, email[2] as string, stream);
  const date = ISO_DATE.exec(text);
  if (date !== null) return fakeDate(date, stream);
  if (UUID.test(text)) return text.replace(/[0-9a-f]/gi, character => sameCase(character, '0123456789abcdef'.charAt(stream() & 15)));
  if (IPV4.test(text)) return `10.${stream()}.${stream()}.${1 + (stream() % 254)}`;
  if (hint === 'iban' && IBAN.test(text)) return fakeIban(text, stream);
  const digits = digitsOf(text);
  if (digits.length >= 13 && digits.length <= 19 && /^[\d ./-]+$/.test(text) && (hint === 'payment-card' || luhn(digits))) {
    return fakeCard(text, digits.length, stream);
  }
  return shape(text, stream);
}

/** Bytes 0–255, as many as are asked for; the text's length bounds the first block, later ones are made when needed. */
function choices(text: string, key: Uint8Array): () => number {
  const seed = createHmac('sha256', key).update('sallyport mask fake\u0000').update(text, 'utf8').digest();
  const cipher = createCipheriv('aes-256-ctr', seed, Buffer.alloc(16));
  const zeros = Buffer.alloc(Math.min(4096, Math.max(64, text.length + 32)));
  let block = cipher.update(zeros);
  let at = 0;
  return () => {
    if (at === block.length) {
      block = cipher.update(zeros);
      at = 0;
    }
    return block[at++] as number;
  };
}

function shape(text: string, stream: () => number): string {
  let result = '';
  for (const character of text) {
    if (character >= '0' && character <= '9') result += stream() % 10;
    else if (character >= 'a' && character <= 'z') result += letter(97, stream);
    else if (character >= 'A' && character <= 'Z') result += letter(65, stream);
    else if (character > '\u007f' && /\p{L}/u.test(character)) result += letter(/\p{Lu}/u.test(character) ? 65 : 97, stream);
    else if (character > '\u007f' && /\p{N}/u.test(character)) result += stream() % 10;
    else result += character;
  }
  return result;
}

function letter(first: number, stream: () => number): string {
  return String.fromCharCode(first + (stream() % 26));
}

function sameCase(model: string, character: string): string {
  return model >= 'A' && model <= 'F' ? character.toUpperCase() : character;
}

function digitsOf(text: string): number[] {
  return Array.from(text)
    .filter(character => character >= '0' && character <= '9')
    .map(Number);
}

function fakeEmail(local: string, domain: string, stream: () => number): string {
  const name = shape(local, stream).replace(/[^A-Za-z0-9.+_-]/g, 'x');
  const labels = domain.split('.');
  const hosts = labels.length > 1 ? labels.slice(0, -1) : labels;
  return `${name}@${hosts.map(label => shape(label, stream).replace(/[^A-Za-z0-9-]/g, 'x')).join('.')}.example`;
}

function fakeDate(date: RegExpExecArray, stream: () => number): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const [, , dash = '-', , , separator, hour, , second, rest = ''] = date;
  const day = `${1950 + (stream() % 60)}${dash}${two(1 + (stream() % 12))}${dash}${two(1 + (stream() % 28))}`;
  if (hour === undefined || separator === undefined) return day;
  const time = `${two(stream() % 24)}:${two(stream() % 60)}`;
  if (second === undefined) return `${day}${separator}${time}`;
  const fraction = /^(\.\d+)?(.*)$/s.exec(rest);
  return `${day}${separator}${time}:${two(stream() % 60)}${shape(fraction?.[1] ?? '', stream)}${fraction?.[2] ?? ''}`;
}

/** Puts digits into the places of a text's digits. */
function pour(text: string, digits: readonly number[]): string {
  let next = 0;
  return text.replace(/\d/g, () => String(digits[next++]));
}

function fakeCard(text: string, length: number, stream: () => number): string {
  const prefix = length === 15 ? [3, 7] : length === 14 ? [3, 6] : [4];
  const digits = [...prefix];
  while (digits.length < length - 1) digits.push(stream() % 10);
  for (let check = 0; check < 10; check++) {
    const candidate = [...digits, check];
    if (luhn(candidate)) return pour(text, candidate);
  }
  return pour(text, [...digits, 0]);
}

function fakeIban(text: string, stream: () => number): string {
  const country = text.slice(0, 2);
  const body = shape(text.slice(4), stream);
  const compact = body.replace(/ /g, '');
  const check = 98 - mod97(`${compact}${country}00`);
  return `${country}${String(check).padStart(2, '0')}${body}`;
}
