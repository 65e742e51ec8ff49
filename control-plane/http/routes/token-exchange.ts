/**
 * Token exchange: an identity provider's token, of whom it is about, and where somebody acts for them a second one of the actor, for a
 * ticket to one resource. Errors are OAuth's (RFC 6749 section 5.2), since programs with an OAuth library read them.
 *
 * Deliberately absent: exchanging a ticket for another one (a stolen one would renew itself), refresh tokens, client authentication (the
 * subject's token is what proves; its provider has authenticated the client).
 *
 * @see RFC 8693, RFC 8414
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type Verified, type VerifyContext, verifyToken } from '@sallyport/shared/identity/verify.ts';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { decodeJwt } from 'jose';
import { Type } from 'typebox';
import type { AccountSecrets } from '../account-secrets.ts';
import type { ApiContext } from '../context.ts';
import { FailureLimit } from '../failure-limit.ts';
import type { PublicAddress } from '../sign-in/public-address.ts';

const grantType = 'urn:ietf:params:oauth:grant-type:token-exchange';
const tokenTypes: ReadonlySet<string> = new Set(
  ['access_token', 'id_token', 'jwt'].map(type => `urn:ietf:params:oauth:token-type:${type}`),
);
const ticketType = 'urn:ietf:params:oauth:token-type:jwt';
/** A ServiceAccount's secret, as it was shown. */
const secretType = 'urn:sallyport:token-type:service-account-secret';
const resourceUrn = 'urn:sallyport:resource:';
const known: ReadonlySet<string> = new Set([
  ...['grant_type', 'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', 'requested_token_type'],
  ...['resource', 'audience', 'scope', 'client_id', 'expires_in', 'sallyport_networks', 'sallyport_certificate_sha256'],
]);

type OAuthCode = 'invalid_request' | 'invalid_grant' | 'invalid_scope' | 'invalid_target' | 'unsupported_grant_type';

class OAuthError extends Error {
  readonly code: OAuthCode;

  constructor(code: OAuthCode, message: string) {
    super(message);
    this.code = code;
  }
}

type Good = Pick<Extract<Verified, { ok: true }>, 'principal' | 'expiresAtMs'> & { secretId?: string };

const Text = Type.Optional(Type.String());
const Form = Type.Object(
  {
    grant_type: Type.String({ description: grantType }),
    subject_token: Type.String({ description: 'Of whom the ticket is about' }),
    subject_token_type: Type.String(),
    actor_token: Type.Optional(Type.String({ description: 'Of who acts for the subject: the record shows both' })),
    ...{ actor_token_type: Text, requested_token_type: Text, client_id: Text },
    audience: Type.Optional(Type.String({ description: 'The resource’s name' })),
    resource: Type.Optional(Type.String({ description: `${resourceUrn}NAME, in place of audience` })),
    scope: Type.Optional(Type.String({ description: '`role:NAME`: the one role that the ticket is for' })),
    expires_in: Type.Optional(Type.String({ description: 'Seconds' })),
    sallyport_networks: Type.Optional(Type.String({ description: 'CIDR, with commas: where the ticket is good' })),
    sallyport_certificate_sha256: Type.Optional(Type.String({ description: 'Base64url: the client certificate that it is good with' })),
  },
  { additionalProperties: false },
);

