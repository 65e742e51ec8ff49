/** An OpenID provider for tests: discovery and keys over loopback HTTP, and tokens of whatever claims. */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { SignJWT } from 'jose';

export class TestIdentityProvider {
  readonly issuer: string;
  /** Requests for the key set. */
  fetches = 0;
  readonly #server: Server;
  #keys: { kid: string; key: KeyObject }[] = [];

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.issuer = `http://127.0.0.1:${port}`;
    this.rotate();
  }

  static async start(): Promise<TestIdentityProvider> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const provider = new TestIdentityProvider(server, typeof address === 'object' && address !== null ? address.port : 0);
    server.on('request', (request, response) => {
      response.setHeader('content-type', 'application/json');
      if (request.url === '/.well-known/openid-configuration') {
        response.end(JSON.stringify({ issuer: provider.issuer, jwks_uri: `${provider.issuer}/jwks` }));
        return;
      }
      provider.fetches++;
      response.end(JSON.stringify({ keys: provider.#keys.map(({ kid, key }) => ({ ...publicJwk(key), kid, use: 'sig', alg: 'ES256' })) }));
    });
    return provider;
  }

  /** Signs with a new key from now on; the old one is gone from the key set. */
  rotate(): void {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#keys = [{ kid: `k${Math.random()}`, key: privateKey }];
  }

  async token(claims: Record<string, unknown>, options: { lifetimeSeconds?: number; nowMs?: number } = {}): Promise<string> {
    const [current] = this.#keys;
    if (current === undefined) throw new Error('no key');
    const now = Math.floor((options.nowMs ?? Date.now()) / 1000);
    return new SignJWT({ iss: this.issuer, aud: 'sallyport', iat: now, exp: now + (options.lifetimeSeconds ?? 3600), ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: current.kid })
      .sign(current.key);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

function publicJwk(key: KeyObject) {
  const { kty, crv, x, y } = createPrivateKey(key.export({ format: 'pem', type: 'pkcs8' })).export({ format: 'jwk' });
  return { kty, crv, x, y };
}
