/**
 * The one error type of both planes. Expected refusals are values; what is thrown is a fault, or bad input, and carries a
 * stable code so that each edge can map it once to its native form (SQLSTATE, HTTP status, gRPC status).
 *
 * Messages are safe to show: they never hold a secret, a token, or whether a hidden resource exists.
 */
export type ErrorKind = 'invalid' | 'unauthenticated' | 'denied' | 'notFound' | 'conflict' | 'protocol' | 'unavailable' | 'internal';

export class GatewayError extends Error {
  readonly code: string;
  readonly kind: ErrorKind;

  /**
   * @param code stable, upper snake case, e.g. `PG_FRAME_TOO_LARGE`; tests and operators match on it.
   * @param message what happened, why, and what to do.
   */
  constructor(code: string, kind: ErrorKind, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'GatewayError';
    this.code = code;
    this.kind = kind;
  }
}

/** The text of anything thrown, for a log line. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Marks a branch that the types say cannot be reached. */
export function unreachable(value: never): never {
  throw new GatewayError('UNREACHABLE', 'internal', `unexpected value: ${JSON.stringify(value)}`);
}
