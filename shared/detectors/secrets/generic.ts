/**
 * Secrets without a form of their own: `password=…`, `api_key: …`, `Authorization: Bearer …`, and vendors' keys that only the
 * words around them give away.
 */
import {
  ALNUM,
  ALPHA,
  BASE64,
  BASE64URL,
  CLASS,
  DASH,
  DIGIT,
  DOT,
  EQUALS,
  HEX_LOWER,
  HEX_UPPER,
  is,
  LOWER,
  latin1,
  lower,
  runEnd,
  TILDE,
  UPPER,
} from '../bytes.ts';
import { entropy } from '../entropy.ts';
import type { LiteralRule } from '../rule.ts';
import { PRIORITY, type Scan } from '../span.ts';
import { type Assignment, readAssignment, textureOf } from './assignment.ts';
import { isIdentifier, isPlaceholder, speaksOfPlaceholder } from './placeholder.ts';

/** Last parts of names whose value is no secret: `token_type`, `secret_name`, `password_expires_at`. */
const HARMLESS_TAIL =
  /(?:^|[_.-]|(?<=[a-z])(?=[A-Z]))(?:type|types|count|counts|id|ids|name|names|expires?|expiry|expiration|expired|exp|expires_?in|expires_?at|url|uri|endpoint|path|file|dir|length|len|size|limit|limits|format|ttl|at|in|policy|reset|changed?|updated?|created|age|max|min|field|fields|hint|label|strength|required|enabled|rotation|version|arn|ref|status|usage|error|valid|validity|regex|pattern|manager|provider|service|column|param|input|box|length_min|min_length|attempts?|issuer|budget|budgets|bucket|index|ring|scope|scopes|header|prompt)$/i;

function tailOf(scan: Scan, at: number, nameEnd: number): string {
  return latin1(scan.bytes, at, nameEnd);
}

const PASSWORD_BYTES_MIN = 6;
const PASSWORD_BYTES_MAX = 128;

/** Words that make an assignment of a password part of a connection string. */
const CONNECTION_WORDS = [
  'server=',
  'data source=',
  'datasource=',
  'host=',
  'user id=',
  'userid=',
  'uid=',
  'dbname=',
  'database=',
  'initial catalog=',
  'jdbc:',
  'accountendpoint=',
];

function lowered(scan: Scan, from: number, to: number): string {
  let text = '';
  for (let i = Math.max(scan.start, from); i < Math.min(scan.end, to); i++) text += String.fromCharCode(lower(scan.bytes[i] as number));
  return text;
}

function inConnectionString(scan: Scan, at: number, end: number): boolean {
  const before = lastLine(lowered(scan, at - 160, at));
  const after = firstLine(lowered(scan, end, end + 120));
  return CONNECTION_WORDS.some(word => before.includes(word) || after.includes(word));
}

function lastLine(text: string): string {
  return text.slice(text.lastIndexOf('\n') + 1);
}

function firstLine(text: string): string {
  const end = text.indexOf('\n');
  return end < 0 ? text : text.slice(0, end);
}

/** `pass` alone must be a word; `password` may end one (`dbpassword`). */
function matchPassword(scan: Scan, at: number): void {
  const { bytes } = scan;
  const rest = lowered(scan, at + 4, at + 10);
  let keywordEnd = at + 4;
  if (rest.startsWith('word')) keywordEnd += 4;
  else if (rest.startsWith('phrase')) keywordEnd += 6;
  else if (rest.startsWith('wd')) keywordEnd += 2;
  else if (rest.startsWith('code')) keywordEnd += 4;
  else {
    const before = scan.byte(at - 1);
    if (!scan.wire && is(before, ALPHA) && !(is(before, LOWER) && is(bytes[at] as number, UPPER))) return;
    if (is(scan.byte(at + 4), ALPHA) && !is(scan.byte(at + 4), UPPER)) return;
  }
  judgePassword(scan, at, keywordEnd);
}

