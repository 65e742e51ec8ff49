/**
 * Synthetic values with valid check digits, from a seed: what the labelled set and the tests look for. Vendors' marks are put
 * together at run time, so that nothing in this file looks like a credential, and none of the values is anybody's.
 */
import { base62, crc32, luhn, mod97, verhoeff } from './checksums.ts';

/** Makes numbers in [0, 1). */
export type Random = () => number;

/** mulberry32: small, and the same everywhere. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const LOWER = 'abcdefghijklmnopqrstuvwxyz';
const DIGITS = '0123456789';
const ALNUM = LOWER + LOWER.toUpperCase() + DIGITS;

/** Draws from a random source. */
export class Draw {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  below(n: number): number {
    return Math.floor(this.#random() * n);
  }

  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  chars(alphabet: string, n: number): string {
    let text = '';
    for (let i = 0; i < n; i++) text += alphabet.charAt(this.below(alphabet.length));
    return text;
  }

  digits(n: number): string {
    return this.chars(DIGITS, n);
  }

  hex(n: number): string {
    return this.chars('0123456789abcdef', n);
  }

  alnum(n: number): string {
    return this.chars(ALNUM, n);
  }

  lowerAlnum(n: number): string {
    return this.chars(LOWER + DIGITS, n);
  }

  upperAlnum(n: number): string {
    return this.chars(LOWER.toUpperCase() + DIGITS, n);
  }

  base64url(n: number): string {
    return this.alnum(1) + this.chars(`${ALNUM}-_`, n - 2) + this.alnum(1);
  }

  base64(n: number): string {
    return this.chars(`${ALNUM}+/`, n);
  }

  uuid(): string {
    return `${this.hex(8)}-${this.hex(4)}-4${this.hex(3)}-${this.pick(['8', '9', 'a', 'b'])}${this.hex(3)}-${this.hex(12)}`;
  }

  pad(n: number, width: number): string {
    return String(n).padStart(width, '0');
  }
}

function withLuhn(prefix: string, length: number, draw: Draw): string {
  const body = prefix + draw.digits(length - 1 - prefix.length);
  for (let check = 0; check < 10; check++) if (luhn(Array.from(`${body}${check}`, Number))) return `${body}${check}`;
  return body;
}

function weightedSum(text: string, weights: readonly number[]): number {
  return weights.reduce((sum, weight, i) => sum + weight * Number(text.charAt(i)), 0);
}

/** Tries until the maker gives a value. */
function until(make: () => string | undefined): string {
  for (;;) {
    const value = make();
    if (value !== undefined) return value;
  }
}

const yymmdd = (draw: Draw): string =>
  `${draw.pad(draw.between(40, 99), 2)}${draw.pad(draw.between(1, 12), 2)}${draw.pad(draw.between(1, 28), 2)}`;
const ddmmyy = (draw: Draw): string =>
  `${draw.pad(draw.between(1, 28), 2)}${draw.pad(draw.between(1, 12), 2)}${draw.pad(draw.between(40, 99), 2)}`;

export function card(draw: Draw): string {
  const [prefix, length] = draw.pick<[string, number]>([
    ['4', 16],
    ['4', 16],
    [String(draw.between(51, 55)), 16],
    [String(draw.between(2221, 2720)), 16],
    ['37', 15],
    ['34', 15],
    ['6011', 16],
    ['65', 16],
    ['36', 14],
    ['3530', 16],
    ['62', 16],
  ]);
  const number = withLuhn(prefix, length, draw);
  const style = draw.below(3);
  if (style === 0) return number;
  const separator = style === 1 ? ' ' : '-';
  const groups = length === 15 ? [4, 6, 5] : length === 14 ? [4, 6, 4] : [4, 4, 4, 4];
  const parts: string[] = [];
  let at = 0;
  for (const size of groups) {
    parts.push(number.slice(at, at + size));
    at += size;
  }
  return parts.join(separator);
}

export function ssn(draw: Draw): string {
  const area = until(() => {
    const value = draw.between(1, 899);
    return value === 666 ? undefined : draw.pad(value, 3);
  });
  return `${area}-${draw.pad(draw.between(1, 99), 2)}-${draw.pad(draw.between(1, 9999), 4)}`;
}

export function iban(draw: Draw): string {
  const [country, body] = draw.pick<[string, string]>([
    ['DE', draw.digits(18)],
    ['FR', draw.digits(23)],
    ['GB', `${draw.chars(LOWER.toUpperCase(), 4)}${draw.digits(14)}`],
    ['NL', `${draw.chars(LOWER.toUpperCase(), 4)}${draw.digits(10)}`],
    ['ES', draw.digits(20)],
    ['IT', `${draw.chars(LOWER.toUpperCase(), 1)}${draw.digits(22)}`],
    ['CH', draw.digits(17)],
    ['NO', draw.digits(11)],
    ['PL', draw.digits(24)],
  ]);
  const compact = `${country}${draw.pad(98 - mod97(`${body}${country}00`), 2)}${body}`;
  return draw.below(2) === 0 ? compact : compact.replace(/(.{4})(?=.)/g, '$1 ');
}

const FIRST = [
  'alice',
  'bob',
  'carol',
  'dave',
  'erin',
  'frank',
  'grace',
  'heidi',
  'ivan',
  'judy',
  'mallory',
  'niaj',
  'olivia',
  'peggy',
  'rupert',
  'sybil',
  'trent',
  'victor',
];
const LAST = [
  'smith',
  'jones',
  'mueller',
  'garcia',
  'rossi',
  'dubois',
  'tanaka',
  'kowalski',
  'olsen',
  'silva',
  'khan',
  'novak',
  'okafor',
  'brown',
];
const DOMAINS = [
  'example.com',
  'example.org',
  'mail.example.net',
  'corp.example.co.uk',
  'example.de',
  'acme-mail.example.io',
  'gmail.com',
  'sub.dept.example.edu',
];

export function personName(draw: Draw): string {
  const capital = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);
  return `${capital(draw.pick(FIRST))} ${capital(draw.pick(LAST))}`;
}

