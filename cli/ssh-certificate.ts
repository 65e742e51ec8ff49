/** Asks for an OpenSSH certificate for a key, makes the key where there is none, and signs with it whose it is. Keys are OpenSSH's own to make and to keep. */
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { ownershipStatement, PROOF_NAMESPACE } from '@sallyport/shared/ssh/key-ownership.ts';
import { type ApiAddress, requestJson } from './http-client.ts';

export interface SshCertificate {
  certificate: string;
  expiresAt: string;
  resource: string;
  /** host:port where clients connect; absent while no agent serves the resource. */
  address?: string;
  /** For `@cert-authority`. */
  hostAuthority: string;
}

/** @param keyFile a private key; its public half lies beside it. @throws {GatewayError} SSH_KEYGEN, FILE_UNREADABLE, what the control plane refuses with. */
export async function requestCertificate(
  api: ApiAddress,
  identityToken: string,
  resource: string,
  keyFile: string,
): Promise<SshCertificate> {
  const publicKey = await readFile(`${keyFile}.pub`, 'utf8').catch((cause: unknown) => {
    throw new GatewayError('FILE_UNREADABLE', 'invalid', `${keyFile}.pub cannot be read: ${errorText(cause)}`, { cause });
  });
  const body = { resource, publicKey: publicKey.trim() };
  return (await requestJson({ ...api, token: identityToken }, 'POST', '/v1/ssh/certificates', body)) as SshCertificate;
}

/** Makes an Ed25519 key without a passphrase. @throws {GatewayError} SSH_KEYGEN. */
export async function makeKey(keyFile: string): Promise<void> {
  const { code, errors } = await sshKeygen(['-q', '-t', 'ed25519', '-N', '', '-C', 'sallyport', '-f', keyFile], 'pipe');
  if (code !== 0) throw new GatewayError('SSH_KEYGEN', 'unavailable', `ssh-keygen made no key: ${errors.trim()}`);
}

/** Where `ssh` looks for it. */
export async function saveCertificate(keyFile: string, { certificate }: SshCertificate): Promise<void> {
  await writeFile(`${keyFile}-cert.pub`, `${certificate}\n`, { mode: 0o600 });
}

/**
 * Shows that a key is one's own, by a signature over one's name. A passphrase is asked for by ssh-keygen itself.
 * @param keyFile the public key, or the private one.
 * @throws {GatewayError} SSH_KEYGEN.
 */
export async function signOwnership(keyFile: string, name: string): Promise<string> {
  const { code, output } = await sshKeygen(['-q', '-Y', 'sign', '-n', PROOF_NAMESPACE, '-f', keyFile], 'inherit', ownershipStatement(name));
  if (code !== 0) {
    throw new GatewayError(
      'SSH_KEYGEN',
      'unavailable',
      `${keyFile} cannot sign that it is yours: its private half must lie beside it, or in an agent (ssh-add).`,
    );
  }
  return output;
}

/**
 * @param errorsTo `inherit`: what it says goes to the terminal.
 * @throws {GatewayError} SSH_KEYGEN, when it is not there.
 */
async function sshKeygen(
  args: readonly string[],
  errorsTo: 'pipe' | 'inherit',
  input = '',
): Promise<{ code: number | null; output: string; errors: string }> {
  const child = spawn('ssh-keygen', args, { stdio: ['pipe', 'pipe', errorsTo] });
  let output = '';
  let errors = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  child.stdin?.on('error', () => undefined); // It may end without reading: its exit status says so.
  child.stdin?.end(input);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }).catch((cause: unknown) => {
    throw new GatewayError('SSH_KEYGEN', 'unavailable', `ssh-keygen cannot be run: ${errorText(cause)}. Install OpenSSH's client.`, {
      cause,
    });
  });
  return { code, output, errors };
}
