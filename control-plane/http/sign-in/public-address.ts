/**
 * Where browsers reach the console: as it is configured, or as the request's Host header says when that is a name of this machine. A
 * Host header of somebody else's choice must not decide where a provider sends people.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { FastifyRequest } from 'fastify';

export class PublicAddress {
  readonly isSecure: boolean;
  readonly #configured: string | null;
  readonly #names: ReadonlySet<string>;

  /**
   * @param options.url the configured address; its path is ignored.
   * @param options.isTls whether this process itself speaks TLS.
   * @param options.names under which this machine may be asked without a configured address.
   */
  constructor(options: { url?: string; isTls: boolean; names: readonly string[] }) {
    this.#configured = options.url === undefined ? null : new URL(options.url).origin;
    this.isSecure = this.#configured === null ? options.isTls : this.#configured.startsWith('https:');
    this.#names = new Set(options.names.map(name => name.toLowerCase()));
  }

  /** @throws {GatewayError} ADDRESS_UNKNOWN. */
  origin(request: FastifyRequest): string {
    if (this.#configured !== null) return this.#configured;
    const host = request.headers.host ?? '';
    const url = URL.parse(`${this.isSecure ? 'https' : 'http'}://${host}`);
    if (url !== null && url.host === host.toLowerCase() && this.#names.has(url.hostname.replace(/^\[|\]$/g, ''))) return url.origin;
    throw new GatewayError(
      'ADDRESS_UNKNOWN',
      'invalid',
      `The control plane does not know itself as ${JSON.stringify(host.slice(0, 100))}: start it with --url and the address that browsers use.`,
    );
  }
}
