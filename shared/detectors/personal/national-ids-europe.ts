/**
 * National and tax identifiers of European countries. Each line: where it is used, its forms, its check digits; `context` where
 * the form alone says too little (a bare run of digits with one check digit is wrong in one of ten).
 */
import { luhn, mod11x10, modulo, weighted } from '../checksums.ts';
import type { FormRule, Phrase } from '../rule.ts';
import { PRIORITY } from '../span.ts';
import { isDdmmyy, isYymmdd } from './dates.ts';

type Check = (digits: number[], text: string, phrase: Phrase) => boolean;

export function rule(detector: string, forms: readonly string[], check: Check, context?: readonly string[]): FormRule {
  return {
    detector,
    forms,
    check: phrase => check(phrase.digits, phrase.text, phrase),
    ...(context === undefined ? {} : { context }),
    // A keyword says more than a check digit: `CPR 230965-0659` is no Swedish number.
    priority: context === undefined ? PRIORITY.checked : PRIORITY.checked + 1,
  };
}

const at = (digits: readonly number[], index: number): number => digits[index] as number;
const isRepeated = (digits: readonly number[]): boolean => digits.every(digit => digit === digits[0]);

const atSvnr: Check = d => weighted(d, [3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11 === at(d, 3) && isDdmmyy(d, 4) && d[0] !== 0;
const beNational: Check = d => {
  const check = at(d, 9) * 10 + at(d, 10);
  const before2000 = 97 - modulo(d, 0, 9, 97);
  const after2000 = 97 - modulo([2, ...d], 0, 10, 97);
  return isYymmdd(d, 0, [0, 20, 40]) && (check === before2000 || check === after2000);
};
const bgEgn: Check = d => (weighted(d, [2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11) % 10 === at(d, 9) && isYymmdd(d, 0, [0, 20, 40]);
const chAhv: Check = d =>
  d[0] === 7 && d[1] === 5 && d[2] === 6 && (10 - (weighted(d, [1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3]) % 10)) % 10 === at(d, 12);
const czBirth: Check = d =>
  isYymmdd(d, 0, [0, 20, 50, 70]) &&
  (d.length === 9 ? at(d, 0) < 6 : modulo(d, 0, 10, 11) === 0 || (modulo(d, 0, 9, 11) === 10 && d[9] === 0));
const deTaxId: Check = d => {
  if (d[0] === 0 || !mod11x10(d)) return false;
  const counts = new Array<number>(10).fill(0);
  for (let i = 0; i < 10; i++) counts[at(d, i)] = (counts[at(d, i)] as number) + 1;
  const repeated = counts.filter(count => count > 1);
  return repeated.length === 1 && (repeated[0] === 2 || repeated[0] === 3);
};
const dkCpr: Check = d => isDdmmyy(d, 0);
const eePersonal: Check = d => {
  if (at(d, 0) < 1 || at(d, 0) > 8 || !isYymmdd(d, 1)) return false;
  const first = weighted(d, [1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11;
  const check = first < 10 ? first : (weighted(d, [3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11) % 10;
  return check === at(d, 10);
};
const DNI_LETTERS = 'TRWAGMYFPDXBNJZSQVHLCKE';
const esDni: Check = (_d, text) => DNI_LETTERS[Number(text.slice(0, 8)) % 23] === text[8] && text.slice(0, 8) !== '00000000';
const esNie: Check = (_d, text) => {
  const first = 'XYZ'.indexOf(text.charAt(0));
  return first >= 0 && DNI_LETTERS[Number(`${first}${text.slice(1, 8)}`) % 23] === text[8];
};
const HETU_CHECKS = '0123456789ABCDEFHJKLMNPRSTUVWXY';
const fiHetu: Check = (_d, text, phrase) => {
  const withSign = phrase.form.includes('-') ? text : text.slice(0, 6) + text.slice(7);
  if (!phrase.form.includes('-') && !'ABCDEFYXWVU'.includes(text.charAt(6))) return false;
  const digits = Array.from(withSign.slice(0, 9), Number);
  return digits.length === 9 && isDdmmyy(digits, 0) && HETU_CHECKS[Number(withSign.slice(0, 9)) % 31] === withSign[9];
};
const frNir: Check = (_d, text) => {
  const corsica = text.slice(5, 7) === '2A' ? 19 : text.slice(5, 7) === '2B' ? 18 : 0;
  const body = corsica > 0 ? `${text.slice(0, 5)}${corsica}${text.slice(7, 13)}` : text.slice(0, 13);
  if (!/^[12378]\d{12}$/.test(body) || !/^\d{2}$/.test(text.slice(13, 15)) || text.length !== 15) return false;
  const month = Number(body.slice(3, 5));
  if (!((month >= 1 && month <= 12) || (month >= 20 && month <= 42) || month >= 50)) return false;
  return 97 - Number(BigInt(body) % 97n) === Number(text.slice(13, 15));
};
const grAmka: Check = d => isDdmmyy(d, 0) && luhn(d);
const hrOib: Check = d => mod11x10(d) && !isRepeated(d);
const PPS_CHECKS = 'WABCDEFGHIJKLMNOPQRSTUV';
const iePps: Check = (d, text) => {
  const second = text.length > 8 ? 'WABCDEFGHI'.indexOf(text.charAt(8)) : 0;
  if (second < 0) return false;
  return PPS_CHECKS[(weighted(d, [8, 7, 6, 5, 4, 3, 2]) + second * 9) % 23] === text[7];
};
const ODD: Readonly<Record<string, number>> = {
  ...Object.fromEntries(Array.from('0123456789', (c, i) => [c, [1, 0, 5, 7, 9, 13, 15, 17, 19, 21][i] as number])),
  ...Object.fromEntries(
    Array.from('ABCDEFGHIJKLMNOPQRSTUVWXYZ', (c, i) => [
      c,
      [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23][i] as number,
    ]),
  ),
};
const itCodiceFiscale: Check = (_d, text) => {
  if (!'ABCDEHLMPRST'.includes(text.charAt(8))) return false;
  const day = Number(text.slice(9, 11));
  if (!((day >= 1 && day <= 31) || (day >= 41 && day <= 71))) return false;
  let sum = 0;
  for (let i = 0; i < 15; i++) {
    const character = text.charAt(i);
    const code = character.charCodeAt(0);
    sum += i % 2 === 0 ? (ODD[character] ?? 0) : code <= 57 ? code - 48 : code - 65;
  }
  return String.fromCharCode(65 + (sum % 26)) === text[15];
};
const nlBsn: Check = d => (weighted(d, [9, 8, 7, 6, 5, 4, 3, 2]) - at(d, 8)) % 11 === 0 && !isRepeated(d);
const noBirth: Check = d => {
  if (!isDdmmyy(d, 0, [0, 40, 80], [0, 40])) return false;
  const first = (11 - (weighted(d, [3, 7, 6, 1, 8, 9, 4, 5, 2]) % 11)) % 11;
  const second = (11 - (weighted(d, [5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11)) % 11;
  return first === at(d, 9) && second === at(d, 10);
};
const plPesel: Check = d =>
  (10 - (weighted(d, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10)) % 10 === at(d, 10) && isYymmdd(d, 0, [0, 20, 40, 60, 80]);
const ptNif: Check = d => {
  if (![1, 2, 3, 5, 6, 8, 9].includes(at(d, 0)) && !(d[0] === 4 && d[1] === 5)) return false;
  const rest = weighted(d, [9, 8, 7, 6, 5, 4, 3, 2]) % 11;
  return (rest < 2 ? 0 : 11 - rest) === at(d, 8);
};
const roCnp: Check = d => {
  const rest = weighted(d, [2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11;
  return at(d, 0) > 0 && isYymmdd(d, 1) && (rest === 10 ? 1 : rest) === at(d, 12);
};
const ruSnils: Check = d => {
  const sum = weighted(d, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
  const rest = sum % 101;
  return (rest === 100 ? 0 : rest) === at(d, 9) * 10 + at(d, 10) && !isRepeated(d.slice(0, 9));
};
const sePersonnummer: Check = d => {
  const short = d.length === 12 ? d.slice(2) : d;
  if (d.length === 12 && !((d[0] === 1 && (d[1] === 8 || d[1] === 9)) || (d[0] === 2 && d[1] === 0))) return false;
  return isYymmdd(short, 0, [0], [0, 60]) && luhn(short);
};
const nhs: Check = d => {
  const check = (11 - (weighted(d, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11)) % 11;
  return check === at(d, 9) && !isRepeated(d);
};
const nino: Check = (_d, text, phrase) =>
  /^[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]$/.test(text) && !/^(?:BG|GB|KN|NK|NT|TN|ZZ)/.test(text) && isUpper(phrase);
const trTckn: Check = d => {
  if (d[0] === 0) return false;
  const odd = at(d, 0) + at(d, 2) + at(d, 4) + at(d, 6) + at(d, 8);
  const even = at(d, 1) + at(d, 3) + at(d, 5) + at(d, 7);
  const tenth = (((odd * 7 - even) % 10) + 10) % 10;
  return tenth === at(d, 9) && (odd + even + tenth) % 10 === at(d, 10);
};

/** Whether the phrase's letters are capitals: without context, small letters are part of prose or hex. */
export function isUpper(phrase: Phrase): boolean {
  for (let i = phrase.start; i < phrase.end; i++) {
    const byte = phrase.scan.bytes[i] as number;
    if (byte >= 97 && byte <= 122) return false;
  }
  return true;
}

const upper =
  (check: Check): Check =>
  (digits, text, phrase) =>
    check(digits, text, phrase) && isUpper(phrase);

export const europe: readonly FormRule[] = [
  rule('at-svnr', ['d4 d6', 'd10', 'd4-d6'], atSvnr, [
    'svnr',
    'sozialversicherung',
    'sv-nummer',
    'versicherungsnummer',
    'austria',
    'sv nummer',
    'sv-nr',
  ]),
  rule('be-national-number', ['d2.d2.d2-d3.d2', 'd2.d2.d2-d3-d2'], beNational),
  rule('be-national-number', ['d11', 'd6 d3 d2', 'd6-d3-d2'], beNational, [
    'rijksregister',
    'registre national',
    'national number',
    'niss',
    'insz',
    'belg',
    'rrn',
    'national register',
  ]),
  rule('bg-egn', ['d10'], bgEgn, ['egn', 'егн', 'bulgaria', 'ednen']),
  rule('ch-ahv', ['d3.d4.d4.d2', 'd3 d4 d4 d2', 'd3-d4-d4-d2'], chAhv),
  rule('ch-ahv', ['d13'], chAhv, ['ahv', 'avs', 'oasi', 'navs', 'swiss', 'schweiz']),
  rule('cz-birth-number', ['d6/d4'], czBirth),
  rule('cz-birth-number', ['d10', 'd6/d3', 'd9'], czBirth, ['rodné', 'rodne', 'rodn', 'birth number', 'czech', 'slovak', 'rč ']),
  rule('de-tax-id', ['d11', 'd2 d3 d3 d3', 'd3 d3 d3 d2'], deTaxId, [
    'steuer',
    'idnr',
    'tax id',
    'tax_id',
    'taxid',
    'tin',
    'german',
    'identifikationsnummer',
    'tax number',
    'id-nr',
    'de-tax',
  ]),
  rule('dk-cpr', ['d6-d4', 'd10', 'd6 d4'], dkCpr, ['cpr', 'danish', 'denmark', 'personnr', 'cpr-nr', 'cprnr']),
  rule('ee-personal-code', ['d11'], eePersonal, ['isikukood', 'asmens kodas', 'estonia', 'lithuania', 'personal code', 'personal_code']),
  rule('es-dni', ['d8a1', 'd8-a1', 'd2.d3.d3-a1', 'd2.d3.d3a1'], upper(esDni)),
  rule('es-dni', ['d8a1', 'd8-a1', 'd8 a1'], esDni, ['dni', 'nif', 'documento nacional', 'spanish', 'españa']),
  rule('es-nie', ['a1d7a1', 'a1-d7-a1', 'a1-d7a1'], upper(esNie)),
  rule('fi-hetu', ['d6-d3a1', 'd6-d4', 'd6a1d3a1', 'd6a1d4'], upper(fiHetu)),
  rule(
    'fr-nir',
    ['d15', 'd13 d2', 'd1 d2 d2 d2 d3 d3 d2', 'd6a1d8', 'd1 d2 d2 d1a1 d3 d3 d2', 'd1-d2-d2-d2-d3-d3-d2', 'd1.d2.d2.d2.d3.d3.d2'],
    frNir,
  ),
  rule('gr-amka', ['d11'], grAmka, ['amka', 'αμκα', 'greek', 'greece']),
  rule('hr-oib', ['d11'], hrOib, ['oib', 'croatia', 'osobni']),
  rule('ie-pps', ['d7a1', 'd7a2', 'd7 a1', 'd7 a2'], iePps, ['pps', 'ppsn', 'personal public', 'irish', 'rsi']),
  rule('it-codice-fiscale', ['a6d2a1d2a1d3a1', 'a3 a3 d2a1d2 a1d3a1'], itCodiceFiscale),
  rule('nl-bsn', ['d9', 'd4.d2.d3', 'd3 d3 d3', 'd4 d2 d3', 'd3.d3.d3', 'd3-d3-d3'], nlBsn, [
    'bsn',
    'burgerservice',
    'sofi',
    'sofinummer',
    'citizen service',
    'dutch',
  ]),
  rule('no-birth-number', ['d6 d5', 'd11', 'd6-d5'], noBirth),
  rule('pl-pesel', ['d11'], plPesel, ['pesel', 'polish', 'poland']),
  rule('pt-nif', ['d9', 'd3 d3 d3', 'd3.d3.d3'], ptNif, ['nif', 'contribuinte', 'nipc', 'portug', 'número fiscal', 'numero fiscal']),
  rule('ro-cnp', ['d13'], roCnp, ['cnp', 'cod numeric', 'romania', 'cod_numeric']),
  rule('ru-snils', ['d3-d3-d3 d2', 'd3-d3-d3-d2'], ruSnils),
  rule('ru-snils', ['d11', 'd3 d3 d3 d2'], ruSnils, ['snils', 'снилс', 'russia']),
  rule('se-personnummer', ['d6-d4', 'd8-d4'], sePersonnummer),
  rule('se-personnummer', ['d10', 'd12', 'd6 d4'], sePersonnummer, [
    'personnummer',
    'personnr',
    'swedish',
    'sweden',
    'svensk',
    'samordningsnummer',
    'pnr',
  ]),
  rule('tr-tckn', ['d11'], trTckn, ['tckn', 'tc kimlik', 'kimlik', 't.c.', 'turkish', 'tc no']),
  rule('uk-nhs-number', ['d3 d3 d4', 'd10', 'd3-d3-d4'], nhs, ['nhs', 'national health', 'patient']),
  rule('uk-nino', ['a2d6a1', 'a2 d2 d2 d2 a1', 'a2 d6 a1', 'a2-d2-d2-d2-a1', 'a2 d6a1', 'a2d6 a1'], nino),
];
