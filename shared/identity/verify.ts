/**
 * Who is it? Verifies the token that a client gave as its password, offline: with keys that are cached, never by asking anyone.
 *
 * Two kinds of token: those of the identity providers of the lease, and Sallyport's own tickets, signed by the lease's ticket
 * keys and good for one resource. What says whether the principal may do something is not here (shared/policy).
 *
 * A token says who somebody is to its identity provider. What it may decide here:
 * - `iss` chooses the provider, by exact match; the ticket issuer's name always means tickets.
 * - a ServiceAccount that trusts its issuer with its subject or claims makes it a workload, with the account's name and the account's groups alone:
 *   what a build system calls a group means nothing here.
 * - anyone else is a person, named by the provider's subject claim, in the groups of its groups claim.
 *
 * @see RFC 7519 section 4.1, RFC 8693 section 4.1, RFC 8725
 */
import { createHash } from 'node:crypto';
import type { LeaseBundle, Named, PublicJwk } from '../policy/bundle.ts';
import type { OidcProviderSpec, OidcSpec, Principal, ServiceAccountSpec } from '../policy/model.ts';
import { type Jws, KeySet, parseJws, signatureChecks } from './jws.ts';
import { boundsOf, type TokenBounds } from './token-bounds.ts';
import { workloadProviders } from './trusted-issuers.ts';
import { claimAt, claimValues, isTrusted } from './trusts.ts';

export type Verified =
  | {
      ok: true;
      principal: Principal;
      /** `jti`, or a digest of the token that has none. */
      tokenId: string;
      expiresAtMs: number;
      /** Set for a ticket: the only resource it opens. */
      ticketResource?: string;
      /** Whoever takes the token must check them (token-bounds.ts); absent: none. */
      bounds?: TokenBounds;
    }
  | {
      ok: false;
      /** Stable: TOKEN_EXPIRED, TOKEN_AUDIENCE … for the record; the client is told nothing of it. */
      code: string;
      /** For people who read the record; holds nothing of the token. */
      reason: string;
    };

type Accepted = Extract<Verified, { ok: true }>;
type Refused = Extract<Verified, { ok: false }>;

export interface VerifyOptions {
  /** Milliseconds since 1970 UTC; default the clock. */
  now?: () => number;
  /** A token names a key that is not cached: somebody should fetch, and call `useKeys` in any case. */
  onKeysMissing?: (issuer: string) => void;
  /** How long a token waits for keys that are missing; default 5 s: as long as the provider is waited for. */
  keysWaitMs?: number;
}

const TICKET_LIFETIME_MAX_MS = 60 * 60 * 1000;
const TICKET_SKEW_MS = 30 * 1000;
const NAME_LENGTH_MAX = 256;
const GROUPS_MAX = 1000;
const DELEGATION_MAX = 8;
const CACHE_MAX = 4096;
const WAITING_MAX = 256;

const refuse = (code: string, reason: string): Refused => ({ ok: false, code, reason });

/** What tokens are verified against: one per worker, fed by the main thread's messages. */
export class VerifyContext {
  readonly now: () => number;
  readonly #onKeysMissing: (issuer: string) => void;
  readonly #keysWaitMs: number;
  #ticketIssuer = '';
  #ticketKeys = new KeySet([]);
  #providers: readonly Named<OidcProviderSpec>[] = [];
  #serviceAccounts: readonly Named<ServiceAccountSpec>[] = [];
  #workloadsOnly: ReadonlySet<string> = new Set();
  readonly #keys = new Map<string, { text: string; set: KeySet }>();
  #revokedByLease: ReadonlySet<string> = new Set();
  /** Token id → when it may be forgotten: a lease that was made before the revocation does not undo it. */
  readonly #revokedSince = new Map<string, number>();
  /** Tokens found good, by SHA-256, least recently used first: a reconnect costs no signature. */
  readonly #cache = new Map<string, { result: Accepted; goodUntilMs: number }>();
  #generation = 0;
  readonly #waiting = new Map<string, Set<() => void>>();
  #waitingCount = 0;

  constructor(options: VerifyOptions = {}) {
    this.now = options.now ?? Date.now;
    this.#onKeysMissing = options.onKeysMissing ?? (() => {});
    this.#keysWaitMs = options.keysWaitMs ?? 5000;
  }

