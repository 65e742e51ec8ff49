/** Passwords that are given to programs on their command line: `curl -u name:password`, `sshpass -p password`, `mysql -ppassword`. */
import { is, SPACE } from '../bytes.ts';
import type { LiteralRule } from '../rule.ts';
import { PRIORITY, type Scan } from '../span.ts';
import { isPlaceholder } from './placeholder.ts';

/** A command's part that is looked through for the flag, in bytes. */
const COMMAND_BYTES_MAX = 160;
const PASSWORD_BYTES_MAX = 128;
const PASSWORD_BYTES_MIN = 4;

interface Flag {
  detector: string;
  program: string;
  /** Flags that a password follows; with `attached` right behind them, else after a blank. */
  flags: readonly string[];
  attached?: boolean;
  /** The password stands behind the first colon of the value. */
  afterColon?: boolean;
}

const FLAGS: readonly Flag[] = [
  { detector: 'basic-auth', program: 'curl ', flags: [' -u', ' --user', ' --proxy-user'], afterColon: true },
  { detector: 'generic-secret', program: 'sshpass ', flags: [' -p'] },
  { detector: 'generic-secret', program: 'mysql ', flags: [' -p'], attached: true },
  { detector: 'generic-secret', program: 'mysqldump ', flags: [' -p'], attached: true },
  { detector: 'generic-secret', program: 'redis-cli ', flags: [' -a'] },
];

function flagAt(scan: Scan, at: number, flags: readonly string[]): number {
  for (const flag of flags) {
    let k = 0;
    while (k < flag.length && scan.byte(at + k) === flag.charCodeAt(k)) k++;
    if (k === flag.length) return at + k;
  }
  return -1;
}

function match(rule: Flag): (scan: Scan, at: number) => void {
  return (scan, at) => {
    const limit = Math.min(scan.end, at + COMMAND_BYTES_MAX);
    for (let i = at + rule.program.length - 1; i < limit; i++) {
      const byte = scan.byte(i);
      if (byte === 10 || byte === 59 || byte === 124) return;
      if (byte !== 32) continue;
      let start = flagAt(scan, i, rule.flags);
      if (start < 0) continue;
      const separator = scan.byte(start);
      if (separator === 32 || separator === 61) {
        if (rule.attached === true) return;
        start++;
      } else if (rule.attached !== true && rule.program !== 'sshpass ') continue;
      const quote = scan.byte(start);
      const isQuoted = quote === 39 || quote === 34;
      if (isQuoted) start++;
      let end = start;
      let colon = -1;
      while (end < scan.end && end - start < PASSWORD_BYTES_MAX && (isQuoted ? scan.byte(end) !== quote : !is(scan.byte(end), SPACE))) {
        if (scan.byte(end) === 58 && colon < 0) colon = end;
        end++;
      }
      if (rule.afterColon === true) {
        if (colon < 0) return;
        start = colon + 1;
      }
      if (end - start < PASSWORD_BYTES_MIN || (!scan.wire && isPlaceholder(scan.bytes, start, end))) return;
      scan.add(start, end, rule.detector, PRIORITY.header);
      return;
    }
  };
}

export const flags: readonly LiteralRule[] = FLAGS.map(rule => ({ detector: rule.detector, literal: rule.program, match: match(rule) }));
