/**
 * The identity providers' public keys: discovered, fetched, refreshed, and kept on disk, so that tokens are verified while a
 * provider is down, also across a restart of the agent.
 *
 * A fetch follows no redirects, believes a discovery document only if it names the very issuer that was asked, and is bounded in
 * size and time. `https` is demanded, but for loopback. Old keys serve while the provider cannot be reached, for a bounded time.
 *
 * @see OpenID Connect Discovery 1.0 section 4, RFC 8414
 */
import http from 'node:http';
import https from 'node:https';
import { isIPv4 } from 'node:net';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { PublicJwk } from '@sallyport/shared/policy/bundle.ts';
import { Backoff } from '../control/backoff.ts';
import { readPrivateJson, replacePrivateFile } from '../files.ts';
import type { Log } from '../log.ts';

export interface JwksCacheOptions {
  /** Where the keys are kept. */
  file: string;
  /** Hears every set of keys, changed or not. */
  publish: (issuer: string, keys: PublicJwk[]) => void;
  log: Log;
  now?: () => number;
  refreshMs?: number;
  /** Least time between two fetches because of an unknown key. */
  missIntervalMs?: number;
  /** How long keys serve after they were last fetched. */
  staleMaxMs?: number;
  get?: (url: URL) => Promise<unknown>;
}

const REFRESH_MS = 10 * 60 * 1000;
const MISS_INTERVAL_MS = 10 * 1000;
const STALE_MAX_MS = 24 * 60 * 60 * 1000;
const RESPONSE_BYTES_MAX = 1024 * 1024;
const RESPONSE_TIMEOUT_MS = 5000;
const KEYS_MAX = 100;

interface IssuerState {
  keys: PublicJwk[];
  /** When they came from the provider; 0: never. */
  fetchedAtMs: number;
  triedAtMs: number;
  fetching: Promise<void> | null;
  timer: NodeJS.Timeout | null;
  backoff: Backoff;
  problem: string;
}

export class JwksCache {
  readonly #options: JwksCacheOptions;
  readonly #now: () => number;
  readonly #issuers = new Map<string, IssuerState>();
  #kept: Record<string, unknown> = {};
  #saving: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(options: JwksCacheOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Opens the cache with what is on disk; a damaged file is an empty cache. */
  static async open(options: JwksCacheOptions): Promise<JwksCache> {
    const cache = new JwksCache(options);
    try {
      cache.#kept = (await readPrivateJson(options.file)) ?? {};
    } catch (error) {
      options.log.warn({ why: errorText(error) }, 'the kept keys of identity providers cannot be used; they are fetched again');
    }
    return cache;
  }