export function email(draw: Draw): string {
  const local = draw.pick([
    () => draw.pick(FIRST),
    () => `${draw.pick(FIRST)}.${draw.pick(LAST)}`,
    () => `${draw.pick(FIRST)}_${draw.pick(LAST)}${draw.below(100)}`,
    () => `${draw.pick(FIRST)}+${draw.pick(['news', 'shop', 'test1'])}`,
    () => `${draw.pick(FIRST).charAt(0)}${draw.pick(LAST)}`,
    () => `${draw.pick(FIRST)}-${draw.pick(LAST)}`,
  ])();
  const address = `${local}@${draw.pick(DOMAINS)}`;
  return draw.below(10) === 0 ? address.toUpperCase() : address;
}

export function phone(draw: Draw): string {
  const area = (): string => draw.pick(['212', '415', '206', '312', '617', '303', '512', '702']);
  const exchange = (): string => `${draw.between(2, 9)}${draw.digits(2)}`;
  return draw.pick([
    () => `+1 ${area()}-${exchange()}-${draw.digits(4)}`,
    () => `(${area()}) ${exchange()}-${draw.digits(4)}`,
    () => `${area()}-${exchange()}-${draw.digits(4)}`,
    () => `+44 20 7946 0${draw.digits(3)}`,
    () => `+44 7700 900${draw.digits(3)}`,
    () => `+49 30 ${draw.between(200, 899)}${draw.digits(5)}`,
    () => `+33 6 ${draw.between(10, 99)} ${draw.digits(2)} ${draw.digits(2)} ${draw.digits(2)}`,
    () => `+4915${draw.between(1, 2)}${draw.digits(8)}`,
    () => `+1${area()}${exchange()}${draw.digits(4)}`,
  ])();
}

export function ipAddress(draw: Draw): string {
  if (draw.below(4) > 0)
    return draw.pick([
      `203.0.113.${draw.below(256)}`,
      `10.${draw.below(256)}.${draw.below(256)}.${draw.between(1, 254)}`,
      `192.168.${draw.below(256)}.${draw.between(1, 254)}`,
      `${draw.between(11, 99)}.${draw.below(256)}.${draw.below(256)}.${draw.below(256)}`,
    ]);
  return draw.pick([
    `2001:db8::${draw.hex(4)}`,
    `2001:0db8:85a3:0000:0000:8a2e:0370:${draw.hex(4)}`,
    `fe80::${draw.hex(4)}:${draw.hex(4)}:${draw.hex(4)}:${draw.hex(4)}`,
  ]);
}

