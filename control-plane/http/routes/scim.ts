/**
 * SCIM 2.0 for users: a directory tells who is there and who is not any more. Whoever is deactivated or deleted is kept out from then on,
 * with their live sessions ended (aggregates/user.ts). Groups are in scim-groups.ts.
 *
 * Deliberately absent: bulk, sorting, passwords, and filters but `eq` on `id`, `userName` and `externalId`, which is what directories ask.
 *
 * @see RFC 7643, RFC 7644
 */
import { randomUUID } from 'node:crypto';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { FastifyInstance } from 'fastify';
import { informedAction } from '../../aggregates/control-log.ts';
import type { Rejection } from '../../aggregates/decider.ts';
import type { Projection } from '../../aggregates/projection.ts';
import { type UserAttributes, type UserRequest, type UserState, userAggregate } from '../../aggregates/user.ts';
import { provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { type Comparison, parseFilter } from '../scim/filter.ts';
import { answer, countMax, invalid, type Json, objectOf, operationsOf, page, schemas, speakScim, textOf } from '../scim/message.ts';

const operationsMax = 100;
const hidden = { schema: { hide: true } };

export function scimRoutes({ control }: ApiContext): FastifyPluginAsyncTypebox {
  return async app => {
    speakScim(app as unknown as FastifyInstance);

    app.get('/scim/v2/ServiceProviderConfig', hidden, async (_request, reply) =>
      answer(reply, 200, {
        schemas: [schemas.provider],
        patch: { supported: true },
        filter: { supported: true, maxResults: countMax },
        ...Object.fromEntries(['bulk', 'changePassword', 'sort', 'etag'].map(name => [name, { supported: false }])),
        authenticationSchemes: [{ type: 'oauthbearertoken', name: 'Bearer', description: 'A token of a caller with the role admin' }],
      }),
    );

    app.get('/scim/v2/Users', hidden, async (request, reply) => {
      const query = request.query as Json;
      const { filter } = query;
      const fits = filter === undefined ? () => true : matcher(parseFilter(filter));
      const found = control.state.users().filter(([id, state]) => state.status === 'present' && fits(id, state.user));
      return answer(
        reply,
        200,
        page(found, query, ([id, state]) => shown(id, state)[0] ?? {}),
      );
    });

    app.get<{ Params: { id: string } }>('/scim/v2/Users/:id', hidden, async (request, reply) =>
      answer(reply, 200, userOrThrow(request.params.id)),
    );

    app.post('/scim/v2/Users', hidden, async (request, reply) => {
      const user = attributesOf(objectOf(request.body));
      const id = randomUUID();
      await change(id, () => ({ type: 'create', user }), provenanceOf(request, 'provisioned by the directory'));
      return answer(reply, 201, userOrThrow(id));
    });

    app.put<{ Params: { id: string } }>('/scim/v2/Users/:id', hidden, async (request, reply) => {
      const { id } = request.params;
      const body = objectOf(request.body);
      const made = (all: Projection): UserRequest => {
        const state = all.user(id);
        return { type: 'replace', user: attributesOf(body, state.status === 'present' && state.user.active) };
      };
      await change(id, made, provenanceOf(request, 'changed by the directory'));
      return answer(reply, 200, userOrThrow(id));
    });

    app.patch<{ Params: { id: string } }>('/scim/v2/Users/:id', hidden, async (request, reply) => {
      const { id } = request.params;
      const body = objectOf(request.body);
      // Of the user as it is when it is decided: a change of the name does not undo a deactivation at the same time.
      const made = (all: Projection): UserRequest => {
        const state = all.user(id);
        if (state.status !== 'present') throw new GatewayError('USER_UNKNOWN', 'notFound', 'There is no such user.');
        return { type: 'replace', user: patched(state.user, body) };
      };
      await change(id, made, provenanceOf(request, 'changed by the directory'));
      return answer(reply, 200, userOrThrow(id));
    });

    app.delete<{ Params: { id: string } }>('/scim/v2/Users/:id', hidden, async (request, reply) => {
      await change(request.params.id, () => ({ type: 'delete' }), provenanceOf(request, 'deprovisioned by the directory'));
      return reply.code(204).send();
    });
  };

  function userOrThrow(id: string): Json {
    const [user] = shown(id, control.state.user(id));
    if (user === undefined) throw new GatewayError('USER_UNKNOWN', 'notFound', 'There is no such user.');
    return user;
  }

  /** Names are one person's, also those of users that are not active. */
  function isFree(all: Projection, { userName }: UserAttributes, except: string): boolean {
    const name = userName.toLowerCase();
    return !all.users().some(([id, state]) => state.status === 'present' && id !== except && state.user.userName.toLowerCase() === name);
  }

  async function change(id: string, made: (all: Projection) => UserRequest, provenance: ReturnType<typeof provenanceOf>): Promise<void> {
    if (!/^[0-9a-f-]{36}$/.test(id)) throw new GatewayError('USER_UNKNOWN', 'notFound', 'There is no such user.');
    // Two replicas may be asked for one name at the same time: whether it is free is decided with the event.
    const decided = informedAction(userAggregate, id, [userAggregate.name], (all): UserRequest | Rejection => {
      const request = made(all);
      return request.type === 'delete' || isFree(all, request.user, id)
        ? request
        : { code: 'USER_NAME_TAKEN', kind: 'conflict', message: 'Another user has this userName.' };
    });
    const outcome = await control.execute([decided], provenance);
    if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
  }
}

function shown(id: string, state: UserState): Json[] {
  if (state.status !== 'present') return [];
  return [{ schemas: [schemas.user], id, ...state.user, meta: { resourceType: 'User', location: `/scim/v2/Users/${id}` } }];
}

/** Names of attributes are told apart without case (RFC 7643 section 2.1): `Active` takes somebody out as `active` does. */
const attributes: Readonly<Record<string, keyof UserAttributes>> = {
  username: 'userName',
  externalid: 'externalId',
  displayname: 'displayName',
  active: 'active',
};

/** The attribute that a name or path means; undefined: one that is not kept. */
function attributeOf(name: string): keyof UserAttributes | undefined {
  const lower = name.toLowerCase();
  const urn = `${schemas.user.toLowerCase()}:`;
  const own = lower.startsWith(urn) ? lower.slice(urn.length) : lower;
  return Object.hasOwn(attributes, own) ? attributes[own] : undefined;
}

/** The attributes that are kept, by the names that they have here. What else a directory sends is let pass unread. */
function keptOf(body: Json): Partial<Record<keyof UserAttributes, unknown>> {
  const kept: Partial<Record<keyof UserAttributes, unknown>> = {};
  for (const [name, value] of Object.entries(body)) {
    const attribute = attributeOf(name);
    if (attribute === undefined) continue;
    if (attribute in kept) throw invalid(`${attribute} is given twice`);
    kept[attribute] = value;
  }
  return kept;
}

/** @param isActive of a user of whom `active` is not said: saying nothing lets nobody in again. */
function attributesOf(body: Json, isActive = true): UserAttributes {
  const { userName, externalId, displayName, active = isActive } = keptOf(body);
  return {
    userName: textOf('userName', userName),
    ...(externalId === undefined || externalId === null ? {} : { externalId: textOf('externalId', externalId) }),
    ...(displayName === undefined || displayName === null ? {} : { displayName: textOf('displayName', displayName) }),
    active: truth(active),
  };
}

/** RFC 7644 section 3.5.2, for attributes that are kept; what is said of others changes nothing. */
function patched(before: UserAttributes, body: Json): UserAttributes {
  let after: Json = { ...before };
  for (const { kind, path, value } of operationsOf(body, operationsMax)) {
    const attribute = path === undefined ? undefined : attributeOf(path);
    if (kind === 'remove') {
      if (path === undefined) throw invalid('remove needs a path');
      if (attribute === 'userName' || attribute === 'active') throw invalid(`${attribute} cannot be removed`);
      if (attribute !== undefined) after = { ...after, [attribute]: undefined };
    } else if (path === undefined) after = { ...after, ...keptOf(objectOf(value)) };
    else if (attribute !== undefined) after = { ...after, [attribute]: value };
  }
  return attributesOf(after);
}

/** @throws {GatewayError} FILTER_INVALID. */
function matcher(comparisons: readonly Comparison[]): (id: string, user: UserAttributes) => boolean {
  const known = comparisons.map(({ attribute, value }) => {
    switch (attribute) {
      case 'id':
        return (id: string) => id === value;
      case 'username':
        return (_id: string, user: UserAttributes) => user.userName.toLowerCase() === value.toLowerCase();
      case 'externalid':
        return (_id: string, user: UserAttributes) => user.externalId === value;
      default:
        throw new GatewayError('FILTER_INVALID', 'invalid', 'Users are found by id, userName and externalId.');
    }
  });
  return (id, user) => known.every(fits => fits(id, user));
}

/** Some directories write truth as text. What is neither is not taken for either. */
function truth(value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  if (typeof value === 'string' && /^(true|false)$/i.test(value)) return value.toLowerCase() === 'true';
  throw invalid('active must be true or false');
}