  /** Takes providers, accounts, ticket keys and revocations of a lease. Keys of providers stay. */
  useLease(bundle: Pick<LeaseBundle, 'tickets' | 'identityProviders' | 'serviceAccounts' | 'revokedTokens'>): void {
    this.#ticketIssuer = bundle.tickets.issuer;
    this.#ticketKeys = new KeySet(bundle.tickets.keys);
    const workloads = workloadProviders(bundle);
    this.#providers = [...bundle.identityProviders, ...workloads];
    this.#workloadsOnly = new Set(workloads.map(provider => provider.spec.oidc.issuer));
    this.#serviceAccounts = bundle.serviceAccounts;
    this.#revokedByLease = new Set(bundle.revokedTokens);
    for (const [id, untilMs] of this.#revokedSince) if (untilMs < this.now()) this.#revokedSince.delete(id);
    this.#forget();
  }

  /** Takes the keys of an issuer, in place of those it had. Wakes the tokens that wait for them. */
  useKeys(issuer: string, keys: readonly PublicJwk[]): void {
    const text = JSON.stringify(keys);
    if (this.#keys.get(issuer)?.text !== text) {
      this.#keys.set(issuer, { text, set: new KeySet(keys) });
      this.#forget();
    }
    for (const wake of this.#waiting.get(issuer) ?? []) wake();
  }

  /** These token ids are no longer good, besides those of the lease. */
  revoke(tokenIds: readonly string[]): void {
    for (const id of tokenIds) this.#revokedSince.set(id, this.now() + 2 * TICKET_LIFETIME_MAX_MS);
  }

  isRevoked(tokenId: string): boolean {
    return this.#revokedByLease.has(tokenId) || this.#revokedSince.has(tokenId);
  }

  get ticketIssuer(): string {
    return this.#ticketIssuer;
  }

  get ticketKeys(): KeySet {
    return this.#ticketKeys;
  }

  providersOf(issuer: string): Named<OidcProviderSpec>[] {
    return this.#providers.filter(provider => provider.spec.oidc.issuer === issuer);
  }

  /** Is the issuer known by ServiceAccounts alone, so that nobody else of it is let in? */
  isWorkloadsOnly(issuer: string): boolean {
    return this.#workloadsOnly.has(issuer);
  }

  accountsTrusting(
    issuer: string,
    claims: Readonly<Record<string, unknown>>,
  ): { account: Named<ServiceAccountSpec>; audience: string | undefined }[] {
    return this.#serviceAccounts.flatMap(account => {
      const trust = account.spec.trusts.find(each => isTrusted(each, issuer, claims));
      return trust === undefined ? [] : [{ account, audience: trust.audience }];
    });
  }

  keysOf(issuer: string): KeySet | null {
    return this.#keys.get(issuer)?.set ?? null;
  }

