/**
 * The console's pages: a fixed set of files, read at the start, served under a content security policy that lets nothing in from
 * elsewhere. They hold no data; what they show they ask of the API, with the token of whoever looks.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Authority } from '../../pki/authority.ts';

const types = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};

const files: Record<string, { file: string; type: keyof typeof types }> = {
  '/': { file: 'index.html', type: 'html' },
  '/docs': { file: 'docs.html', type: 'html' },
  '/console/console.css': { file: 'console.css', type: 'css' },
  '/console/console.js': { file: 'console.js', type: 'js' },
  '/console/views.js': { file: 'views.js', type: 'js' },
  '/console/dom.js': { file: 'dom.js', type: 'js' },
  '/console/api.js': { file: 'api.js', type: 'js' },
  '/console/docs.js': { file: 'docs.js', type: 'js' },
  '/console/icon.svg': { file: 'icon.svg', type: 'svg' },
};

export const consolePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ');

export function consoleRoutes(authority: Authority): FastifyPluginAsyncTypebox {
  return async app => {
    for (const [url, { file, type }] of Object.entries(files)) {
      const content = readFileSync(new URL(`../../console/${file}`, import.meta.url));
      const etag = `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`;
      app.route({
        method: 'GET',
        url,
        config: { access: 'public' },
        schema: { hide: true },
        handler: async (request, reply) => {
          void reply.headers({ 'content-security-policy': consolePolicy, 'cache-control': 'no-cache', etag });
          if (request.headers['if-none-match'] === etag) return reply.code(304).send();
          return reply.type(types[type]).send(content);
        },
      });
    }
    app.route({
      method: 'GET',
      url: '/ca.crt',
      config: { access: 'public' },
      schema: { operationId: 'authority', tags: ['operations'], summary: 'The certificate that clients verify agents against (PEM)' },
      handler: async (_request, reply) => reply.type('application/x-pem-file').send(authority.caPem),
    });
  };
}
