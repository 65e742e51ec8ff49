/**
 * Signing people in to the console: which providers there are, the way to one and back, and the session that comes of it.
 *
 * What is remembered between leaving and coming back travels with the browser, sealed: any replica can finish what another began, and
 * nobody fills our memory by beginning. It is good once, for ten minutes, since the provider takes its code once.
 */
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { isTrusted } from '@sallyport/shared/identity/trusts.ts';
import { personOf } from '@sallyport/shared/identity/verify.ts';
import type { IdentityProviderSpec, OidcSpec, Principal, SamlSpec, ServiceAccountSpec } from '@sallyport/shared/policy/model.ts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { AdministrationLog } from '../../aggregates/administration-log.ts';
import type { ControlLog, Provenance } from '../../aggregates/control-log.ts';
import type { StoredManifest } from '../../aggregates/projection.ts';
import { secretContext } from '../../leases/secret-context.ts';
import type { ControlPlaneKeys } from '../../pki/keys.ts';
import { type BrowserSession, BrowserSessions } from './browser-sessions.ts';
import { Cookies, openFromBrowser, sealForBrowser } from './cookies.ts';
import { clientOf, OpenIdClients, type PendingOpenId } from './openid.ts';
import type { PublicAddress } from './public-address.ts';
import { finishSaml, type PendingSaml, startSaml } from './saml.ts';
import { refused } from './saml-document.ts';

export interface SignInOptions {
  control: ControlLog;
  administration: AdministrationLog;
  keys: ControlPlaneKeys;
  logger: Logger;
  clock: () => number;
  address: PublicAddress;
}

export interface ProviderShown {
  name: string;
  kind: 'oidc' | 'saml';
}

type Pending = (({ kind: 'oidc' } & PendingOpenId) | ({ kind: 'saml' } & PendingSaml)) & {
  provider: string;
  returnTo: string;
  /** Where the provider sends the browser back to. */
  redirectUri: string;
  atMs: number;
};

const sessionCookie = 'sallyport-session';
const pendingCookie = 'sallyport-sign-in';
const pendingForMs = 10 * 60 * 1000;
const returnToMax = 512;
/** Logout tokens that were used, so that none works twice. */
const logoutTokensKept = 10_000;

export class SignIn {
  readonly sessions: BrowserSessions;
  readonly #options: SignInOptions;
  readonly #openId: OpenIdClients;
  readonly #cookies: Cookies;
  readonly #cookieKey: Buffer;
  readonly #logoutTokens = new Set<string>();

  constructor(options: SignInOptions) {
    this.#options = options;
    this.sessions = new BrowserSessions(options.clock);
    this.#openId = new OpenIdClients(options.clock);
    this.#cookies = new Cookies(options.address.isSecure);
    this.#cookieKey = options.keys.derive('console-sign-in-cookie');
    // Who came by a provider that is no longer believed is signed out.
    options.control.onAccepted(events => {
      if (events.some(({ stream }) => stream.startsWith('identity-provider/')))
        this.sessions.endWhere(({ provider, principal }) => !options.control.state.isIssuer(principal.issuer, provider));
    });
  }

