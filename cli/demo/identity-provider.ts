/**
 * The sample OpenID provider, a process of its own: three people, one service account, signing keys that are kept in the
 * data folder. It stands where a company's own provider stands, and Sallyport treats it like any other.
 *
 * It is a demo: nobody types a password, and a grant of its own (DEMO_GRANT) gives a token for any of its people without a
 * browser. That is why it listens on loopback only and refuses requests whose Host header is not its own (a web page that
 * rebinds its name to 127.0.0.1). Logins and refresh tokens live in memory and end with the process.
 *
 *   node identity-provider.ts --data DIR --listen 127.0.0.1:PORT
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { errorText } from '@sallyport/shared/errors.ts';
import Provider, { errors, interactionPolicy, type JWK, type KoaContextWithOIDC } from 'oidc-provider';
import { readIfThere } from '../read-if-there.ts';
import { chooserPage, formPage, textPage } from './identity-pages.ts';
import { AUDIENCE, DEMO_CLIENT, DEMO_GRANT, LOGIN_CLIENT, PEOPLE, SERVICE_ACCOUNT } from './people.ts';

/** The resource (RFC 8707) that every token is for, so that every access token is a JWT with our audience. */
const RESOURCE = 'urn:sallyport:gateway';
const ACCESS_TOKEN_SECONDS = 3600;
const LOOPBACK = ['127.0.0.1', 'localhost'];

interface Keys {
  signing: JWK[];
  cookies: string[];
  serviceAccountSecret: string;
}

/** Reads the provider's keys, or makes them the first time. The file holds private keys: mode 0600. */
export async function identityKeys(folder: string): Promise<Keys> {
  const file = path.join(folder, 'keys.json');
  const kept = await readIfThere(file);
  if (kept) return JSON.parse(kept) as Keys;
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const keys: Keys = {
    signing: [{ ...privateKey.export({ format: 'jwk' }), kid: randomBytes(8).toString('hex'), use: 'sig', alg: 'RS256' }],
    cookies: [randomBytes(32).toString('base64url')],
    serviceAccountSecret: randomBytes(24).toString('base64url'),
  };
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(file, JSON.stringify(keys), { mode: 0o600 });
  return keys;
}

/** Builds the provider. `issuer` is its origin, e.g. `http://127.0.0.1:8422`. */
export function sampleProvider(issuer: string, keys: Keys): Provider {
  const resourceServer = {
    scope: 'openid offline_access',
    audience: AUDIENCE,
    accessTokenTTL: ACCESS_TOKEN_SECONDS,
    accessTokenFormat: 'jwt' as const,
    jwt: { sign: { alg: 'RS256' as const } },
  };
  // Whoever runs the demo has agreed to its own command and console: a native client is not asked again.
  const policy = interactionPolicy.base();
  policy.get('consent')?.checks.remove('native_client_prompt');
  const provider = new Provider(issuer, {
    jwks: { keys: keys.signing },
    cookies: { keys: keys.cookies },
    scopes: ['openid', 'offline_access'],
    clients: [
      {
        client_id: LOGIN_CLIENT,
        client_name: 'Sallyport',
        token_endpoint_auth_method: 'none',
        // Native: of a loopback address any port is good (RFC 8252 section 7.3), so that the console and the command may take a free one.
        application_type: 'native',
        grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
        response_types: ['code'],
        redirect_uris: LOOPBACK.flatMap(host => [`http://${host}/auth/callback`, `http://${host}/callback`]),
        post_logout_redirect_uris: LOOPBACK.map(host => `http://${host}/`),
      },
      { client_id: DEMO_CLIENT, token_endpoint_auth_method: 'none', grant_types: [DEMO_GRANT], response_types: [], redirect_uris: [] },
      {
        client_id: SERVICE_ACCOUNT,
        client_secret: keys.serviceAccountSecret,
        grant_types: ['client_credentials'],
        response_types: [],
        redirect_uris: [],
      },
    ],
    claims: { openid: ['sub', 'name', 'email', 'email_verified', 'groups'] },
    conformIdTokenClaims: false,
    findAccount: (_ctx, id) => {
      const person = PEOPLE.find(({ id: known }) => known === id);
      return person && { accountId: id, claims: () => ({ sub: id, ...claimsOf(person) }) };
    },
    extraTokenClaims: (_ctx, token) => {
      const id = 'accountId' in token ? token.accountId : undefined;
      const person = PEOPLE.find(({ id: known }) => known === id);
      return person && claimsOf(person);
    },
    // Whoever runs the demo has agreed: no consent page.
    loadExistingGrant: async ctx => {
      const { client, session } = ctx.oidc;
      if (!client || !session?.accountId) return undefined;
      const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope('openid offline_access');
      grant.addResourceScope(RESOURCE, 'openid offline_access');
      await grant.save();
      return grant;
    },
    // For the command line: without a consent page nobody could agree to offline_access.
    issueRefreshToken: (_ctx, client) => Promise.resolve(client.grantTypeAllowed('refresh_token')),
    pkce: { required: () => true },
    features: {
      rpInitiatedLogout: { enabled: true },
      revocation: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId },
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      deviceFlow: {
        enabled: true,
        charset: 'base-20',
        mask: '****-****',
        userCodeInputSource: async (ctx, form, _out, error) => {
          ctx.body = formPage(
            'Sign in',
            error ? 'This code is not known. Try again.' : 'Type the code that your terminal shows.',
            form,
            'op.deviceInputForm',
          );
        },
        userCodeConfirmSource: async (ctx, form, _client, _device, userCode) => {
          ctx.body = formPage('Is this the code in your terminal?', userCode, form, 'op.deviceConfirmForm');
        },
        successSource: async ctx => {
          ctx.body = textPage('Signed in', 'You can close this page and go back to your terminal.');
        },
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        useGrantedResource: () => true,
        getResourceServerInfo: () => resourceServer,
      },
    },
    interactions: { policy, url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    ttl: {
      AccessToken: ACCESS_TOKEN_SECONDS,
      ClientCredentials: ACCESS_TOKEN_SECONDS,
      DeviceCode: 600,
      Grant: 86_400,
      IdToken: 3600,
      Interaction: 600,
      RefreshToken: 86_400,
      Session: 86_400,
    },
    renderError: async (ctx, out) => {
      ctx.type = 'html';
      ctx.body = textPage('This did not work', `${out.error_description ?? out.error}`);
    },
  });
  provider.registerGrantType(
    DEMO_GRANT,
    async ctx => {
      const person = PEOPLE.find(({ id }) => id === ctx.oidc.params?.person);
      const { client } = ctx.oidc;
      if (!person || !client) throw new errors.InvalidGrant('person must be one of the sample people');
      const grant = new provider.Grant({ clientId: client.clientId, accountId: person.id });
      const token = new provider.AccessToken({
        accountId: person.id,
        client,
        grantId: await grant.save(),
        gty: DEMO_GRANT,
        scope: '',
      } as ConstructorParameters<typeof provider.AccessToken>[0]);
      token.resourceServer = new provider.ResourceServer(RESOURCE, resourceServer);
      ctx.body = { access_token: await token.save(), token_type: 'Bearer', expires_in: token.expiration };
    },
    ['person'],
  );
  return provider;
}

