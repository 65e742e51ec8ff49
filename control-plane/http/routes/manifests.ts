/** Applying, showing and deleting manifests. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { StoredManifest } from '../../aggregates/projection.ts';
import { document, type VersionCheck } from '../../manifests/apply.ts';
import { callerOf, provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { matches, versionsTag, versionTag } from '../entity-tags.ts';
import { Next, PageQuery, pageOf } from '../pages.ts';
import { pastOrThrow } from '../past.ts';
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
          '`If-Match` with the ETag of a rehearsal (`dryRun`) applies what was rehearsed or nothing: 412 when one of the manifests has changed since. All or nothing: when one manifest is not valid, none is applied. Secrets named by `env` or `file` are read on the control plane’s machine.',
        body: schemas.ApplyRequest,
        response: { 200: schemas.ApplyResponse, default: schemas.Problem },
      },
      handler: async (request, reply) => {
        const { manifests: files, dryRun, reason } = request.body;
        const ifMatch = request.headers['if-match'];
        const isExpected: VersionCheck | null =
          ifMatch === undefined
            ? null
            : versions =>
                matches(
                  ifMatch,
                  versionsTag(versions),
                  versions.every(([, version]) => version > 0n),
                );
        const editor = editorOf(request);
        if (!dryRun) mayApplyAlone(editor, context.twoPersonApply);
        const applied = await manifests.apply(files, provenanceOf(request, reason ?? 'apply'), dryRun ?? false, editor, isExpected);
        const etag = versionsTag(applied.versions);
        // After a change the tag would be of what was, which is no use to anybody.
        if (dryRun) void reply.header('etag', etag);
        return { changes: applied.changes, warnings: applied.warnings, ...(dryRun ? { etag } : {}) };
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
        querystring: Type.Object(PageQuery, { additionalProperties: false }),
        response: { 200: Type.Object({ manifests: Type.Array(schemas.ManifestDocument), next: Next }), default: schemas.Problem },
      },
      handler: async request => {
        const { rows, next } = pageOf(control.state.manifests(request.params.kind), ({ manifest }) => manifest.name, request.query);
        return { manifests: rows.map(shown), next };
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/manifests/:kind/:name',
      config: { access: 'admin' },
      schema: {
        operationId: 'getManifest',
        tags: ['manifests'],
        summary: 'Show one manifest, as it is or as it was `at` a time',
        params: Type.Object({ kind: schemas.Kind, name: schemas.Name }),
        querystring: Type.Object({ at: Type.Optional(schemas.Time) }, { additionalProperties: false }),
        response: { 200: schemas.ManifestDocument, default: schemas.Problem },
      },
      handler: async (request, reply) => {
        const { kind, name } = request.params;
        const { at } = request.query;
        const stored =
          at === undefined
            ? control.state.manifest(kind, name)
            : await context.manifestHistory.at(kind, name, pastOrThrow(at, context.clock()));
        if (stored === undefined) throw new GatewayError('MANIFEST_UNKNOWN', 'notFound', `There is no ${kind} ${name}.`);
        void reply.header('etag', versionTag(stored.version));
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
        description: '`If-Match` with the ETag of GET deletes what was seen, or nothing (412).',
        params: Type.Object({ kind: schemas.Kind, name: schemas.Name }),
        querystring: schemas.ReasonRequest,
        response: { 200: schemas.ApplyResponse, default: schemas.Problem },
      },
      handler: async request => {
        const { kind, name } = request.params;
        const ifMatch = request.headers['if-match'];
        const isExpected: VersionCheck | null =
          ifMatch === undefined ? null : ([only]) => only !== undefined && matches(ifMatch, versionTag(only[1]), true);
        const provenance = provenanceOf(request, request.query.reason ?? 'delete');
        const editor = editorOf(request);
        mayApplyAlone(editor, context.twoPersonApply);
        return { changes: [await manifests.delete(kind, name, provenance, editor, isExpected)], warnings: [] };
      },
    });
  };
}

export function shown({ manifest, version, updatedAtMs, author }: StoredManifest) {
  return { ...document(manifest), status: { version: Number(version), updatedAt: new Date(updatedAtMs).toISOString(), author } };
}

/** @throws {GatewayError} CHANGE_NEEDS_REVIEW. The administrator's token is for the first hours and for emergencies. */
function mayApplyAlone(editor: Principal | null, twoPersonApply: boolean): void {
  if (editor === null || !twoPersonApply) return;
  throw new GatewayError(
    'CHANGE_NEEDS_REVIEW',
    'denied',
    'Changes need a second person here. Propose this one with `sallyport apply --propose --reason WHY -f PATH`; somebody else with the role admin approves it.',
  );
}

/** Null for the administrator's token. */
function editorOf(request: FastifyRequest): Principal | null {
  const caller = callerOf(request);
  return caller.type === 'admin' ? null : caller.principal;
}
