/** Questions about policy: why it decides as it does, and by which catalog. Nothing is run, nothing is changed. */

import { PassThrough } from 'node:stream';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import { parseDurationMs } from '@sallyport/shared/policy/quantities.ts';
import type { CatalogView } from '@sallyport/shared/rehearsal/catalog-file.ts';
import { Type } from 'typebox';
import { allManifests } from '../../manifests/apply.ts';
import { Catalogs } from '../../policy/catalogs.ts';
import { principalFor } from '../../policy/principals.ts';
import { type Progress, Simulations } from '../../policy/simulation.ts';
import type { ApiContext } from '../context.ts';
import { problemOf } from '../problem.ts';
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
const SimulateRequest = Type.Object(
  {
    manifests: Type.Array(Type.Object({ file: Type.String({ minLength: 1, maxLength: 4096 }), text: Type.String() }, closed), {
      maxItems: 1000,
      description: 'Proposed; manifests in force that they do not name stay. Certificates are in the text.',
    }),
    since: Type.String({ maxLength: 40, description: 'How far back: `7d`, or RFC 3339.' }),
  },
  closed,
);
const simulationBytesMax = 8 * 1024 * 1024;

export function policyRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const catalogs = new Catalogs(context.fleet, context.clock);
  const simulations = new Simulations(context.history, catalogs);
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
        // Every protocol's grammar, which most replicas are never asked for.
        const [{ explain }, { loadParser }] = await Promise.all([
          import('@sallyport/shared/rehearsal/explanation.ts'),
          import('@sallyport/shared/sql/parser.ts'),
        ]);
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

    app.route({
      method: 'POST',
      url: '/v1/policy/simulate',
      bodyLimit: simulationBytesMax,
      schema: {
        operationId: 'simulatePolicy',
        tags: ['policy'],
        summary: 'Replay recorded commands under proposed manifests: what would newly be denied, held, masked or allowed',
        description:
          'With `Accept: application/x-ndjson` the answer is lines: `{"progress":{"done","total"}}`, at last `{"report":…}` or `{"problem":…}`.',
        body: SimulateRequest,
        response: { 200: Type.Unknown({ description: 'The report (docs/reference/api.md).' }), default: schemas.Problem },
      },
      handler: async (request, reply) => {
        const { manifests: files, since } = request.body;
        const nowMs = context.clock();
        const gone = new AbortController();
        reply.raw.once('close', () =>
          gone.abort(new GatewayError('SIMULATION_ABANDONED', 'unavailable', 'Nobody waits for the simulation any more.')),
        );
        const run = (onProgress: (progress: Progress) => void) =>
          simulations.run(
            {
              files,
              inForce: allManifests(context.control.state),
              period: { sinceMs: sinceOf(since, nowMs), untilMs: nowMs },
              readFile: noFile,
            },
            onProgress,
            gone.signal,
          );
        if (request.headers.accept !== 'application/x-ndjson') return run(() => undefined);
        const first = Promise.withResolvers<void>();
        const lines = new PassThrough();
        const write = (line: unknown) => void lines.write(`${JSON.stringify(line)}\n`);
        // What is wrong with the request is told by the status; what goes wrong later, by the last line.
        const report = run(progress => {
          first.resolve();
          write({ progress });
        });
        report.then(
          done => lines.end(`${JSON.stringify({ report: done })}\n`),
          (error: unknown) => {
            first.reject(error);
            lines.end(`${JSON.stringify({ problem: problemOf(error) })}\n`);
          },
        );
        await first.promise;
        return reply.type('application/x-ndjson').send(lines);
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

/** @throws {GatewayError} SINCE_INVALID. */
function sinceOf(since: string, nowMs: number): number {
  const durationMs = parseDurationMs(since);
  const sinceMs = durationMs === undefined && /^\d{4}-\d\d-\d\dT/.test(since) ? Date.parse(since) : nowMs - (durationMs ?? Number.NaN);
  if (Number.isNaN(sinceMs) || sinceMs >= nowMs) {
    throw new GatewayError(
      'SINCE_INVALID',
      'invalid',
      '`since` is no time in the past: write a duration such as 7d, or a time such as 2026-01-05T10:00:00Z.',
    );
  }
  return sinceMs;
}

function noFile(path: string): string {
  throw new GatewayError(
    'CERTIFICATE_MISSING',
    'invalid',
    `${path} is on the machine that sent the manifest; put the certificate into the text`,
  );
}
