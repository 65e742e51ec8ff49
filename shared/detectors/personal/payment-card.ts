/** Payment card numbers: issuer range, length, Luhn. @see ISO/IEC 7812 */
import { luhn } from '../checksums.ts';
import { hasContext, registerContext } from '../context.ts';
import type { FormRule } from '../rule.ts';
import { PRIORITY } from '../span.ts';

const CONTEXT = [
  'card',
  'visa',
  'mastercard',
  'amex',
  'credit',
  'debit',
  'payment',
  'pan',
  'cc:',
  'cc=',
  'cc_',
  'ccn',
  'ccnum',
  'maestro',
  'cvv',
  'cvc',
  'exp',
];

registerContext(CONTEXT);

/** Whether an issuer hands out numbers with this beginning in this length. */
export function isIssued(digits: readonly number[]): 'yes' | 'rare' | 'no' {
  const length = digits.length;
  const prefix = (count: number): number => {
    let value = 0;
    for (let i = 0; i < count; i++) value = value * 10 + (digits[i] as number);
    return value;
  };
  const one = prefix(1);
  const two = prefix(2);
  const three = prefix(3);
  const four = prefix(4);
  const six = prefix(6);
  if (one === 4) return length === 16 ? 'yes' : length === 13 || length === 19 ? 'rare' : 'no';
  if ((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720)) return length === 16 ? 'yes' : 'no';
  if (two === 34 || two === 37) return length === 15 ? 'yes' : 'no';
  if (four === 6011 || two === 65 || (three >= 644 && three <= 649)) return length === 16 ? 'yes' : length === 19 ? 'rare' : 'no';
  if (four >= 3528 && four <= 3589) return length === 16 ? 'yes' : length === 19 ? 'rare' : 'no';
  if ((three >= 300 && three <= 305) || three === 309 || two === 36 || two === 38 || two === 39) {
    return length === 14 ? 'yes' : length === 16 || length === 19 ? 'rare' : 'no';
  }
  if (two === 62 || two === 81) return length === 16 ? 'yes' : length >= 17 && length <= 19 ? 'rare' : 'no';
  if (four >= 2200 && four <= 2204) return length === 16 ? 'yes' : 'no'; // Mir
  if (six === 606282 || six === 438935 || six === 636297 || six === 506699) return length === 16 ? 'yes' : 'no'; // Hipercard, Elo
  if (two === 60 || two === 82 || three === 508) return length === 16 ? 'rare' : 'no'; // RuPay
  if (two === 50 || (two >= 56 && two <= 58) || two === 63 || two === 67) return length >= 13 && length <= 19 ? 'rare' : 'no'; // Maestro
  return 'no';
}

function isCard(digits: readonly number[]): boolean {
  if (!luhn(digits)) return false;
  for (let i = 1; i < digits.length; i++) if (digits[i] !== digits[0]) return true;
  return false;
}

export const paymentCard: readonly FormRule[] = [
  {
    detector: 'payment-card',
    forms: [
      ...[14, 15, 16].map(length => `d${length}`),
      'd4 d4 d4 d4',
      'd4-d4-d4-d4',
      'd4/d4/d4/d4',
      'd4 d6 d5',
      'd4-d6-d5',
      'd4 d6 d4',
      'd4-d6-d4',
      'd4 d4 d4 d2',
      'd4 d4 d4 d3',
      'd4-d4-d4-d3',
    ],
    check: phrase => {
      const issued = isIssued(phrase.digits);
      if (issued === 'no' || !isCard(phrase.digits)) return false;
      return issued === 'yes' || hasContext(phrase.scan, phrase.start, phrase.end, CONTEXT);
    },
    priority: PRIORITY.checked,
  },
  {
    // Rare lengths, and forms that other numbers have as well.
    detector: 'payment-card',
    forms: [
      ...[13, 17, 18, 19].map(length => `d${length}`),
      'd4.d4.d4.d4',
      'd4 d4 d4 d1',
      'd4 d3 d3 d3',
      'd4 d4 d4 d4 d3',
      'd4-d4-d4-d4-d3',
      'd6 d13',
      'd8 d8',
    ],
    context: CONTEXT,
    check: phrase => isIssued(phrase.digits) !== 'no' && isCard(phrase.digits),
    priority: PRIORITY.checked,
  },
];