function judgePassword(scan: Scan, at: number, keywordEnd: number): void {
  const { bytes } = scan;
  const assignment = readAssignment(scan, keywordEnd) ?? readAssignment(scan, keywordEnd, 3);
  if (assignment === undefined) return;
  if (scan.wire) {
    scan.add(assignment.start, assignment.end, 'generic-secret', PRIORITY.generic);
    return;
  }
  const { start, end, quoted, operator } = assignment;
  const length = end - start;
  if (length > PASSWORD_BYTES_MAX) return;
  if (HARMLESS_TAIL.test(tailOf(scan, keywordEnd, assignment.nameEnd))) return;
  if (isPlaceholder(bytes, start, end)) return;
  if (operator === '=' && inConnectionString(scan, at, end)) {
    if (length >= 4) scan.add(start, end, 'connection-string', PRIORITY.url);
    return;
  }
  if (length < PASSWORD_BYTES_MIN || speaksOfPlaceholder(bytes, start, end)) return;
  if (operator === ',' && !quoted) return;
  const { digits, lowers, uppers, others, high } = textureOf(bytes, start, end);
  const letters = lowers + uppers + high;
  if (operator === 'i' || (operator === ' ' && !quoted) || assignment.gap > 0) {
    // "the password is wrong": prose, unless the value has what words have not.
    if (!(digits > 0 && letters > 0) && !(others > 0 && digits > 0)) return;
  } else if (isIdentifier(bytes, start, end)) {
    // Letters alone are a name or a word; in quotes, or in mixed case with 8 letters or more, possibly a password.
    const literal = quoted || operator === '>';
    if (hasSpace(bytes, start, end) || others > 0) return;
    if (literal ? entropy(bytes, start, end) < 2.5 || (length < 10 && uppers === 0) : length < 12 || caseSwitches(bytes, start, end) < 4)
      return;
  } else if (quoted && hasSpace(bytes, start, end)) {
    if (digits === 0 || letters === 0 || length > 40) return;
  } else if (digits === length && length < 8) return;
  else if (digits === 0 && others > 0 && isPath(bytes, start, end)) return;
  scan.add(start, end, 'generic-secret', PRIORITY.generic);
}

/** Changes from a small to a capital letter: a name in camel case has few, random letters have many. */
function caseSwitches(bytes: Uint8Array, start: number, end: number): number {
  let switches = 0;
  for (let i = start + 1; i < end; i++) if (is(bytes[i] as number, UPPER) && is(bytes[i - 1] as number, LOWER)) switches++;
  return switches;
}

function hasSpace(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] === 32) return true;
  return false;
}

/** Letters with `.`, `/`, `-`, `_`, `:` between: a path, a dotted name, a hyphenated word. */
function isPath(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    if (!is(byte, ALPHA) && !'._/-:'.includes(String.fromCharCode(byte))) return false;
  }
  return true;
}

const UUID_LENGTH = 36;

function isUuid(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start !== UUID_LENGTH) return false;
  for (let i = 0; i < UUID_LENGTH; i++) {
    const byte = bytes[start + i] as number;
    if (i === 8 || i === 13 || i === 18 || i === 23 ? byte !== 45 : !is(byte, HEX_LOWER | HEX_UPPER)) return false;
  }
  return true;
}

/** Keys and tokens: long, random, with digits. */
function matchKey(keyword: string): (scan: Scan, at: number) => void {
  return (scan, at) => {
    const { bytes } = scan;
    const keywordEnd = at + keyword.length;
    const assignment = readAssignment(scan, keywordEnd);
    if (assignment === undefined || assignment.operator === 'i' || (assignment.operator === ',' && !assignment.quoted)) return;
    const { start } = assignment;
    const end = trimScheme(scan, assignment);
    const from = end.start;
    const to = end.end;
    if (scan.wire) {
      scan.add(start, to, 'generic-secret', PRIORITY.generic);
      return;
    }
    const length = to - from;
    if (length < 12 || length > 512) return;
    if (HARMLESS_TAIL.test(tailOf(scan, keywordEnd, assignment.nameEnd))) return;
    // `tokens`, `tokenizer`, `secretary`, `keyboard`: another word.
    if (is(scan.byte(keywordEnd), LOWER)) return;
    if (isPlaceholder(bytes, from, to) || speaksOfPlaceholder(bytes, from, to)) return;
    // A UUID names things; as a secret it is told from that by the name of a variable: `SNYK_TOKEN=`, `_authToken=`.
    if (isUuid(bytes, from, to) && !isVariable(scan, at, keywordEnd, assignment.nameEnd)) return;
    for (let i = from; i < to; i++)
      if (
        !is(bytes[i] as number, BASE64URL | BASE64 | EQUALS | DOT | TILDE) &&
        !'!@#$%^*:'.includes(String.fromCharCode(bytes[i] as number))
      )
        return;
    const { digits, lowers, uppers } = textureOf(bytes, from, to);
    if (digits === 0 || lowers + uppers === 0) {
      // Letters alone: only a long, random one in mixed case.
      if (digits > 0 || length < 20 || lowers === 0 || uppers === 0) return;
      // Names in camel case have few capitals, random letters as many as small ones.
      const random = Math.min(lowers, uppers) >= 0.35 * length && caseSwitches(bytes, from, to) >= 4;
      if (isIdentifier(bytes, from, to) && !random) return;
    }
    const bits = entropy(bytes, from, to);
    if (bits < (length < 20 ? 3 : 3.2)) return;
    if (isWords(bytes, from, to, digits)) return;
    scan.add(from, to, 'generic-secret', PRIORITY.generic);
  };
}

