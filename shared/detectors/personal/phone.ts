/**
 * Telephone numbers, judged by libphonenumber's metadata. Only plausible candidates are parsed: a `+`, the North American forms,
 * or a national number near a word such as "phone".
 *
 * libphonenumber's patterns see at most 32 characters of digits and separators, so its regular expressions are bounded.
 */
import { type CountryCode, isPossiblePhoneNumber, isValidPhoneNumber } from 'libphonenumber-js/min';
import { ALNUM, CLASS, DIGIT, is, latin1 } from '../bytes.ts';
import { hasContext, hasContextBefore, registerContext } from '../context.ts';
import { standsAlone, type WordHook } from '../forms.ts';
import { PRIORITY, type Scan } from '../span.ts';

const CONTEXT = [
  'phone',
  'tel',
  'telephone',
  'mobile',
  'mobil',
  'cell',
  'call',
  'fax',
  'sms',
  'whatsapp',
  'contact',
  'msisdn',
  'telefon',
  'telefono',
  'teléfono',
  'telefone',
  'handy',
  'portable',
  'numéro',
  'hotline',
  'dial',
  'text me',
  'ring',
  'ph:',
  'ph.',
  'mob',
  'callback',
  'reach me',
  'reach us',
];
const OTHER = [
  'order',
  'invoice',
  'ticket',
  'ref',
  'reference',
  'sku',
  'part',
  'serial',
  'tracking',
  'case',
  'batch',
  'isbn',
  'item',
  'account',
  'acct',
  'po#',
  'lot',
  'model',
  'version',
  'nhs',
  'shipment',
  'transaction',
  'txn',
  'job',
  'build',
  'trace',
  'upc',
  'ean',
  'product',
];

registerContext(CONTEXT);

const COUNTRIES: readonly CountryCode[] = [
  'US',
  'GB',
  'DE',
  'FR',
  'IT',
  'ES',
  'NL',
  'IN',
  'AU',
  'JP',
  'BR',
  'CN',
  'KR',
  'ZA',
  'SE',
  'NO',
  'DK',
  'PL',
  'BE',
  'CH',
  'AT',
  'IE',
  'MX',
  'PT',
];

const DIGITS_MIN = 7;
const DIGITS_MAX = 15;

/** Ends of groups of a number that starts at `start`, the longest last. */
function groupEnds(scan: Scan, start: number, digitsMin: number): number[] {
  const { bytes } = scan;
  const ends: number[] = [];
  let digits = 0;
  let i = start;
  while (i < scan.end && i - start < 32) {
    const groupStart = i;
    while (i < scan.end && ((CLASS[bytes[i] as number] as number) & DIGIT) !== 0) i++;
    if (i === groupStart) break;
    digits += i - groupStart;
    if (digits > DIGITS_MAX) break;
    if (!scan.wire && is(scan.byte(i), ALNUM)) break;
    if (digits >= digitsMin) ends.push(i);
    // Between groups: one of ` .-/`, or a bracket with a blank.
    let separators = 0;
    while (i < scan.end && separators < 3 && ' .-/()'.includes(String.fromCharCode(bytes[i] as number))) {
      separators++;
      i++;
    }
    // Coordinates and ranges: ` -74`.
    if (separators === 0 || (separators === 2 && bytes[i - 1] === 45 && bytes[i - 2] === 32)) break;
  }
  return ends;
}

function valid(scan: Scan, start: number, end: number, country?: CountryCode): boolean {
  const text = latin1(scan.bytes, start, end);
  return country === undefined ? isValidPhoneNumber(`+${text}`) : isValidPhoneNumber(text, country);
}

function matchInternational(scan: Scan, start: number, plus: number): boolean {
  const { bytes } = scan;
  if (!scan.wire && (is(scan.byte(plus - 1), ALNUM) || scan.byte(plus - 1) === 43)) return false;
  const ends = groupEnds(scan, start, DIGITS_MIN);
  for (let i = ends.length - 1; i >= 0 && i >= ends.length - 6; i--) {
    const end = ends[i] as number;
    const after = scan.byte(end);
    if (!scan.wire && (is(after, ALNUM) || after === 95)) continue;
    // Numbers of ranges kept for fiction are possible, not valid; written with separators or near a keyword they are meant as numbers.
    if (
      !valid(scan, start, end) &&
      !(isPossiblePhoneNumber(`+${latin1(bytes, start, end)}`) && (hasSeparator(bytes, start, end) || hasContext(scan, plus, end, CONTEXT)))
    )
      continue;
    scan.add(plus, end, 'phone', PRIORITY.phone + 2);
    return true;
  }
  return false;
}

