/** Base64 (RFC 4648, 4) with padding, in Node and in browsers alike. */

export function base64(bytes: Uint8Array): string {
  if (typeof Buffer !== 'undefined') return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** @returns null for anything but canonical base64. */
export function fromBase64(text: string): Uint8Array | null {
  if (typeof Buffer !== 'undefined') {
    const bytes = Buffer.from(text, 'base64');
    // Node skips what is no base64: what does not come back as it was is refused.
    return bytes.toString('base64') === text ? new Uint8Array(bytes) : null;
  }
  try {
    const raw = atob(text);
    const bytes = Uint8Array.from(raw, character => character.charCodeAt(0));
    return base64(bytes) === text ? bytes : null;
  } catch {
    return null; // the caller names what is wrong with it
  }
}
