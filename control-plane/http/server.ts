/**
 * The HTTP side: API, OpenAPI, health, metrics, console. Deny by default (authentication.ts), unknown fields refused, problem documents
 * for every error, security headers on every answer.
 */
import swagger from '@fastify/swagger';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { VerifyContext } from '@sallyport/shared/identity/verify.ts';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import Fastify, { type FastifyInstance, LogController } from 'fastify';
import type { Channels } from '../channels/channels.ts';
import { AccountSecrets } from './account-secrets.ts';
import { useAuthentication } from './authentication.ts';
import { useClientAddresses } from './client-address.ts';
import type { ApiContext } from './context.ts';
import { useEntityTags } from './entity-tags.ts';
import { useIdempotencyKeys } from './idempotency.ts';
import { useOffsetTokens } from './offset-token.ts';
import { withCommonHeaders } from './openapi-headers.ts';
import { problemOf, sendProblem } from './problem.ts';
import { type RateLimits, useRateLimits } from './rate-limit.ts';
import { accessRoutes } from './routes/access.ts';
import { accessReviewRoutes } from './routes/access-review.ts';
import { accountSecretRoutes } from './routes/account-secrets.ts';
import { agentRoutes } from './routes/agents.ts';
import { approvalRoutes } from './routes/approvals.ts';
import { changeRoutes } from './routes/changes.ts';
import { channelRoutes } from './routes/channels.ts';
import { cliLoginRoutes } from './routes/cli-login.ts';
import { consoleRoutes } from './routes/console.ts';
import { dataMapRoutes } from './routes/data-map.ts';
import { eventRoutes } from './routes/events.ts';
import { evidenceRoutes } from './routes/evidence.ts';
import { historyRoutes } from './routes/history.ts';
import { liveViewRoutes } from './routes/live-view.ts';
import { manifestRoutes } from './routes/manifests.ts';
import { operationRoutes } from './routes/operations.ts';
import { overviewRoutes } from './routes/overview.ts';
import { policyRoutes } from './routes/policy.ts';
import { questionRoutes } from './routes/questions.ts';
import { recordingRoutes } from './routes/recordings.ts';
import { requestRoutes } from './routes/requests.ts';
import { retentionRoutes } from './routes/retention.ts';
import { scimRoutes } from './routes/scim.ts';
import { scimGroupRoutes } from './routes/scim-groups.ts';
import { searchRoutes } from './routes/search.ts';
import { sessionRoutes } from './routes/sessions.ts';
import { shredRoutes } from './routes/shreds.ts';
import { signInRoutes } from './routes/sign-in.ts';
import { signingKeyRoutes } from './routes/signing-keys.ts';
import { sshRoutes } from './routes/ssh.ts';
import { sshKeyRoutes } from './routes/ssh-keys.ts';
import { ticketRoutes } from './routes/tickets.ts';
import { tokenExchangeRoutes } from './routes/token-exchange.ts';
import { type SchemaCompilers, schemaCompilers } from './schema-compilers.ts';
import { securityHeaders } from './security-headers.ts';
import { CliLogins } from './sign-in/cli-login.ts';
import type { PublicAddress } from './sign-in/public-address.ts';
import type { SignIn } from './sign-in/sign-in.ts';

export interface HttpServerOptions {
  context: ApiContext;
  adminToken: string;
  verifyContext: VerifyContext;
  signIn: SignIn;
  channels: Channels;
  address: PublicAddress;
  rateLimits?: RateLimits;
  /** CIDR: proxies whose word on where requests come from is taken (client-address.ts). */
  trustedProxies?: readonly string[];
  /** Certificate and key, PEM; absent: plain HTTP, for loopback only. */
  tls?: { chainPem: string; keyPem: string };
  compilers?: SchemaCompilers;
}

const bodyBytesMax = 64 * 1024;
const maxHeaderSize = 32 * 1024;

