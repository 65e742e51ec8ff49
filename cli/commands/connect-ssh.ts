/**
 * `sallyport connect` for hosts: OpenSSH's client with a key and a certificate that are made for this one connection and removed after
 * it, and a known_hosts that trusts nobody but Sallyport's own agents.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { ApiAddress } from '../http-client.ts';
import { hostForClients, splitAddress } from '../resource-address.ts';
import { makeKey, requestCertificate, saveCertificate } from '../ssh-certificate.ts';
import type { Terminal } from '../terminal.ts';

export interface SshConnection {
  api: ApiAddress;
  token: string;
  resource: string;
  /** Where the resource is served when the control plane does not say. */
  address: string | undefined;
}

/** @param args for `ssh`, behind the host: a command. @returns ssh's exit code. */
export async function connectSsh(
  { api, token, resource, address }: SshConnection,
  args: readonly string[],
  terminal: Terminal,
): Promise<number> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'sallyport-ssh-'));
  try {
    const key = path.join(dir, 'key');
    await makeKey(key);
    const certificate = await requestCertificate(api, token, resource, key);
    await saveCertificate(key, certificate);
    const found = certificate.address ?? address;
    if (found === undefined)
      throw new GatewayError(
        'RESOURCE_NOT_SERVED',
        'unavailable',
        `no agent serves ${resource} at the moment. \`sallyport agents list\` shows which are connected.`,
      );
    const { host, port } = splitAddress(found);
    await writeFile(path.join(dir, 'known_hosts'), `@cert-authority ${resource} ${certificate.hostAuthority}\n`);
    const options = [
      `IdentityFile=${key}`,
      'IdentitiesOnly=yes',
      'IdentityAgent=none',
      `HostKeyAlias=${resource}`,
      `UserKnownHostsFile=${path.join(dir, 'known_hosts')}`,
      'GlobalKnownHostsFile=/dev/null',
      'StrictHostKeyChecking=yes',
      'PreferredAuthentications=publickey',
    ].flatMap(option => ['-o', option]);
    const child = spawn('ssh', [...options, '-p', String(port), '-l', resource, hostForClients(host), ...args], {
      stdio: 'inherit',
      env: terminal.env,
    });
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : os.constants.signals[signal])));
    });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
