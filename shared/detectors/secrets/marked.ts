/** Secrets whose mark is not at their start: what a run of digits or hex before or after it makes of them. */
import { ALNUM, BASE64, BASE64URL, DIGIT, EQUALS, HEX_LOWER, is, latin1, PERCENT, runEnd, runStart } from '../bytes.ts';
import { entropy } from '../entropy.ts';
import type { LiteralRule } from '../rule.ts';
import { PRIORITY, type Scan } from '../span.ts';

/** Mailchimp: 32 hex digits, `-us` and a data centre. */
function matchMailchimp(scan: Scan, at: number): void {
  const start = runStart(scan.bytes, at, Math.max(scan.start, at - 33), HEX_LOWER);
  if (at - start < 32 || (at - start > 32 && !scan.wire)) return;
  const end = runEnd(scan.bytes, at + 3, Math.min(scan.end, at + 5), DIGIT);
  if (end === at + 3 || (!scan.wire && (is(scan.byte(end), ALNUM) || is(scan.byte(start - 1), ALNUM)))) return;
  scan.add(start, end, 'mailchimp-key', PRIORITY.vendor);
}

/** Telegram: the bot's number, `:AA`, 33 characters. */
function matchTelegram(scan: Scan, at: number): void {
  const start = runStart(scan.bytes, at, Math.max(scan.start, at - 12), DIGIT);
  if (at - start < 8 || (at - start > 10 && !scan.wire)) return;
  const end = runEnd(scan.bytes, at + 1, Math.min(scan.end, at + 38), BASE64URL);
  if (end - at - 1 < 34) return;
  if (!scan.wire) {
    if (end - at - 1 > 35) return;
    const before = scan.byte(start - 1);
    // `https://api.telegram.org/bot123456789:AA…`
    if (is(before, ALNUM) && !(before === 116 && scan.byte(start - 2) === 111 && scan.byte(start - 3) === 98)) return;
  }
  scan.add(start, end, 'telegram-bot-token', PRIORITY.vendor);
}

/** The signature of a shared access signature: `sig=` next to `sv=` or `se=`. */
function matchSas(scan: Scan, at: number): void {
  const { bytes } = scan;
  const start = at + 4;
  const end = runEnd(bytes, start, Math.min(scan.end, start + 120), BASE64 | EQUALS | PERCENT);
  if (end - start < 43) return;
  if (!scan.wire) {
    if (is(scan.byte(at - 1), ALNUM)) return;
    const around = latin1(bytes, Math.max(scan.start, at - 300), at) + latin1(bytes, end, Math.min(scan.end, end + 300));
    if (!/[?&;]?s[vertp]=|skn=|SharedAccessSignature/.test(around)) return;
    if (entropy(bytes, start, end) < 3.5) return;
  }
  scan.add(start, end, 'azure-sas-token', PRIORITY.vendor);
}

/** `AccountKey=…==` of a storage account's, `SharedAccessKey=…=` of a bus's connection string. */
function matchAccountKey(length: number): (scan: Scan, at: number) => void {
  return (scan, at) => {
    const start = at + length;
    const body = runEnd(scan.bytes, start, Math.min(scan.end, start + 100), BASE64);
    const end = runEnd(scan.bytes, body, Math.min(scan.end, body + 2), EQUALS);
    if (end - start !== 88 && end - start !== 44 && end - start !== 64 && !(scan.wire && end - start > 40)) return;
    scan.add(start, end, 'azure-storage-key', PRIORITY.vendor);
  };
}

/**
 * Discord's bots: their number in base64, six characters of time, a signature. The number's first two digits are three characters,
 * which is all that is certain about a token's beginning.
 */
function matchDiscord(scan: Scan, at: number): void {
  const { bytes } = scan;
  const id = runEnd(bytes, at, Math.min(scan.end, at + 30), BASE64URL);
  if (id - at < 23 || id - at > 28 || scan.byte(id) !== 46) return;
  const time = runEnd(bytes, id + 1, Math.min(scan.end, id + 8), BASE64URL);
  if (time - id !== 7 || scan.byte(time) !== 46) return;
  const end = runEnd(bytes, time + 1, Math.min(scan.end, time + 42), BASE64URL);
  if (end - time - 1 < 27) return;
  if (!scan.wire) {
    if (end - time - 1 > 38 || is(scan.byte(at - 1), ALNUM)) return;
    if (!/^\d{17,20}$/.test(Buffer.from(latin1(bytes, at, id), 'base64url').toString('latin1'))) return;
  }
  scan.add(at, end, 'discord-bot-token', PRIORITY.vendor);
}

const DISCORD_BEGINNINGS = Array.from({ length: 90 }, (_, index) =>
  Buffer.from(`${index + 10}0`)
    .toString('base64')
    .slice(0, 3),
);

export const marked: readonly LiteralRule[] = [
  ...Array.from(new Set(DISCORD_BEGINNINGS), (literal): LiteralRule => ({ detector: 'discord-bot-token', literal, match: matchDiscord })),
  { detector: 'mailchimp-key', literal: '-us', match: matchMailchimp },
  { detector: 'telegram-bot-token', literal: ':AA', match: matchTelegram },
  { detector: 'azure-sas-token', literal: 'sig=', match: matchSas },
  { detector: 'azure-storage-key', literal: 'AccountKey=', match: matchAccountKey(11) },
  { detector: 'azure-storage-key', literal: 'SharedAccessKey=', match: matchAccountKey(16) },
  ...Array.from('0123456789abcdef', (digit): LiteralRule => ({ detector: 'twilio-key', literal: `SK${digit}`, match: matchTwilio })),
];

/** Twilio's API keys: `SK` and 32 hex digits; two letters are too short for the prefilter, so the first digit goes with them. */
function matchTwilio(scan: Scan, at: number): void {
  const end = runEnd(scan.bytes, at + 2, Math.min(scan.end, at + 34), HEX_LOWER);
  if (end - at !== 34) return;
  if (!scan.wire && (is(scan.byte(at - 1), ALNUM) || is(scan.byte(end), ALNUM) || entropy(scan.bytes, at + 2, end) < 2.8)) return;
  scan.add(at, end, 'twilio-key', PRIORITY.vendor);
}