  /** Asks for keys and waits until they come, for a bounded time; at once when too many wait. */
  async waitForKeys(issuer: string): Promise<void> {
    this.#onKeysMissing(issuer);
    if (this.#waitingCount >= WAITING_MAX) return;
    const waiting = this.#waiting.get(issuer) ?? new Set();
    this.#waiting.set(issuer, waiting);
    this.#waitingCount++;
    let wake: () => void = () => {};
    const timer = setTimeout(() => wake(), this.#keysWaitMs);
    await new Promise<void>(resolve => {
      wake = resolve;
      waiting.add(resolve);
    });
    clearTimeout(timer);
    waiting.delete(wake);
    if (waiting.size === 0) this.#waiting.delete(issuer);
    this.#waitingCount--;
  }

  #forget(): void {
    this.#cache.clear();
    this.#generation++;
  }

  /** Rises with every change of lease or keys. */
  get generation(): number {
    return this.#generation;
  }

  cached(digest: string): Accepted | null {
    const entry = this.#cache.get(digest);
    if (entry === undefined) return null;
    this.#cache.delete(digest);
    if (this.now() >= entry.goodUntilMs) return null;
    this.#cache.set(digest, entry);
    return entry.result;
  }

  /** Keeps a result that was found under `generation`; one found under older keys or an older lease is not kept. */
  remember(digest: string, result: Accepted, goodUntilMs: number, generation: number): void {
    if (generation !== this.#generation) return;
    if (this.#cache.size >= CACHE_MAX) {
      const oldest = this.#cache.keys().next();
      if (!oldest.done) this.#cache.delete(oldest.value);
    }
    this.#cache.set(digest, { result, goodUntilMs });
  }
}

/**
 * Verifies a token. Never throws or rejects, whatever the token.
 *
 * @param token as the client gave it; at most 16 KiB. It appears in no result.
 */
export async function verifyToken(token: string, context: VerifyContext): Promise<Verified> {
  const parsed = parseJws(token);
  if (!parsed.ok) return parsed;
  const { jws } = parsed;
  const digest = createHash('sha256').update(token).digest('hex');
  const known = context.cached(digest);
  if (known !== null) return context.isRevoked(known.tokenId) ? refuse('TOKEN_REVOKED', 'the token is revoked') : known;

  const generation = context.generation;
  const { iss } = jws.claims;
  if (typeof iss !== 'string' || iss === '') return refuse('TOKEN_ISSUER_UNKNOWN', 'the token names no issuer');
  const outcome = iss === context.ticketIssuer ? await verifyTicket(jws, digest, context) : await verifyIssued(jws, iss, digest, context);
  if (!outcome.ok) return outcome;
  const { result, goodUntilMs } = outcome;
  if (context.isRevoked(result.tokenId)) return refuse('TOKEN_REVOKED', 'the token is revoked');
  context.remember(digest, result, goodUntilMs, generation);
  return result;
}

type Outcome = { ok: true; result: Accepted; goodUntilMs: number } | Refused;

/** A token of one of the lease's identity providers. */
async function verifyIssued(jws: Jws, issuer: string, digest: string, context: VerifyContext): Promise<Outcome> {
  const providers = context.providersOf(issuer).filter(provider => provider.spec.oidc.algorithms.includes(jws.alg));
  if (providers.length === 0) {
    return context.providersOf(issuer).length === 0
      ? refuse('TOKEN_ISSUER_UNKNOWN', 'the token is of no identity provider that this agent trusts')
      : refuse('TOKEN_ALG_REFUSED', "the token is signed with an algorithm that is not on its identity provider's list");
  }
  let keys = context.keysOf(issuer)?.candidates(jws) ?? [];
  if (keys.length === 0) {
    await context.waitForKeys(issuer);
    keys = context.keysOf(issuer)?.candidates(jws) ?? [];
  }
  if (keys.length === 0) {
    return context.keysOf(issuer) === null
      ? refuse('TOKEN_KEYS_UNAVAILABLE', "the identity provider's keys could not be fetched yet")
      : refuse('TOKEN_KEY_UNKNOWN', 'no key of the identity provider fits the key id and algorithm of the token');
  }
  if (!(await signatureChecks(jws, keys))) return refuse('TOKEN_SIGNATURE', 'the signature is not that of the identity provider');

  // The lease may have changed while the signature was checked.
  let last: Outcome = refuse('TOKEN_ISSUER_UNKNOWN', 'the token is of no identity provider that this agent trusts');
  for (const provider of context.providersOf(issuer)) {
    if (!provider.spec.oidc.algorithms.includes(jws.alg)) continue;
    last = judgeClaims(jws.claims, issuer, provider.spec.oidc, digest, context);
    if (last.ok || last.code !== 'TOKEN_AUDIENCE') return last;
  }
  return last;
}

function judgeClaims(claims: Record<string, unknown>, issuer: string, oidc: OidcSpec, digest: string, context: VerifyContext): Outcome {
  const { sub } = claims;
  if (!isName(sub)) return refuse('TOKEN_CLAIMS', 'the token has no usable subject');
  const trusting = context.accountsTrusting(issuer, claims);
  if (trusting.length > 1) return refuse('TOKEN_SUBJECT_AMBIGUOUS', 'more than one service account trusts the token');
  const [trust] = trusting;
  if (trust === undefined && context.isWorkloadsOnly(issuer)) {
    return refuse('TOKEN_SUBJECT_UNTRUSTED', 'no service account trusts this token, and the issuer is no identity provider');
  }

  const audiences = trust?.audience === undefined ? oidc.audiences : [trust.audience];
  if (!audienceFits(claims.aud, audiences)) return refuse('TOKEN_AUDIENCE', 'the token is for another audience');
  const times = judgeTimes(claims, context.now(), oidc.clockSkewMs, oidc.clockSkewMs);
  if (!times.ok) return times;
  const delegation = actors(claims.act);
  if (delegation === null) return refuse('TOKEN_CLAIMS', 'the chain of actors (`act`) is malformed or too long');
  const tokenId = tokenIdOf(claims.jti, digest);
  if (tokenId === null) return refuse('TOKEN_CLAIMS', 'the token id (`jti`) is no short string');
  const bounds = boundsOf(claims, false);
  if (bounds === null) return refuse('TOKEN_BOUND', 'the token is bound to something (`cnf`) that cannot be checked here');

  let principal: Principal;
  if (trust !== undefined) {
    principal = { kind: 'workload', name: trust.account.name, issuer, subject: sub, groups: [...trust.account.spec.groups], delegation };
  } else {
    const person = personOf(claims, oidc);
    if (!person.ok) return person;
    principal = { ...person.principal, delegation };
  }
  return {
    ok: true,
    result: { ok: true, principal, tokenId, expiresAtMs: times.expiresAtMs, ...bound(bounds) },
    goodUntilMs: times.expiresAtMs + oidc.clockSkewMs,
  };
}

/**
 * The person that an OpenID provider's verified claims describe. Whether the claims are verified, and meant for us, is the caller's
 * business; so is whether a service account trusts the subject.
 */
export function personOf(claims: Readonly<Record<string, unknown>>, oidc: OidcSpec): { ok: true; principal: Principal } | Refused {
  const { sub } = claims;
  const name = claimAt(claims, oidc.subjectClaim);
  if (!isName(sub) || !isName(name)) return refuse('TOKEN_CLAIMS', "the token lacks the identity provider's subject claim");
  if (oidc.subjectClaim === 'email' && (claims.email_verified === false || claims.email_verified === 'false')) {
    return refuse('TOKEN_EMAIL_UNVERIFIED', 'the identity provider says that the address was not verified');
  }
  const groups = groupsOf(claimAt(claims, oidc.groupsClaim));
  if (groups === null) return refuse('TOKEN_CLAIMS', 'the groups claim is neither a name nor a list of names');
  const mapped = mappedGroups(claims, oidc.groupMappings ?? []);
  if (groups.length + mapped.length > GROUPS_MAX || !mapped.every(isName))
    return refuse('TOKEN_CLAIMS', 'the claims make no usable groups');
  const all = [...new Set([...groups, ...mapped])];
  return { ok: true, principal: { kind: 'person', name, issuer: oidc.issuer, subject: sub, groups: all, delegation: [] } };
}

/** A ticket of the control plane. */
async function verifyTicket(jws: Jws, digest: string, context: VerifyContext): Promise<Outcome> {
  if (jws.alg !== 'EdDSA') return refuse('TOKEN_ALG_REFUSED', 'a ticket is signed with EdDSA');
  const keys = context.ticketKeys.candidates(jws);
  if (keys.length === 0) return refuse('TOKEN_KEY_UNKNOWN', 'no ticket key of the lease fits the key id of the ticket');
  if (!(await signatureChecks(jws, keys))) return refuse('TOKEN_SIGNATURE', "the signature is not that of the control plane's ticket key");

  const { claims } = jws;
  const { aud, jti, sub, name, kind, oiss } = claims;
  if (typeof aud !== 'string' || !aud.startsWith('resource:') || aud.length === 'resource:'.length) {
    return refuse('TOKEN_AUDIENCE', 'the ticket names no resource');
  }
  const times = judgeTimes(claims, context.now(), 0, TICKET_SKEW_MS);
  if (!times.ok) return times;
  if (times.expiresAtMs > context.now() + TICKET_LIFETIME_MAX_MS + TICKET_SKEW_MS) {
    return refuse('TOKEN_LIFETIME', 'the ticket is good for longer than any ticket may be');
  }
  const groups = groupsOf(claims.groups);
  const delegation = actors(claims.act);
  const tokenId = typeof jti === 'string' ? tokenIdOf(jti, digest) : null;
  if (!isName(sub) || !isName(name) || !isName(oiss) || groups === null || delegation === null || tokenId === null) {
    return refuse('TOKEN_CLAIMS', 'the ticket lacks a claim that tickets have');
  }
  if (kind !== 'person' && kind !== 'workload') return refuse('TOKEN_CLAIMS', 'the ticket does not say what kind of principal it is for');
  const bounds = boundsOf(claims, true);
  if (bounds === null) return refuse('TOKEN_BOUND', 'the ticket is bound to something that this version cannot check');
  const principal: Principal = { kind, name, issuer: oiss, subject: sub, groups, delegation };
  const ticketResource = aud.slice('resource:'.length);
  const result: Accepted = { ok: true, principal, tokenId, expiresAtMs: times.expiresAtMs, ticketResource, ...bound(bounds) };
  return { ok: true, result, goodUntilMs: times.expiresAtMs };
}

function bound(bounds: TokenBounds): { bounds?: TokenBounds } {
  return Object.keys(bounds).length === 0 ? {} : { bounds };
}

function judgeTimes(
  claims: Record<string, unknown>,
  nowMs: number,
  expirySkewMs: number,
  startSkewMs: number,
): { ok: true; expiresAtMs: number } | Refused {
  const { exp, nbf, iat } = claims;
  if (typeof exp !== 'number' || !Number.isFinite(exp)) return refuse('TOKEN_CLAIMS', 'the token has no expiry');
  for (const time of [nbf, iat]) {
    if (time !== undefined && (typeof time !== 'number' || !Number.isFinite(time)))
      return refuse('TOKEN_CLAIMS', 'a time in the token is no number');
  }
  const expiresAtMs = Math.floor(exp * 1000);
  if (!Number.isSafeInteger(expiresAtMs)) return refuse('TOKEN_CLAIMS', "the token's expiry is out of range");
  if (nowMs >= expiresAtMs + expirySkewMs) return refuse('TOKEN_EXPIRED', 'the token has expired');
  if (typeof nbf === 'number' && nbf * 1000 > nowMs + startSkewMs) return refuse('TOKEN_NOT_YET_VALID', 'the token is not valid yet');
  if (typeof iat === 'number' && iat * 1000 > nowMs + startSkewMs)
    return refuse('TOKEN_NOT_YET_VALID', 'the token was issued in the future');
  return { ok: true, expiresAtMs };
}

function audienceFits(aud: unknown, accepted: readonly string[]): boolean {
  const given: unknown[] = Array.isArray(aud) ? aud : [aud];
  return given.length <= 100 && given.some(each => typeof each === 'string' && accepted.includes(each));
}

/** Groups that other claims stand for; a claim that is missing, or is neither a value nor a list of them, stands for none. */
function mappedGroups(claims: Readonly<Record<string, unknown>>, mappings: NonNullable<OidcSpec['groupMappings']>): string[] {
  return mappings.flatMap(({ claim, values, prefix = '' }) =>
    (claimValues(claimAt(claims, claim)) ?? []).flatMap(value => {
      if (values === undefined) return value === '' ? [] : [`${prefix}${value}`];
      return Object.hasOwn(values, value) ? [`${prefix}${values[value]}`] : [];
    }),
  );
}

/** A name that can stand in a record and on a screen: not empty, bounded, without control characters. */
function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= NAME_LENGTH_MAX && !/\p{Cc}/u.test(value);
}

function groupsOf(value: unknown): string[] | null {
  if (value === undefined || value === null) return [];
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.length <= GROUPS_MAX && list.every(isName) ? [...new Set(list)] : null;
}

/** The subjects of a chain of actors, outermost first. */
function actors(act: unknown): string[] | null {
  const chain: string[] = [];
  for (let actor = act; actor !== undefined; ) {
    if (typeof actor !== 'object' || actor === null || Array.isArray(actor)) return null;
    const { sub, act: next } = actor as Record<string, unknown>;
    if (!isName(sub) || chain.length === DELEGATION_MAX) return null;
    chain.push(sub);
    actor = next;
  }
  return chain;
}

function tokenIdOf(jti: unknown, digest: string): string | null {
  if (jti === undefined) return `sha256:${digest.slice(0, 32)}`;
  return isName(jti) ? jti : null;
}