function claimsOf({ name, email, groups }: (typeof PEOPLE)[number]) {
  return { name, email, email_verified: true, groups };
}

/** The request handler: the sign-in page, and everything else as oidc-provider does it. */
export function identityHandler(provider: Provider, host: string): (request: IncomingMessage, response: ServerResponse) => void {
  const callback = provider.callback();
  return (request, response) => {
    if (request.headers.host !== host) {
      response.writeHead(421, { 'content-type': 'text/plain' }).end(`This is the sample identity provider of ${host}.\n`);
      return;
    }
    const url = new URL(request.url ?? '/', `http://${host}`);
    if (!url.pathname.startsWith('/interaction/')) {
      void callback(request, response);
      return;
    }
    interact(provider, request, response, url).catch(error => {
      response.writeHead(400, { 'content-type': 'text/html; charset=utf-8' }).end(textPage('This did not work', errorText(error)));
    });
  };
}

/** Shows the people to choose from, and finishes the sign-in as the chosen one. */
async function interact(provider: Provider, request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
  const details = await provider.interactionDetails(request, response);
  const chosen = PEOPLE.find(({ id }) => id === url.searchParams.get('person'));
  if (request.method === 'POST' && chosen) {
    await provider.interactionFinished(request, response, { login: { accountId: chosen.id } }, { mergeWithLastSubmission: false });
    return;
  }
  response
    .writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' })
    .end(chooserPage(`/interaction/${details.uid}`, PEOPLE));
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { data: { type: 'string' }, listen: { type: 'string' } } });
  if (!values.data || !values.listen) throw new Error('usage: identity-provider.ts --data DIR --listen 127.0.0.1:PORT');
  const [host = '', port = ''] = values.listen.split(':');
  if (host !== '127.0.0.1') throw new Error('the sample identity provider listens on 127.0.0.1 only');
  const issuer = `http://${values.listen}`;
  const provider = sampleProvider(issuer, await identityKeys(values.data));
  provider.on('server_error', (_ctx: KoaContextWithOIDC, error: Error) => console.error(JSON.stringify({ level: 50, msg: error.message })));
  const server = createServer(identityHandler(provider, values.listen));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(Number(port), host, resolve);
  });
  process.once('SIGTERM', () => {
    server.close(() => process.exit(0));
    server.closeAllConnections();
  });
  console.log(JSON.stringify({ ready: true, issuer }));
}

if (import.meta.main) {
  main().catch(error => {
    console.log(JSON.stringify({ error: { code: 'DEMO_IDENTITY_PROVIDER_FAILED', message: errorText(error) } }));
    process.exitCode = 1;
  });
}
