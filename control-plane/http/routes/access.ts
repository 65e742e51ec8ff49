/** What a person or a service may reach. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import { Type } from 'typebox';
import { type Caller, callerOf, hasRole } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { Next, PageQuery, pageOf } from '../pages.ts';
import * as schemas from '../schemas.ts';

export function accessRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const { control, admission, clock } = context;
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/resources',
      config: { access: 'principal' },
      schema: {
        operationId: 'listResources',
        tags: ['access'],
        summary: 'List the resources that the caller may reach, with the addresses that agents report',
        querystring: Type.Object(PageQuery, { additionalProperties: false }),
        response: { 200: Type.Object({ resources: Type.Array(schemas.Resource), next: Next }), default: schemas.Problem },
      },
      handler: async request => {
        const caller = callerOf(request);
        const nowMs = clock();
        const resources = control.state
          .manifests('Resource')
          .map(({ manifest }) => manifest as Manifest<'Resource'>)
          .filter(({ name }) => caller.type === 'admin' || seesAll(caller) || admission.isAdmitted(caller.principal, name, nowMs));
        const { rows, next } = pageOf(resources, ({ name }) => name, request.query);
        return { next, resources: rows.map(manifest => shown(context, manifest, seesAll(caller))) };
      },
    });
  };
}

function seesAll(caller: Caller): boolean {
  return hasRole(caller, 'viewer', 'operator', 'auditor');
}

function shown({ fleet }: ApiContext, { name, labels, spec }: Manifest<'Resource'>, isAdmin: boolean): schemas.Resource {
  const addresses = [...new Set(fleet.addressesOf(name).map(({ address }) => address))];
  const problems = fleet.connections().flatMap(connection => {
    const reason = connection.problems[name];
    return reason === undefined || !isAdmin ? [] : [{ agent: connection.identity.agent.details.name, reason }];
  });
  return {
    name,
    protocol: spec.protocol,
    labels,
    ...(spec.upstream.database === undefined ? {} : { database: spec.upstream.database }),
    ...(addresses[0] === undefined ? {} : { address: addresses[0] }),
    addresses,
    problems,
  };
}
