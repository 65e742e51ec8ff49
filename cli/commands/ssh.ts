/** `sallyport ssh cert|authority`: certificates for OpenSSH's own client, and the authorities that it and hosts trust. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Command } from 'commander';
import { administratorRequest, type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { type IdentityOptions, identityToken, withIdentityOptions } from '../identity/token-source.ts';
import { hostForClients, splitAddress } from '../resource-address.ts';
import { makeKey, requestCertificate, saveCertificate } from '../ssh-certificate.ts';
import type { Terminal } from '../terminal.ts';

export function define(terminal: Terminal): Command {
  const ssh = new Command('sallyport ssh').description('Certificates for SSH: one’s own, and those whose signatures are trusted.');
  withIdentityOptions(withConnectionOptions(ssh.command('cert')))
    .description('Gets a certificate of 15 minutes for a key, by which `ssh` reaches one resource without a password.')
    .argument('<resource>', 'name of the resource')
    .option('--key <FILE>', 'private key; made when it is not there (default ~/.ssh/sallyport)')
    .option('--json', 'print JSON')
    .action(async (resource: string, options: ConnectionOptions & IdentityOptions & { key?: string; json?: true }) => {
      const connection = await findConnection(options, terminal);
      const token = await identityToken(options, terminal);
      const key = options.key ?? path.join(terminal.env.HOME ?? os.homedir(), '.ssh', 'sallyport');
      if (!existsSync(key)) {
        await mkdir(path.dirname(key), { recursive: true, mode: 0o700 });
        await makeKey(key);
      }
      const certificate = await requestCertificate(connection.api, token, resource, key);
      await saveCertificate(key, certificate);
      if (options.json) {
        terminal.out(JSON.stringify({ ...certificate, key, certificateFile: `${key}-cert.pub` }, null, 2));
        return;
      }
      terminal.out(`${key}-cert.pub is good for ${resource} until ${certificate.expiresAt}.`);
      if (certificate.address !== undefined) {
        const { host, port } = splitAddress(certificate.address);
        terminal.out(`ssh -i ${key} -p ${port} ${resource}@${hostForClients(host)}`);
      }
    });
  withConnectionOptions(ssh.command('authority'))
    .description('Prints what known_hosts needs to trust every agent, or what a host needs to trust a credential with `certificate: true`.')
    .option('--credential <NAME>', 'the authority of this credential, a line for sshd’s TrustedUserCAKeys')
    .option('--json', 'print JSON')
    .action(async (options: ConnectionOptions & { credential?: string; json?: true }) => {
      const { credential } = options;
      const url = credential === undefined ? '/v1/ssh/authority' : `/v1/ssh/authorities/${encodeURIComponent(credential)}`;
      const answer = (await administratorRequest(await findConnection(options, terminal), 'GET', url)) as { publicKey: string };
      if (options.json) terminal.out(JSON.stringify(answer, null, 2));
      else terminal.out(credential === undefined ? `@cert-authority * ${answer.publicKey}` : answer.publicKey);
    });
  return ssh;
}