/** A name in capitals with an underscore that ends with the keyword, assigned by `=`; or npm's `_authToken`. */
function isVariable(scan: Scan, at: number, keywordEnd: number, nameEnd: number): boolean {
  if (nameEnd !== keywordEnd || scan.byte(nameEnd) !== 61) return false;
  if (scan.byte(at - 1) === 104 && scan.byte(at - 5) === 95) return true;
  return is(scan.byte(at), UPPER) && scan.byte(at - 1) === 95 && is(scan.byte(at - 2), UPPER);
}

/** `api_key: Bearer abc…`: the scheme is no part of the value. */
function trimScheme(scan: Scan, assignment: Assignment): { start: number; end: number } {
  const head = lowered(scan, assignment.start, assignment.start + 7);
  if (head === 'bearer ' && assignment.quoted) return { start: assignment.start + 7, end: assignment.end };
  return assignment;
}

/** Words and small numbers joined by separators: `prod-db-password-2024`, `arn:aws:…`, `v1.2.3-rc1`. */
function isWords(bytes: Uint8Array, start: number, end: number, digits: number): boolean {
  if (digits > 4 + (end - start) / 8) return false;
  let separators = 0;
  let switches = 0;
  for (let i = start; i < end; i++) {
    const kind = CLASS[bytes[i] as number] as number;
    // Names have no such signs.
    if ('!#$%^*'.includes(String.fromCharCode(bytes[i] as number))) return false;
    if ((kind & ALNUM) === 0) separators++;
    else if (i > start) {
      const previous = CLASS[bytes[i - 1] as number] as number;
      if ((kind & DIGIT) !== 0 && (previous & ALPHA) !== 0) switches++;
      if ((kind & ALPHA) !== 0 && (previous & DIGIT) !== 0) switches++;
    }
  }
  return separators > 0 && switches <= 1 && (end - start) / (separators + 1) < 12;
}

function matchBearer(scan: Scan, at: number): void {
  const { bytes } = scan;
  let start = at + 7;
  while (scan.byte(start) === 32) start++;
  let end = runEnd(bytes, start, Math.min(scan.end, start + 8_192), BASE64URL | BASE64 | DOT | TILDE);
  end = runEnd(bytes, end, Math.min(scan.end, end + 2), EQUALS);
  while (end > start && bytes[end - 1] === 46) end--;
  if (end - start < 16) return;
  if (!scan.wire) {
    if (is(scan.byte(at - 1), ALNUM)) return;
    const { digits, lowers, uppers } = textureOf(bytes, start, end);
    if (digits === 0 && (lowers === 0 || uppers === 0 || end - start < 24)) return;
    if (entropy(bytes, start, end) < 2.8 || speaksOfPlaceholder(bytes, start, end) || isWords(bytes, start, end, digits)) return;
  }
  scan.add(start, end, 'bearer-token', PRIORITY.header);
}

/** `Authorization: Basic …` whose text decodes to `user:password`. */
function matchBasic(scan: Scan, at: number): void {
  const { bytes } = scan;
  const start = at + 6;
  let end = runEnd(bytes, start, Math.min(scan.end, start + 1_024), BASE64);
  end = runEnd(bytes, end, Math.min(scan.end, end + 2), EQUALS);
  if (end - start < 8) return;
  if (!scan.wire) {
    if (is(scan.byte(at - 1), ALNUM)) return;
    const decoded = Buffer.from(latin1(bytes, start, end), 'base64').toString('latin1');
    const colon = decoded.indexOf(':');
    if (colon < 0 || colon === decoded.length - 1 || /[^\x20-\x7e\x80-\xff]/.test(decoded)) return;
  }
  scan.add(start, end, 'basic-auth', PRIORITY.header);
}

/** Okta's own scheme: `Authorization: SSWS 00…`. */
function matchSsws(scan: Scan, at: number): void {
  const start = at + 5;
  const end = runEnd(scan.bytes, start, Math.min(scan.end, start + 64), BASE64URL);
  if (end - start >= 40 && (scan.wire || (end - start <= 44 && entropy(scan.bytes, start, end) >= 3.5)))
    scan.add(start, end, 'okta-token', PRIORITY.vendor);
}

