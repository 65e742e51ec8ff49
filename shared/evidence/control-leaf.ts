/**
 * What a leaf of the control log's tree is made of: the entry's stream, its type, and the SHA-256 of its bytes. An entry can so be
 * withheld from an export (a sealed credential, say) while the proof still tells which stream and type of event it was.
 */
const encoder = new TextEncoder();

/** @param valueHash SHA-256 of the entry's encoded ControlEvent. */
export function controlLeaf(stream: string, type: string, valueHash: Uint8Array): Uint8Array {
  const name = encoder.encode(`${stream}\0${type}\0`);
  const leaf = new Uint8Array(name.length + valueHash.length);
  leaf.set(name);
  leaf.set(valueHash, name.length);
  return leaf;
}
