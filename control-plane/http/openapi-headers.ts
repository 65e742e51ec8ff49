/** What every operation of a kind has besides its own: headers and refusals, written into the API's description once for all. */

const problem = (description: string) => ({
  description,
  content: {
    'application/problem+json': { schema: { type: 'object', properties: { code: { type: 'string' }, detail: { type: 'string' } } } },
  },
});

const conditional: ReadonlySet<string> = new Set(['post /v1/apply', 'delete /v1/manifests/{kind}/{name}']);

/** For @fastify/swagger's `transformObject`: the whole document, once. */
export function withCommonHeaders<Document extends { paths?: unknown }>(document: Document): Document {
  for (const [path, operations] of Object.entries((document.paths ?? {}) as Record<string, Record<string, Record<string, unknown>>>)) {
    for (const [method, operation] of Object.entries(operations)) {
      operation['parameters'] ??= [];
      operation['responses'] ??= {};
      const parameters = operation['parameters'] as { in: string; name: string }[];
      const responses = operation['responses'] as Record<string, unknown>;
      const add = (name: string, description: string, schema: object = { type: 'string' }) => {
        if (!parameters.some(each => each.in === 'header' && each.name === name)) {
          parameters.push({ in: 'header', name, description, required: false, schema } as never);
        }
      };
      responses['429'] ??= problem('Too many requests; `Retry-After` says how many seconds to wait');
      if (!path.startsWith('/v1/')) continue;
      if (method === 'get') {
        add('If-None-Match', 'ETag of what the reader has: 304 when it is still the same');
        responses['304'] ??= { description: 'Still the same' };
        continue;
      }
      if (conditional.has(`${method} ${path}`)) {
        add('If-Match', 'ETag of what the change is based on: 412 when it has changed since');
        responses['412'] ??= problem('It has changed since');
      }
      add(
        'Idempotency-Key',
        'The same write under the same key is done once within an hour, and answered the same; 409 for another write under it',
        { type: 'string', maxLength: 255 },
      );
    }
  }
  return document;
}
