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

export interface Rate {
  /** Requests that may come at once. */
  burst: number;
  perSecond: number;
}

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

const bucketsMax = 50_000;

export class Buckets {
  readonly #clock: () => number;
  /** Least recently used first. */
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** @returns how many requests are left, or how many seconds to wait for the next. */
  take(key: string, rate: Rate): { taken: true; left: number } | { taken: false; retryAfterSeconds: number } {
    const nowMs = this.#clock();
    const before = this.#buckets.get(key) ?? { tokens: rate.burst, atMs: nowMs };
    // A clock that is set back gives nothing and takes nothing.
    const passedMs = Math.max(0, nowMs - before.atMs);
    const tokens = Math.min(rate.burst, before.tokens + (passedMs / 1000) * rate.perSecond);
    const taken = tokens >= 1;
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: taken ? tokens - 1 : tokens, atMs: nowMs });
    if (this.#buckets.size > bucketsMax) {
      const oldest = this.#buckets.keys().next();
      if (!oldest.done) this.#buckets.delete(oldest.value);
    }
    return taken ? { taken, left: Math.floor(tokens - 1) } : { taken, retryAfterSeconds: Math.ceil((1 - tokens) / rate.perSecond) };
  }
}

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
  const { caller, ip, method } = request;
  if (caller?.type !== 'principal') return { kind: 'anonymous', key: ip };
  const { issuer, subject } = caller.principal;
  return { kind: method === 'GET' || method === 'HEAD' ? 'reads' : 'writes', key: JSON.stringify([issuer, subject]) };
}

function tell(reply: FastifyReply, { burst, perSecond }: Rate, left: number): void {
  void reply.header('ratelimit-policy', `"default";q=${burst};w=${Math.ceil(burst / perSecond)}`);
  void reply.header('ratelimit', `"default";r=${left}`);
}