function hasSeparator(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (!is(bytes[i] as number, DIGIT)) return true;
  return false;
}

/** End of the groups of digits from `start` on (one of ` -./` between), or -1 when they are no number of 7 to 13 digits. */
function groupsEnd(scan: Scan, start: number): number {
  const { bytes } = scan;
  let digits = 0;
  let i = start;
  let end = -1;
  for (let groups = 0; groups < 6; groups++) {
    const groupStart = i;
    while (i < scan.end && ((CLASS[bytes[i] as number] as number) & DIGIT) !== 0) i++;
    if (i === groupStart) break;
    digits += i - groupStart;
    if (digits > 13) return -1;
    end = i;
    const separator = scan.byte(i);
    if (separator !== 32 && separator !== 45 && separator !== 46 && separator !== 47) break;
    if (!is(scan.byte(i + 1), DIGIT)) break;
    i++;
  }
  return digits >= DIGITS_MIN ? end : -1;
}

/** The area code 555, which films and documentation use. */
function isFictional(scan: Scan, start: number): boolean {
  return scan.bytes[start] === 53 && scan.bytes[start + 1] === 53 && scan.bytes[start + 2] === 53;
}

/** `3-3-4` digits joined by `-` or `.`, also with a leading 1. */
function isNorthAmerican(scan: Scan, start: number, end: number, last: number): boolean {
  let first = start;
  const separator = scan.byte(end);
  if (separator !== 45 && separator !== 46) return false;
  if (end - start === 1 && scan.bytes[start] === 49) first = start + 2;
  if (last - first !== 12 || scan.bytes[first + 3] !== separator || scan.bytes[first + 7] !== separator) return false;
  for (let i = 0; i < 12; i++) if (i !== 3 && i !== 7 && !is(scan.bytes[first + i] as number, DIGIT)) return false;
  return true;
}

const DATE = /^(?:4[-/.]2[-/.]2|2[-/.]2[-/.]4|8$|4-2$)/;

export const phoneWord: WordHook = { words: 'digits', begins: 'phone', context: CONTEXT, run: matchPhone };

function matchPhone(scan: Scan, start: number, end: number): boolean {
  const { bytes } = scan;
  const before = scan.byte(start - 1);
  if (before === 43) return matchInternational(scan, start, start - 1);
  if (before === 40) {
    // `(415) 555-2671`, `+44 (0)20 …` was taken from its `+` on.
    if (end - start < 2 || end - start > 5 || scan.byte(end) !== 41) return false;
    if (scan.byte(start - 2) === 43) return matchInternational(scan, start, start - 2);
    const ends = groupEnds(scan, start, 9);
    const american = end - start === 3;
    for (let i = ends.length - 1; i >= 0; i--) {
      const last = ends[i] as number;
      if (american && (valid(scan, start, last, 'US') || (last - start === 13 && isFictional(scan, start)))) {
        scan.add(start - 1, last, 'phone', PRIORITY.phone + 2);
        return true;
      }
      if (hasContext(scan, start - 1, last, CONTEXT) && COUNTRIES.some(country => valid(scan, start, last, country))) {
        scan.add(start - 1, last, 'phone', PRIORITY.phone + 1);
        return true;
      }
    }
    return false;
  }
  if (end - start > 11) return false;
  const last = groupsEnd(scan, start);
  if (last < 0) return false;
  if (!scan.wire && (is(scan.byte(last), ALNUM) || !standsAlone(scan, start, last))) return false;
  if (isNorthAmerican(scan, start, end, last)) {
    const near = hasContext(scan, start, last, CONTEXT);
    if (!valid(scan, start, last, 'US') && !(near && isFictional(scan, start))) return false;
    if (!near && hasContextBefore(scan, start, OTHER)) return false;
    scan.add(start, last, 'phone', PRIORITY.phone);
    return true;
  }
  if (!hasContextBefore(scan, start, CONTEXT)) return false;
  const shape = latin1(bytes, start, last).replace(/\d+/g, run => String(run.length));
  if (/^(?:7|\d[ -./]\d[ -./]\d)$/.test(shape) && last - start < 8) return false;
  if (DATE.test(shape) || /^\d\.\d\.\d\.\d$/.test(shape) || /^[123]\.[123]\.[123]\.[123]$/.test(shape)) return false;
  if (shape === '3-4' || COUNTRIES.some(country => valid(scan, start, last, country))) {
    scan.add(start, last, 'phone', PRIORITY.phone);
    return true;
  }
  return false;
}
