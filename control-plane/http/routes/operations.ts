/** For operators and machines: status, health, metrics, OpenAPI. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { Type } from 'typebox';
import { provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { emptyBodyAsNothing } from '../empty-body.ts';
import { metricsText } from '../metrics.ts';
import * as schemas from '../schemas.ts';

export function operationRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const { control, records, fleet, history } = context;
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/status',
      config: { access: 'admin' },
      schema: {
        operationId: 'status',
        tags: ['operations'],
        summary: 'How the control plane is doing',
        response: { 200: schemas.Status, default: schemas.Problem },
      },
      handler: async () => ({
        version: context.version,
        startedAt: new Date(context.startedAtMs).toISOString(),
        controlPosition: String(control.position),
        controlEdition: control.edition,
        recordsPosition: await records.endOffset().then(String, () => 'unknown'),
        agents: {
          online: fleet.connections().length,
          enrolled: control.state.agents().filter(([, state]) => state.status === 'active').length,
        },
        liveSessions: fleet.liveSessions().length,
        store: await storeStatus(),
      }),
    });

    app.route({
      method: 'GET',
      url: '/v1/credential-sources',
      schema: {
        operationId: 'listCredentialSources',
        tags: ['operations'],
        summary: 'List credentials that come from Vault, AWS Secrets Manager or files, and how reading them went',
        response: { 200: Type.Object({ sources: Type.Array(schemas.CredentialSource) }), default: schemas.Problem },
      },
      handler: async () => {
        const iso = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());
        const sources = context.manifests.sourceHealth
          .list()
          .map(({ credential, kinds, checkedAtMs, problem, sinceMs, leaseEndsAtMs }) => ({
            ...{ credential, kinds: [...kinds], checkedAt: new Date(checkedAtMs).toISOString() },
            ...{ problem, since: iso(sinceMs), leaseEndsAt: iso(leaseEndsAtMs) },
          }));
        return { sources };
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/control-log/raise-edition',
      preValidation: emptyBodyAsNothing,
      schema: {
        operationId: 'raiseControlEdition',
        tags: ['operations'],
        summary: 'Let the control log have all that this version knows, once every control plane is upgraded',
        body: Type.Object(
          { reason: Type.Optional(Type.String({ maxLength: 500, description: 'Why, for the record.' })) },
          { additionalProperties: false },
        ),
        response: { 200: schemas.ControlEdition, default: schemas.Problem },
      },
      handler: async request => {
        const outcome = await control.raiseEdition(provenanceOf(request, request.body.reason ?? ''));
        if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
        return control.edition;
      },
    });

    app.route({
      method: 'GET',
      url: '/healthz',
      config: { access: 'public' },
      schema: {
        operationId: 'healthz',
        tags: ['operations'],
        summary: 'The process lives',
        response: { 200: Type.Object({ status: Type.String() }) },
      },
      handler: async () => ({ status: 'ok' }),
    });

    app.route({
      method: 'GET',
      url: '/readyz',
      config: { access: 'public' },
      schema: {
        operationId: 'readyz',
        tags: ['operations'],
        summary: 'It can take requests: its log is folded and can be written',
        response: { 200: Type.Object({ status: Type.String() }), 503: Type.Object({ status: Type.String() }) },
      },
      handler: async (_request, reply) => (context.isReady() ? { status: 'ready' } : reply.code(503).send({ status: 'not ready' })),
    });

    app.route({
      method: 'GET',
      url: '/metrics',
      config: { access: 'public' },
      schema: { operationId: 'metrics', tags: ['operations'], summary: 'Prometheus metrics; no names of people or resources' },
      handler: async (_request, reply) => reply.type('text/plain; version=0.0.4; charset=utf-8').send(await metricsText(context)),
    });

    app.route({
      method: 'GET',
      url: '/openapi.json',
      config: { access: 'public' },
      schema: { hide: true },
      handler: async (_request, reply) => reply.type('application/json').send(JSON.stringify(app.swagger())),
    });
  };

  async function storeStatus() {
    if (!history.isConfigured) return { status: 'none' as const };
    try {
      await history.ping();
      return { status: 'up' as const };
    } catch (error) {
      return { status: 'down' as const, detail: errorText(error) };
    }
  }
}
