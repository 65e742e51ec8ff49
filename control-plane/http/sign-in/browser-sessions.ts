/**
 * Who is signed in to the console. Sessions live in this process alone: a browser holds a random id and nothing else, of which the
 * digest is kept here. A restart, or another replica, makes people sign in again, which their provider mostly answers by itself.
 *
 * A session ends by itself after a time without a request, and after a longer time whatever happens. Ids are never taken from a
 * browser: each sign-in makes a new one.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Principal } from '@sallyport/shared/policy/model.ts';

export interface BrowserSession {
  /** Digest of the cookie's value: it names the session in logs and events and opens nothing. */
  readonly id: string;
  readonly principal: Principal;
  /** Name of the IdentityProvider manifest. */
  readonly provider: string;
  /** Sent back in a header with every request that changes something. */
  readonly csrf: string;
  readonly startedAtMs: number;
  /** At the latest. */
  readonly endsAtMs: number;
  /** The provider's name for its own session (`sid`), for logout from its side. */
  readonly providerSession: string | undefined;
  /** For logging out at the provider. */
  readonly idToken: string | undefined;
  lastUsedAtMs: number;
}

export interface BrowserSessionLimits {
  idleMs: number;
  lifetimeMs: number;
  sessionsMax: number;
  sessionsOfOneMax: number;
}

const hourMs = 60 * 60 * 1000;
export const consoleSessionMsMax = 8 * hourMs;
export const defaultLimits: BrowserSessionLimits = {
  idleMs: hourMs / 2,
  lifetimeMs: consoleSessionMsMax,
  sessionsMax: 10_000,
  sessionsOfOneMax: 10,
};

export class BrowserSessions {
  readonly #clock: () => number;
  readonly #limits: BrowserSessionLimits;
  /** By id, least recently used first. */
  readonly #sessions = new Map<string, BrowserSession>();

  constructor(clock: () => number, limits: BrowserSessionLimits = defaultLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** @returns the session, and the secret that the browser is to keep. */
  start(
    principal: Principal,
    provider: string,
    more: { providerSession?: string; idToken?: string; endsAtMs?: number } = {},
  ): { session: BrowserSession; secret: string } {
    const nowMs = this.#clock();
    const own = [...this.#sessions.values()].filter(session => isSamePerson(session.principal, principal));
    for (const session of own.slice(0, Math.max(0, own.length - this.#limits.sessionsOfOneMax + 1))) this.#sessions.delete(session.id);
    if (this.#sessions.size >= this.#limits.sessionsMax) {
      const oldest = this.#sessions.keys().next();
      if (!oldest.done) this.#sessions.delete(oldest.value);
    }
    const secret = randomBytes(32).toString('base64url');
    const session: BrowserSession = {
      id: idOf(secret),
      principal,
      provider,
      csrf: randomBytes(32).toString('base64url'),
      startedAtMs: nowMs,
      endsAtMs: Math.min(nowMs + this.#limits.lifetimeMs, more.endsAtMs ?? Number.POSITIVE_INFINITY),
      providerSession: more.providerSession,
      idToken: more.idToken,
      lastUsedAtMs: nowMs,
    };
    this.#sessions.set(session.id, session);
    return { session, secret };
  }

  /** The session of a browser's secret, if it lasts; using it keeps it from idling out. */
  use(secret: string): BrowserSession | undefined {
    const id = idOf(secret);
    const session = this.#sessions.get(id);
    if (session === undefined) return undefined;
    this.#sessions.delete(id);
    const nowMs = this.#clock();
    if (nowMs >= session.endsAtMs || nowMs - session.lastUsedAtMs >= this.#limits.idleMs) return undefined;
    session.lastUsedAtMs = nowMs;
    this.#sessions.set(id, session);
    return session;
  }

  /** The session, if it lasts; looking does not keep it from idling out. */
  lasting(id: string): BrowserSession | undefined {
    const session = this.#sessions.get(id);
    const nowMs = this.#clock();
    const lasts = session !== undefined && nowMs < session.endsAtMs && nowMs - session.lastUsedAtMs < this.#limits.idleMs;
    return lasts ? session : undefined;
  }

  /** Persons who are signed in under a name (case does not count), newest sign-in first; looking keeps nobody from idling out. */
  personsNamed(name: string): Principal[] {
    const wanted = name.toLowerCase();
    return [...this.#sessions.values()]
      .filter(
        ({ id, principal }) => principal.kind === 'person' && principal.name.toLowerCase() === wanted && this.lasting(id) !== undefined,
      )
      .sort((a, b) => b.startedAtMs - a.startedAtMs)
      .map(({ principal }) => principal);
  }

  end(id: string): void {
    this.#sessions.delete(id);
  }

  /** Ends every session that `isMeant`. @returns how many. */
  endWhere(isMeant: (session: BrowserSession) => boolean): number {
    const meant = [...this.#sessions.values()].filter(isMeant);
    for (const { id } of meant) this.#sessions.delete(id);
    return meant.length;
  }
}

/** Whether the header that came with a write is that of the session; in constant time. */
export function csrfFits(session: BrowserSession, header: unknown): boolean {
  if (typeof header !== 'string') return false;
  const [given, wanted] = [Buffer.from(header), Buffer.from(session.csrf)];
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

function idOf(secret: string): string {
  return createHash('sha256').update(`sallyport-console-session-v1\0${secret}`).digest('base64url');
}

function isSamePerson(a: Principal, b: Principal): boolean {
  return a.issuer === b.issuer && a.subject === b.subject;
}
