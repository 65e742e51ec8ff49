/**
 * ETags: what is read carries one, so that a reader asks "still the same?" (`If-None-Match`) and a writer says "only if it still is"
 * (`If-Match`). One manifest's tag is its version, strong; everything else that is read as JSON has a digest of what is sent, weak.
 *
 * @see RFC 9110 sections 8.8.3, 13.1
 */
import { createHash } from 'node:crypto';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { FastifyInstance } from 'fastify';

/** The tag of something that has a version; 0 is what is not there. */
export function versionTag(version: bigint | number): string {
  return `"v${version}"`;
}

/** The tag of several versions together. */
export function versionsTag(versions: readonly (readonly [name: string, version: bigint])[]): string {
  const text = versions.map(([name, version]) => `${name}=${version}`).sort();
  return `"${createHash('sha256').update(text.join('\n')).digest('base64url').slice(0, 27)}"`;
}

/**
 * Whether `If-Match` lets a write go on; absent: always. Weak tags never match (RFC 9110 section 13.1.1).
 * @throws {GatewayError} IF_MATCH_INVALID.
 */
export function matches(header: string | undefined, current: string, exists: boolean): boolean {
  if (header === undefined) return true;
  if (header.trim() === '*') return exists;
  return tagsOf(header).includes(current);
}

/** Computes tags of JSON answers that have none, and answers 304 where the reader has it already. */
export function useEntityTags(app: FastifyInstance): void {
  app.addHook('onSend', async (request, reply, payload) => {
    if (request.method !== 'GET' || reply.statusCode !== 200 || typeof payload !== 'string') return payload;
    if (!String(reply.getHeader('content-type') ?? '').startsWith('application/json')) return payload;
    if (!reply.hasHeader('etag')) {
      void reply.header('etag', `W/"${createHash('sha256').update(payload).digest('base64url').slice(0, 27)}"`);
    }
    const tag = String(reply.getHeader('etag'));
    const known = request.headers['if-none-match'];
    if (known === undefined) return payload;
    const isSame = known.trim() === '*' || weakTagsOf(known).includes(tag.replace(/^W\//, ''));
    if (!isSame) return payload;
    void reply.code(304).removeHeader('content-type').removeHeader('content-length');
    return null;
  });
}

/** Strong tags alone. @throws {GatewayError} IF_MATCH_INVALID. */
function tagsOf(header: string): string[] {
  const tags = header.split(',').map(tag => tag.trim());
  if (tags.length > 100 || !tags.every(tag => /^(W\/)?"[\x21\x23-\x7e]*"$/.test(tag))) {
    throw new GatewayError('IF_MATCH_INVALID', 'invalid', 'If-Match must be `*` or ETags in quotation marks, as GET gives them.');
  }
  return tags.filter(tag => !tag.startsWith('W/'));
}

/** `If-None-Match` compares weakly, and what is malformed matches nothing. */
function weakTagsOf(header: string): string[] {
  return header.split(',').map(tag => tag.trim().replace(/^W\//, ''));
}