interface Keyworded {
  detector: string;
  keywords: readonly string[];
  mask: number;
  lengths: readonly number[] | readonly [number, number, 'range'];
  entropy?: number;
  /** The value must have letters of both cases and digits. */
  mixed?: boolean;
  /** Further test of the value's text. */
  form?: RegExp;
}

const HEX = HEX_LOWER | HEX_UPPER;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Vendors' keys without a mark: the keyword's assignment, and the value's alphabet and length. */
const KEYWORDED: readonly Keyworded[] = [
  {
    detector: 'aws-secret-key',
    keywords: [
      'aws_secret',
      'aws-secret',
      'awssecret',
      'secret_access_key',
      'secret-access-key',
      'secretaccesskey',
      'secret access key',
      'secret_key',
      'secretkey',
    ],
    mask: BASE64,
    lengths: [40],
    entropy: 3.8,
    mixed: true,
  },
  {
    detector: 'aws-session-token',
    keywords: ['session_token', 'sessiontoken', 'security-token', 'security_token'],
    mask: BASE64 | EQUALS,
    lengths: [100, 2000, 'range'],
    entropy: 4.5,
    mixed: true,
  },
  {
    detector: 'azure-storage-key',
    keywords: [
      'accountkey',
      'account_key',
      'storage_key',
      'storagekey',
      'storage_account_key',
      'azure_storage',
      'azure-storage',
      'sharedaccesskey',
      'primarykey',
      'primary_key',
    ],
    mask: BASE64 | EQUALS,
    lengths: [88, 44],
    entropy: 4,
    mixed: true,
    form: /={1,2}$/,
  },
  { detector: 'asana-token', keywords: ['asana'], mask: ALNUM, lengths: [32], entropy: 3 },
  {
    detector: 'cloudflare-token',
    keywords: ['cloudflare', 'cf_api', 'cf-api', 'x-auth-key'],
    mask: BASE64URL,
    lengths: [40, 37],
    entropy: 3.2,
  },
  {
    detector: 'datadog-key',
    keywords: ['datadog', 'dd_api', 'dd-api', 'dd_app', 'dd-app', 'ddapikey', 'dd_client'],
    mask: HEX_LOWER,
    lengths: [32, 40],
    entropy: 3,
  },
  { detector: 'fastly-token', keywords: ['fastly'], mask: BASE64URL, lengths: [32], entropy: 3.5 },
  {
    detector: 'heroku-key',
    keywords: ['heroku'],
    mask: HEX | DASH,
    lengths: [36],
    form: UUID,
  },
  {
    detector: 'mailgun-key',
    keywords: ['mailgun'],
    mask: BASE64URL,
    lengths: [50, 32],
    form: /^[0-9a-f]{32}(?:-[0-9a-f]{8}-[0-9a-f]{8})?$/,
  },
  { detector: 'twilio-key', keywords: ['twilio', 'auth_token', 'authtoken'], mask: HEX_LOWER, lengths: [32], entropy: 3 },
  { detector: 'vercel-token', keywords: ['vercel'], mask: ALNUM, lengths: [24], entropy: 3.5, mixed: true },
  {
    detector: 'vault-token',
    keywords: ['vault_token', 'vault-token', 'x-vault-token', 'vaulttoken'],
    mask: BASE64URL | DOT,
    lengths: [26],
    form: /^s\.[A-Za-z0-9]{24}$/,
  },
  {
    detector: 'discord-bot-token',
    keywords: ['discord', 'bot_token', 'bot-token', 'bottoken', 'bot token', 'client.login', 'token'],
    mask: BASE64URL | DOT,
    lengths: [57, 75, 'range'],
    form: /^[MNO][A-Za-z0-9_-]{22,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}$/,
  },
  { detector: 'okta-token', keywords: ['okta'], mask: BASE64URL, lengths: [42], form: /^00/, entropy: 3.5 },
  {
    detector: 'snyk-token',
    keywords: ['snyk'],
    mask: HEX | DASH,
    lengths: [36],
    form: UUID,
  },
  {
    detector: 'codecov-token',
    keywords: ['codecov'],
    mask: HEX | DASH,
    lengths: [36],
    form: UUID,
  },
  { detector: 'sonar-token', keywords: ['sonar'], mask: HEX_LOWER, lengths: [40], entropy: 3 },
  { detector: 'facebook-token', keywords: ['facebook', 'fb_app_secret', 'fb_secret'], mask: HEX_LOWER, lengths: [32], entropy: 3 },
  { detector: 'planetscale-token', keywords: ['planetscale'], mask: ALNUM, lengths: [43], entropy: 3.5 },
];

