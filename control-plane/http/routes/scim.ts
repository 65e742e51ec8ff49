/**
 * SCIM 2.0 for users: a directory tells who is there and who is not any more. Whoever is deactivated or deleted is kept out from then on,
 * with their live sessions ended (aggregates/user.ts). Groups come with people's tokens and are not kept here.
 *
 * Deliberately absent: bulk, sorting, passwords, and filters but `eq` on `userName` and `externalId`, which is what directories ask.
 *
 * @see RFC 7643, RFC 7644
 */
import { randomUUID } from 'node:crypto';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { FastifyReply } from 'fastify';
import { informedAction } from '../../aggregates/control-log.ts';
import type { Projection } from '../../aggregates/projection.ts';
import { type UserAttributes, type UserRequest, type UserState, userAggregate } from '../../aggregates/user.ts';
import { provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { problemOf } from '../problem.ts';

const mediaType = 'application/scim+json';
const schemas = {
  user: 'urn:ietf:params:scim:schemas:core:2.0:User',
  list: 'urn:ietf:params:scim:api:messages:2.0:ListResponse',
  patch: 'urn:ietf:params:scim:api:messages:2.0:PatchOp',
  error: 'urn:ietf:params:scim:api:messages:2.0:Error',
  provider: 'urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig',
};
const countMax = 200;
const operationsMax = 100;

type Json = Record<string, unknown>;

export function scimRoutes({ control }: ApiContext): FastifyPluginAsyncTypebox {
  return async app => {
    app.addContentTypeParser(mediaType, { parseAs: 'string', bodyLimit: 64 * 1024 }, app.getDefaultJsonParser('error', 'error'));
    app.setErrorHandler((error, request, reply) => {
      const { status, detail, code } = problemOf(error);
      if (status >= 500) request.log.error({ err: error }, 'request failed');
      const scimType =
        status === 409 ? 'uniqueness' : status === 400 ? (code === 'FILTER_INVALID' ? 'invalidFilter' : 'invalidValue') : undefined;
      return answer(reply, status, {
        schemas: [schemas.error],
        code,
        status: String(status),
        detail,
        ...(scimType === undefined ? {} : { scimType }),
      });
    });

    app.get('/scim/v2/ServiceProviderConfig', { schema: { hide: true } }, async (_request, reply) =>
      answer(reply, 200, {
        schemas: [schemas.provider],
        patch: { supported: true },
        filter: { supported: true, maxResults: countMax },
        ...Object.fromEntries(['bulk', 'changePassword', 'sort', 'etag'].map(name => [name, { supported: false }])),
        authenticationSchemes: [{ type: 'oauthbearertoken', name: 'Bearer', description: 'A token of a caller with the role admin' }],
      }),
    );

    app.get('/scim/v2/Users', { schema: { hide: true } }, async (request, reply) => {
      const query = request.query as Record<string, string | undefined>;
      const fits = filterOf(query['filter']);
      const start = Math.max(1, whole(query['startIndex'], 1));
      const count = Math.min(countMax, whole(query['count'], countMax));
      const found = control.state.users().filter(([, state]) => state.status === 'present' && fits(state.user));
      const page = found.slice(start - 1, start - 1 + count).flatMap(([id, state]) => shown(id, state));
      return answer(reply, 200, {
        schemas: [schemas.list],
        totalResults: found.length,
        startIndex: start,
        itemsPerPage: page.length,
        Resources: page,
      });
    });

    app.get<{ Params: { id: string } }>('/scim/v2/Users/:id', { schema: { hide: true } }, async (request, reply) =>
      answer(reply, 200, userOrThrow(request.params.id)),
    );

    app.post('/scim/v2/Users', { schema: { hide: true } }, async (request, reply) => {
      const user = attributesOf(objectOf(request.body));
      const id = randomUUID();
      await change(id, { type: 'create', user }, provenanceOf(request, 'provisioned by the directory'));
      return answer(reply, 201, userOrThrow(id));
    });

    app.put<{ Params: { id: string } }>('/scim/v2/Users/:id', { schema: { hide: true } }, async (request, reply) => {
      const { id } = request.params;
      const user = attributesOf(objectOf(request.body));
      await change(id, { type: 'replace', user }, provenanceOf(request, 'changed by the directory'));
      return answer(reply, 200, userOrThrow(id));
    });

    app.patch<{ Params: { id: string } }>('/scim/v2/Users/:id', { schema: { hide: true } }, async (request, reply) => {
      const { id } = request.params;
      const state = control.state.user(id);
      if (state.status !== 'present') throw new GatewayError('USER_UNKNOWN', 'notFound', 'There is no such user.');
      const user = patched(state.user, objectOf(request.body));
      await change(id, { type: 'replace', user }, provenanceOf(request, 'changed by the directory'));
      return answer(reply, 200, userOrThrow(id));
    });

    app.delete<{ Params: { id: string } }>('/scim/v2/Users/:id', { schema: { hide: true } }, async (request, reply) => {
      await change(request.params.id, { type: 'delete' }, provenanceOf(request, 'deprovisioned by the directory'));
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

  async function change(id: string, request: UserRequest, provenance: ReturnType<typeof provenanceOf>): Promise<void> {
    if (!/^[0-9a-f-]{36}$/.test(id)) throw new GatewayError('USER_UNKNOWN', 'notFound', 'There is no such user.');
    // Two replicas may be asked for one name at the same time: whether it is free is decided with the event.
    const decided = informedAction(userAggregate, id, [userAggregate.name], all =>
      request.type === 'delete' || isFree(all, request.user, id)
        ? request
        : { code: 'USER_NAME_TAKEN', kind: 'conflict', message: 'Another user has this userName.' },
    );
    const outcome = await control.execute([decided], provenance);
    if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
  }
}

function answer(reply: FastifyReply, status: number, body: Json): FastifyReply {
  return reply.code(status).type(mediaType).send(JSON.stringify(body));
}

function shown(id: string, state: UserState): Json[] {
  if (state.status !== 'present') return [];
  return [{ schemas: [schemas.user], id, ...state.user, meta: { resourceType: 'User', location: `/scim/v2/Users/${id}` } }];
}

/** Attributes that are not kept are let pass unread: a directory sends whatever it has. */
function attributesOf(body: Json): UserAttributes {
  const { userName, externalId, displayName, active = true } = body;
  return {
    userName: textOf('userName', userName),
    ...(externalId === undefined || externalId === null ? {} : { externalId: textOf('externalId', externalId) }),
    ...(displayName === undefined || displayName === null ? {} : { displayName: textOf('displayName', displayName) }),
    active: truth(active),
  };
}

/** RFC 7644 section 3.5.2, for attributes that are kept; what is said of others changes nothing. */
function patched(before: UserAttributes, body: Json): UserAttributes {
  const operations = body['Operations'];
  if (!Array.isArray(operations) || operations.length === 0 || operations.length > operationsMax)
    throw invalid(`Operations must be 1 to ${operationsMax}`);
  let attributes: Json = { ...before };
  for (const each of operations as unknown[]) {
    const { op, path, value } = objectOf(each);
    const kind = typeof op === 'string' ? op.toLowerCase() : '';
    if (kind !== 'add' && kind !== 'replace' && kind !== 'remove') throw invalid('op must be add, replace or remove');
    if (path !== undefined && typeof path !== 'string') throw invalid('path must be a text');
    const name = path?.startsWith(`${schemas.user}:`) ? path.slice(schemas.user.length + 1) : path;
    if (kind === 'remove') {
      if (name === undefined) throw invalid('remove needs a path');
      if (name === 'userName' || name === 'active') throw invalid(`${name} cannot be removed`);
      attributes = { ...attributes, [name]: undefined };
    } else attributes = { ...attributes, ...(name === undefined ? objectOf(value) : { [name]: value }) };
  }
  return attributesOf(attributes);
}

/** @throws {GatewayError} FILTER_INVALID. */
function filterOf(filter: string | undefined): (user: UserAttributes) => boolean {
  if (filter === undefined) return () => true;
  const match = /^(userName|externalId) eq ("(?:[^"\\]|\\.)*")$/i.exec(filter.trim());
  let wanted: unknown;
  try {
    wanted = match?.[2] === undefined ? undefined : JSON.parse(match[2]);
  } catch {
    wanted = undefined;
  }
  if (typeof wanted !== 'string') {
    throw new GatewayError('FILTER_INVALID', 'invalid', 'The filters here are `userName eq "…"` and `externalId eq "…"`.');
  }
  const name = wanted.toLowerCase();
  return match?.[1]?.toLowerCase() === 'username' ? user => user.userName.toLowerCase() === name : user => user.externalId === wanted;
}

function objectOf(value: unknown): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  throw invalid('a JSON object is wanted');
}

function textOf(name: string, value: unknown): string {
  if (typeof value === 'string' && value !== '' && value.length <= 256 && !/\p{Cc}/u.test(value)) return value;
  throw invalid(`${name} must be a text of at most 256 characters`);
}

/** Some directories write truth as text. What is neither is not taken for either. */
function truth(value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  if (typeof value === 'string' && /^(true|false)$/i.test(value)) return value.toLowerCase() === 'true';
  throw invalid('active must be true or false');
}

function whole(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw invalid('startIndex and count are whole numbers');
}

function invalid(what: string): GatewayError {
  return new GatewayError('SCIM_INVALID', 'invalid', `The request is not valid: ${what}.`);
}
