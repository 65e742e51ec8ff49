/** Errors over HTTP: RFC 9457 problem documents. The one place where kinds become status codes. */
import { type ErrorKind, GatewayError } from '@sallyport/shared/errors.ts';
import type { FastifyError, FastifyReply } from 'fastify';
import { ManifestsInvalid, manifestMoved } from '../manifests/apply.ts';

const statuses: Record<ErrorKind, number> = {
  invalid: 400,
  unauthenticated: 401,
  denied: 403,
  notFound: 404,
  conflict: 409,
  protocol: 400,
  unavailable: 503,
  internal: 500,
};

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  /** Stable: programs match on it. */
  code: string;
  problems?: readonly { file: string; line: number; column: number; message: string }[];
}

/** What is not ours is told as internal, without its text: it may hold anything. */
export function problemOf(error: unknown): Problem {
  if (error instanceof ManifestsInvalid) return { ...problem(422, error.code, error.message), problems: error.problems };
  if (error instanceof GatewayError && error.code === manifestMoved) return problem(412, error.code, error.message);
  if (error instanceof GatewayError && error.kind !== 'internal') return problem(statuses[error.kind], error.code, error.message);
  if (isFastifyError(error) && error.statusCode !== undefined && error.statusCode < 500) {
    return problem(error.statusCode, error.validation ? 'REQUEST_INVALID' : error.code.replace(/^FST_(ERR_)?/, ''), error.message);
  }
  return problem(500, error instanceof GatewayError ? error.code : 'INTERNAL', 'The control plane failed; its log has the cause.');
}

export function sendProblem(reply: FastifyReply, document: Problem): FastifyReply {
  if (document.status === 401) reply.header('www-authenticate', 'Bearer realm="sallyport"');
  return reply.code(document.status).type('application/problem+json').send(JSON.stringify(document));
}

function problem(status: number, code: string, detail: string): Problem {
  return { type: `urn:sallyport:problem:${code}`, title: titles[status] ?? 'Error', status, detail, code };
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && 'statusCode' in error;
}

const titles: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  409: 'Conflict',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};
