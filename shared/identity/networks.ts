/**
 * Networks in CIDR notation, IPv4 and IPv6, and whether an address lies in one. An IPv4 address that comes over an IPv6 socket
 * (`::ffff:192.0.2.1`) is the IPv4 address. Pure.
 *
 * @see RFC 4632, RFC 4291 section 2.2
 */

interface Network {
  bytes: readonly number[];
  bits: number;
}

/** @returns null for what is no network, or has bits behind its length: `10.1.2.3/8` is a slip of somebody's pen. */
export function parseNetwork(text: string): Network | null {
  const slash = text.indexOf('/');
  const bytes = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (bytes === null) return null;
  const length = slash < 0 ? String(bytes.length * 8) : text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(length)) return null;
  const bits = Number(length);
  if (bits > bytes.length * 8) return null;
  const isClean = bytes.every((byte, index) => (byte & (0xff >> Math.min(8, Math.max(0, bits - index * 8)))) === 0);
  return isClean ? { bytes, bits } : null;
}

/** Whether the address lies in one of the networks; false for an address that is none, and for networks that are none. */
export function isInNetworks(address: string, networks: readonly string[]): boolean {
  const bytes = parseAddress(address);
  if (bytes === null) return false;
  return networks.some(text => {
    const network = parseNetwork(text);
    if (network === null || network.bytes.length !== bytes.length) return false;
    return bytes.every((byte, index) => {
      const keep = Math.min(8, Math.max(0, network.bits - index * 8));
      return ((byte ^ (network.bytes[index] ?? 0)) & (0xff << (8 - keep)) & 0xff) === 0;
    });
  });
}

/** 4 bytes or 16; null when it is no address. A zone (`%eth0`) does not count. */
function parseAddress(text: string): number[] | null {
  const percent = text.indexOf('%');
  const address = percent < 0 ? text : text.slice(0, percent);
  if (!address.includes(':')) return parseIpv4(address);
  const halves = address.split('::');
  if (halves.length > 2) return null;
  const [head = '', tail] = halves;
  const before = groupsOf(head);
  const after = tail === undefined ? [] : groupsOf(tail);
  if (before === null || after === null) return null;
  const missing = 16 - before.length - after.length;
  if (tail === undefined ? missing !== 0 : missing < 2) return null;
  const bytes = [...before, ...Array.from({ length: missing }, () => 0), ...after];
  const isMapped = bytes.slice(0, 10).every(byte => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  return isMapped ? bytes.slice(12) : bytes;
}

function groupsOf(text: string): number[] | null {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (const [index, group] of groups.entries()) {
    if (group.includes('.')) {
      const ipv4 = index === groups.length - 1 ? parseIpv4(group) : null;
      if (ipv4 === null) return null;
      bytes.push(...ipv4);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return null;
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    }
  }
  return bytes.length <= 16 ? bytes : null;
}

function parseIpv4(text: string): number[] | null {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every(part => /^(0|[1-9]\d{0,2})$/.test(part))) return null;
  const bytes = parts.map(Number);
  return bytes.every(byte => byte <= 255) ? bytes : null;
}
