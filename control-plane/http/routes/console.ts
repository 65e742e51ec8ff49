/**
 * The console's files, from its bundle, under a content security policy that lets nothing in from elsewhere and runs nothing that is
 * written into a page. They hold no data; what they show they ask of the API, as whoever is signed in.
 *
 * Pages are addresses of one document; which one is shown is decided in the browser. The player of terminal recordings is a document of
 * its own in a sandbox: it needs WebAssembly, and it draws what a terminal said, so it gets no access to anything else.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Authority } from '../../pki/authority.ts';
import { bundleFolder, bundleState, type ConsoleBundle, ensureBundle, loadBundle } from '../console-bundle.ts';

const types: Record<string, string> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
  wasm: 'application/wasm',
  woff2: 'font/woff2',
};

/** The first part of every page's address. */
const pages = [
  'inbox',
  'sessions',
  'commands',
  'overview',
  'resources',
  'agents',
  'ssh-keys',
  'policies',
  'changes',
  'workbench',
  'data',
  'evidence',
  'custody',
  'start',
  'docs',
];

export const consolePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "font-src 'self'",
  "connect-src 'self'",
  "frame-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

/** Of the player alone. Without `allow-same-origin` its origin is none: no cookie, no storage, no request in anybody's name. */
export const playerPolicy = [
  'sandbox allow-scripts',
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'self'",
].join('; ');

export function consoleRoutes(
  authority: Authority,
  env: Readonly<Record<string, string | undefined>> = process.env,
): FastifyPluginAsyncTypebox {
  const source = new BundleSource(bundleFolder(env));
  return async app => {
    for (const url of ['/', ...pages.flatMap(page => [`/${page}`, `/${page}/*`])]) {
      app.route({
        method: 'GET',
        url,
        config: { access: 'public' },
        schema: { hide: true },
        handler: (request, reply) => sendPage(request, reply, source),
      });
    }
    app.route({
      method: 'GET',
      url: '/console/*',
      config: { access: 'public' },
      schema: { hide: true },
      handler: async (request, reply) => {
        const name = (request.params as { '*': string })['*'];
        const bundle = await source.bundle();
        if (name === 'player.html')
          return sendFile(request, reply, bundle, name, { 'content-security-policy': playerPolicy, 'x-frame-options': 'SAMEORIGIN' });
        // Names of assets hold their hash. The sandboxed player has no origin: its own parts must be readable to it.
        return sendFile(request, reply, bundle, name, {
          'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
          'cache-control': name.startsWith('assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
          'cross-origin-resource-policy': 'cross-origin',
          'access-control-allow-origin': '*',
        });
      },
    });
    app.route({
      method: 'GET',
      url: '/ca.crt',
      config: { access: 'public' },
      schema: { operationId: 'authority', tags: ['operations'], summary: 'The certificate that clients verify agents against (PEM)' },
      handler: async (_request, reply) => reply.type('application/x-pem-file').send(authority.caPem),
    });
  };
}

async function sendPage(request: FastifyRequest, reply: FastifyReply, source: BundleSource) {
  void reply.headers({ 'content-security-policy': consolePolicy, 'cache-control': 'no-cache' });
  if (source.isReady()) return sendFile(request, reply, await source.bundle(), 'index.html', {});
  const building = source.bundle();
  const done = await Promise.race([
    building.then(
      () => 'built' as const,
      (error: unknown) => ({ error: errorText(error) }),
    ),
    new Promise<'building'>(resolve => setTimeout(resolve, 1500, 'building')),
  ]);
  if (done === 'built') return sendFile(request, reply, await building, 'index.html', {});
  const text =
    done === 'building'
      ? 'The console is being built; this takes a few seconds, once. This page shows it as soon as it is there.'
      : done.error;
  return reply
    .code(503)
    .header('retry-after', '2')
    .type(types['html'] ?? '')
    .send(
      `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">${done === 'building' ? '<meta http-equiv="refresh" content="2">' : ''}<title>Sallyport</title><p>${escaped(text)}</p></html>`,
    );
}

function sendFile(request: FastifyRequest, reply: FastifyReply, bundle: ConsoleBundle, name: string, headers: Record<string, string>) {
  const file = bundle.get(name);
  if (file === undefined) throw new GatewayError('ROUTE_UNKNOWN', 'notFound', 'There is nothing here.');
  const accepted = String(request.headers['accept-encoding'] ?? '');
  const [encoding, content] =
    /\bbr\b/.test(accepted) && file.brotli
      ? ['br', file.brotli]
      : /\bgzip\b/.test(accepted) && file.gzip
        ? ['gzip', file.gzip]
        : ['', file.content];
  void reply.headers({ 'cache-control': 'no-cache', ...headers, etag: file.etag, vary: 'accept-encoding' });
  if (request.headers['if-none-match'] === file.etag) return reply.code(304).send();
  if (encoding !== '') void reply.header('content-encoding', encoding);
  return reply.type(types[name.slice(name.lastIndexOf('.') + 1)] ?? 'application/octet-stream').send(content);
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`);
}

/** The bundle, built at the first request for it unless it is there. */
class BundleSource {
  readonly #folder: string;
  #loaded: ConsoleBundle | null = null;
  #loading: Promise<ConsoleBundle> | null = null;

  constructor(folder: string) {
    this.#folder = folder;
  }

  isReady(): boolean {
    if (this.#loaded === null && this.#loading === null && bundleState(this.#folder) === 'current') this.#loaded = loadBundle(this.#folder);
    return this.#loaded !== null;
  }

  /** @throws {GatewayError} CONSOLE_NOT_BUILT; the next call tries again. */
  bundle(): Promise<ConsoleBundle> {
    if (this.isReady() && this.#loaded !== null) return Promise.resolve(this.#loaded);
    this.#loading ??= ensureBundle(this.#folder)
      .then(() => {
        this.#loaded = loadBundle(this.#folder);
        return this.#loaded;
      })
      .finally(() => {
        this.#loading = null;
      });
    return this.#loading;
  }
}
