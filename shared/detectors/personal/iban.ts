/** International bank account numbers: country, its length, mod 97. @see ISO 13616-1 */
import { ALNUM, is } from '../bytes.ts';
import { mod97 } from '../checksums.ts';
import type { WordHook } from '../forms.ts';
import { PRIORITY, type Scan } from '../span.ts';

/** Length by country, from the registry's release of 2024. */
const LENGTHS: ReadonlyMap<string, number> = new Map(
  (
    'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 ' +
    'GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 ' +
    'MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 ' +
    'VG24 XK20 YE30'
  )
    .split(' ')
    .map(entry => [entry.slice(0, 2), Number(entry.slice(2))]),
);

/** Looks at a word that begins with two letters and two digits; groups may be separated by single spaces or hyphens. */
export const ibanWord: WordHook = { words: 'letters-first', begins: 'iban', countries: [...LENGTHS.keys()], run: matchIban };

function matchIban(scan: Scan, start: number): boolean {
  const { bytes } = scan;
  const a = scan.byte(start);
  const b = scan.byte(start + 1);
  const c = scan.byte(start + 2);
  const d = scan.byte(start + 3);
  if (c < 48 || c > 57 || d < 48 || d > 57) return false;
  const country = String.fromCharCode(a, b).toUpperCase();
  const length = LENGTHS.get(country);
  if (length === undefined) return false;
  let text = '';
  let i = start;
  let separators = 0;
  let separator = -1;
  while (i < scan.end && text.length < length) {
    const byte = bytes[i] as number;
    if (is(byte, ALNUM)) text += String.fromCharCode(byte >= 97 ? byte - 32 : byte);
    else if ((byte === 32 || byte === 45 || byte === 46) && is(scan.byte(i + 1), ALNUM) && (separator < 0 || separator === byte)) {
      separator = byte;
      separators++;
    } else return false;
    i++;
  }
  if (text.length !== length || separators > 10) return false;
  if (!scan.wire && (is(scan.byte(i), ALNUM) || scan.byte(start - 1) === 95)) return false;
  // Small letters only when the whole is written small.
  if (a >= 97 !== b >= 97) return false;
  if (mod97(text.slice(4) + text.slice(0, 4)) !== 1) return false;
  scan.add(start, i, 'iban', PRIORITY.checked + 5);
  return true;
}
