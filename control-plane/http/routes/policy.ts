/** Questions about policy: why it decides as it does, and by which catalog. Nothing is run, nothing is changed. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import type { CatalogView } from '@sallyport/shared/rehearsal/catalog-file.ts';
import { explain } from '@sallyport/shared/rehearsal/explanation.ts';
import { loadParser } from '@sallyport/shared/sql/parser.ts';
import { Type } from 'typebox';
import { allManifests } from '../../manifests/apply.ts';
import { Catalogs } from '../../policy/catalogs.ts';
import { principalFor } from '../../policy/principals.ts';
import type { ApiContext } from '../context.ts';
import * as schemas from '../schemas.ts';

const closed = { additionalProperties: false } as const;
const Name = Type.String({ minLength: 1, maxLength: 256 });
const As = Type.Object(
  {
    name: Name,
    groups: Type.Optional(Type.Array(Name, { maxItems: 1000, description: 'Absent: those of the principal’s newest session.' })),
    kind: Type.Optional(Type.Enum(['person', 'workload'])),
  },
  closed,
);
const ExplainRequest = Type.Object(
  {
    resource: Name,
    as: As,
    text: Type.String({ maxLength: 1024 * 1024 }),
    estimatedRows: Type.Optional(Type.Integer({ minimum: 0, description: 'What the planner is supposed to estimate.' })),
    database: Type.Optional(Type.String({ maxLength: 63, description: 'Where the resource names none.' })),
  },
  closed,
);
const bodyBytesMax = 1.5 * 1024 * 1024;

export function policyRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const catalogs = new Catalogs(context.fleet, context.clock);
  return async app => {
    app.route({
      method: 'POST',
      url: '/v1/policy/explain',
      bodyLimit: bodyBytesMax,
      schema: {
        operationId: 'explainPolicy',
        tags: ['policy'],
        summary: 'Explain what the policy in force decides of a command, without running it',
        body: ExplainRequest,
        response: { 200: Type.Unknown({ description: 'The explanation (docs/reference/api.md).' }), default: schemas.Problem },
      },
      handler: async request => {
        const { resource, as, text, estimatedRows, database } = request.body;
        const manifests = allManifests(context.control.state);
        const policy = context.admission.policy();
        const spec = policy.resources.get(resource)?.spec;
        if (spec === undefined) throw new GatewayError('RESOURCE_UNKNOWN', 'notFound', 'There is no such resource.');
        await loadParser();
        const principal = await principalFor(as.name, as, manifests, context.history);
        const { catalog, problem } =
          spec.protocol === 'postgres' && needsCatalog(manifests)
            ? await catalogOrWhy(resource, database ?? '')
            : { catalog: null, problem: null };
        const explanation = explain({
          policy,
          resource,
          principal,
          text,
          catalog,
          now: new Date(context.clock()),
          ...(estimatedRows === undefined ? {} : { estimatedRows }),
        });
        if (problem === null) return explanation;
        const limits = explanation.limits.map(limit =>
          limit.code === 'catalog-missing' ? { ...limit, detail: `${limit.detail}. ${problem}` } : limit,
        );
        return { ...explanation, limits };
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/resources/:name/catalog',
      schema: {
        operationId: 'readCatalog',
        tags: ['policy'],
        summary: 'The catalog of a resource’s database: names and definitions, without data',
        params: Type.Object({ name: Name }),
        querystring: Type.Object({ database: Type.Optional(Type.String({ maxLength: 63 })) }, closed),
        response: { 200: Type.Unknown({ description: 'A catalog file, for use with `--config`.' }), default: schemas.Problem },
      },
      handler: async request => {
        const { name } = request.params;
        if (context.control.state.manifest('Resource', name) === undefined)
          throw new GatewayError('RESOURCE_UNKNOWN', 'notFound', 'There is no such resource.');
        return (await catalogs.read(name, request.query.database)).file;
      },
    });

    /** An explanation without the catalog says so; that is better than none. */
    async function catalogOrWhy(resource: string, database: string): Promise<{ catalog: CatalogView | null; problem: string | null }> {
      try {
        return { catalog: (await catalogs.read(resource, database)).view, problem: null };
      } catch (error) {
        if (error instanceof GatewayError && error.kind !== 'internal') return { catalog: null, problem: error.message };
        throw error;
      }
    }
  };
}

function needsCatalog(manifests: readonly Manifest[]): boolean {
  return manifests.some(each => each.kind === 'DataPolicy' && (each as Manifest<'DataPolicy'>).spec.columns.length > 0);
}
