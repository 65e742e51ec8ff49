/** The check digits and checksums that the detectors verify. Inputs are digits as numbers, or ASCII bytes. */

/** Luhn (ISO/IEC 7812-1): true when the last of `digits` is the check digit. */
export function luhn(digits: readonly number[], length: number = digits.length): boolean {
  let sum = 0;
  let double = false;
  for (let i = length - 1; i >= 0; i--) {
    let digit = digits[i] as number;
    if (double) {
      digit *= 2;
      if (digit > 9) digit -= 9;
    }
    sum += digit;
    double = !double;
  }
  return sum % 10 === 0;
}

/** ISO/IEC 7064 MOD 97-10 over a text of digits and letters (A = 10 … Z = 35); an IBAN's four first characters go last. */
export function mod97(text: string): number {
  let rest = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const value = code <= 57 ? code - 48 : code - 55;
    rest = (value > 9 ? rest * 100 + value : rest * 10 + value) % 97;
  }
  return rest;
}

/** Remainder of a decimal number given as digits. */
export function modulo(digits: readonly number[], from: number, to: number, divisor: number): number {
  let rest = 0;
  for (let i = from; i < to; i++) rest = (rest * 10 + (digits[i] as number)) % divisor;
  return rest;
}

/** Sum of digits times weights, from the first digit on. */
export function weighted(digits: readonly number[], weights: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < weights.length; i++) sum += (digits[i] as number) * (weights[i] as number);
  return sum;
}

/** ISO/IEC 7064 MOD 11-10 (German tax id, Croatian OIB). */
export function mod11x10(digits: readonly number[]): boolean {
  let product = 10;
  for (let i = 0; i < digits.length - 1; i++) {
    let sum = ((digits[i] as number) + product) % 10;
    if (sum === 0) sum = 10;
    product = (sum * 2) % 11;
  }
  return (11 - product) % 10 === digits.at(-1);
}

const verhoeffMultiply = [
  '0123456789',
  '1234067895',
  '2340178956',
  '3401289567',
  '4012395678',
  '5987604321',
  '6598710432',
  '7659821043',
  '8765932104',
  '9876543210',
];
const verhoeffPermute = ['0123456789', '1576283094', '5803796142', '8916043527', '9453126870', '4286573901', '2793806415', '7046913258'];

/** Verhoeff (Aadhaar): true when the last digit is the check digit. */
export function verhoeff(digits: readonly number[]): boolean {
  let check = 0;
  for (let i = 0; i < digits.length; i++) {
    const digit = digits[digits.length - 1 - i] as number;
    const permuted = (verhoeffPermute[i % 8] as string).charCodeAt(digit) - 48;
    check = (verhoeffMultiply[check] as string).charCodeAt(permuted) - 48;
  }
  return check === 0;
}

const crcTable: Int32Array = (() => {
  const table = new Int32Array(256);
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
    table[n] = c;
  }
  return table;
})();

/** CRC-32 (IEEE 802.3) of bytes [start, end), unsigned. */
export function crc32(bytes: Uint8Array, start: number, end: number): number {
  let c = -1;
  for (let i = start; i < end; i++) c = (crcTable[(c ^ (bytes[i] as number)) & 255] as number) ^ (c >>> 8);
  return (c ^ -1) >>> 0;
}

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** A number in base 62 (digits, upper case, lower case), padded with zeros on the left. */
export function base62(value: number, length: number): string {
  let text = '';
  let rest = value;
  while (rest > 0) {
    text = (BASE62[rest % 62] as string) + text;
    rest = Math.floor(rest / 62);
  }
  return text.padStart(length, '0');
}

/**
 * GitHub's token checksum: the last six characters are the CRC-32 of those before, in base 62.
 * @see https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
 */
export function hasBase62Crc(bytes: Uint8Array, start: number, end: number): boolean {
  const expected = base62(crc32(bytes, start, end - 6), 6);
  for (let i = 0; i < 6; i++) if (bytes[end - 6 + i] !== expected.charCodeAt(i)) return false;
  return true;
}
