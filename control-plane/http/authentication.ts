/**
 * Who calls the API, and whether they may call this route (authorization.ts has the table; a route without a need is closed).
 *
 * A caller shows a token in the Authorization header, which no browser sends by itself, or the cookie of a console session, which
 * browsers do: a write by cookie therefore needs the session's CSRF header, and must come from our own pages. The administrator's
 * token is for when nobody can sign in: it is in every role but nobody's approver, and each use of it is in the log.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type VerifyContext, verifyToken } from '@sallyport/shared/identity/verify.ts';
import type { AccessRole, Principal } from '@sallyport/shared/policy/model.ts';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { AdministrationLog } from '../aggregates/administration-log.ts';
import type { Provenance } from '../aggregates/control-log.ts';
import { type AccessRoles, allRoles, type Need, needOf, suffices } from './authorization.ts';
import { FailureLimit } from './failure-limit.ts';
import { type BrowserSession, csrfFits } from './sign-in/browser-sessions.ts';
import type { CliLogins, LoginToken } from './sign-in/cli-login.ts';
import type { SignIn } from './sign-in/sign-in.ts';

/** What a route may say for itself; `principal` is `signed-in`, `admin` is the role. The table in authorization.ts goes before it. */
export type Access = 'public' | 'principal' | 'admin' | readonly AccessRole[];

export type Caller =
  | { type: 'admin'; roles: ReadonlySet<AccessRole> }
  | {
      type: 'principal';
      principal: Principal;
      /** As the token or the sign-in has them, without what the directory says of their groups. */
      verified: Principal;
      tokenId: string;
      expiresAtMs: number;
      /** In Sallyport itself. */
      roles: ReadonlySet<AccessRole>;
      /** Present when a browser's session vouches for the caller, not a token. */
      session?: BrowserSession;
    };

/** Whether the caller has one of the roles; `admin` has all. */
export function hasRole(caller: Caller, ...roles: AccessRole[]): boolean {
  return caller.roles.has('admin') || roles.some(role => caller.roles.has(role));
}

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
  }
  interface FastifyRequest {
    caller: Caller | null;
  }
  interface FastifyInstance {
    /** Who a request that is still open speaks for by now; null once the sign-in has ended. It does not count as a use of a session. */
    callerNow(request: FastifyRequest): Promise<Caller | null>;
  }
}

export interface AuthenticationOptions {
  adminToken: string;
  verifyContext: VerifyContext;
  clock: () => number;
  accessRoles: AccessRoles;
  signIn: SignIn;
  cliLogins: CliLogins;
  administration: AdministrationLog;
  /** Whether a directory has taken the person out. */
  isDeprovisioned: (principal: Principal) => boolean;
  /** Whether an identity provider in force is the issuer. */
  isIssuer: (issuer: string) => boolean;
  /** The person in the groups in which the directory has them. */
  inDirectory: (principal: Principal) => Principal;
}

/** Reads with the administrator's token are events once in this time, for each address and route: a page that polls is one use. */
const readsOfMs = 10 * 60 * 1000;
const readsKept = 10_000;

