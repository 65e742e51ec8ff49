/** host:port as agents report it, and as clients are told it. */

export function splitAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) };
}

/** `localhost` for 127.0.0.1: clients older than libpq 15 compare a certificate with names only. */
export function hostForClients(host: string): string {
  return host === '127.0.0.1' || host === '0.0.0.0' ? 'localhost' : host;
}
