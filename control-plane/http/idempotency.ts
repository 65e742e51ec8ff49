/**
 * `Idempotency-Key`: a write that is repeated under the same key by the same caller is done once, and its answer is given again. Another
 * write under the same key is refused, and so is a repeat while the first still runs.
 *
 * Answers are kept by this process for an hour, within bounds. What is repeated later, or at another replica, is done again: every write
 * but invitations is idempotent by itself (a change that is there already makes no event).
 *
 * Faults of the server and refusals for load are not kept: a repeat may do better.
 *
 * @see draft-ietf-httpapi-idempotency-key-header
 */
import { createHash } from 'node:crypto';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Caller } from './authentication.ts';

const keptMs = 60 * 60 * 1000;
const entriesMax = 10_000;
const answerBytesMax = 256 * 1024;
const bytesMax = 32 * 1024 * 1024;

type Entry = { request: string; atMs: number } & (
  | { state: 'running' }
  | { state: 'done'; status: number; contentType: string; payload: string }
);

declare module 'fastify' {
  interface FastifyRequest {
    idempotencyEntry: string | null;
  }
}

/** The answers by caller and key; oldest first. */
export class KeptAnswers {
  readonly #clock: () => number;
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /**
   * Begins a request, or finds the answer to it.
   * @throws {GatewayError} IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_KEY_IN_USE.
   */
  begin(id: string, request: string): Extract<Entry, { state: 'done' }> | null {
    this.#forgetOld();
    const known = this.#entries.get(id);
    if (known === undefined) {
      this.#entries.set(id, { state: 'running', request, atMs: this.#clock() });
      return null;
    }
    if (known.request !== request) {
      throw new GatewayError('IDEMPOTENCY_KEY_REUSED', 'conflict', 'Another request was sent with this Idempotency-Key: take a new one.');
    }
    if (known.state === 'done') return known;
    throw new GatewayError('IDEMPOTENCY_KEY_IN_USE', 'conflict', 'The first request with this Idempotency-Key still runs: ask again.');
  }

  finish(id: string, answer: { status: number; contentType: string; payload: string } | null): void {
    const running = this.#entries.get(id);
    if (running?.state !== 'running') return;
    this.#entries.delete(id);
    if (answer === null || answer.status >= 500 || answer.status === 429 || answer.payload.length > answerBytesMax) return;
    this.#entries.set(id, { state: 'done', request: running.request, atMs: running.atMs, ...answer });
    this.#bytes += answer.payload.length;
    this.#forgetOld();
  }

  #forgetOld(): void {
    const untilMs = this.#clock() - keptMs;
    for (const [id, entry] of this.#entries) {
      if (entry.atMs > untilMs && this.#entries.size <= entriesMax && this.#bytes <= bytesMax) return;
      this.#entries.delete(id);
      if (entry.state === 'done') this.#bytes -= entry.payload.length;
    }
  }
}

/** After authentication: a key is the caller's own. */
export function useIdempotencyKeys(app: FastifyInstance, clock: () => number): void {
  const answers = new KeptAnswers(clock);
  app.decorateRequest('idempotencyEntry', null);
  app.addHook('preHandler', async (request, reply) => {
    const key = keyOf(request);
    if (key === null || request.caller === null) return;
    const id = digest([callerName(request.caller), key]);
    const kept = answers.begin(id, digest([request.method, request.url, request.headers['if-match'] ?? '', request.body ?? null]));
    if (kept === null) {
      request.idempotencyEntry = id;
      return;
    }
    await reply.code(kept.status).header('idempotent-replayed', 'true').type(kept.contentType).serializer(String).send(kept.payload);
  });
  app.addHook('onSend', async (request, reply, payload) => {
    if (request.idempotencyEntry !== null) {
      const contentType = String(reply.getHeader('content-type') ?? 'application/json');
      answers.finish(request.idempotencyEntry, typeof payload === 'string' ? { status: reply.statusCode, contentType, payload } : null);
    }
    return payload;
  });
  // A caller that hangs up in between does not keep the key for ever.
  app.addHook('onResponse', async request => {
    if (request.idempotencyEntry !== null) answers.finish(request.idempotencyEntry, null);
  });
}

/** @throws {GatewayError} IDEMPOTENCY_KEY_INVALID. */
function keyOf({ method, headers }: FastifyRequest): string | null {
  const key = headers['idempotency-key'];
  if (key === undefined || method === 'GET' || method === 'HEAD') return null;
  if (typeof key === 'string' && /^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw new GatewayError('IDEMPOTENCY_KEY_INVALID', 'invalid', 'Idempotency-Key must be 1 to 255 printable characters without spaces.');
}

function callerName(caller: Caller): readonly string[] {
  return caller.type === 'admin'
    ? ['admin']
    : ['principal', caller.principal.issuer, caller.principal.subject, ...caller.principal.delegation];
}

function digest(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url');
}
