/**
 * JSON Web Tokens (RFC 7519): three base64url parts of which the first decodes to a JOSE header with `alg`; JWE's five parts too.
 *
 * The header is decoded up to 2 KB. The signature is not verified: a token that is no longer valid is masked as well.
 */
import { BASE64URL, is, latin1, runEnd } from '../bytes.ts';
import type { LiteralRule } from '../rule.ts';
import { PRIORITY, type Scan } from '../span.ts';
import { escapeBefore } from '../token.ts';

const PART_BYTES_MAX = 16_384;
const HEADER_BYTES_MAX = 2_048;

function isHeader(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < 12 || end - start > HEADER_BYTES_MAX) return false;
  try {
    const header: unknown = JSON.parse(Buffer.from(latin1(bytes, start, end), 'base64url').toString('utf8'));
    return typeof header === 'object' && header !== null && 'alg' in header && typeof header.alg === 'string';
  } catch {
    return false; // not JSON: no header, and the scan goes on
  }
}

function part(scan: Scan, start: number): number {
  return runEnd(scan.bytes, start, Math.min(scan.end, start + PART_BYTES_MAX), BASE64URL);
}

function matchJwt(scan: Scan, at: number): void {
  const { bytes } = scan;
  const header = part(scan, at);
  if (scan.byte(header) !== 46) return;
  const payload = part(scan, header + 1);
  if (scan.byte(payload) !== 46) return;
  if (scan.wire) {
    scan.add(at, payload, 'jwt', PRIORITY.token);
    return;
  }
  if (is(scan.byte(at - 1), BASE64URL) && !escapeBefore(scan, at)) return;
  if (!isHeader(bytes, at, header)) return;
  let end = part(scan, payload + 1);
  // RFC 7516: header.key.iv.ciphertext.tag, whose second part may be empty.
  if (scan.byte(end) === 46) {
    const ciphertext = part(scan, end + 1);
    if (scan.byte(ciphertext) === 46 && ciphertext > end + 1) {
      const tag = part(scan, ciphertext + 1);
      if (tag > ciphertext + 1) end = tag;
    }
  } else if (payload - header < 4) return;
  scan.add(at, end, 'jwt', PRIORITY.token);
}

export const jwt: readonly LiteralRule[] = [{ detector: 'jwt', literal: 'eyJ', match: matchJwt }];
