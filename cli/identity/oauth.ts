/** What the command asks of an identity provider: the device flow, a refresh, and a service account's own token. */
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import * as oidc from 'openid-client';
import { isLoopback } from '../http-client.ts';
import { claimsOf } from './claims.ts';
import type { Login } from './login-store.ts';
import { awaitCallback } from './loopback-login.ts';

/** Scopes that are asked for where the provider knows them. */
const SCOPES = ['openid', 'offline_access', 'profile', 'email', 'groups'];

/**
 * Reads the provider's own description of itself.
 * @throws {GatewayError} IDENTITY_PROVIDER_UNREACHABLE.
 */
async function discover(issuer: string, clientId: string, clientSecret?: string): Promise<oidc.Configuration> {
  const url = toUrl(issuer);
  try {
    return await oidc.discovery(url, clientId, undefined, clientSecret === undefined ? oidc.None() : oidc.ClientSecretBasic(clientSecret), {
      timeout: 15,
      ...(url.protocol === 'http:' ? { execute: [oidc.allowInsecureRequests] } : {}),
    });
  } catch (cause) {
    throw new GatewayError(
      'IDENTITY_PROVIDER_UNREACHABLE',
      'unavailable',
      `the identity provider ${issuer} cannot be used: ${reason(cause)}.`,
      { cause },
    );
  }
}

function toUrl(issuer: string): URL {
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined;
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname))) return url;
  throw new GatewayError('ISSUER_INVALID', 'invalid', `the issuer \`${issuer}\` must be an https: address (http: only on this machine).`);
}

/**
 * Signs a person in with the device flow (RFC 8628).
 *
 * @param audiences what the token has to be for; chooses between access token and id token. Empty: any JWT will do.
 * @param show called once with where to go and which code to type.
 */
export async function deviceLogin(
  issuer: string,
  clientId: string,
  audiences: readonly string[],
  show: (page: string, code: string, pageWithCode: string | undefined) => void,
): Promise<Login> {
  const configuration = await discover(issuer, clientId);
  const known = configuration.serverMetadata().scopes_supported;
  const scope = SCOPES.filter(each => !known || known.includes(each)).join(' ');
  return asFailure('the sign-in failed', async () => {
    // Some providers want PKCE here as well; to the others the parameters are unknown, which they ignore.
    const verifier = oidc.randomPKCECodeVerifier();
    const challenge = { code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256' };
    const device = await oidc.initiateDeviceAuthorization(configuration, { scope, ...challenge });
    show(device.verification_uri, device.user_code, device.verification_uri_complete);
    return loginOf(
      issuer,
      clientId,
      audiences,
      await oidc.pollDeviceAuthorizationGrant(configuration, device, { code_verifier: verifier }),
    );
  });
}

/** How long a person may take in the browser. */
const browserMs = 10 * 60_000;

/**
 * Signs a person in with the browser of this machine (authorization code, PKCE, loopback redirect).
 *
 * @param show called once with the address to open.
 */
export async function browserLogin(
  issuer: string,
  clientId: string,
  audiences: readonly string[],
  show: (page: string) => void,
): Promise<Login> {
  const configuration = await discover(issuer, clientId);
  const [state, nonce, verifier] = [oidc.randomState(), oidc.randomNonce(), oidc.randomPKCECodeVerifier()];
  const callback = await awaitCallback(state, browserMs);
  try {
    return await asFailure('the sign-in failed', async () => {
      const known = configuration.serverMetadata().scopes_supported;
      const page = oidc.buildAuthorizationUrl(configuration, {
        redirect_uri: callback.redirectUri,
        response_type: 'code',
        scope: SCOPES.filter(each => each === 'openid' || !known || known.includes(each)).join(' '),
        ...{ state, nonce, code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256' },
      });
      show(page.href);
      const answer = await oidc.authorizationCodeGrant(configuration, await callback.answer, {
        ...{ expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true },
      });
      return loginOf(issuer, clientId, audiences, answer);
    });
  } finally {
    await callback.close();
  }
}

/** Tells the provider that a refresh token is over (RFC 7009), where it takes that. */
export async function revokeRefreshToken(login: Login, refreshToken: string): Promise<void> {
  const configuration = await discover(login.issuer, login.clientId);
  if (configuration.serverMetadata().revocation_endpoint === undefined) return;
  await asFailure(`${login.issuer} did not take back the login`, () =>
    oidc.tokenRevocation(configuration, refreshToken, { token_type_hint: 'refresh_token' }),
  );
}

/** Trades the refresh token for a new login. */
export async function refreshLogin(login: Login, refreshToken: string): Promise<Login> {
  const configuration = await discover(login.issuer, login.clientId);
  return asFailure('the login could not be renewed; run `sallyport login` again', async () => {
    const answer = await oidc.refreshTokenGrant(configuration, refreshToken);
    const renewed = loginOf(login.issuer, login.clientId, audiencesOf(login.token), answer);
    return { ...renewed, refreshToken: renewed.refreshToken ?? refreshToken };
  });
}

/** A service account's own token (RFC 6749 section 4.4). */
export async function clientCredentialsToken(issuer: string, clientId: string, clientSecret: string): Promise<string> {
  const configuration = await discover(issuer, clientId, clientSecret);
  return asFailure('the service account got no token', async () => (await oidc.clientCredentialsGrant(configuration)).access_token);
}

function loginOf(
  issuer: string,
  clientId: string,
  audiences: readonly string[],
  answer: oidc.TokenEndpointResponse & oidc.TokenEndpointResponseHelpers,
): Login {
  const candidates = [answer.access_token, answer.id_token].filter(token => token !== undefined && claimsOf(token) !== undefined);
  const token = candidates.find(each => audiencesOf(each ?? '').some(audience => audiences.includes(audience))) ?? candidates[0];
  if (!token) throw new Error('the identity provider gave no JWT');
  const expiry = claimsOf(token)?.exp;
  return {
    issuer,
    clientId,
    token,
    expiresAt: typeof expiry === 'number' ? expiry * 1000 : Date.now() + (answer.expiresIn() ?? 300) * 1000,
    ...(answer.refresh_token === undefined ? {} : { refreshToken: answer.refresh_token }),
  };
}

function audiencesOf(token: string): string[] {
  const audience = claimsOf(token)?.aud;
  return Array.isArray(audience) ? audience.filter(each => typeof each === 'string') : typeof audience === 'string' ? [audience] : [];
}

async function asFailure<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new GatewayError('SIGN_IN_FAILED', 'unauthenticated', `${what}: ${reason(cause)}.`, { cause });
  }
}

/** The provider's own words where it gave some. */
function reason(error: unknown): string {
  if (error instanceof oidc.AuthorizationResponseError) return error.error_description ?? error.error;
  if (error instanceof oidc.ResponseBodyError) return error.error_description ?? error.error;
  if (error instanceof Error && error.cause instanceof Error && error.cause.message) return error.cause.message;
  return errorText(error);
}
