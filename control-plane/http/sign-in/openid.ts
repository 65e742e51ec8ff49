/**
 * The console as a client of OpenID providers: authorization code with PKCE, state and nonce, through openid-client. Verified claims
 * come out; who they are is `personOf`'s to say (shared/identity).
 *
 * @see OpenID Connect Core 1.0 section 3.1, RFC 7636, RFC 9700, OpenID Connect Back-Channel Logout 1.0
 */
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { OidcSpec } from '@sallyport/shared/policy/model.ts';
import { createRemoteJWKSet, type JWTPayload, errors as joseErrors, jwtVerify } from 'jose';
import * as oidc from 'openid-client';

/** What the browser keeps, sealed, between leaving for the provider and coming back. */
export interface PendingOpenId {
  state: string;
  nonce: string;
  verifier: string;
}

export interface OpenIdPerson {
  claims: Record<string, unknown>;
  idToken: string | undefined;
  providerSession: string | undefined;
}

const timeoutSeconds = 10;
const discoveredForMs = 10 * 60 * 1000;
const providersMax = 100;
const logoutTokenBytesMax = 16 * 1024;
const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout';

interface Discovered {
  /** Of the settings that it was made with. */
  of: string;
  atMs: number;
  configuration: oidc.Configuration;
  keys: ReturnType<typeof createRemoteJWKSet> | null;
}

export class OpenIdClients {
  readonly #clock: () => number;
  readonly #discovered = new Map<string, Discovered>();

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /**
   * Where the browser goes to sign in.
   * @throws {GatewayError} SIGN_IN_UNAVAILABLE, SIGN_IN_NOT_SET_UP.
   */
  async start(spec: OidcSpec, secret: string | undefined, redirectUri: string): Promise<{ url: URL; pending: PendingOpenId }> {
    const { configuration } = await this.#discover(spec, secret);
    const pending = { state: oidc.randomState(), nonce: oidc.randomNonce(), verifier: oidc.randomPKCECodeVerifier() };
    const known = configuration.serverMetadata().scopes_supported;
    const url = oidc.buildAuthorizationUrl(configuration, {
      redirect_uri: redirectUri,
      response_type: 'code',
      scope: scopesOf(spec)
        .filter(scope => scope === 'openid' || known === undefined || known.includes(scope))
        .join(' '),
      state: pending.state,
      nonce: pending.nonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(pending.verifier),
      code_challenge_method: 'S256',
    });
    return { url, pending };
  }

  /**
   * Trades the code that the browser came back with.
   * @param callback the whole address that it came to.
   * @throws {GatewayError} SIGN_IN_FAILED, SIGN_IN_UNAVAILABLE.
   */
  async finish(spec: OidcSpec, secret: string | undefined, callback: URL, pending: PendingOpenId): Promise<OpenIdPerson> {
    const { configuration } = await this.#discover(spec, secret);
    try {
      const answer = await oidc.authorizationCodeGrant(configuration, callback, {
        expectedState: pending.state,
        expectedNonce: pending.nonce,
        pkceCodeVerifier: pending.verifier,
        idTokenExpected: true,
      });
      const idClaims = answer.claims();
      if (idClaims === undefined) throw new Error('the provider sent no ID token');
      let claims: Record<string, unknown> = { ...idClaims };
      const isMissing = [spec.subjectClaim, spec.groupsClaim].some(name => !Object.hasOwn(claims, name.split('.')[0] ?? name));
      // Some providers say groups only when they are asked. What the signed token says counts before it.
      if (isMissing && configuration.serverMetadata().userinfo_endpoint !== undefined) {
        claims = { ...(await oidc.fetchUserInfo(configuration, answer.access_token, idClaims.sub)), ...claims };
      }
      const { sid } = idClaims;
      return { claims, idToken: answer.id_token, providerSession: typeof sid === 'string' ? sid : undefined };
    } catch (cause) {
      throw new GatewayError('SIGN_IN_FAILED', 'unauthenticated', `The sign-in failed: ${reason(cause)}. Start it again.`, { cause });
    }
  }

  /** Where the browser goes to end the provider's own session; null where the provider offers no such place. */
  async endSessionUrl(spec: OidcSpec, secret: string | undefined, idToken: string | undefined, returnTo: string): Promise<string | null> {
    const { configuration } = await this.#discover(spec, secret);
    if (configuration.serverMetadata().end_session_endpoint === undefined) return null;
    return oidc.buildEndSessionUrl(configuration, {
      post_logout_redirect_uri: returnTo,
      ...(idToken === undefined ? {} : { id_token_hint: idToken }),
    }).href;
  }

