/**
 * Fetches identity providers' public keys when a token needs them: discovery, then the key set. Only for issuers of the present
 * manifests; over https, or http on loopback; bounded in size and time, without redirects; one fetch per issuer at a time, and pauses
 * between, whatever tokens ask for.
 *
 * @see OpenID Connect Discovery 1.0 section 4
 */
import { errorText } from '@sallyport/shared/errors.ts';
import type { VerifyContext } from '@sallyport/shared/identity/verify.ts';
import type { PublicJwk } from '@sallyport/shared/policy/bundle.ts';
import type { Logger } from 'pino';

const fetchTimeoutMs = 5000;
const bodyBytesMax = 512 * 1024;
const pauseMs = 5000;
const refreshMs = 10 * 60 * 1000;

export class IssuerKeys {
  readonly #logger: Logger;
  readonly #clock: () => number;
  readonly #isConfigured: (issuer: string) => boolean;
  readonly #issuers = new Map<string, { fetching: Promise<void> | null; triedAtMs: number; jwksUri: string | null }>();
  #context: VerifyContext | null = null;
  readonly #timer: NodeJS.Timeout;

  /** @param isConfigured whether an identity provider with this issuer is in force. */
  constructor(options: { logger: Logger; clock: () => number; isConfigured: (issuer: string) => boolean }) {
    this.#logger = options.logger;
    this.#clock = options.clock;
    this.#isConfigured = options.isConfigured;
    this.#timer = setInterval(() => this.#refreshAll(), refreshMs);
    this.#timer.unref();
  }

  /** Where fetched keys go. */
  feed(context: VerifyContext): void {
    this.#context = context;
  }

  /** A token named a key that is not cached. */
  missing(issuer: string): void {
    if (!this.#isConfigured(issuer)) return;
    const known = this.#issuers.get(issuer) ?? { fetching: null, triedAtMs: Number.NEGATIVE_INFINITY, jwksUri: null };
    this.#issuers.set(issuer, known);
    if (known.fetching !== null || this.#clock() - known.triedAtMs < pauseMs) return;
    known.triedAtMs = this.#clock();
    known.fetching = this.#fetch(issuer, known).then(
      keys => this.#context?.useKeys(issuer, keys),
      (error: unknown) => this.#logger.warn({ issuer, err: errorText(error) }, 'the identity provider’s keys could not be fetched'),
    );
    void known.fetching.finally(() => {
      known.fetching = null;
    });
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #refreshAll(): void {
    for (const issuer of [...this.#issuers.keys()]) {
      if (this.#isConfigured(issuer)) this.missing(issuer);
      else this.#issuers.delete(issuer);
    }
  }

  async #fetch(issuer: string, known: { jwksUri: string | null }): Promise<PublicJwk[]> {
    const discovery = (await fetchJson(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)) as {
      issuer?: unknown;
      jwks_uri?: unknown;
    };
    if (discovery.issuer !== issuer) throw new Error('its discovery document names another issuer');
    if (typeof discovery.jwks_uri !== 'string') throw new Error('its discovery document names no jwks_uri');
    known.jwksUri = discovery.jwks_uri;
    const { keys } = (await fetchJson(discovery.jwks_uri)) as { keys?: unknown };
    if (!Array.isArray(keys)) throw new Error('its key set has no keys');
    return keys.filter(
      (key): key is PublicJwk => typeof key === 'object' && key !== null && typeof (key as { kty?: unknown }).kty === 'string',
    );
  }
}

async function fetchJson(address: string): Promise<unknown> {
  const url = new URL(address);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.hostname))) {
    throw new Error(`${url.origin} is neither https nor on this machine`);
  }
  const response = await fetch(url, {
    redirect: 'error',
    signal: AbortSignal.timeout(fetchTimeoutMs),
    headers: { accept: 'application/json' },
  });
  if (!response.ok) throw new Error(`${url.origin} answered ${response.status}`);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > bodyBytesMax) throw new Error(`${url.origin} answered more than ${bodyBytesMax} bytes`);
    chunks.push(chunk);
  }
  const parsed: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  if (typeof parsed !== 'object' || parsed === null) throw new Error(`${url.origin} answered no JSON object`);
  return parsed;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);
}
