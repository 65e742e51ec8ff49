/**
 * A small OpenID provider for tests and benchmarks: discovery, JWKS and tokens signed on demand. It has no login: what is
 * tested against a full provider is tested against one (the demo's, or a real server). Loopback only.
 */
import http from 'node:http';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';

export interface Issuer {
  url: string;
  /** A signed token: RS256, audience `sallyport`, five minutes, unless claims say otherwise. */
  token(claims: JWTPayload & { sub: string }, header?: { kid?: string; alg?: string }): Promise<string>;
  /** A new signing key; the old ones stay published unless `drop`. */
  rotate(options?: { drop?: boolean }): Promise<void>;
  /** Who signs in by device code: given, the next question for the token is answered with this person's. */
  signIn(claims: JWTPayload & { sub: string }): void;
  /** Requests it had so far, by path. */
  requests: Map<string, number>;
  stop(): Promise<void>;
}

export async function startIssuer(): Promise<Issuer> {
  let serial = 0;
  const make = async () => ({ kid: `key-${++serial}`, ...(await generateKeyPair('RS256', { extractable: true })) });
  let keys = [await make()];
  const requests = new Map<string, number>();
  let signedIn: (JWTPayload & { sub: string }) | null = null;
  const answer = async (request: http.IncomingMessage, response: http.ServerResponse): Promise<void> => {
    const where = request.url ?? '/';
    requests.set(where, (requests.get(where) ?? 0) + 1);
    response.setHeader('content-type', 'application/json');
    if (where === '/.well-known/openid-configuration')
      response.end(
        JSON.stringify({
          issuer: url,
          jwks_uri: `${url}/jwks`,
          authorization_endpoint: `${url}/auth`,
          token_endpoint: `${url}/token`,
          device_authorization_endpoint: `${url}/device`,
          response_types_supported: ['code'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['RS256'],
        }),
      );
    else if (where === '/device')
      response.end(
        JSON.stringify({
          device_code: 'device-1',
          user_code: 'WDJB-MJHT',
          verification_uri: `${url}/activate`,
          interval: 1,
          expires_in: 300,
        }),
      );
    else if (where === '/token') {
      if (signedIn === null) response.statusCode = 400;
      response.end(JSON.stringify(signedIn === null ? { error: 'authorization_pending' } : { id_token: await issuer.token(signedIn) }));
    } else if (where === '/jwks')
      response.end(
        JSON.stringify({
          keys: await Promise.all(keys.map(async key => ({ ...(await exportJWK(key.publicKey)), kid: key.kid, use: 'sig', alg: 'RS256' }))),
        }),
      );
    else {
      response.statusCode = 404;
      response.end('{}');
    }
  };
  const server = http.createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.destroy(error instanceof Error ? error : new Error(String(error))));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  const issuer: Issuer = {
    url,
    requests,
    signIn(claims) {
      signedIn = claims;
    },
    async token(claims, header = {}) {
      const key = keys.at(-1);
      if (!key) throw new Error('the issuer has no key');
      const now = Math.floor(Date.now() / 1000);
      const payload = { iss: url, aud: 'sallyport', iat: now, exp: now + 300, ...claims };
      return new SignJWT(payload).setProtectedHeader({ alg: 'RS256', kid: key.kid, typ: 'JWT', ...header }).sign(key.privateKey);
    },
    async rotate(options = {}) {
      keys = [...(options.drop ? [] : keys), await make()];
    },
    async stop() {
      server.closeAllConnections();
      await new Promise(resolve => server.close(resolve));
    },
  };
  return issuer;
}