  /** From now on these issuers are of interest, and no others. */
  useIssuers(issuers: readonly string[]): void {
    const wanted = new Set(issuers);
    for (const [issuer, state] of this.#issuers) {
      if (wanted.has(issuer)) continue;
      if (state.timer !== null) clearTimeout(state.timer);
      this.#issuers.delete(issuer);
    }
    for (const issuer of wanted) {
      if (this.#issuers.has(issuer)) continue;
      const kept = Object.hasOwn(this.#kept, issuer) ? readKept(this.#kept[issuer]) : null;
      const state: IssuerState = {
        keys: kept?.keys ?? [],
        fetchedAtMs: kept?.fetchedAtMs ?? 0,
        triedAtMs: 0,
        fetching: null,
        timer: null,
        backoff: new Backoff(1000, 60_000),
        problem: '',
      };
      this.#issuers.set(issuer, state);
      this.#dropStale(issuer, state);
      if (state.keys.length > 0) this.#options.publish(issuer, state.keys);
      void this.#fetch(issuer, state);
    }
  }

  /** Keys of an issuer; empty when there are none that may be used. */
  keys(issuer: string): PublicJwk[] {
    return this.#issuers.get(issuer)?.keys ?? [];
  }

  /** Issuers whose keys could not be fetched, and why. */
  problems(): Record<string, string> {
    return Object.fromEntries(
      [...this.#issuers].filter(([, state]) => state.problem !== '').map(([issuer, state]) => [issuer, state.problem]),
    );
  }

  /** A token named a key that is not cached. Fetches, if that was not tried just now; publishes what there is then, in any case. */
  async missed(issuer: string): Promise<void> {
    const state = this.#issuers.get(issuer);
    if (state === undefined) return;
    if (state.fetching === null && this.#now() - state.triedAtMs < (this.#options.missIntervalMs ?? MISS_INTERVAL_MS)) {
      this.#options.publish(issuer, state.keys);
      return;
    }
    await this.#fetch(issuer, state);
  }

  /** Waits for fetches and writes that are under way, and stops. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const state of this.#issuers.values()) if (state.timer !== null) clearTimeout(state.timer);
    await this.#saving;
  }

  #fetch(issuer: string, state: IssuerState): Promise<void> {
    state.fetching ??= this.#fetchNow(issuer, state).finally(() => {
      state.fetching = null;
    });
    return state.fetching;
  }

  async #fetchNow(issuer: string, state: IssuerState): Promise<void> {
    if (state.timer !== null) clearTimeout(state.timer);
    state.timer = null;
    state.triedAtMs = this.#now();
    let pauseMs: number;
    try {
      state.keys = await fetchKeys(issuer, this.#options.get ?? getJson);
      state.fetchedAtMs = this.#now();
      if (state.problem !== '') this.#options.log.info({ issuer }, 'the keys of the identity provider are fetched again');
      state.problem = '';
      state.backoff.reset();
      pauseMs = (this.#options.refreshMs ?? REFRESH_MS) * (0.9 + 0.2 * Math.random());
      if (this.#issuers.get(issuer) === state) this.#save(issuer, state);
    } catch (error) {
      const why = errorText(error);
      if (state.problem === '') this.#options.log.warn({ issuer, why }, 'the keys of the identity provider cannot be fetched');
      state.problem = why;
      pauseMs = state.backoff.nextMs();
      this.#dropStale(issuer, state);
    }
    if (this.#closed || this.#issuers.get(issuer) !== state) return;
    this.#options.publish(issuer, state.keys);
    state.timer = setTimeout(() => void this.#fetch(issuer, state), pauseMs);
    state.timer.unref();
  }

  #dropStale(issuer: string, state: IssuerState): void {
    if (state.keys.length === 0 || this.#now() - state.fetchedAtMs < (this.#options.staleMaxMs ?? STALE_MAX_MS)) return;
    this.#options.log.error(
      { issuer, fetchedAt: new Date(state.fetchedAtMs).toISOString() },
      'the kept keys of the identity provider are too old',
    );
    state.keys = [];
  }

  #save(issuer: string, state: IssuerState): void {
    const issuers = new Set(this.#issuers.keys());
    this.#kept = Object.fromEntries(Object.entries(this.#kept).filter(([name]) => issuers.has(name)));
    this.#kept[issuer] = { keys: state.keys, fetchedAtMs: state.fetchedAtMs };
    const text = JSON.stringify(this.#kept);
    this.#saving = this.#saving
      .then(() => replacePrivateFile(this.#options.file, text))
      .catch((error: unknown) => this.#options.log.warn({ why: errorText(error) }, 'the keys of identity providers are not kept'));
  }
}

function readKept(value: unknown): { keys: PublicJwk[]; fetchedAtMs: number } | null {
  if (typeof value !== 'object' || value === null) return null;
  const { keys, fetchedAtMs } = value as Record<string, unknown>;
  return typeof fetchedAtMs === 'number' && Array.isArray(keys) ? { keys: keys.filter(isJwk), fetchedAtMs } : null;
}

function isJwk(value: unknown): value is PublicJwk {
  return typeof value === 'object' && value !== null && 'kty' in value && typeof value.kty === 'string';
}

/**
 * Fetches an issuer's signing keys.
 * @throws {GatewayError} ISSUER_URL, ISSUER_UNREACHABLE, ISSUER_ANSWER.
 */
async function fetchKeys(issuer: string, get: (url: URL) => Promise<unknown>): Promise<PublicJwk[]> {
  const issuerUrl = allowedUrl(issuer, 'the issuer');
  const base = issuer.endsWith('/') ? issuer.slice(0, -1) : issuer;
  const document = await get(new URL(`${base}/.well-known/openid-configuration`));
  const { issuer: named, jwks_uri: keysUri } = (typeof document === 'object' && document !== null ? document : {}) as Record<
    string,
    unknown
  >;
  if (named !== issuer) throw wrongAnswer('its discovery document is of another issuer');
  if (typeof keysUri !== 'string') throw wrongAnswer('its discovery document has no `jwks_uri`');
  const keysUrl = allowedUrl(keysUri, 'the `jwks_uri`');
  if (issuerUrl.protocol === 'https:' && keysUrl.protocol !== 'https:') throw wrongAnswer('its `jwks_uri` is not https');
  const set = await get(keysUrl);
  const { keys } = (typeof set === 'object' && set !== null ? set : {}) as Record<string, unknown>;
  if (!Array.isArray(keys)) throw wrongAnswer('its key set has no list of keys');
  const usable = keys.filter(isJwk);
  if (usable.length === 0 || usable.length > KEYS_MAX) throw wrongAnswer(`its key set has ${usable.length} keys`);
  return usable;
}

function wrongAnswer(why: string): GatewayError {
  return new GatewayError('ISSUER_ANSWER', 'protocol', `the identity provider's answer is not used: ${why}`);
}

function allowedUrl(text: string, what: string): URL {
  const url = URL.parse(text);
  const allowed =
    url !== null &&
    (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))) &&
    url.username === '' &&
    url.hash === '';
  if (!allowed) throw new GatewayError('ISSUER_URL', 'invalid', `${what} must be an https URL (http is accepted on loopback only)`);
  return url;
}

/** Is this host name of a URL the machine itself? */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || (isIPv4(host) && host.startsWith('127.'));
}

/** GET, JSON, no redirects, bounded. */
function getJson(url: URL): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown) =>
      reject(new GatewayError('ISSUER_UNREACHABLE', 'unavailable', `${url.origin}${url.pathname}: ${why}`, { cause }));
    const signal = AbortSignal.timeout(RESPONSE_TIMEOUT_MS);
    const request = (url.protocol === 'https:' ? https : http).get(
      url,
      { signal, headers: { accept: 'application/json' }, agent: false },
      response => {
        if (response.statusCode !== 200) {
          response.destroy();
          fail(`status ${response.statusCode}`);
          return;
        }
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          chunks.push(chunk);
          if (bytes > RESPONSE_BYTES_MAX) response.destroy(new Error(`more than ${RESPONSE_BYTES_MAX} bytes`));
        });
        response.on('error', error => fail(errorText(error), error));
        response.on('end', () => {
          try {
            resolve(JSON.parse(Buffer.concat(chunks).toString('utf8')));
          } catch (error) {
            fail('no JSON', error);
          }
        });
      },
    );
    request.on('error', error => fail(signal.aborted ? `no answer within ${RESPONSE_TIMEOUT_MS} ms` : errorText(error), error));
  });
}