export function tokenExchangeRoutes(
  context: ApiContext,
  verifyContext: VerifyContext,
  address: PublicAddress,
  isDeprovisioned: (principal: Principal) => boolean,
  accountSecrets: AccountSecrets,
): FastifyPluginAsyncTypebox {
  const { control, tickets, signingKeys, clock } = context;
  return async app => {
    const failures = new FailureLimit(clock);
    app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string', bodyLimit: 64 * 1024 }, (_request, body, done) => {
      done(null, new URLSearchParams(String(body)));
    });

    app.route({
      method: 'POST',
      url: '/oauth/token',
      // The form is judged below, so that its errors are OAuth's.
      validatorCompiler: () => () => true,
      schema: {
        operationId: 'exchangeToken',
        tags: ['access'],
        summary: 'Exchange tokens for a ticket (RFC 8693), as a form',
        consumes: ['application/x-www-form-urlencoded'],
        body: Form,
        response: {
          200: Type.Object({
            access_token: Type.String({ description: 'The ticket: use it as the password' }),
            issued_token_type: Type.String(),
            token_type: Type.String({ description: '`N_A`: it is no bearer token of the API' }),
            expires_in: Type.Integer(),
            scope: Type.Optional(Type.String()),
          }),
        },
      },
      handler: async (request, reply) => {
        try {
          return await exchange(request, reply);
        } catch (error) {
          return refuse(request, reply, error);
        }
      },
    });

    app.route({
      method: 'GET',
      url: '/.well-known/oauth-authorization-server',
      schema: { hide: true },
      handler: async request => {
        const issuer = address.origin(request);
        return {
          issuer,
          token_endpoint: `${issuer}/oauth/token`,
          jwks_uri: `${issuer}/oauth/jwks`,
          grant_types_supported: [grantType],
          token_endpoint_auth_methods_supported: ['none'],
          response_types_supported: [],
        };
      },
    });

    app.route({
      method: 'GET',
      url: '/oauth/jwks',
      schema: { hide: true },
      handler: async () => ({ keys: signingKeys.ticketJwks() }),
    });

    async function exchange(request: FastifyRequest, reply: FastifyReply) {
      const form = formOf(request.body);
      if (form.get('grant_type') !== grantType) throw new OAuthError('unsupported_grant_type', `The only grant here is ${grantType}.`);
      const requested = form.get('requested_token_type');
      if (requested !== undefined && requested !== ticketType)
        throw new OAuthError('invalid_request', 'Tickets are JWTs; nothing else is issued.');
      const resource = resourceOf(form);
      const role = roleOf(form.get('scope'));
      const subject = await verified(request, reply, form, 'subject');
      const actor = form.has('actor_token') || form.has('actor_token_type') ? await verified(request, reply, form, 'actor') : null;
      if (actor !== null) checkActor(subject, actor, form.get('subject_token') ?? '');
      const seconds = form.get('expires_in');
      if (seconds !== undefined && !/^[1-9]\d{0,5}$/.test(seconds)) throw new OAuthError('invalid_request', 'expires_in is whole seconds.');
      const networks = form
        .get('sallyport_networks')
        ?.split(',')
        .map(each => each.trim());
      const certificate = form.get('sallyport_certificate_sha256');
      const ids = [subject, actor].flatMap(each => (each?.secretId === undefined ? [] : [each.secretId]));
      const ticket = await tickets.issue(
        {
          principal: control.state.asInDirectory(subject.principal),
          // Nor does it outlive the actor's.
          tokenExpiresAtMs: Math.min(subject.expiresAtMs, actor?.expiresAtMs ?? Number.POSITIVE_INFINITY),
          ...(actor === null ? {} : { actor: actor.principal.name }),
          resource,
          ...(seconds === undefined ? {} : { expiresInSeconds: Number(seconds) }),
          ...(ids.length === 0 ? {} : { secrets: { ids, areGood: () => ids.every(id => accountSecrets.isGood(id)) } }),
          bounds: {
            ...(role === undefined ? {} : { role }),
            ...(networks === undefined ? {} : { networks }),
            ...(certificate === undefined ? {} : { certificate }),
          },
        },
        {
          authorAddress: request.clientEndpoint,
          reason: actor === null ? 'token exchanged' : `token exchanged by ${actor.principal.name}`,
          requestId: request.id,
        },
      );
      return {
        access_token: ticket.ticket,
        issued_token_type: ticketType,
        token_type: 'N_A',
        expires_in: Math.floor((ticket.expiresAtMs - clock()) / 1000),
        ...(role === undefined ? {} : { scope: `role:${role}` }),
      };
    }

    async function verified(
      request: FastifyRequest,
      reply: FastifyReply,
      form: ReadonlyMap<string, string>,
      whose: 'subject' | 'actor',
    ): Promise<Good> {
      const [token, type] = [form.get(`${whose}_token`), form.get(`${whose}_token_type`)];
      if (token === undefined || type === undefined)
        throw new OAuthError('invalid_request', `${whose}_token and ${whose}_token_type belong together.`);
      if (type !== secretType && !tokenTypes.has(type))
        throw new OAuthError('invalid_request', `${whose}_token_type is not one that is taken here.`);
      const outcome = type === secretType ? await secretOf(token) : await verifyToken(token, verifyContext);
      const isGood = outcome.ok && outcome.ticketResource === undefined && outcome.bounds === undefined;
      if (isGood && !isDeprovisioned(outcome.principal)) return outcome;
      // Only who fails is told to wait: a good token is good from there as well.
      const waitSeconds = failures.retryAfterSeconds(request.clientAddress);
      failures.failed(request.clientAddress);
      request.log.info(
        { code: outcome.ok ? 'TOKEN_NOT_EXCHANGEABLE' : outcome.code, ip: request.clientAddress, whose },
        'token exchange refused',
      );
      if (waitSeconds > 0) {
        void reply.header('retry-after', String(waitSeconds));
        throw new OAuthError('invalid_grant', 'Too many failures from this address: wait a little.');
      }
      throw new OAuthError('invalid_grant', `The ${whose} token is not valid here, or not any more.`);
    }

    async function secretOf(text: string): Promise<Verified & { secretId?: string }> {
      const found = await accountSecrets.verify(text);
      if (found === null) return { ok: false, code: 'SECRET_REFUSED', reason: 'no service account has this secret' };
      const { id, principal, expiresAtMs } = found;
      return { ok: true, principal, tokenId: id, expiresAtMs, secretId: id };
    }
  };
}

