/**
 * Passport numbers of letters and digits in any order, as Germany's and others' are: only right behind the word.
 *
 * Those of digits with a few letters before or after them are forms (national-ids-world.ts), found wherever the word is near.
 */
import { ALNUM, DIGIT, is, LOWER } from '../bytes.ts';
import type { LiteralRule } from '../rule.ts';
import { PRIORITY, type Scan } from '../span.ts';

const WORDS = ['passport', 'passeport', 'reisepass', 'pasaporte', 'passaporto', 'passaporte', 'paspoort', 'passnummer'];
/** `Passport No.: `, `passport_number = "`, `Reisepass-Nr. `. */
const BETWEEN_BYTES_MAX = 24;
const LENGTH_MIN = 7;
const LENGTH_MAX = 9;

function matchPassport(scan: Scan, at: number): void {
  const limit = Math.min(scan.end, at + BETWEEN_BYTES_MAX);
  let i = at;
  while (i < limit) {
    if (!is(scan.byte(i), ALNUM)) {
      i++;
      continue;
    }
    const start = i;
    let digits = 0;
    let lowers = 0;
    while (i < scan.end && i - start <= LENGTH_MAX + 1 && is(scan.byte(i), ALNUM)) {
      if (is(scan.byte(i), DIGIT)) digits++;
      if (is(scan.byte(i), LOWER)) lowers++;
      i++;
    }
    // The words of the name go on: `number`, `no`, `issued`.
    if (digits === 0) continue;
    const length = i - start;
    const longest = scan.wire ? LENGTH_MAX + 1 : LENGTH_MAX;
    if (length >= LENGTH_MIN && length <= longest && lowers === 0 && digits >= 2 && (scan.wire || digits < length))
      scan.add(start, i, 'passport', PRIORITY.checked);
    return;
  }
}

export const passport: readonly LiteralRule[] = WORDS.map(literal => ({
  detector: 'passport',
  literal,
  fold: true,
  match: (scan, at) => matchPassport(scan, at + literal.length),
}));
