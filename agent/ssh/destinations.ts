/** Where connections may be forwarded to: `host:port` patterns of a role, against what a client asks for. Names are compared as written. */

export interface Destination {
  host: string;
  port: number;
}

export function shownDestination({ host, port }: Destination): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** `*` in the host stands for any run of characters, as the port for any port. A destination that is no plain name or address matches nothing. */
export function destinationAllowed({ host, port }: Destination, patterns: readonly string[]): boolean {
  if (!/^[A-Za-z0-9._:-]{1,253}$/.test(host) || port < 0 || port > 65_535) return false;
  return patterns.some(pattern => {
    const at = pattern.lastIndexOf(':');
    const ports = pattern.slice(at + 1);
    const hosts = pattern.slice(0, at).replace(/^\[|\]$/g, '');
    return (ports === '*' || Number(ports) === port) && wildcard(hosts.toLowerCase(), host.toLowerCase());
  });
}

function wildcard(pattern: string, text: string): boolean {
  const pieces = pattern.split('*');
  const first = pieces[0] ?? '';
  if (pieces.length === 1) return text === pattern;
  const last = pieces.at(-1) ?? '';
  if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last)) return false;
  let at = first.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = text.indexOf(piece, at);
    if (found < 0 || found + piece.length > text.length - last.length) return false;
    at = found + piece.length;
  }
  return true;
}