export function useAuthentication(app: FastifyInstance, options: AuthenticationOptions): void {
  const adminDigest = digest(options.adminToken);
  const failures = new FailureLimit(options.clock);
  const reads = new Map<string, number>();
  app.decorateRequest('caller', null);
  app.decorate('callerNow', async (request: FastifyRequest): Promise<Caller | null> => {
    const { caller } = request;
    if (caller === null || caller.type === 'admin') return caller;
    if (options.clock() >= caller.expiresAtMs) return null;
    if (caller.session !== undefined) {
      if (options.signIn.sessions.lasting(caller.session.id) === undefined) return null;
    } else {
      const token = bearer(request) ?? '';
      const isGood = (await cliLogin(token)) !== null || (await verifyToken(token, options.verifyContext)).ok;
      if (!isGood) return null;
    }
    if (options.isDeprovisioned(caller.principal)) return null;
    // The groups of a session or token are those that it came with; the directory may have changed since.
    const principal = options.inDirectory(caller.verified);
    return { ...caller, principal, roles: options.accessRoles.of(principal) };
  });
  // A route that nobody thought about does not start up, let alone open.
  app.addHook('onRoute', ({ method, url, config }) => {
    for (const each of [method].flat()) {
      if (needOf(each, url, declared(config?.access)) !== undefined) continue;
      throw new GatewayError(
        'ROUTE_CLOSED',
        'internal',
        `${each} ${url} says nowhere who may call it: give it a line in authorization.ts.`,
      );
    }
  });
  app.addHook('onRequest', async (request, reply) => {
    if (request.is404) return; // The not-found handler tells nobody anything.
    const { method, url = '' } = request.routeOptions;
    const need = needOf(Array.isArray(method) ? request.method : method, url, declared(request.routeOptions.config.access));
    if (need === 'public') return;
    if (need === undefined) throw new GatewayError('ROUTE_CLOSED', 'denied', 'This route is not open to anyone.');
    const caller = request.headers.authorization === undefined ? bySession(request, options) : await byToken(request, reply);
    if (caller.type === 'principal' && options.isDeprovisioned(caller.principal)) {
      request.log.info({ code: 'PERSON_DEPROVISIONED', ip: request.clientAddress }, 'token refused');
      throw tokenMissing();
    }
    if (!suffices(need, caller.roles)) throw missingRole(need);
    request.caller = caller;
  });

  /** Before anything is done with it: a use that cannot be recorded is refused. */
  async function administratorUsed(request: FastifyRequest): Promise<void> {
    const { method, routeOptions, clientAddress: ip } = request;
    const { url: route = '' } = routeOptions;
    request.log.warn({ ip, method, url: route }, 'the administrator’s token was used');
    const isRead = method === 'GET' || method === 'HEAD';
    const key = `${ip} ${route}`;
    const nowMs = options.clock();
    if (isRead && nowMs - (reads.get(key) ?? Number.NEGATIVE_INFINITY) < readsOfMs) return;
    await options.administration.record(
      { type: 'AdministratorTokenUsed', payload: { method, route } },
      { author: 'admin', authorAddress: request.clientEndpoint, reason: '', requestId: request.id },
    );
    if (!isRead) return;
    reads.delete(key);
    reads.set(key, nowMs);
    const [oldest] = reads.keys();
    if (reads.size > readsKept && oldest !== undefined) reads.delete(oldest);
  }

  /** A token that `sallyport login --console` got, unless it was revoked. */
  async function cliLogin(token: string): Promise<LoginToken | null> {
    const login = await options.cliLogins.verify(token);
    if (login === null || options.verifyContext.isRevoked(login.tokenId)) return null;
    // Who came by a provider that is no longer believed is signed out.
    return options.isIssuer(login.principal.issuer) ? login : null;
  }

  async function byToken(request: FastifyRequest, reply: FastifyReply): Promise<Caller> {
    const token = bearer(request);
    if (token === null) throw tokenMissing();
    if (timingSafeEqual(digest(token), adminDigest)) {
      await administratorUsed(request);
      return { type: 'admin', roles: allRoles };
    }
    const login = await cliLogin(token);
    if (login !== null) {
      const principal = options.inDirectory(login.principal);
      return { type: 'principal', ...login, principal, verified: login.principal, roles: options.accessRoles.of(principal) };
    }
    const verified = await verifyToken(token, options.verifyContext);
    // A ticket opens a resource, not the API; and what a token is bound to cannot be seen here.
    if (!verified.ok || verified.ticketResource !== undefined || verified.bounds !== undefined) {
      // Only who fails is told to wait: many people may come from one address, and a good token is good from there as well.
      const waitSeconds = failures.retryAfterSeconds(request.clientAddress);
      failures.failed(request.clientAddress);
      request.log.info({ code: verified.ok ? 'TICKET_AT_API' : verified.code, ip: request.clientAddress }, 'token refused');
      if (waitSeconds > 0) {
        reply.header('retry-after', String(waitSeconds));
        throw new TooManyFailures();
      }
      throw new GatewayError(
        'UNAUTHENTICATED',
        'unauthenticated',
        'The token is not valid here, or not any more. Sign in again (sallyport login).',
      );
    }
    const { principal: asVerified, tokenId, expiresAtMs } = verified;
    const principal = options.inDirectory(asVerified);
    return { type: 'principal', principal, verified: asVerified, tokenId, expiresAtMs, roles: options.accessRoles.of(principal) };
  }
}

function declared(access: Access | undefined): Need | undefined {
  if (access === 'principal') return 'signed-in';
  return access === 'admin' ? ['admin'] : access;
}

function tokenMissing(): GatewayError {
  return new GatewayError(
    'UNAUTHENTICATED',
    'unauthenticated',
    'Sign in, or send a token: `Authorization: Bearer …` (sallyport token, or the administrator’s).',
  );
}

function missingRole(need: Need): GatewayError {
  const roles = Array.isArray(need) ? need : [];
  return new GatewayError(
    'ROLE_MISSING',
    'denied',
    `This needs ${roles.length > 1 ? 'one of the roles' : 'the role'} ${roles.join(', ')}, which an AccessPolicy gives.`,
  );
}

/** @throws {GatewayError} UNAUTHENTICATED, CSRF_REFUSED. */
function bySession(request: FastifyRequest, { signIn, accessRoles, inDirectory }: AuthenticationOptions): Caller {
  const session = signIn.sessionOf(request);
  if (session === undefined) throw tokenMissing();
  if (request.method !== 'GET' && request.method !== 'HEAD') checkOwnPage(request, session);
  const { principal: verified, id, endsAtMs } = session;
  const principal = inDirectory(verified);
  return {
    type: 'principal',
    principal,
    verified,
    tokenId: `console:${id}`,
    expiresAtMs: endsAtMs,
    roles: accessRoles.of(principal),
    session,
  };
}

/** @throws {GatewayError} CSRF_REFUSED. */
export function checkOwnPage(request: FastifyRequest, session: BrowserSession): void {
  const site = request.headers['sec-fetch-site'];
  const isOwnSite = site === undefined || site === 'same-origin' || site === 'none';
  if (isOwnSite && csrfFits(session, request.headers['x-sallyport-csrf'])) return;
  throw new GatewayError(
    'CSRF_REFUSED',
    'denied',
    'A write from the browser needs the header X-Sallyport-CSRF with the value of GET /v1/me, and must come from the console.',
  );
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
    ...(caller.type === 'admin' ? {} : { authorIdentity: { issuer: caller.principal.issuer, subject: caller.principal.subject } }),
    authorAddress: request.clientEndpoint,
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
