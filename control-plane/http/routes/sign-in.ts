/** Signing in to the console and out of it, and who one is. */
import { createHash } from 'node:crypto';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { Type } from 'typebox';
import { callerOf, checkOwnPage } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { problemOf } from '../problem.ts';
import * as schemas from '../schemas.ts';
import type { SignIn } from '../sign-in/sign-in.ts';

const Role = Type.Enum(['viewer', 'approver', 'operator', 'auditor', 'admin']);

const samlBytesMax = 600_000;

const Me = Type.Object({
  name: Type.String(),
  subject: Type.String(),
  issuer: Type.String(),
  kind: Type.Enum(['person', 'workload', 'admin'], {
    description: '`admin`: the administrator’s token, which says nothing about who holds it',
  }),
  groups: Type.Array(Type.String()),
  delegation: Type.Array(Type.String()),
  roles: Type.Array(Role, { description: 'What one may do in Sallyport itself' }),
  csrf: Type.Optional(Type.String({ description: 'For the header X-Sallyport-CSRF of writes by cookie; absent with a token' })),
  expiresAt: Type.Optional(schemas.Time),
});

export function signInRoutes({ logger }: Pick<ApiContext, 'logger'>, signIn: SignIn): FastifyPluginAsyncTypebox {
  return async app => {
    app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string', bodyLimit: 64 * 1024 }, (_request, body, done) => {
      done(null, Object.fromEntries(new URLSearchParams(String(body))));
    });

    app.route({
      method: 'GET',
      url: '/auth/providers',
      schema: {
        operationId: 'listProviders',
        tags: ['sign-in'],
        summary: 'With whom people can sign in to the console',
        response: {
          200: Type.Array(Type.Object({ name: Type.String(), kind: Type.Enum(['oidc', 'saml']) })),
          default: schemas.Problem,
        },
      },
      handler: async () => signIn.providers(),
    });

    app.route({
      method: 'GET',
      url: '/auth/login',
      schema: {
        operationId: 'signIn',
        tags: ['sign-in'],
        summary: 'Go to an identity provider, for browsers',
        querystring: Type.Object(
          { provider: Type.Optional(schemas.Name), return: Type.Optional(Type.String({ maxLength: 2048 })) },
          { additionalProperties: false },
        ),
      },
      handler: async (request, reply) => {
        await asPage(reply, logger, async () => (await signIn.begin(request, reply, request.query.provider, request.query.return)).href);
        return reply;
      },
    });

    app.route({
      method: 'GET',
      url: '/auth/callback',
      schema: { operationId: 'signInCallback', tags: ['sign-in'], summary: 'Where the provider sends the browser back to' },
      handler: async (request, reply) => {
        await asPage(reply, logger, async () => (await signIn.finish(request, reply)).returnTo);
        return reply;
      },
    });

    app.route({
      method: 'POST',
      url: '/auth/saml',
      bodyLimit: samlBytesMax,
      schema: {
        operationId: 'signInBySaml',
        tags: ['sign-in'],
        summary: 'Where a SAML provider has the browser post its response (assertion consumer service)',
        body: Type.Object(
          {
            SAMLResponse: Type.String({ minLength: 1, maxLength: samlBytesMax }),
            RelayState: Type.Optional(Type.String({ maxLength: 4096, description: 'Not read' })),
            again: Type.Optional(Type.Literal('1', { description: 'The page of the first answer posts it once more' })),
          },
          { additionalProperties: true },
        ),
      },
      handler: async (request, reply) => {
        const { SAMLResponse, again } = request.body;
        if (again === undefined) {
          // This post comes from the provider's site, and browsers send no cookie with it that says where the sign-in was begun. From a
          // page of ours they do.
          void reply.header('content-security-policy', postAgainPolicy).type('text/html; charset=utf-8');
          return reply.send(postAgainPage(SAMLResponse));
        }
        await asPage(reply, logger, async () => (await signIn.finishSaml(request, reply, SAMLResponse)).returnTo);
        return reply;
      },
    });

    app.route({
      method: 'POST',
      url: '/auth/logout',
      schema: {
        operationId: 'signOut',
        tags: ['sign-in'],
        summary: 'End the console session; needs the CSRF header',
        response: {
          200: Type.Object({
            endSession: Type.Union([Type.String(), Type.Null()], {
              description: 'Where the browser may go to sign out at the provider too',
            }),
          }),
          default: schemas.Problem,
        },
      },
      handler: async (request, reply) => {
        const session = signIn.sessionOf(request);
        if (session === undefined) return { endSession: null };
        checkOwnPage(request, session);
        return { endSession: await signIn.end(request, reply, session) };
      },
    });

    app.route({
      method: 'POST',
      url: '/auth/backchannel-logout',
      schema: {
        operationId: 'backchannelLogout',
        tags: ['sign-in'],
        summary: 'For identity providers: a session of theirs has ended (OpenID Connect Back-Channel Logout 1.0)',
        body: Type.Object({ logout_token: Type.String({ maxLength: 16_384 }) }),
        response: { 200: Type.Object({ ended: Type.Integer() }), default: schemas.Problem },
      },
      handler: async request => {
        const ended = await signIn.endFromProvider(request.body.logout_token);
        request.log.info({ ended, ip: request.clientAddress }, 'logout from the provider');
        return { ended };
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/me',
      schema: {
        operationId: 'me',
        tags: ['sign-in'],
        summary: 'Who the caller is, and what they may do in Sallyport itself',
        response: { 200: Me, default: schemas.Problem },
      },
      handler: async request => {
        const caller = callerOf(request);
        const roles = [...caller.roles];
        if (caller.type === 'admin')
          return { name: 'admin', subject: '', issuer: '', kind: 'admin' as const, groups: [], delegation: [], roles };
        const { name, subject, issuer, kind, groups, delegation } = caller.principal;
        return {
          ...{ name, subject, issuer, kind, groups, delegation, roles, expiresAt: new Date(caller.expiresAtMs).toISOString() },
          ...(caller.session === undefined ? {} : { csrf: caller.session.csrf }),
        };
      },
    });
  };
}

const postAgainScript = 'document.forms[0].submit()';
const postAgainPolicy = `default-src 'none'; script-src 'sha256-${createHash('sha256').update(postAgainScript).digest('base64')}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`;

/** Only what is base64 is put into the page. */
function postAgainPage(response: string): string {
  const value = /^[A-Za-z0-9+/=\s]*$/.test(response) ? response.replace(/\s+/g, '') : '';
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Signing in</title><form method="post" action="/auth/saml"><input type="hidden" name="SAMLResponse" value="${value}"><input type="hidden" name="again" value="1"><button>Continue</button></form><script>${postAgainScript}</script></html>`;
}

interface Answering {
  redirect(url: string, code: number): unknown;
  code(status: number): { type(media: string): { send(body: string): unknown } };
}

/** A browser that goes somewhere gets a redirect, or a page that says why not: nobody reads JSON in a window. */
async function asPage(reply: Answering, logger: ApiContext['logger'], where: () => Promise<string>): Promise<void> {
  try {
    reply.redirect(await where(), 302);
  } catch (error) {
    const { status, code, detail } = problemOf(error);
    logger.info({ code, err: errorText(error instanceof GatewayError ? (error.cause ?? error) : error) }, 'sign-in refused');
    reply.code(status).type('text/html; charset=utf-8').send(page(code, detail));
  }
}

function page(code: string, detail: string): string {
  const text = (value: string) => value.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`);
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign-in failed</title><h1>The sign-in did not work</h1><p>${text(detail)}</p><p><code>${text(code)}</code></p><p><a href="/">Back to the console</a></p></html>`;
}