function matchKeyworded(rule: Keyworded, keyword: string): (scan: Scan, at: number) => void {
  const fits = (length: number): boolean =>
    rule.lengths[2] === 'range'
      ? length >= rule.lengths[0] && length <= (rule.lengths[1] as number)
      : (rule.lengths as readonly number[]).includes(length);
  return (scan, at) => {
    const { bytes } = scan;
    const section = inSection(scan, at + keyword.length);
    const assignment = section > 0 ? readAssignment(scan, section) : readAssignment(scan, at + keyword.length, 3);
    if (assignment === undefined) return;
    const { start } = assignment;
    const end = runEnd(bytes, start, Math.min(scan.end, start + 2_048), rule.mask);
    if (scan.wire) {
      if (end - start >= 20) scan.add(start, end, rule.detector, PRIORITY.vendor);
      return;
    }
    if (!fits(end - start) || is(scan.byte(end), ALNUM)) return;
    if (rule.entropy !== undefined && entropy(bytes, start, end) < rule.entropy) return;
    if (rule.form !== undefined && !rule.form.test(latin1(bytes, start, end))) return;
    if (rule.mixed === true) {
      const { digits, lowers, uppers } = textureOf(bytes, start, end);
      if (digits === 0 || lowers === 0 || uppers === 0) return;
    }
    scan.add(start, end, rule.detector, PRIORITY.vendor - 2);
  };
}

/** End of the first name in the section that a vendor's name heads, if it is a key's: `datadog:` or `[datadog]`, then `api_key`; else 0. */
function inSection(scan: Scan, at: number): number {
  const { bytes, end } = scan;
  let i = at;
  let lines = 0;
  const limit = Math.min(end, at + 24);
  while (i < limit && '":]{ \t\r\n'.includes(String.fromCharCode(bytes[i] as number))) {
    if (bytes[i] === 10) lines++;
    i++;
  }
  if (lines !== 1) return 0;
  const nameEnd = runEnd(bytes, i, Math.min(end, i + 32), BASE64URL);
  return /key|token|secret/.test(lowered(scan, i, nameEnd)) ? nameEnd : 0;
}

/** Names of keys; `token`, `secret` and the others stand at the end of the name or before a harmless tail. */
const KEY_WORDS = [
  'secret',
  'token',
  'api_key',
  'apikey',
  'api-key',
  'api key',
  'access_key',
  'accesskey',
  'access-key',
  'auth_key',
  'authkey',
  'auth-key',
  'private_key',
  'privatekey',
  'encryption_key',
  'encryptionkey',
  'encryption-key',
  'signing_key',
  'signingkey',
  'signing-key',
  'master_key',
  'masterkey',
  'master-key',
  'shared_key',
  'service_key',
  'hmac_key',
  'aes_key',
  'license_key',
  'admin_key',
  'app_key',
  'appkey',
  'app-key',
  'x-api',
  'credential',
  'session_id',
  'sessionid',
];

export const generic: readonly LiteralRule[] = [
  { detector: 'generic-secret', literal: 'pass', fold: true, match: matchPassword },
  { detector: 'connection-string', literal: 'pass', fold: true, match: matchPassword },
  { detector: 'generic-secret', literal: 'pwd', fold: true, match: (scan, at) => judgePassword(scan, at, at + 3) },
  { detector: 'connection-string', literal: 'pwd', fold: true, match: (scan, at) => judgePassword(scan, at, at + 3) },
  { detector: 'generic-secret', literal: 'identified by', fold: true, match: (scan, at) => judgePassword(scan, at, at + 13) },
  ...KEY_WORDS.map((literal): LiteralRule => ({ detector: 'generic-secret', literal, fold: true, match: matchKey(literal) })),
  { detector: 'bearer-token', literal: 'bearer ', fold: true, match: matchBearer },
  { detector: 'okta-token', literal: 'SSWS ', match: matchSsws },
  { detector: 'basic-auth', literal: 'basic ', fold: true, match: matchBasic },
  ...KEYWORDED.flatMap(rule =>
    rule.keywords.map((literal): LiteralRule => ({ detector: rule.detector, literal, fold: true, match: matchKeyworded(rule, literal) })),
  ),
];
