/** United States: social security number, individual taxpayer number, passport. */

import type { FormRule } from '../rule.ts';
import { PRIORITY } from '../span.ts';

const SSN_CONTEXT = [
  'ssn',
  'ssns',
  'social security',
  'socialsecurity',
  'social_security',
  'social-security',
  'social sec',
  'soc sec',
  'taxpayer',
  'tax id',
  'tax_id',
  'taxid',
  'tin',
];
const ITIN_CONTEXT = ['itin', 'taxpayer', 'tax id', 'tax_id', 'taxid', 'tin', 'ssn'];

/** Numbers that were printed in advertisements and are void. */
const VOID_SSNS = new Set(['078051120', '219099999', '457555462']);

/**
 * Area 001–899 without 666, group 01–99, serial 0001–9999. Since 2011 areas are random, so there is nothing more to check.
 * @see https://www.ssa.gov/employer/randomization.html
 */
export function isSsn(digits: readonly number[]): boolean {
  const area = (digits[0] as number) * 100 + (digits[1] as number) * 10 + (digits[2] as number);
  if (area === 0 || area === 666 || area >= 900) return false;
  if (digits[3] === 0 && digits[4] === 0) return false;
  if (digits[5] === 0 && digits[6] === 0 && digits[7] === 0 && digits[8] === 0) return false;
  return !VOID_SSNS.has(digits.join('')) && digits.some(digit => digit !== digits[0]);
}

/** 9xx, and a group that the IRS hands out. */
export function isItin(digits: readonly number[]): boolean {
  if (digits[0] !== 9) return false;
  const group = (digits[3] as number) * 10 + (digits[4] as number);
  return (group >= 50 && group <= 65) || (group >= 70 && group <= 88) || (group >= 90 && group <= 92) || (group >= 94 && group <= 99);
}

export const us: readonly FormRule[] = [
  { detector: 'us-ssn', forms: ['d3-d2-d4'], check: ({ digits }) => isSsn(digits), priority: PRIORITY.checked },
  {
    detector: 'us-ssn',
    forms: ['d3 d2 d4'],
    check: phrase => isSsn(phrase.digits),
    priority: PRIORITY.checked,
  },
  {
    detector: 'us-ssn',
    forms: ['d9', 'd3.d2.d4', 'd3/d2/d4', 'd3-d6'],
    check: ({ digits }) => isSsn(digits),
    context: SSN_CONTEXT,
    priority: PRIORITY.checked + 2,
  },
  { detector: 'us-itin', forms: ['d3-d2-d4'], check: ({ digits }) => isItin(digits), priority: PRIORITY.checked },
  {
    detector: 'us-itin',
    forms: ['d9', 'd3 d2 d4'],
    check: ({ digits }) => isItin(digits),
    context: ITIN_CONTEXT,
    priority: PRIORITY.checked + 2,
  },
  {
    detector: 'us-passport',
    forms: ['d9', 'a1d8'],
    check: () => true,
    context: ['us passport', 'u.s. passport', 'usa passport', 'american passport', 'us_passport', 'passport_us'],
    priority: PRIORITY.checked + 3,
  },
];
