/**
 * `GET /auth/cli`, `POST /auth/cli`, `POST /auth/cli/token`: the command line's sign-in by way of the console (sign-in/cli-login.ts).
 *
 * The page asks before it hands out a code: another program of the machine may have opened it. Its post carries the session's cookie only
 * when it comes from this very page (`SameSite=Strict`), and nobody may frame it.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { Type } from 'typebox';
import * as schemas from '../schemas.ts';
import type { CliLogins } from '../sign-in/cli-login.ts';
import type { SignIn } from '../sign-in/sign-in.ts';

const loopback = '^http://127\\.0\\.0\\.1:\\d{1,5}/callback$';
const Asked = Type.Object(
  {
    redirect_uri: Type.String({ pattern: loopback, description: 'Of the command, on this machine' }),
    state: Type.String({ pattern: '^[A-Za-z0-9_-]{20,128}$' }),
    code_challenge: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$', description: 'S256 (RFC 7636)' }),
    provider: Type.Optional(schemas.Name),
  },
  { additionalProperties: false },
);

export function cliLoginRoutes(signIn: SignIn, logins: CliLogins): FastifyPluginAsyncTypebox {
  return async app => {
    app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string', bodyLimit: 16 * 1024 }, (_request, body, done) => {
      done(null, Object.fromEntries(new URLSearchParams(String(body))));
    });

    app.route({
      method: 'GET',
      url: '/auth/cli',
      schema: {
        operationId: 'askForCliSignIn',
        tags: ['sign-in'],
        summary: 'A page that asks whether the command line may be signed in',
        querystring: Asked,
      },
      handler: async (request, reply) => {
        const inputs = Object.entries(request.query).map(
          ([name, value]) => `<input type="hidden" name="${name}" value="${escaped(value)}">`,
        );
        return reply
          .header('content-security-policy', "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
          .type('text/html; charset=utf-8')
          .send(
            `<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in the command line</title><h1>Sign in the command line?</h1><p>A program on this machine asks to act as you. Go on only if you have just run <code>sallyport login</code>.</p><form method="post" action="/auth/cli">${inputs.join('')}<button>Sign in</button></form></html>`,
          );
      },
    });

    app.route({
      method: 'POST',
      url: '/auth/cli',
      schema: { operationId: 'allowCliSignIn', tags: ['sign-in'], summary: 'What that page posts', body: Asked },
      handler: async (request, reply) => {
        const site = request.headers['sec-fetch-site'];
        if (site !== undefined && site !== 'same-origin')
          throw new GatewayError('CSRF_REFUSED', 'denied', 'The command line is signed in from its own page alone.');
        const { redirect_uri: redirectUri, state, code_challenge: challenge, provider } = request.body;
        const session = signIn.sessionOf(request);
        if (session === undefined) {
          const back = `/auth/cli?${new URLSearchParams({ redirect_uri: redirectUri, state, code_challenge: challenge }).toString()}`;
          const login = new URLSearchParams({ return: back, ...(provider === undefined ? {} : { provider }) });
          return reply.redirect(`/auth/login?${login.toString()}`, 303);
        }
        const target = new URL(redirectUri);
        target.search = new URLSearchParams({ code: logins.codeFor(session, challenge), state }).toString();
        return reply.redirect(target.href, 303);
      },
    });

    app.route({
      method: 'POST',
      url: '/auth/cli/token',
      schema: {
        operationId: 'redeemCliCode',
        tags: ['sign-in'],
        summary: 'Trade the code for a token of the API',
        body: Type.Object(
          { code: Type.String({ minLength: 1, maxLength: 12_000 }), codeVerifier: Type.String({ pattern: '^[A-Za-z0-9._~-]{43,128}$' }) },
          { additionalProperties: false },
        ),
        response: { 200: Type.Object({ token: Type.String(), expiresAt: schemas.Time }), default: schemas.Problem },
      },
      handler: async request => {
        const { code, codeVerifier } = request.body;
        const { token, expiresAtMs } = await logins.redeem(code, codeVerifier, {
          authorAddress: request.clientEndpoint,
          requestId: request.id,
        });
        return { token, expiresAt: new Date(expiresAtMs).toISOString() };
      },
    });
  };
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`);
}
