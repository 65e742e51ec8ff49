/** SCIM's messages: media type, schemas, lists, errors, and the attributes that users and groups have alike. */
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { problemOf } from '../problem.ts';

export const mediaType = 'application/scim+json';
export const schemas = {
  user: 'urn:ietf:params:scim:schemas:core:2.0:User',
  group: 'urn:ietf:params:scim:schemas:core:2.0:Group',
  list: 'urn:ietf:params:scim:api:messages:2.0:ListResponse',
  patch: 'urn:ietf:params:scim:api:messages:2.0:PatchOp',
  error: 'urn:ietf:params:scim:api:messages:2.0:Error',
  provider: 'urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig',
};
export const countMax = 200;

export type Json = Record<string, unknown>;

/** Bodies and errors as SCIM has them, for the routes of a plugin. */
export function speakScim(app: FastifyInstance): void {
  app.addContentTypeParser(mediaType, { parseAs: 'string' }, app.getDefaultJsonParser('error', 'error'));
  app.setErrorHandler((error, request, reply) => {
    const { status, detail, code } = problemOf(error);
    if (status >= 500) request.log.error({ err: error }, 'request failed');
    const scimType =
      status === 409 ? 'uniqueness' : status === 400 ? (code === 'FILTER_INVALID' ? 'invalidFilter' : 'invalidValue') : undefined;
    return answer(reply, status, {
      ...{ schemas: [schemas.error], code, status: String(status), detail },
      ...(scimType === undefined ? {} : { scimType }),
    });
  });
}

export function answer(reply: FastifyReply, status: number, body: Json): FastifyReply {
  return reply.code(status).type(mediaType).send(JSON.stringify(body));
}

/** A page of what was found, by `startIndex` and `count`. @param shown of one row. */
export function page<Row>(found: readonly Row[], query: Json, shown: (row: Row) => Json): Json {
  const start = Math.max(1, whole(query['startIndex'], 1));
  const count = Math.min(countMax, whole(query['count'], countMax));
  const rows = found.slice(start - 1, start - 1 + count);
  return {
    ...{ schemas: [schemas.list], totalResults: found.length, startIndex: start, itemsPerPage: rows.length },
    Resources: rows.map(shown),
  };
}

/** @throws {GatewayError} SCIM_INVALID for anything but the operations of a PATCH, or too many of them. */
export function operationsOf(body: Json, max: number): { kind: 'add' | 'replace' | 'remove'; path: string | undefined; value: unknown }[] {
  // Names of attributes are told apart without case in SCIM; directories write this one so.
  const operations = body['Operations'] ?? body['operations'];
  if (!Array.isArray(operations) || operations.length === 0 || operations.length > max) throw invalid(`Operations must be 1 to ${max}`);
  return (operations as unknown[]).map(each => {
    const { op, path, value } = objectOf(each);
    const kind = typeof op === 'string' ? op.toLowerCase() : '';
    if (kind !== 'add' && kind !== 'replace' && kind !== 'remove') throw invalid('op must be add, replace or remove');
    if (path !== undefined && path !== null && typeof path !== 'string') throw invalid('path must be a text');
    return { kind, path: path === '' ? undefined : (path ?? undefined), value };
  });
}

export function objectOf(value: unknown): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  throw invalid('a JSON object is wanted');
}

export function textOf(name: string, value: unknown): string {
  if (typeof value === 'string' && value !== '' && value.length <= 256 && !/\p{Cc}/u.test(value)) return value;
  throw invalid(`${name} must be a text of at most 256 characters`);
}

export function invalid(what: string): GatewayError {
  return new GatewayError('SCIM_INVALID', 'invalid', `The request is not valid: ${what}.`);
}

function whole(text: unknown, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (typeof text === 'string' && /^\d{1,9}$/.test(text)) return Number(text);
  throw invalid('startIndex and count are whole numbers');
}
