/** Applying, showing and deleting manifests. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { StoredManifest } from '../../aggregates/projection.ts';
import { document } from '../../manifests/apply.ts';
import { callerOf, provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import * as schemas from '../schemas.ts';

const applyBytesMax = 8 * 1024 * 1024;

export function manifestRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const { control, manifests } = context;
  return async app => {
    app.route({
      method: 'POST',
      url: '/v1/apply',
      config: { access: 'admin' },
      bodyLimit: applyBytesMax,
      schema: {
        operationId: 'apply',
        tags: ['manifests'],
        summary: 'Apply manifests, or say what applying them would change',
        description:
          'All or nothing: when one manifest is not valid, none is applied. Secrets named by `env` or `file` are read on the control plane’s machine.',
        body: schemas.ApplyRequest,
        response: { 200: schemas.ApplyResponse, default: schemas.Problem },
      },
      handler: async request => {
        const { manifests: files, dryRun, reason } = request.body;
        return manifests.apply(files, provenanceOf(request, reason ?? 'apply'), dryRun ?? false, editorOf(request));
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/manifests/:kind',
      config: { access: 'admin' },
      schema: {
        operationId: 'listManifests',
        tags: ['manifests'],
        summary: 'List manifests of a kind',
        params: Type.Object({ kind: schemas.Kind }),
        response: { 200: Type.Object({ manifests: Type.Array(schemas.ManifestDocument) }), default: schemas.Problem },
      },
      handler: async request => ({ manifests: control.state.manifests(request.params.kind).map(shown) }),
    });

    app.route({
      method: 'GET',
      url: '/v1/manifests/:kind/:name',
      config: { access: 'admin' },
      schema: {
        operationId: 'getManifest',
        tags: ['manifests'],
        summary: 'Show one manifest',
        params: Type.Object({ kind: schemas.Kind, name: schemas.Name }),
        response: { 200: schemas.ManifestDocument, default: schemas.Problem },
      },
      handler: async request => {
        const { kind, name } = request.params;
        const stored = control.state.manifest(kind, name);
        if (stored === undefined) throw new GatewayError('MANIFEST_UNKNOWN', 'notFound', `There is no ${kind} ${name}.`);
        return shown(stored);
      },
    });

    app.route({
      method: 'DELETE',
      url: '/v1/manifests/:kind/:name',
      config: { access: 'admin' },
      schema: {
        operationId: 'deleteManifest',
        tags: ['manifests'],
        summary: 'Delete one manifest',
        params: Type.Object({ kind: schemas.Kind, name: schemas.Name }),
        querystring: schemas.ReasonRequest,
        response: { 200: schemas.ApplyResponse, default: schemas.Problem },
      },
      handler: async request => {
        const { kind, name } = request.params;
        return {
          changes: [await manifests.delete(kind, name, provenanceOf(request, request.query.reason ?? 'delete'), editorOf(request))],
          warnings: [],
        };
      },
    });
  };
}

function shown({ manifest, version, updatedAtMs, author }: StoredManifest) {
  return { ...document(manifest), status: { version: Number(version), updatedAt: new Date(updatedAtMs).toISOString(), author } };
}

/** Null for the administrator's token. */
function editorOf(request: FastifyRequest): Principal | null {
  const caller = callerOf(request);
  return caller.type === 'admin' ? null : caller.principal;
}
