/** Tokens that carry their vendor's mark. One line a form; `{class:length}` is explained in ../token.ts. */
import { hasBase62Crc } from '../checksums.ts';
import type { LiteralRule } from '../rule.ts';
import { token } from '../token.ts';

/** GitHub: prefix, 30 random characters, CRC-32 of them in base 62. */
const githubChecksum = (bytes: Uint8Array, start: number, end: number): boolean => hasBase62Crc(bytes, start + 4, end);

export const vendorTokens: readonly LiteralRule[] = [
  ...['AKIA', 'ASIA', 'ABIA', 'ACCA'].map(prefix => token('aws-access-key', `${prefix}{u:16}`)),
  ...['ghp_', 'gho_', 'ghu_', 'ghs_', 'ghr_'].map(prefix => token('github-token', `${prefix}{a:36}`, { check: githubChecksum })),
  token('github-token', 'github_pat_{a:22}_{a:59}'),
];
