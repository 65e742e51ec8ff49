/**
 * Signing in by way of the console: it knows providers that have no tokens for a command (SAML). The browser goes to a page of it, comes
 * back to a loopback address with a code, and the code is traded for a token of the control plane's API.
 */
import { createHash, randomBytes } from 'node:crypto';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type ApiAddress, requestJson } from '../http-client.ts';
import type { Login } from './login-store.ts';
import { awaitCallback } from './loopback-login.ts';

/** How long a person may take in the browser. */
const browserMs = 10 * 60_000;

/**
 * @param show called once with the address to open.
 * @throws {GatewayError} SIGN_IN_FAILED, and what the API refuses with.
 */
export async function loginByConsole(api: ApiAddress, provider: string | undefined, show: (page: string) => void): Promise<Login> {
  const [state, verifier] = [randomBytes(32).toString('base64url'), randomBytes(32).toString('base64url')];
  const callback = await awaitCallback(state, browserMs);
  try {
    const page = new URL(`${api.url}/auth/cli`);
    page.search = new URLSearchParams({
      redirect_uri: callback.redirectUri,
      state,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      ...(provider === undefined ? {} : { provider }),
    }).toString();
    show(page.href);
    const code = (await callback.answer).searchParams.get('code');
    if (code === null)
      throw new GatewayError('SIGN_IN_FAILED', 'unauthenticated', 'the console sent no code. Run `sallyport login` again.');
    const { token: _administrator, ...anonymous } = api;
    const { token, expiresAt } = (await requestJson(anonymous, 'POST', '/auth/cli/token', { code, codeVerifier: verifier })) as {
      token: string;
      expiresAt: string;
    };
    return { issuer: api.url, clientId: '', token, expiresAt: Date.parse(expiresAt) };
  } finally {
    await callback.close();
  }
}
