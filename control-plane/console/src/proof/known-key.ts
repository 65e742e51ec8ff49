/**
 * The control plane's key as this browser saw it first: from then on another one is a finding. And signatures by it, checked by the
 * browser's own cryptography.
 */
const keyName = 'sallyport-evidence-key';

/** As people pin it; empty: none was seen. */
export function knownKey(): string {
  return localStorage.getItem(keyName) ?? '';
}

export function rememberKey(key: string): void {
  localStorage.setItem(keyName, key);
}

const keys = new Map<string, Promise<CryptoKey>>();

export async function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  const name = publicKey.join();
  let key = keys.get(name);
  if (key === undefined) {
    key = crypto.subtle.importKey('raw', new Uint8Array(publicKey), 'Ed25519', false, ['verify']);
    keys.set(name, key);
  }
  return crypto.subtle.verify('Ed25519', await key, new Uint8Array(signature), new Uint8Array(message));
}
