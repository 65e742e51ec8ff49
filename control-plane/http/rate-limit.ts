/**
 * How many requests a caller may make: a bucket of tokens for each, which refills steadily; reads and writes have one each. Who has
 * no name yet (sign-in, public pages) is counted by address. The administrator's token is not limited, for it must work when all else
 * is under attack; failed attempts to guess it are (failure-limit.ts).
 *
 * Buckets live in this process: with N replicas a caller has up to N times as much. Bounded: the caller who was quiet for longest is
 * forgotten first, and starts with a full bucket again.
 *
 * @see RFC 6585 section 4; draft-ietf-httpapi-ratelimit-headers
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Buckets, type Rate } from '../buckets.ts';

export interface RateLimits {
  reads: Rate;
  writes: Rate;
  /** Of one address, without a token or session. */
  anonymous: Rate;
}

export const defaultRateLimits: RateLimits = {
  reads: { burst: 600, perSecond: 30 },
  writes: { burst: 200, perSecond: 10 },
  anonymous: { burst: 1000, perSecond: 50 },
};

export class RateLimited extends Error {
  readonly code = 'RATE_LIMITED';
  readonly statusCode = 429;

  constructor(seconds: number) {
    super(`Too many requests: go on in ${seconds} s.`);
  }
}

/** After authentication: whoever it was, is known. */
export function useRateLimits(app: FastifyInstance, clock: () => number, limits: RateLimits = defaultRateLimits): void {
  const buckets = new Buckets(clock);
  app.addHook('onRequest', async (request, reply) => {
    if (request.caller?.type === 'admin') return;
    const { kind, key } = bucketOf(request);
    const rate = limits[kind];
    const outcome = buckets.take(`${kind} ${key}`, rate);
    tell(reply, rate, outcome.taken ? outcome.left : 0);
    if (outcome.taken) return;
    void reply.header('retry-after', String(outcome.retryAfterSeconds));
    throw new RateLimited(outcome.retryAfterSeconds);
  });
}

function bucketOf(request: FastifyRequest): { kind: keyof RateLimits; key: string } {
  const { caller, clientAddress: ip, method } = request;
  if (caller?.type !== 'principal') return { kind: 'anonymous', key: ip };
  const { issuer, subject } = caller.principal;
  return { kind: method === 'GET' || method === 'HEAD' ? 'reads' : 'writes', key: JSON.stringify([issuer, subject]) };
}

function tell(reply: FastifyReply, { burst, perSecond }: Rate, left: number): void {
  void reply.header('ratelimit-policy', `"default";q=${burst};w=${Math.ceil(burst / perSecond)}`);
  void reply.header('ratelimit', `"default";r=${left}`);
}
