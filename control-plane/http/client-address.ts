/**
 * Where a request comes from. Behind a proxy that is what the proxy says, in `X-Forwarded-For` or `Forwarded`; from anybody else these
 * headers are only text. Proxies are trusted by address (`--trusted-proxy`), and headers are read from the end: what the nearest trusted
 * proxy wrote comes last, and the first address that is no trusted proxy's is the client's.
 *
 * A proxy writes one of the two headers and may let a client's own copy of the other through: when both are there and do not say the
 * same, neither counts. Obfuscated identifiers (`_hidden`, `unknown`) end the way at the proxy that wrote them.
 *
 * @see RFC 7239
 */
import { isIP } from 'node:net';
import { isInNetworks } from '@sallyport/shared/identity/networks.ts';
import type { FastifyInstance, FastifyRequest } from 'fastify';

declare module 'fastify' {
  interface FastifyRequest {
    /** IP address of the client. */
    readonly clientAddress: string;
    /** For the record: `IP:PORT`, or the address alone when a proxy told it. */
    readonly clientEndpoint: string;
  }
}

const hopsMax = 32;
const headerCharactersMax = 4096;

export function useClientAddresses(app: FastifyInstance, trustedProxies: readonly string[]): void {
  const address = ({ socket, headers }: FastifyRequest) =>
    clientAddress(
      socket.remoteAddress ?? '',
      { forwardedFor: textOf(headers['x-forwarded-for']), forwarded: textOf(headers.forwarded) },
      trustedProxies,
    );
  app.decorateRequest('clientAddress', {
    getter() {
      return address(this as FastifyRequest);
    },
  });
  app.decorateRequest('clientEndpoint', {
    getter() {
      const request = this as FastifyRequest;
      const found = address(request);
      return found === unmapped(request.socket.remoteAddress ?? '') ? `${found}:${request.socket.remotePort ?? 0}` : found;
    },
  });
}

/** @param peer the other end of the socket; addresses without ports. */
export function clientAddress(
  peer: string,
  { forwardedFor, forwarded }: { forwardedFor?: string | undefined; forwarded?: string | undefined },
  trusted: readonly string[],
): string {
  const nearest = unmapped(peer);
  if (trusted.length === 0 || !isInNetworks(nearest, trusted)) return nearest;
  const ways = [
    ...(forwardedFor === undefined ? [] : [forwardedFor.split(',').map(each => addressIn(each.trim()))]),
    ...(forwarded === undefined ? [] : [forwardedHops(forwarded)]),
  ].map(hops => (hops.length > hopsMax ? nearest : walk(nearest, hops, trusted)));
  const [first = nearest, second = first] = ways;
  return first === second ? first : nearest;
}

function walk(nearest: string, hops: readonly (string | null)[], trusted: readonly string[]): string {
  let at = nearest;
  for (const hop of hops.toReversed()) {
    if (hop === null) return at;
    at = hop;
    if (!isInNetworks(at, trusted)) return at;
  }
  return at;
}

/** The `for` parameter of each element, in order; a quoted string may hold commas and semicolons. */
function forwardedHops(text: string): (string | null)[] {
  return split(text, ',').map(element => {
    for (const pair of split(element, ';')) {
      const equals = pair.indexOf('=');
      if (pair.slice(0, equals).trim().toLowerCase() !== 'for') continue;
      const value = pair.slice(equals + 1).trim();
      return addressIn(value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value);
    }
    return null;
  });
}

function split(text: string, separator: ',' | ';'): string[] {
  const parts = [''];
  let quoted = false;
  for (const character of text) {
    if (character === '"') quoted = !quoted;
    if (character === separator && !quoted) parts.push('');
    else parts[parts.length - 1] += character;
  }
  return parts;
}

/** An address with or without a port; null for what is none. */
function addressIn(text: string): string | null {
  if (isIP(text) !== 0) return unmapped(text);
  if (text.startsWith('[')) {
    const end = text.indexOf(']');
    const inside = text.slice(1, end);
    return end > 0 && isIP(inside) === 6 && isPort(text.slice(end + 1)) ? unmapped(inside) : null;
  }
  const colon = text.lastIndexOf(':');
  const before = text.slice(0, colon);
  return colon > 0 && isIP(before) === 4 && isPort(text.slice(colon)) ? before : null;
}

function isPort(text: string): boolean {
  return text === '' || /^:\d{1,5}$/.test(text);
}

/** `::ffff:10.0.0.1` is how a dual-stack socket tells an IPv4 address. */
function unmapped(address: string): string {
  const match = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i.exec(address);
  return match?.[1] ?? address;
}

function textOf(header: string | string[] | undefined): string | undefined {
  const text = Array.isArray(header) ? header.join(',') : header;
  return text === undefined || text.length > headerCharactersMax ? undefined : text;
}
