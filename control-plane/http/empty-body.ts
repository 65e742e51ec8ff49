/** For routes whose every field is optional: no body at all is the same as an empty one. */
import type { FastifyRequest } from 'fastify';

export async function emptyBodyAsNothing(request: FastifyRequest): Promise<void> {
  request.body ??= {};
}