export function jwt(draw: Draw): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: draw.pick(['HS256', 'RS256', 'ES256']), typ: 'JWT' })}.${part({ sub: draw.digits(10), iat: 1700000000 + draw.below(1e7), name: personName(draw) })}.${draw.base64url(43)}`;
}

export function privateKeyBlock(draw: Draw): string {
  const kind = draw.pick(['RSA ', 'EC ', 'OPENSSH ', '', 'ENCRYPTED ', 'DSA ']);
  const label = `${kind}${['PRIVATE', 'KEY'].join(' ')}`;
  const newline = draw.pick(['\n', '\n', '\\n']);
  const lines = Array.from({ length: draw.between(3, 12) }, () => draw.base64(64));
  return [`-----BEGIN ${label}-----`, ...lines, `${draw.base64(42)}==`, `-----END ${label}-----`].join(newline);
}

const githubToken = (draw: Draw): string => {
  const kind = draw.pick(['p', 'o', 'u', 's', 'r']);
  const body = draw.alnum(30);
  return `gh${kind}_${body}${base62(crc32(Buffer.from(body), 0, 30), 6)}`;
};

export type Maker = (draw: Draw) => string;

/** Tokens with a vendor's mark; the mark is joined from two pieces. */
export const TOKENS: Readonly<Record<string, Maker>> = {
  'github-token': d => (d.below(5) === 0 ? `github${'_pat_'}${d.alnum(22)}_${d.alnum(59)}` : githubToken(d)),
  'aws-access-key': d => `${d.pick(['AK', 'AS'])}IA${d.chars('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 16)}`,
  'gitlab-token': d => `gl${'pat-'}${d.base64url(20)}`,
  'slack-token': d => `xox${d.pick(['b', 'p'])}-${d.digits(12)}-${d.digits(13)}-${d.alnum(24)}`,
  'slack-webhook': d => `https://hooks.${'slack.com'}/services/T${d.upperAlnum(8)}/B${d.upperAlnum(10)}/${d.alnum(24)}`,
  'stripe-key': d => `${d.pick(['sk', 'rk'])}_${d.pick(['live', 'test'])}_${d.alnum(d.pick([24, 99]))}`,
  'google-api-key': d => `AI${'za'}${d.base64url(35)}`,
  'google-oauth-secret': d => `GOC${'SPX-'}${d.base64url(28)}`,
  'google-oauth-token': d => `ya${'29.'}${d.base64url(120)}`,
  'npm-token': d => `np${'m_'}${d.alnum(36)}`,
  'pypi-token': d => `pypi-${'AgEIcHlwaS5vcmc'}${d.base64url(140)}`,
  'sendgrid-key': d => `S${'G.'}${d.base64url(22)}.${d.base64url(43)}`,
  'mailgun-key': d => `ke${'y-'}${d.hex(32)}`,
  'mailchimp-key': d => `${d.hex(32)}-us${d.between(1, 21)}`,
  'twilio-key': d => `S${'K'}${d.hex(32)}`,
  'openai-key': d => d.pick([`sk-${'proj-'}${d.base64url(124)}`, `sk-${d.alnum(20)}${'T3Blbk'}FJ${d.alnum(20)}`]),
  'anthropic-key': d => `sk-${'ant-'}api03-${d.base64url(93)}AA`,
  'huggingface-token': d => `h${'f_'}${d.alnum(34)}`,
  'digitalocean-token': d => `do${'p_v1_'}${d.hex(64)}`,
  'new-relic-key': d => `NR${'AK-'}${d.upperAlnum(27)}`,
  'shopify-token': d => `shp${d.pick(['at', 'ca', 'pa', 'ss'])}_${d.hex(32)}`,
  'square-token': d => `sq0${'atp-'}${d.base64url(22)}`,
  'telegram-bot-token': d => `${d.between(1, 9)}${d.digits(8)}:A${'A'}${d.base64url(33)}`,
  'discord-webhook': d => `https://${'discord.com'}/api/webhooks/${d.between(1, 9)}${d.digits(17)}/${d.base64url(68)}`,
  'atlassian-token': d => `ATA${'TT3x'}FfGF0${d.base64url(170)}=${d.hex(8).toUpperCase()}`,
  'linear-key': d => `lin${'_api_'}${d.alnum(40)}`,
  'notion-token': d => `nt${'n_'}${d.digits(11)}${d.alnum(35)}`,
  'figma-token': d => `fig${'d_'}${d.base64url(40)}`,
  'dropbox-token': d => `s${'l.'}${d.base64url(140)}`,
  'vault-token': d => `hv${'s.'}${d.base64url(90)}`,
  'terraform-token': d => `${d.alnum(14)}.atlas${'v1.'}${d.base64url(67)}`,
  'pulumi-token': d => `pu${'l-'}${d.hex(40)}`,
  'doppler-token': d => `dp.${'pt.'}${d.alnum(43)}`,
  'databricks-token': d => `da${'pi'}${d.hex(32)}`,
  'grafana-token': d => `gl${'sa_'}${d.alnum(32)}_${d.hex(8)}`,
  'sentry-token': d => `sntry${'u_'}${d.hex(64)}`,
  'postman-key': d => `PM${'AK-'}${d.hex(24)}-${d.hex(34)}`,
  'docker-token': d => `dckr${'_pat_'}${d.base64url(27)}`,
  'rubygems-key': d => `ruby${'gems_'}${d.hex(48)}`,
  'crates-io-token': d => `ci${'o'}${d.alnum(32)}`,
  'age-secret-key': d => `AGE-${'SECRET-KEY-1'}${d.chars('QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L', 58)}`,
  'azure-client-secret': d => `${d.alnum(3)}8${'Q~'}${d.base64url(34)}`,
  'braintree-token': d => `access_${'token$production$'}${d.lowerAlnum(16)}$${d.hex(32)}`,
  'planetscale-token': d => `pscale${'_tkn_'}${d.base64url(43)}`,
  'groq-key': d => `gs${'k_'}${d.alnum(52)}`,
  'replicate-token': d => `r${'8_'}${d.alnum(37)}`,
  'dynatrace-token': d => `dt0${'c01.'}${d.upperAlnum(24)}.${d.upperAlnum(64)}`,
  'supabase-key': d => `sb${'p_'}${d.hex(40)}`,
  'langsmith-key': d => `lsv2${'_pt_'}${d.hex(32)}_${d.hex(10)}`,
  'alibaba-access-key': d => `LT${'AI'}${d.alnum(20)}`,
  'nuget-key': d => `oy${'2'}${d.lowerAlnum(43)}`,
  'hubspot-token': d => `pat-${'na1-'}${d.uuid()}`,
  'airtable-token': d => `pa${'t'}${d.alnum(14)}.${d.hex(64)}`,
  'brevo-key': d => `xkey${'sib-'}${d.hex(64)}-${d.alnum(16)}`,
  'heroku-key': d => `HR${'KU-'}AA${d.base64url(58)}`,
  'resend-key': d => `r${'e_'}${d.alnum(8)}_${d.alnum(24)}`,
  'password-hash': d => `$2${d.pick(['a', 'b', 'y'])}$1${d.digits(1)}$${d.chars(`${ALNUM}./`, 52)}${d.alnum(1)}`,
};

const weightsTo =
  (weights: readonly number[], check: (sum: number) => number | undefined): ((body: string) => string | undefined) =>
  body => {
    const digit = check(weightedSum(body, weights));
    return digit === undefined || digit > 9 ? undefined : `${body}${digit}`;
  };

/** National ids: value, and the words around it that people write. */
export const NATIONAL: Readonly<Record<string, { make: Maker; words: readonly string[] }>> = {
  'uk-nino': {
    make: d =>
      `${d.pick(['AB', 'CE', 'JG', 'PX', 'SR', 'WM'])}${d.pick([d.digits(6), d.digits(6).replace(/(..)(..)(..)/, ' $1 $2 $3 ')])}${d.pick(['A', 'B', 'C', 'D'])}`,
    words: ['NINO', 'National Insurance number', 'insured as'],
  },
  'uk-nhs-number': {
    make: d =>
      until(() => weightsTo([10, 9, 8, 7, 6, 5, 4, 3, 2], sum => (11 - (sum % 11)) % 11)(`${d.between(4, 7)}${d.digits(8)}`)).replace(
        /(...)(...)(....)/,
        d.pick(['$1 $2 $3', '$1$2$3']),
      ),
    words: ['NHS number', 'NHS no.'],
  },
  'fr-nir': {
    make: d => {
      const body = `${d.between(1, 2)}${d.pad(d.between(40, 99), 2)}${d.pad(d.between(1, 12), 2)}${d.pad(d.between(1, 89), 2)}${d.digits(3)}${d.digits(3)}`;
      const key = d.pad(97 - Number(BigInt(body) % 97n), 2);
      return d.below(2) === 0 ? `${body}${key}` : `${body.replace(/(.)(..)(..)(..)(...)(...)/, '$1 $2 $3 $4 $5 $6')} ${key}`;
    },
    words: ['NIR', 'numéro de sécurité sociale', 'sécu'],
  },
  'it-codice-fiscale': { make: codiceFiscale, words: ['codice fiscale', 'CF'] },
  'es-dni': { make: d => withLetter(d.digits(8)), words: ['DNI', 'NIF'] },
  'es-nie': {
    make: d => {
      const first = d.below(3);
      const body = d.digits(7);
      return `${'XYZ'.charAt(first)}${body}${'TRWAGMYFPDXBNJZSQVHLCKE'.charAt(Number(`${first}${body}`) % 23)}`;
    },
    words: ['NIE'],
  },
  'nl-bsn': {
    make: d => until(() => weightsTo([9, 8, 7, 6, 5, 4, 3, 2], sum => sum % 11)(`${d.between(1, 9)}${d.digits(7)}`)),
    words: ['BSN', 'burgerservicenummer'],
  },
  'se-personnummer': { make: d => withLuhnOf(`${yymmdd(d)}${d.digits(3)}`).replace(/(.{6})/, '$1-'), words: ['personnummer', 'pnr'] },
  'pl-pesel': {
    make: d => until(() => weightsTo([1, 3, 7, 9, 1, 3, 7, 9, 1, 3], sum => (10 - (sum % 10)) % 10)(`${yymmdd(d)}${d.digits(4)}`)),
    words: ['PESEL'],
  },
  'pt-nif': {
    make: d => until(() => weightsTo([9, 8, 7, 6, 5, 4, 3, 2], sum => (sum % 11 < 2 ? 0 : 11 - (sum % 11)))(`2${d.digits(7)}`)),
    words: ['NIF', 'contribuinte'],
  },
  'in-aadhaar': {
    make: d => {
      const body = `${d.between(2, 9)}${d.digits(10)}`;
      const check = Array.from({ length: 10 }, (_, i) => i).find(digit => verhoeff(Array.from(`${body}${digit}`, Number))) ?? 0;
      return `${body}${check}`.replace(/(....)(....)(....)/, '$1 $2 $3');
    },
    words: ['Aadhaar', 'aadhaar number', 'UID'],
  },
  'in-pan': {
    make: d => `${d.chars('ABCDEFGHIJ', 3)}${d.pick(['P', 'C', 'H'])}${d.chars('ABCDEFGHIJ', 1)}${d.digits(4)}${d.chars('ABCDEFGHIJ', 1)}`,
    words: ['PAN', 'Permanent Account Number'],
  },
  'br-cpf': { make: brazilianCpf, words: ['CPF'] },
  'cn-resident-id': {
    make: d => {
      const body = `${d.pick(['110101', '310115', '440301', '510104'])}19${yymmdd(d)}${d.digits(3)}`;
      return `${body}${'10X98765432'.charAt(weightedSum(body, [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) % 11)}`;
    },
    words: ['身份证', 'resident id'],
  },
  'kr-rrn': {
    make: d => {
      const body = `${yymmdd(d)}${d.between(1, 2)}${d.digits(5)}`;
      return `${body}${(11 - (weightedSum(body, [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]) % 11)) % 10}`.replace(/(.{6})/, '$1-');
    },
    words: ['RRN', '주민등록번호'],
  },
  'au-tfn': {
    make: d => until(() => weightsTo([1, 4, 3, 7, 5, 8, 6, 9], sum => solveTfn(sum))(d.digits(8))),
    words: ['TFN', 'tax file number'],
  },
  'ca-sin': {
    make: d => withLuhn(String(d.between(1, 7)), 9, d).replace(/(...)(...)(...)/, d.pick(['$1 $2 $3', '$1-$2-$3'])),
    words: ['SIN', 'social insurance number'],
  },
  'de-tax-id': { make: germanTaxId, words: ['Steuer-ID', 'IdNr', 'Steueridentifikationsnummer'] },
  'no-birth-number': {
    make: d =>
      until(() => {
        const body = `${ddmmyy(d)}${d.digits(3)}`;
        const first = (11 - (weightedSum(body, [3, 7, 6, 1, 8, 9, 4, 5, 2]) % 11)) % 11;
        const second = (11 - ((weightedSum(body, [5, 4, 3, 2, 7, 6, 5, 4, 3]) + 2 * first) % 11)) % 11;
        return first > 9 || second > 9 ? undefined : `${body}${first}${second}`;
      }),
    words: ['fødselsnummer', 'fnr'],
  },
  'fi-hetu': {
    make: d => {
      const date = ddmmyy(d);
      const serial = d.pad(d.between(2, 899), 3);
      return `${date}-${serial}${'0123456789ABCDEFHJKLMNPRSTUVWXY'.charAt(Number(date + serial) % 31)}`;
    },
    words: ['henkilötunnus', 'hetu'],
  },
  'dk-cpr': { make: d => `${ddmmyy(d)}-${d.digits(4)}`, words: ['CPR', 'CPR-nummer'] },
  'be-national-number': {
    make: d => {
      const body = `${yymmdd(d)}${d.digits(3)}`;
      return `${body}${d.pad(97 - (Number(body) % 97), 2)}`.replace(/(..)(..)(..)(...)(..)/, '$1.$2.$3-$4.$5');
    },
    words: ['rijksregisternummer', 'NISS'],
  },
  'us-itin': { make: d => `9${d.digits(2)}-${d.pick(['70', '75', '80', '88', '90', '94'])}-${d.digits(4)}`, words: ['ITIN'] },
  'us-passport': { make: d => d.digits(9), words: ['US passport', 'us_passport'] },
  passport: { make: d => `${d.pick(['C', 'X', 'P'])}${d.digits(8)}`, words: ['passport number', 'Passport No.'] },
  'mx-curp': { make: mexicanCurp, words: ['CURP'] },
  'za-id': { make: d => withLuhnOf(`${yymmdd(d)}${d.digits(4)}08`), words: ['SA ID', 'ID number'] },
  'sg-nric': {
    make: d => {
      const body = d.digits(7);
      return `S${body}${'JZIHGFEDCBA'.charAt(weightedSum(body, [2, 7, 6, 5, 4, 3, 2]) % 11)}`;
    },
    words: ['NRIC'],
  },
};

function solveTfn(sum: number): number | undefined {
  for (let check = 0; check < 10; check++) if ((sum + 10 * check) % 11 === 0) return check;
  return undefined;
}

function withLuhnOf(body: string): string {
  for (let check = 0; check < 10; check++) if (luhn(Array.from(`${body}${check}`, Number))) return `${body}${check}`;
  return body;
}

function withLetter(body: string): string {
  return `${body}${'TRWAGMYFPDXBNJZSQVHLCKE'.charAt(Number(body) % 23)}`;
}

function brazilianCpf(d: Draw): string {
  const body = d.digits(9);
  const check = (text: string): number => {
    const rest = Array.from(text, Number).reduce((sum, digit, i) => sum + digit * (text.length + 1 - i), 0) % 11;
    return rest < 2 ? 0 : 11 - rest;
  };
  const first = check(body);
  return `${body}${first}${check(`${body}${first}`)}`.replace(/(...)(...)(...)(..)/, '$1.$2.$3-$4');
}

function germanTaxId(d: Draw): string {
  return until(() => {
    const digits = Array.from({ length: 10 }, (_, i) => i)
      .toSorted(() => d.below(2) - 0.5)
      .slice(0, 9);
    digits.splice(d.below(9), 0, d.pick(digits));
    if (digits[0] === 0 || new Set(digits).size !== 9) return undefined;
    let product = 10;
    for (const digit of digits) {
      let sum = (digit + product) % 10;
      if (sum === 0) sum = 10;
      product = (sum * 2) % 11;
    }
    return `${digits.join('')}${(11 - product) % 10}`;
  });
}

function codiceFiscale(d: Draw): string {
  const body = `${d.chars('BCDFGLMNPRST', 6)}${d.pad(d.between(40, 99), 2)}${d.pick(Array.from('ABCDEHLMPRST'))}${d.pad(d.between(1, 28), 2)}${d.chars('ABCDEFGH', 1)}${d.digits(3)}`;
  const odd = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
  let sum = 0;
  for (let i = 0; i < 15; i++) {
    const code = body.charCodeAt(i);
    const value = code <= 57 ? code - 48 : code - 65;
    sum += i % 2 === 0 ? (odd[value] as number) : value;
  }
  return `${body}${String.fromCharCode(65 + (sum % 26))}`;
}

function mexicanCurp(d: Draw): string {
  const body = `${d.chars('BCDFG', 1)}${d.chars('AEIOU', 1)}${d.chars('BCDFG', 2)}${yymmdd(d)}${d.pick(['H', 'M'])}${d.pick(['DF', 'JC', 'NL'])}${d.chars('BCDFGLMN', 3)}0`;
  const alphabet = '0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ';
  const sum = Array.from(body).reduce((total, character, i) => total + alphabet.indexOf(character) * (18 - i), 0);
  return `${body}${(10 - (sum % 10)) % 10}`;
}
