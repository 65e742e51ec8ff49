/** `/v1/ssh/keys`: public keys by which people and service accounts sign in over SSH. One's own; those of all for administrators. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { Type } from 'typebox';
import { isSameHolder, type SshKey, sshKeyLifetimeMsMax, sshKeyLifetimeMsMin } from '../../aggregates/ssh-key.ts';
import { type Caller, callerOf, hasRole, provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { emptyBodyAsNothing } from '../empty-body.ts';
import { Next, PageQuery, pageOf } from '../pages.ts';
import * as schemas from '../schemas.ts';
import { type KeyUse, SshKeys } from '../ssh-keys.ts';

const KeyShown = Type.Object({
  id: Type.String(),
  fingerprint: Type.String({ description: 'As `ssh-keygen -l` prints it, and as sessions’ records have it' }),
  type: Type.String(),
  label: Type.String(),
  principal: Type.String(),
  principalKind: Type.Enum(['person', 'workload']),
  registeredAt: schemas.Time,
  registeredBy: Type.String(),
  expiresAt: schemas.Time,
  lastUsedAt: Type.Optional(
    Type.Union([schemas.Time, Type.Null()], { description: 'null: never; absent: the session store does not answer' }),
  ),
  lastUsedFrom: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  sessions: Type.Optional(Type.Integer({ description: 'How many it has opened' })),
});

export function sshKeyRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const keys = new SshKeys(context);
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/ssh/keys',
      schema: {
        operationId: 'listSshKeys',
        tags: ['access'],
        summary: 'List registered public keys that are good: one’s own, or all for administrators',
        querystring: Type.Object(PageQuery, { additionalProperties: false }),
        response: { 200: Type.Object({ keys: Type.Array(KeyShown), next: Next }), default: schemas.Problem },
      },
      handler: async request => {
        const caller = callerOf(request);
        const { rows, next } = pageOf(
          keys.list().filter(key => mayManage(caller, key)),
          ({ id }) => id,
          request.query,
        );
        const uses = await keys.uses(rows);
        return { keys: rows.map(key => shown(key, uses)), next };
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/ssh/keys',
      schema: {
        operationId: 'registerSshKey',
        tags: ['access'],
        summary: 'Register a public key, which opens sessions of resources with `publicKeys: registered`',
        description:
          'For oneself, with a proof that the key is one’s own: what `ssh-keygen -Y sign -n sallyport` makes of the line `sallyport ssh-key of NAME`. Administrators register keys for service accounts, without a proof; who does, does not approve commands of that account. Ed25519, ECDSA, RSA from 3072 bits on, and security keys. A key is one principal’s, and ends by itself.',
        body: Type.Object(
          {
            publicKey: Type.String({ minLength: 1, maxLength: 16_384, description: 'The line of KEY.pub' }),
            proof: Type.Optional(Type.String({ maxLength: 16_384, description: 'Needed for oneself' })),
            serviceAccount: Type.Optional(schemas.Name),
            label: Type.Optional(Type.String({ maxLength: 200, description: 'Absent: the comment of the key' })),
            expiresInSeconds: Type.Integer({ minimum: sshKeyLifetimeMsMin / 1000, maximum: sshKeyLifetimeMsMax / 1000 }),
            reason: Type.Optional(Type.String({ maxLength: 500, description: 'Why, for the record.' })),
          },
          { additionalProperties: false },
        ),
        response: { 201: KeyShown, default: schemas.Problem },
      },
      handler: async (request, reply) => {
        const { publicKey: line, proof = '', serviceAccount, label = '', expiresInSeconds, reason } = request.body;
        const caller = callerOf(request);
        const asked = { line, label, lifetimeMs: expiresInSeconds * 1000 };
        const provenance = provenanceOf(request, reason ?? 'public key registered');
        if (serviceAccount !== undefined) {
          if (!hasRole(caller, 'admin'))
            throw new GatewayError('ROLE_MISSING', 'denied', 'Keys of service accounts are registered by administrators.');
          if (context.twoPersonApply && caller.type !== 'admin')
            throw new GatewayError(
              'CHANGE_NEEDS_REVIEW',
              'denied',
              'A key of a service account is a new way in, and changes need two people here: the administrator’s token registers it.',
            );
          return reply.code(201).send(shown(await keys.registerForAccount(serviceAccount, asked, provenance), new Map()));
        }
        if (caller.type === 'admin' || caller.principal.kind !== 'person' || caller.principal.delegation.length > 0)
          throw new GatewayError(
            'SSH_KEY_NEEDS_PERSON',
            'denied',
            'People register keys for themselves: sign in as yourself, or name a `serviceAccount` as an administrator.',
          );
        return reply.code(201).send(shown(await keys.registerOwn(caller.principal, asked, proof, provenance), new Map()));
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/ssh/keys/:id/remove',
      preValidation: emptyBodyAsNothing,
      schema: {
        operationId: 'removeSshKey',
        tags: ['access'],
        summary: 'Remove a public key: agents refuse it, and end the sessions that it has opened',
        description: 'One’s own, or any for administrators.',
        params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) }),
        body: schemas.ReasonRequest,
        response: { 200: Type.Object({ removed: Type.Boolean() }), default: schemas.Problem },
      },
      handler: async request => {
        const key = keys.find(request.params.id);
        // One answer whether it does not exist or is not the caller's.
        if (key === undefined || !mayManage(callerOf(request), key))
          throw new GatewayError('SSH_KEY_UNKNOWN', 'notFound', 'There is no such key of yours; those of others are for administrators.');
        await keys.remove(key, provenanceOf(request, request.body.reason ?? 'public key removed'));
        return { removed: true };
      },
    });
  };
}

/** Who acts for somebody sees and removes nothing in their name. */
function mayManage(caller: Caller, { holder }: SshKey): boolean {
  if (hasRole(caller, 'admin')) return true;
  return caller.type === 'principal' && caller.principal.delegation.length === 0 && isSameHolder(holder, caller.principal);
}

function shown(key: SshKey, uses: ReadonlyMap<string, KeyUse> | null) {
  const { id, fingerprint, type, label, holder, registeredAtMs, registeredBy, expiresAtMs } = key;
  const iso = (ms: number) => new Date(ms).toISOString();
  const use = uses?.get(id);
  return {
    ...{ id, fingerprint, type, label, principal: holder.name, principalKind: holder.kind, registeredBy },
    ...{ registeredAt: iso(registeredAtMs), expiresAt: iso(expiresAtMs) },
    ...(uses === null
      ? {}
      : { lastUsedAt: use?.lastUsedAt ?? null, lastUsedFrom: use?.lastUsedFrom ?? null, sessions: use?.sessions ?? 0 }),
  };
}
