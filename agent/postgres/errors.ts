/**
 * The native form of what the gateway says to a PostgreSQL client: SQLSTATEs and texts, in one place.
 *
 * Codes are PostgreSQL's own (Appendix A of its documentation), so that drivers react as they would to the server.
 */
import { encodeErrorResponse, encodeNoticeResponse } from './messages.ts';

export const SqlState = {
  protocolViolation: '08P01',
  connectionFailure: '08006',
  cannotConnect: '08001',
  featureNotSupported: '0A000',
  invalidAuthorization: '28000',
  invalidPassword: '28P01',
  insufficientPrivilege: '42501',
  diskFull: '53100',
  tooManyConnections: '53300',
  budgetSpent: '53400',
  programLimitExceeded: '54000',
  adminShutdown: '57P01',
  cannotConnectNow: '57P03',
  idleSessionTimeout: '57P05',
  queryCanceled: '57014',
  internalError: 'XX000',
} as const;

export type Severity = 'ERROR' | 'FATAL';

/** An ErrorResponse as PostgreSQL 9.6 and later make it: localized and plain severity, code, message, optional hint. */
export function errorResponse(severity: Severity, code: string, message: string, hint?: string): Buffer {
  const fields: [string, string][] = [
    ['S', severity],
    ['V', severity],
    ['C', code],
    ['M', message],
  ];
  if (hint !== undefined) fields.push(['H', hint]);
  return encodeErrorResponse(fields);
}

export function noticeResponse(message: string, hint?: string): Buffer {
  const fields: [string, string][] = [
    ['S', 'NOTICE'],
    ['V', 'NOTICE'],
    ['C', '00000'],
    ['M', message],
  ];
  if (hint !== undefined) fields.push(['H', hint]);
  return encodeNoticeResponse(fields);
}

/** What everybody who is turned away sees, whatever the reason; the reason is in the record. */
export const AUTHENTICATION_FAILED = 'authentication failed: the token was not accepted for this resource';

/** Safe texts for errors whose own text could hold protected values, by SQLSTATE class. */
const CLASS_TEXTS: Record<string, string> = {
  '22': 'data exception',
  '23': 'integrity constraint violation',
  '25': 'invalid transaction state',
  '40': 'transaction rollback',
  '42': 'syntax error or access rule violation',
  '53': 'insufficient resources',
  '54': 'program limit exceeded',
  '55': 'object not in prerequisite state',
  '57': 'operator intervention',
  P0: 'exception raised by a function',
};

/** The text that replaces an error's own when the statement touches protected columns. */
export function reducedText(code: string): string {
  const text = CLASS_TEXTS[code.slice(0, 2)] ?? 'the statement failed';
  return `${text} (${code}); details are withheld because the statement touches protected columns`;
}
