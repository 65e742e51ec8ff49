/**
 * Who calls the API, and whether they may call this route. Every route says in its config who it is for; a route that says nothing is
 * closed. Tokens come in the Authorization header only, so that no browser sends them by itself (there are no cookies to forge with).
 *
 * - `public`: anyone.
 * - `principal`: the holder of an identity provider's token, and the administrator.
 * - `admin`: the holder of the administrator's token.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type VerifyContext, verifyToken } from '@sallyport/shared/identity/verify.ts';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Provenance } from '../aggregates/control-log.ts';
import { FailureLimit } from './failure-limit.ts';

export type Access = 'public' | 'principal' | 'admin';

export type Caller = { type: 'admin' } | { type: 'principal'; principal: Principal; tokenId: string; expiresAtMs: number };

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
  }
  interface FastifyRequest {
    caller: Caller | null;
  }
}

export interface AuthenticationOptions {
  adminToken: string;
  verifyContext: VerifyContext;
  clock: () => number;
}

export function useAuthentication(app: FastifyInstance, options: AuthenticationOptions): void {
  const adminDigest = digest(options.adminToken);
  const failures = new FailureLimit(options.clock);
  app.decorateRequest('caller', null);
  app.addHook('onRequest', async (request, reply) => {
    if (request.is404) return; // The not-found handler tells nobody anything.
    const { access } = request.routeOptions.config;
    if (access === 'public') return;
    if (access === undefined) throw new GatewayError('ROUTE_CLOSED', 'denied', 'This route is not open to anyone.');
    const token = bearer(request);
    if (token === null) {
      throw new GatewayError(
        'UNAUTHENTICATED',
        'unauthenticated',
        'Send a token: `Authorization: Bearer …` (sallyport token, or the administrator’s).',
      );
    }
    if (timingSafeEqual(digest(token), adminDigest)) {
      request.caller = { type: 'admin' };
      return;
    }
    // Guessing costs the guesser: over the limit a token is not even looked at. The administrator's token is compared all the same.
    const waitSeconds = failures.retryAfterSeconds(request.ip);
    if (waitSeconds > 0) {
      reply.header('retry-after', String(waitSeconds));
      throw new TooManyFailures();
    }
    const verified = await verifyToken(token, options.verifyContext);
    // A ticket opens a resource, not the API.
    if (!verified.ok || verified.ticketResource !== undefined) {
      failures.failed(request.ip);
      request.log.info({ code: verified.ok ? 'TICKET_AT_API' : verified.code, ip: request.ip }, 'token refused');
      throw new GatewayError(
        'UNAUTHENTICATED',
        'unauthenticated',
        'The token is not valid here, or not any more. Sign in again (sallyport login).',
      );
    }
    if (access === 'admin') throw new GatewayError('ADMIN_ONLY', 'denied', 'This needs the administrator’s token.');
    const { principal, tokenId, expiresAtMs } = verified;
    request.caller = { type: 'principal', principal, tokenId, expiresAtMs };
  });
}

export class TooManyFailures extends Error {
  readonly code = 'TOO_MANY_FAILURES';
  readonly statusCode = 429;

  constructor() {
    super('Too many failed sign-ins from this address: wait a little.');
  }
}

/** The caller of a route that is not public. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === null) throw new GatewayError('UNAUTHENTICATED', 'unauthenticated', 'Send a token.');
  return request.caller;
}

/** Who did it, for the events. */
export function provenanceOf(request: FastifyRequest, reason: string): Provenance {
  const caller = callerOf(request);
  return {
    author: caller.type === 'admin' ? 'admin' : caller.principal.name,
    authorAddress: `${request.ip}:${request.socket.remotePort ?? 0}`,
    reason,
    requestId: request.id,
  };
}

function bearer(request: FastifyRequest): string | null {
  const match = /^Bearer ([A-Za-z0-9._~+/=-]{1,16384})$/i.exec(request.headers.authorization ?? '');
  return match?.[1] ?? null;
}

/** Digests have one length, so that the comparison takes one time. */
function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