  /**
   * Verifies a logout token (Back-Channel Logout 1.0, section 2.6).
   * @throws {GatewayError} LOGOUT_TOKEN_INVALID.
   */
  async logoutToken(
    spec: OidcSpec,
    secret: string | undefined,
    token: string,
  ): Promise<{ id: string; subject?: string; session?: string }> {
    const invalid = (why: string, cause?: unknown) =>
      new GatewayError('LOGOUT_TOKEN_INVALID', 'invalid', `The logout token is refused: ${why}.`, { cause });
    if (token.length > logoutTokenBytesMax) throw invalid('it is too long');
    const { keys } = await this.#discover(spec, secret);
    if (keys === null) throw invalid('the provider publishes no keys');
    let payload: JWTPayload;
    try {
      ({ payload } = await jwtVerify(token, keys, {
        issuer: spec.issuer,
        audience: clientOf(spec),
        algorithms: spec.algorithms,
        clockTolerance: spec.clockSkewMs / 1000,
        maxTokenAge: '10m',
        requiredClaims: ['iat', 'jti', 'events'],
        currentDate: new Date(this.#clock()),
      }));
    } catch (cause) {
      throw invalid(cause instanceof joseErrors.JOSEError ? cause.code : 'it cannot be verified', cause);
    }
    const { events, nonce, sub, sid, jti } = payload;
    if (nonce !== undefined) throw invalid('it has a nonce, as only ID tokens do');
    if (typeof events !== 'object' || events === null || !Object.hasOwn(events, logoutEvent)) throw invalid('it is of another event');
    const subject = typeof sub === 'string' ? { subject: sub } : {};
    const session = typeof sid === 'string' ? { session: sid } : {};
    if (sub === undefined && sid === undefined) throw invalid('it names nobody');
    return { id: String(jti), ...subject, ...session };
  }

  async #discover(spec: OidcSpec, secret: string | undefined): Promise<Discovered> {
    const clientId = clientOf(spec);
    const of = JSON.stringify([spec, secret]);
    const kept = this.#discovered.get(spec.issuer);
    if (kept?.of === of && this.#clock() - kept.atMs < discoveredForMs) return kept;
    const url = new URL(spec.issuer);
    try {
      const configuration = await oidc.discovery(
        url,
        clientId,
        { [oidc.clockTolerance]: spec.clockSkewMs / 1000 },
        secret === undefined ? oidc.None() : oidc.ClientSecretBasic(secret),
        {
          timeout: timeoutSeconds,
          // The manifest's check lets http pass for loopback alone.
          execute: [oidc.enableNonRepudiationChecks, ...(url.protocol === 'http:' ? [oidc.allowInsecureRequests] : [])],
        },
      );
      const { jwks_uri: keysUri } = configuration.serverMetadata();
      const discovered: Discovered = {
        of,
        atMs: this.#clock(),
        configuration,
        keys: keysUri === undefined ? null : createRemoteJWKSet(new URL(keysUri), { timeoutDuration: timeoutSeconds * 1000 }),
      };
      if (this.#discovered.size >= providersMax) this.#discovered.clear();
      this.#discovered.set(spec.issuer, discovered);
      return discovered;
    } catch (cause) {
      throw new GatewayError('SIGN_IN_UNAVAILABLE', 'unavailable', `The identity provider cannot be used now: ${reason(cause)}.`, {
        cause,
      });
    }
  }
}

/** @throws {GatewayError} SIGN_IN_NOT_SET_UP. */
export function clientOf(spec: OidcSpec): string {
  const clientId = spec.console?.clientId ?? spec.clientId;
  if (clientId !== undefined) return clientId;
  throw new GatewayError(
    'SIGN_IN_NOT_SET_UP',
    'notFound',
    'This identity provider has no client for the console: its manifest needs `oidc.console.clientId` or `oidc.clientId`.',
  );
}

function scopesOf(spec: OidcSpec): string[] {
  return [...new Set(['openid', ...(spec.console?.scopes ?? ['profile', 'email', 'groups'])])];
}

/** The provider's own words where it gave some; never a token. */
function reason(error: unknown): string {
  if (error instanceof oidc.AuthorizationResponseError) return error.error_description ?? error.error;
  if (error instanceof oidc.ResponseBodyError) return error.error_description ?? error.error;
  if (error instanceof Error && error.cause instanceof Error && error.cause.message) return error.cause.message;
  return errorText(error);
}
