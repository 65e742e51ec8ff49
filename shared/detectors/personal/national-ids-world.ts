/** National and tax identifiers outside of Europe; the columns are those of national-ids-europe.ts. */
import { luhn, verhoeff, weighted } from '../checksums.ts';
import type { FormRule, Phrase } from '../rule.ts';
import { isDay, isDdmmyy, isYymmdd, two } from './dates.ts';
import { isUpper, rule } from './national-ids-europe.ts';

type Check = (digits: number[], text: string, phrase: Phrase) => boolean;

const at = (digits: readonly number[], index: number): number => digits[index] as number;
const isRepeated = (digits: readonly number[]): boolean => digits.every(digit => digit === digits[0]);
const upper =
  (check: Check): Check =>
  (digits, text, phrase) =>
    check(digits, text, phrase) && isUpper(phrase);

const arCuit: Check = d => {
  if (![20, 23, 24, 25, 26, 27, 30, 33, 34].includes(two(d, 0))) return false;
  const check = 11 - (weighted(d, [5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11);
  return (check === 11 ? 0 : check === 10 ? 9 : check) === at(d, 10);
};
const auMedicare: Check = d => at(d, 0) >= 2 && at(d, 0) <= 6 && weighted(d, [1, 3, 7, 9, 1, 3, 7, 9]) % 10 === at(d, 8);
const auTfn: Check = d =>
  d.length === 9
    ? weighted(d, [1, 4, 3, 7, 5, 8, 6, 9, 10]) % 11 === 0 && !isRepeated(d)
    : weighted(d, [10, 7, 8, 4, 6, 3, 5, 1]) % 11 === 0;
const brCheck = (d: readonly number[], weights: readonly number[]): number => {
  const rest = weighted(d, weights) % 11;
  return rest < 2 ? 0 : 11 - rest;
};
const brCpf: Check = d =>
  !isRepeated(d) && brCheck(d, [10, 9, 8, 7, 6, 5, 4, 3, 2]) === at(d, 9) && brCheck(d, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) === at(d, 10);
const brCnpj: Check = d =>
  !isRepeated(d) &&
  brCheck(d, [5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) === at(d, 12) &&
  brCheck(d, [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) === at(d, 13);
const caSin: Check = d => d[0] !== 0 && d[0] !== 8 && luhn(d) && !isRepeated(d);
const caSinOld: Check = d => luhn(d) && !isRepeated(d);
const clRut: Check = (_d, text) => {
  const body = text.slice(0, -1);
  if (!/^\d{7,8}$/.test(body)) return false;
  let sum = 0;
  for (let i = body.length - 1, weight = 2; i >= 0; i--) {
    sum += Number(body.charAt(i)) * weight;
    weight = weight === 7 ? 2 : weight + 1;
  }
  const check = 11 - (sum % 11);
  return (check === 11 ? '0' : check === 10 ? 'K' : String(check)) === text.at(-1);
};
const cnResident: Check = (_d, text) => {
  const digits = Array.from(text.slice(0, 17), Number);
  const province = two(digits, 0);
  if (province < 11 || province > 83 || text.length !== 18) return false;
  const year = two(digits, 6) * 100 + two(digits, 8);
  if (year < 1900 || year > 2100 || !isDay(two(digits, 10), two(digits, 12))) return false;
  return '10X98765432'.charAt(weighted(digits, [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) % 11) === text[17];
};
const hkId: Check = (_d, text) => {
  const padded = text.length === 8 ? ` ${text}` : text;
  let sum = 0;
  for (let i = 0; i < 8; i++) {
    const character = padded.charAt(i);
    const value = character === ' ' ? 36 : character >= 'A' ? character.charCodeAt(0) - 55 : Number(character);
    sum += value * (9 - i);
  }
  const check = (11 - (sum % 11)) % 11;
  return (check === 10 ? 'A' : String(check)) === padded[8];
};
const idNik: Check = d =>
  two(d, 0) >= 11 && two(d, 0) <= 96 && isDdmmyy(d, 6, [0], [0, 40]) && !(d[12] === 0 && d[13] === 0 && d[14] === 0 && d[15] === 0);
const ilId: Check = d => luhn(d) && !isRepeated(d);
/** Three groups of four that go on are a card's. */
const aadhaar: Check = (d, _text, { scan, end }) =>
  at(d, 0) >= 2 && verhoeff(d) && !isRepeated(d) && !(scan.byte(end) === 32 && scan.byte(end + 1) >= 48 && scan.byte(end + 1) <= 57);
const inPan: Check = (_d, text) => /^[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]$/.test(text);
const jpMyNumber: Check = d => {
  let sum = 0;
  for (let n = 1; n <= 11; n++) sum += at(d, 11 - n) * (n <= 6 ? n + 1 : n - 5);
  const rest = sum % 11;
  return (rest <= 1 ? 0 : 11 - rest) === at(d, 11) && !isRepeated(d);
};
const krDated: Check = d => isYymmdd(d, 0) && at(d, 6) >= 1 && at(d, 6) <= 8;
const krRrn: Check = (d, text, phrase) =>
  krDated(d, text, phrase) && (11 - (weighted(d, [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]) % 11)) % 10 === at(d, 12);
const CURP_ALPHABET = '0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ';
const mxCurp: Check = (_d, text) => {
  if (!/^[A-Z][AEIOUX][A-Z]{2}\d{6}[HMX][A-Z]{2}[B-DF-HJ-NP-TV-Z]{3}[A-Z0-9]\d$/.test(text)) return false;
  if (!isYymmdd(Array.from(text.slice(4, 10), Number), 0)) return false;
  let sum = 0;
  for (let i = 0; i < 17; i++) sum += CURP_ALPHABET.indexOf(text.charAt(i)) * (18 - i);
  return (10 - (sum % 10)) % 10 === Number(text[17]);
};
const myNric: Check = d => isYymmdd(d, 0) && two(d, 6) >= 1 && two(d, 6) !== 17 && two(d, 6) !== 18 && two(d, 6) !== 19 && two(d, 6) !== 20;
const nzIrd: Check = d => {
  const padded = d.length === 8 ? [0, ...d] : d;
  const check = (weights: readonly number[]): number => (11 - (weighted(padded, weights) % 11)) % 11;
  let value = check([3, 2, 7, 6, 5, 4, 3, 2]);
  if (value === 10) value = check([7, 4, 3, 2, 5, 2, 7, 6]);
  return value === at(padded, 8);
};
const sgNric: Check = (d, text) => {
  const kind = text.charAt(0);
  const sum = weighted(d, [2, 7, 6, 5, 4, 3, 2]);
  if (kind === 'S' || kind === 'T') return 'JZIHGFEDCBA'.charAt((sum + (kind === 'T' ? 4 : 0)) % 11) === text[8];
  if (kind === 'F' || kind === 'G') return 'XWUTRQPNMLK'.charAt((sum + (kind === 'G' ? 4 : 0)) % 11) === text[8];
  if (kind === 'M') return 'KLJNPQRTUWX'.charAt(10 - ((sum + 3) % 11)) === text[8];
  return false;
};
const thId: Check = d => at(d, 0) >= 1 && (11 - (weighted(d, [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11)) % 10 === at(d, 12);
const TW_LETTERS = 'ABCDEFGHJKLMNPQRSTUVXYWZIO';
const twId: Check = (d, text) => {
  const code = TW_LETTERS.indexOf(text.charAt(0)) + 10;
  if (code < 10 || ![1, 2, 8, 9].includes(at(d, 0))) return false;
  return (Math.floor(code / 10) + (code % 10) * 9 + weighted(d, [8, 7, 6, 5, 4, 3, 2, 1, 1])) % 10 === 0;
};
const zaId: Check = d => isYymmdd(d, 0) && at(d, 10) <= 2 && luhn(d);

export const world: readonly FormRule[] = [
  rule('ar-cuit', ['d2-d8-d1'], arCuit),
  rule('ar-cuit', ['d11'], arCuit, ['cuit', 'cuil', 'argentin']),
  rule('au-medicare', ['d4 d5 d1', 'd10', 'd4-d5-d1', 'd11'], auMedicare, ['medicare', 'irn']),
  rule('au-tfn', ['d3 d3 d3', 'd9', 'd8', 'd3-d3-d3', 'd3 d3 d2'], auTfn, ['tfn', 'tax file']),
  rule('br-cnpj', ['d2.d3.d3/d4-d2'], brCnpj),
  rule('br-cnpj', ['d14', 'd8/d4-d2'], brCnpj, ['cnpj', 'brazil', 'brasil']),
  rule('br-cpf', ['d3.d3.d3-d2'], brCpf),
  rule('br-cpf', ['d11', 'd9-d2', 'd3 d3 d3 d2'], brCpf, ['cpf', 'brazil', 'brasil', 'cadastro']),
  rule('ca-sin', ['d3 d3 d3', 'd3-d3-d3', 'd9'], caSinOld, ['sin', 'social insurance', 'social_insurance', 'nas', 'canad']),
  rule('ca-sin', ['d3-d3-d3'], caSin, ['insurance', 'employee']),
  rule('cl-rut', ['d2.d3.d3-d1', 'd2.d3.d3-a1', 'd1.d3.d3-d1', 'd1.d3.d3-a1'], clRut),
  rule('cl-rut', ['d8-d1', 'd8-a1', 'd7-d1', 'd7-a1'], clRut, ['rut', 'run', 'chile']),
  rule('cn-resident-id', ['d18', 'd17a1'], cnResident),
  rule('hk-id', ['a1d7', 'a2d7'], hkId, ['hkid', 'hong kong', 'hk id', 'hk-id', '香港']),
  rule('id-nik', ['d16'], idNik, ['nik', 'ktp', 'kependudukan', 'indonesia']),
  rule('il-id', ['d9'], ilId, ['israel', 'teudat', 'zehut', 'תעודת', 'ת.ז', 'il id']),
  rule('in-aadhaar', ['d4 d4 d4'], aadhaar),
  rule('in-aadhaar', ['d12', 'd4-d4-d4'], aadhaar, ['aadhaar', 'aadhar', 'uidai', 'uid', 'आधार']),
  // An individual's: the letter P in the fourth place.
  rule(
    'in-pan',
    ['a5d4a1'],
    upper((_d, text) => text[3] === 'P' && text.slice(5, 9) !== '0000'),
  ),
  rule('in-pan', ['a5d4a1'], upper(inPan), ['pan', 'permanent account', 'income tax', 'pan_number', 'pancard', 'tax']),
  rule('jp-my-number', ['d12', 'd4 d4 d4', 'd4-d4-d4'], jpMyNumber, [
    'my number',
    'mynumber',
    'my_number',
    'マイナンバー',
    '個人番号',
    'individual number',
    'japan',
  ]),
  rule('kr-rrn', ['d6-d7'], krRrn),
  rule('kr-rrn', ['d6-d7', 'd13'], krDated, ['rrn', '주민', 'resident registration', 'korea', 'jumin']),
  rule('mx-curp', ['a4d6a6d2', 'a4d6a7d1'], mxCurp),
  rule('my-nric', ['d6-d2-d4'], myNric),
  rule('my-nric', ['d12'], myNric, ['mykad', 'nric', 'malaysia', 'kad pengenalan', 'ic no']),
  rule('nz-ird', ['d3-d3-d3', 'd2-d3-d3', 'd8', 'd9', 'd3 d3 d3', 'd2 d3 d3'], nzIrd, ['ird', 'inland revenue']),
  rule('sg-nric', ['a1d7a1'], upper(sgNric)),
  rule('th-id', ['d1-d4-d5-d2-d1', 'd1 d4 d5 d2 d1'], thId),
  rule('th-id', ['d13'], thId, ['thai', 'บัตรประชาชน', 'เลขประจำตัว']),
  rule('tw-id', ['a1d9'], twId, ['taiwan', '身分證', '身份證', 'national id', 'tw id', 'roc id']),
  rule('za-id', ['d13', 'd6 d4 d3', 'd6 d4 d2 d1'], zaId, [
    'south africa',
    'za id',
    'rsa id',
    'sa id',
    'id number',
    'id no',
    'identity number',
    'id_number',
    'idnumber',
    'national id',
  ]),
  rule(
    'passport',
    ['d9', 'd8', 'a1d8', 'a2d7', 'a1d7', 'a2d6', 'a1d6', 'a3d6', 'd2a2d5', 'a1d2a1d5', 'a1d9'],
    (d, _text, phrase) => isUpper(phrase) && !isRepeated(d),
    ['passport', 'passeport', 'reisepass', 'pasaporte', 'passaporto', 'passnummer', 'paspoort', 'passaporte'],
  ),
];