/** Builds the server without listening, for tests and for `startHttpServer`. */
export async function buildHttpServer(options: HttpServerOptions): Promise<FastifyInstance> {
  const { context, adminToken, verifyContext, signIn, address, channels, tls, rateLimits, trustedProxies = [] } = options;
  const { buildValidator, buildSerializer } = options.compilers ?? schemaCompilers();
  const app = Fastify({
    loggerInstance: context.logger.child({ part: 'http' }),
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: bodyBytesMax,
    requestTimeout: 30_000,
    connectionTimeout: 30_000,
    keepAliveTimeout: 10_000,
    routerOptions: { maxParamLength: 300, ignoreTrailingSlash: false },
    ...(tls === undefined
      ? { http: { maxHeaderSize } }
      : { https: { maxHeaderSize, cert: tls.chainPem, key: tls.keyPem, minVersion: 'TLSv1.2' } }),
    ajv: { customOptions: { removeAdditional: false, allErrors: false } },
    schemaController: { compilersFactory: { buildValidator, buildSerializer } },
    // Chosen by us: a client's own id would be taken for ours in the records.
    genReqId: () => crypto.randomUUID(),
    return503OnClosing: true,
    forceCloseConnections: true,
  }).withTypeProvider<TypeBoxTypeProvider>();

  app.addHook('onSend', async (request, reply, payload) => {
    void reply.headers(securityHeaders);
    if (!reply.hasHeader('cache-control')) void reply.header('cache-control', 'no-store');
    if (!reply.hasHeader('content-security-policy'))
      void reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
    void reply.header('x-request-id', request.id);
    return payload;
  });
  app.setErrorHandler((error, request, reply) => {
    const document = problemOf(error);
    if (document.status >= 500) request.log.error({ err: error, url: request.routeOptions.url }, 'request failed');
    return sendProblem(reply, document);
  });
  app.setNotFoundHandler((_request, reply) =>
    sendProblem(reply, problemOf(new GatewayError('ROUTE_UNKNOWN', 'notFound', 'There is nothing here.'))),
  );
  useClientAddresses(app as unknown as FastifyInstance, trustedProxies);
  const { clock, accessRoles, administration, control } = context;
  const isDeprovisioned = ({ kind, name }: Principal) => kind === 'person' && control.state.isBlocked(name);
  const cliLogins = new CliLogins(context.keys, context.signingKeys, administration, clock);
  useAuthentication(app as unknown as FastifyInstance, {
    adminToken,
    cliLogins,
    verifyContext,
    clock,
    accessRoles,
    signIn,
    administration,
    isDeprovisioned,
    isIssuer: issuer => control.state.isIssuer(issuer),
    inDirectory: principal => control.state.asInDirectory(principal),
  });

  useOffsetTokens(app as unknown as FastifyInstance, context.control);
  useRateLimits(app as unknown as FastifyInstance, clock, rateLimits);
  useIdempotencyKeys(app as unknown as FastifyInstance, clock);
  useEntityTags(app as unknown as FastifyInstance);

  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Sallyport control plane', version: context.version, description: 'Who may reach what, agents, sessions, evidence.' },
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', description: 'The administrator’s token, or one of an identity provider.' },
          session: {
            type: 'apiKey',
            in: 'cookie',
            name: '__Host-sallyport-session',
            description: 'Of the console; writes need X-Sallyport-CSRF.',
          },
        },
      },
      security: [{ bearer: [] }, { session: [] }],
    },
    hideUntagged: true,
    transformObject: description => withCommonHeaders('openapiObject' in description ? description.openapiObject : {}),
  });
  const accountSecrets = new AccountSecrets(context);
  await app.register(signInRoutes(context, signIn));
  await app.register(cliLoginRoutes(signIn, cliLogins));
  await app.register(manifestRoutes(context));
  await app.register(changeRoutes(context));
  await app.register(agentRoutes(context));
  await app.register(accessRoutes(context));
  await app.register(accessReviewRoutes(context, accountSecrets));
  await app.register(scimRoutes(context));
  await app.register(scimGroupRoutes(context));
  await app.register(ticketRoutes(context));
  await app.register(accountSecretRoutes(context, accountSecrets));
  await app.register(tokenExchangeRoutes(context, verifyContext, address, isDeprovisioned, accountSecrets));
  await app.register(sessionRoutes(context));
  await app.register(searchRoutes(context));
  await app.register(recordingRoutes(context));
  await app.register(liveViewRoutes(context));
  await app.register(sshRoutes(context));
  await app.register(sshKeyRoutes(context));
  await app.register(approvalRoutes(context));
  await app.register(channelRoutes(channels));
  await app.register(requestRoutes(context));
  await app.register(policyRoutes(context));
  await app.register(questionRoutes(context));
  await app.register(evidenceRoutes(context));
  await app.register(retentionRoutes(context));
  await app.register(shredRoutes(context));
  await app.register(historyRoutes(context));
  await app.register(eventRoutes(context));
  await app.register(overviewRoutes(context));
  await app.register(dataMapRoutes(context));
  await app.register(signingKeyRoutes(context));
  await app.register(operationRoutes(context));
  await app.register(consoleRoutes(context.authority));
  return app as unknown as FastifyInstance;
}

/**
 * @param listen host:port; port 0 takes a free one.
 * @returns the base URL that it answers at.
 * @throws {GatewayError} LISTEN_FAILED.
 */
export async function startHttpServer(app: FastifyInstance, listen: string): Promise<string> {
  const colon = listen.lastIndexOf(':');
  const host = listen.slice(0, colon).replace(/^\[|\]$/g, '');
  try {
    await app.listen({ host, port: Number(listen.slice(colon + 1)) });
  } catch (cause) {
    const why =
      cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE' ? 'another program uses it' : 'the system refuses it';
    throw new GatewayError('LISTEN_FAILED', 'conflict', `The HTTP port ${listen} cannot be bound: ${why}.`, { cause });
  }
  const address = app.server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const scheme = app.initialConfig.https ? 'https' : 'http';
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