  /** Those that people can sign in to the console with. */
  providers(): ProviderShown[] {
    return this.#options.control.state.manifests('IdentityProvider').flatMap(({ manifest }): ProviderShown[] => {
      const { oidc, saml } = manifest.spec as IdentityProviderSpec;
      if (saml !== undefined) return [{ name: manifest.name, kind: 'saml' }];
      return oidc?.console?.clientId === undefined && oidc?.clientId === undefined ? [] : [{ name: manifest.name, kind: 'oidc' }];
    });
  }

  /**
   * Sends the browser to a provider.
   * @param provider name of the manifest; absent: the only one there is.
   * @throws {GatewayError} PROVIDER_UNKNOWN, SIGN_IN_UNAVAILABLE, SIGN_IN_NOT_SET_UP, ADDRESS_UNKNOWN.
   */
  async begin(request: FastifyRequest, reply: FastifyReply, provider: string | undefined, returnTo: string | undefined): Promise<URL> {
    const known = this.providers();
    const chosen = provider ?? (known.length === 1 ? known[0]?.name : undefined);
    if (chosen === undefined) {
      throw new GatewayError(
        'PROVIDER_UNKNOWN',
        'invalid',
        `Choose a provider: /auth/login?provider=NAME (${known.map(({ name }) => name).join(', ') || 'none is set up'}).`,
      );
    }
    const origin = this.#options.address.origin(request);
    const about = { provider: chosen, returnTo: localPath(returnTo), atMs: this.#options.clock() };
    let url: URL;
    let kept: Pending;
    if (known.some(({ name, kind }) => name === chosen && kind === 'saml')) {
      const redirectUri = `${origin}/auth/saml`;
      const started = await startSaml(this.#samlProvider(chosen).spec, redirectUri);
      url = started.url;
      kept = { kind: 'saml', ...started.pending, ...about, redirectUri };
    } else {
      const { spec, secret } = this.#oidcProvider(chosen);
      const redirectUri = `${origin}/auth/callback`;
      const started = await this.#openId.start(spec, secret, redirectUri);
      url = started.url;
      kept = { kind: 'oidc', ...started.pending, ...about, redirectUri };
    }
    // Lax: the way back begins at the provider's site.
    void reply.header('set-cookie', this.#cookies.set(pendingCookie, sealForBrowser(this.#cookieKey, kept), 'Lax', pendingForMs / 1000));
    return url;
  }

  /**
   * Takes the browser back from the provider and starts its session.
   * @returns the path on the console that it came from.
   * @throws {GatewayError} SIGN_IN_FAILED and others.
   */
  async finish(request: FastifyRequest, reply: FastifyReply): Promise<{ returnTo: string; session: BrowserSession }> {
    void reply.header('set-cookie', this.#cookies.clear(pendingCookie));
    const pending = this.#pendingOf(request);
    if (pending?.kind !== 'oidc') throw notBegun();
    const { spec, secret } = this.#oidcProvider(pending.provider);
    const callback = new URL(pending.redirectUri);
    callback.search = new URL(request.url, callback).search;
    const person = await this.#openId.finish(spec, secret, callback, pending);
    const judged = personOf(person.claims, spec);
    if (!judged.ok) {
      throw new GatewayError('SIGN_IN_FAILED', 'unauthenticated', `The provider's answer cannot be used: ${judged.reason}.`);
    }
    this.#checkPerson(judged.principal, person.claims);
    const session = await this.#startSession(request, reply, judged.principal, pending.provider, {
      ...(person.providerSession === undefined ? {} : { providerSession: person.providerSession }),
      ...(person.idToken === undefined ? {} : { idToken: person.idToken }),
    });
    return { returnTo: pending.returnTo, session };
  }

  /**
   * Takes a SAML response from the browser, when that came with the cookie of where it left from, and starts its session.
   * @returns the path on the console that it came from.
   * @throws {GatewayError} SAML_REFUSED, SIGN_IN_FAILED and others.
   */
  async finishSaml(request: FastifyRequest, reply: FastifyReply, response: string): Promise<{ returnTo: string; session: BrowserSession }> {
    void reply.header('set-cookie', this.#cookies.clear(pendingCookie));
    const pending = this.#pendingOf(request);
    if (pending?.kind !== 'saml') throw notBegun();
    const { spec, key } = this.#samlProvider(pending.provider);
    const person = await finishSaml(spec, key, pending.redirectUri, response, pending, this.#options.clock());
    this.#checkPerson(person.principal, {});
    const session = await this.#startSession(request, reply, person.principal, pending.provider, {
      once: person.assertionKey,
      ...(person.providerSession === undefined ? {} : { providerSession: person.providerSession }),
      ...(person.sessionEndsAtMs === undefined ? {} : { endsAtMs: person.sessionEndsAtMs }),
    });
    return { returnTo: pending.returnTo, session };
  }

  /** The session of the request's cookie. */
  sessionOf(request: FastifyRequest): BrowserSession | undefined {
    const secret = this.#cookies.read(request.headers.cookie, sessionCookie);
    return secret === undefined ? undefined : this.sessions.use(secret);
  }

  /** Ends the session here. @returns where the browser may go to end the provider's as well. */
  async end(request: FastifyRequest, reply: FastifyReply, session: BrowserSession): Promise<string | null> {
    this.sessions.end(session.id);
    void reply.header('set-cookie', this.#cookies.clear(sessionCookie));
    await this.#options.administration.record(
      { type: 'SignedOut', payload: { provider: session.provider, consoleSession: session.id } },
      provenance(request, session.principal, 'signed out of the console'),
    );
    if (this.providers().some(({ name, kind }) => name === session.provider && kind === 'saml')) return null;
    try {
      const { spec, secret } = this.#oidcProvider(session.provider);
      return await this.#openId.endSessionUrl(spec, secret, session.idToken, `${this.#options.address.origin(request)}/`);
    } catch (error) {
      // The session here has ended, which is what was asked.
      this.#options.logger.info({ provider: session.provider, err: errorText(error) }, 'no logout at the provider');
      return null;
    }
  }

  /** A provider tells that a session of its own, or all of a person, has ended. @returns how many ended here. */
  async endFromProvider(token: string): Promise<number> {
    const issuer = unverifiedIssuer(token);
    const found = this.providers().find(({ name, kind }) => kind === 'oidc' && this.#oidcProvider(name).spec.issuer === issuer);
    if (found === undefined) throw new GatewayError('LOGOUT_TOKEN_INVALID', 'invalid', 'The logout token is of no provider that is known.');
    const { spec, secret } = this.#oidcProvider(found.name);
    const { id, subject, session: providerSession } = await this.#openId.logoutToken(spec, secret, token);
    const key = `${spec.issuer} ${id}`;
    if (this.#logoutTokens.has(key)) throw new GatewayError('LOGOUT_TOKEN_INVALID', 'invalid', 'The logout token was used before.');
    this.#logoutTokens.add(key);
    const [oldest] = this.#logoutTokens;
    if (this.#logoutTokens.size > logoutTokensKept && oldest !== undefined) this.#logoutTokens.delete(oldest);
    return this.sessions.endWhere(
      session =>
        session.provider === found.name &&
        (providerSession === undefined || session.providerSession === providerSession) &&
        (subject === undefined || session.principal.subject === subject),
    );
  }

  async #startSession(
    request: FastifyRequest,
    reply: FastifyReply,
    principal: Principal,
    provider: string,
    { once, ...more }: { providerSession?: string; idToken?: string; endsAtMs?: number; once?: string },
  ): Promise<BrowserSession> {
    // What the browser was before is over: nothing of it goes on in the new session.
    const before = this.sessionOf(request);
    if (before !== undefined) this.sessions.end(before.id);
    const { session, secret } = this.sessions.start(principal, provider, more);
    try {
      const event = { type: 'SignedIn', payload: { provider, consoleSession: session.id, groups: principal.groups } } as const;
      const by = provenance(request, principal, 'signed in to the console');
      if (once === undefined) await this.#options.administration.record(event, by);
      else await this.#options.administration.recordOnce(`saml-${once}`, event, by);
    } catch (error) {
      this.sessions.end(session.id);
      if (error instanceof GatewayError && error.code === 'ALREADY_DONE') refused('its assertion was used before');
      throw error;
    }
    const lifetimeSeconds = Math.floor((session.endsAtMs - session.startedAtMs) / 1000);
    void reply.header('set-cookie', this.#cookies.set(sessionCookie, secret, 'Strict', lifetimeSeconds));
    this.#options.logger.info(
      { provider, principal: principal.name, session: session.id.slice(0, 12), ip: request.clientAddress },
      'signed in',
    );
    return session;
  }

  /** @throws {GatewayError} SIGN_IN_FAILED when the subject is a service account's: workloads have no browser. */
  #checkPerson({ issuer, subject }: Principal, claims: Readonly<Record<string, unknown>>): void {
    const isWorkload = this.#options.control.state
      .manifests('ServiceAccount')
      .some(({ manifest }) =>
        (manifest.spec as ServiceAccountSpec).trusts.some(trust => isTrusted(trust, issuer, { ...claims, sub: subject })),
      );
    if (isWorkload) throw new GatewayError('SIGN_IN_FAILED', 'denied', 'This is a service account: it uses the API with its token.');
  }

  #pendingOf(request: FastifyRequest): Pending | undefined {
    const sealed = this.#cookies.read(request.headers.cookie, pendingCookie);
    const pending = sealed === undefined ? undefined : (openFromBrowser(this.#cookieKey, sealed) as Pending | undefined);
    return pending !== undefined && this.#options.clock() - pending.atMs < pendingForMs ? pending : undefined;
  }

  #oidcProvider(name: string): { spec: OidcSpec; secret: string | undefined } {
    const stored = this.#options.control.state.manifest('IdentityProvider', name);
    const spec = (stored?.manifest.spec as IdentityProviderSpec | undefined)?.oidc;
    if (stored === undefined || spec === undefined) {
      throw new GatewayError('PROVIDER_UNKNOWN', 'notFound', 'There is no such identity provider.');
    }
    clientOf(spec);
    return { spec, secret: this.#secretOf(stored, 'oidc.console.clientSecret') };
  }

  #samlProvider(name: string): { spec: SamlSpec; key: string | undefined } {
    const stored = this.#options.control.state.manifest('IdentityProvider', name);
    const spec = (stored?.manifest.spec as IdentityProviderSpec | undefined)?.saml;
    if (stored === undefined || spec === undefined) {
      throw new GatewayError('PROVIDER_UNKNOWN', 'notFound', 'There is no such identity provider.');
    }
    return { spec, key: this.#secretOf(stored, 'saml.decryptionKey') };
  }

  #secretOf({ manifest, secrets }: StoredManifest, path: string): string | undefined {
    const sealed = secrets[path];
    if (sealed === undefined) return undefined;
    return this.#options.keys.openAtRest(sealed.sealed, secretContext('IdentityProvider', manifest.name, path)).toString('utf8');
  }
}

function notBegun(): GatewayError {
  return new GatewayError(
    'SIGN_IN_FAILED',
    'unauthenticated',
    'This sign-in was not begun in this browser, or too long ago. Start it again.',
  );
}

function provenance(request: FastifyRequest, { name, issuer, subject }: Principal, reason: string): Provenance {
  const authorAddress = request.clientEndpoint;
  return { author: name, authorIdentity: { issuer, subject }, authorAddress, reason, requestId: request.id };
}

/** A path on the console itself; whatever else is asked for becomes its start page. */
export function localPath(asked: string | undefined): string {
  if (asked === undefined || asked.length > returnToMax || !/^\/(?![/\\])[\x21-\x7e]*$/.test(asked)) return '/';
  const base = 'http://console.invalid';
  const url = URL.parse(asked, base);
  return url !== null && url.origin === base ? `${url.pathname}${url.search}${url.hash}` : '/';
}

/** Only to choose whose keys to verify with. */
function unverifiedIssuer(token: string): unknown {
  try {
    return (JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as { iss?: unknown }).iss;
  } catch {
    return undefined;
  }
}
