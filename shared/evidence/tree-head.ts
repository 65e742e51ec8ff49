/**
 * Signed tree heads of the control log, in the text form that transparency logs use: a checkpoint (C2SP tlog-checkpoint) as a signed
 * note (C2SP signed-note), so that witnesses and tools for such logs can read ours.
 *
 *     sallyport-control-4f1c…            the log's origin
 *     1284                               how many entries
 *     CsUY…=                             root hash, base64
 *     time 2026-04-01T09:30:00.000Z      an extension line: when it was signed
 *                                        (empty line)
 *     — sallyport-control-4f1c… Az3g…=   key id (4 bytes) and Ed25519 signature over the lines above, base64
 *
 * Not here: signing keys, and whom to trust: a verifier is given a key that somebody pinned.
 *
 * @see https://github.com/C2SP/C2SP/blob/main/tlog-checkpoint.md
 * @see https://github.com/C2SP/C2SP/blob/main/signed-note.md
 */
import { base64, fromBase64 } from './base64.ts';
import type { Sha256 } from './merkle.ts';

export interface TreeHead {
  origin: string;
  size: number;
  root: Uint8Array;
  /** RFC 3339. */
  at: string;
}

/** A log's public key with the name that its notes are signed under. */
export interface LogKey {
  origin: string;
  /** Raw Ed25519, 32 bytes. */
  publicKey: Uint8Array;
}

export type VerifyEd25519 = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean | Promise<boolean>;

const ED25519 = 1;
const KEY_ID_BYTES = 4;
const encoder = new TextEncoder();

/** The text that is signed: it ends with a newline. */
export function treeHeadText(head: TreeHead): string {
  return `${head.origin}\n${head.size}\n${base64(head.root)}\ntime ${head.at}\n`;
}

/** A whole note. @param sign Ed25519 over the text's bytes. */
export function signTreeHead(head: TreeHead, key: LogKey, sign: (message: Uint8Array) => Uint8Array, sha256: Sha256): string {
  const text = treeHeadText(head);
  const signature = sign(encoder.encode(text));
  const stamped = new Uint8Array(KEY_ID_BYTES + signature.length);
  stamped.set(keyId(key, sha256));
  stamped.set(signature, KEY_ID_BYTES);
  return `${text}\n\u2014 ${key.origin} ${base64(stamped)}\n`;
}

/** Reads a note without believing it. @returns null for what is none. */
export function parseTreeHead(note: string): { head: TreeHead; text: string; signatures: { name: string; bytes: Uint8Array }[] } | null {
  const end = note.indexOf('\n\n');
  if (end < 0) return null;
  const text = note.slice(0, end + 1);
  const [origin = '', size = '', root = '', ...extensions] = text.slice(0, -1).split('\n');
  const rootBytes = fromBase64(root);
  if (origin === '' || !/^(0|[1-9]\d{0,15})$/.test(size) || rootBytes?.length !== 32) return null;
  const at = extensions.find(line => line.startsWith('time '))?.slice('time '.length) ?? '';
  const signatures: { name: string; bytes: Uint8Array }[] = [];
  for (const line of note.slice(end + 2).split('\n')) {
    if (line === '') continue;
    const [dash, name = '', value = '', ...more] = line.split(' ');
    const bytes = fromBase64(value);
    if (dash !== '\u2014' || more.length > 0 || bytes === null) return null;
    signatures.push({ name, bytes });
  }
  return { head: { origin, size: Number(size), root: rootBytes, at }, text, signatures };
}

/** The notes of a text that holds several, one after the other, with or without empty lines between them. */
export function splitNotes(text: string): string[] {
  const notes: string[] = [];
  let lines: string[] = [];
  let isSigned = false;
  const end = () => {
    if (lines.some(line => line !== '')) notes.push(`${lines.join('\n').trim()}\n`);
    lines = [];
    isSigned = false;
  };
  for (const line of text.split(/\r?\n/)) {
    if (isSigned && !line.startsWith('\u2014 ') && line !== '') end();
    isSigned ||= line.startsWith('\u2014 ');
    lines.push(line);
  }
  end();
  return notes;
}

/** @returns the tree head when the note is signed with this key, and null when it is not. */
export async function openTreeHead(note: string, key: LogKey, verify: VerifyEd25519, sha256: Sha256): Promise<TreeHead | null> {
  const parsed = parseTreeHead(note);
  if (parsed === null || parsed.head.origin !== key.origin) return null;
  const id = base64(keyId(key, sha256));
  for (const { name, bytes } of parsed.signatures) {
    if (name !== key.origin || base64(bytes.slice(0, KEY_ID_BYTES)) !== id) continue;
    if (await verify(key.publicKey, encoder.encode(parsed.text), bytes.slice(KEY_ID_BYTES))) return parsed.head;
  }
  return null;
}

/** A key as people pin it: `ORIGIN+KEYID+BASE64`, the verifier key of C2SP signed-note. */
export function formatLogKey(key: LogKey, sha256: Sha256): string {
  const id = Array.from(keyId(key, sha256), byte => byte.toString(16).padStart(2, '0')).join('');
  return `${key.origin}+${id}+${base64(typedKey(key))}`;
}

/** @returns null for what is no verifier key, or one whose id is not its own (a slip in copying). */
export function parseLogKey(text: string, sha256: Sha256): LogKey | null {
  // The base64 may hold plus signs; the origin and the id may not.
  const [origin = '', id = '', ...rest] = text.trim().split('+');
  const bytes = fromBase64(rest.join('+'));
  if (bytes?.length !== 33 || bytes[0] !== ED25519) return null;
  const key = { origin, publicKey: bytes.slice(1) };
  return formatLogKey(key, sha256).split('+', 2)[1] === id ? key : null;
}

/** First bytes of SHA-256 over the name, a newline, the kind of key and the key. */
function keyId(key: LogKey, sha256: Sha256): Uint8Array {
  const name = encoder.encode(`${key.origin}\n`);
  const bytes = new Uint8Array(name.length + 33);
  bytes.set(name);
  bytes.set(typedKey(key), name.length);
  return sha256(bytes).slice(0, KEY_ID_BYTES);
}

function typedKey(key: LogKey): Uint8Array {
  const bytes = new Uint8Array(33);
  bytes[0] = ED25519;
  bytes.set(key.publicKey, 1);
  return bytes;
}