/** The subject may say in its token who may act (`may_act`, RFC 8693 section 4.4); then nobody else does. */
function checkActor(subject: Good, actor: Good, subjectToken: string): void {
  if (actor.principal.delegation.length > 0)
    throw new OAuthError('invalid_grant', 'Who acts for somebody already does not act for another.');
  if (actor.principal.issuer === subject.principal.issuer && actor.principal.subject === subject.principal.subject) {
    throw new OAuthError('invalid_request', 'Nobody acts for themselves: leave the actor out.');
  }
  if (subject.secretId !== undefined) return; // A secret says nothing.
  const mayAct = decodeJwt(subjectToken)['may_act'];
  if (mayAct === undefined) return;
  const { sub, iss = actor.principal.issuer } = (typeof mayAct === 'object' && mayAct !== null ? mayAct : {}) as Record<string, unknown>;
  if (sub !== actor.principal.subject || iss !== actor.principal.issuer) {
    throw new OAuthError('invalid_grant', 'The subject’s token names somebody else who may act.');
  }
}

/** @throws {OAuthError} for parameters that are repeated, unknown or empty. */
function formOf(body: unknown): Map<string, string> {
  if (!(body instanceof URLSearchParams)) throw new OAuthError('invalid_request', 'Send a form: application/x-www-form-urlencoded.');
  const form = new Map<string, string>();
  for (const [name, value] of body) {
    if (!known.has(name)) throw new OAuthError('invalid_request', `There is no parameter ${JSON.stringify(name.slice(0, 64))} here.`);
    if (form.has(name)) throw new OAuthError('invalid_request', `${name} is given twice.`);
    if (value !== '') form.set(name, value);
  }
  return form;
}

function resourceOf(form: ReadonlyMap<string, string>): string {
  const [urn, audience] = [form.get('resource'), form.get('audience')];
  if (urn !== undefined && !urn.startsWith(resourceUrn)) throw new OAuthError('invalid_target', `resource is ${resourceUrn}NAME.`);
  const names = new Set([...(urn === undefined ? [] : [urn.slice(resourceUrn.length)]), ...(audience === undefined ? [] : [audience])]);
  const [name] = names;
  if (name === undefined || name === '' || names.size !== 1) throw new OAuthError('invalid_target', 'Name one resource, as audience.');
  return name;
}

function roleOf(scope: string | undefined): string | undefined {
  if (scope === undefined) return undefined;
  const [first, ...more] = scope.split(' ');
  if (first === undefined || more.length > 0 || !first.startsWith('role:') || first.length === 'role:'.length) {
    throw new OAuthError('invalid_scope', 'The scope is `role:NAME`, one.');
  }
  return first.slice('role:'.length);
}

function refuse(request: FastifyRequest, reply: FastifyReply, error: unknown): FastifyReply {
  const [code, detail] = oauthOf(error);
  if (code === undefined) throw error;
  request.log.info({ code, ip: request.clientAddress }, 'token exchange refused');
  return reply.code(400).type('application/json').send({ error: code, error_description: detail });
}

function oauthOf(error: unknown): [OAuthCode | undefined, string] {
  if (error instanceof OAuthError) return [error.code, error.message];
  if (!(error instanceof GatewayError)) return [undefined, ''];
  if (error.code === 'RESOURCE_UNKNOWN') return ['invalid_target', error.message];
  if (error.code === 'UNAUTHENTICATED') return ['invalid_grant', error.message];
  return error.kind === 'invalid' ? ['invalid_request', error.message] : [undefined, ''];
}
