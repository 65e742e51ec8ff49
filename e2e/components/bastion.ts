/** A host behind the gateway, as most SSH tests use it: one sshd, one issuer, one Sallyport, people who may and who may not. */
import { readFileSync } from 'node:fs';
import { type Gateway, startGateway } from './gateway.ts';
import { type Issuer, startIssuer } from './issuer.ts';
import { type SshServer, type SshServerOptions, startSshServer } from './openssh.ts';
import { clientOptions, knownHostsFile, type RunOptions, runProgram, type SshRun, withPassword } from './ssh-client.ts';
import { Terminal } from './terminal.ts';

export const sshPeople = {
  operator: { sub: 'o-1', email: 'olga@example.com', groups: ['operators'] },
  auditor: { sub: 'o-2', email: 'aron@example.com', groups: ['operators', 'unmasked'] },
  stranger: { sub: 'o-3', email: 'sid@example.com', groups: ['sales'] },
  approver: { sub: 'o-4', email: 'ada@example.com', groups: ['leads'] },
  guest: { sub: 'o-5', email: 'gus@example.com', groups: ['guests'] },
  visitor: { sub: 'o-6', email: 'vera@example.com', groups: ['guests'] },
  caller: { sub: 'o-7', email: 'cal@example.com', groups: ['guests'] },
};

export interface Bastion {
  sshd: SshServer;
  issuer: Issuer;
  gateway: Gateway;
  resource: string;
  /** host:port of the agent's listener. */
  address(): { host: string; port: number };
  /** Options that every OpenSSH tool needs to trust the agent; without the port, which each spells in its own way. */
  options: string[];
  token(who?: keyof typeof sshPeople): Promise<string>;
  /** `ssh RESOURCE@agent …`, the token as password. */
  ssh(
    args: readonly string[],
    options?: RunOptions & { as?: keyof typeof sshPeople; user?: string; flags?: readonly string[] },
  ): Promise<SshRun>;
  /** The same on a terminal. @param options.modes for `stty`, before the client starts. */
  terminal(
    args: readonly string[],
    options?: { as?: keyof typeof sshPeople; columns?: number; rows?: number; modes?: string },
  ): Promise<Terminal>;
  /** sftp, scp, rsync …, the token as password. */
  tool(program: string, args: readonly string[], options?: RunOptions & { as?: keyof typeof sshPeople }): Promise<SshRun>;
  stop(): Promise<void>;
}

export interface BastionOptions {
  sshd?: SshServerOptions;
  /** YAML in the role's `ssh:`, braces included. */
  role?: string;
  /** More documents, each with its leading `---`; `$ADDRESS` and `$HOSTKEYS` in it are the host's. */
  extra?: string;
  /** YAML of Credential.spec. */
  credential?: (sshd: SshServer) => string;
  /** Further keys of Resource.spec, a line each. */
  resource?: string;
  hostKeys?: (sshd: SshServer) => string[] | null;
  args?: string[];
}

export async function startBastion(options: BastionOptions = {}): Promise<Bastion> {
  const [sshd, issuer] = await Promise.all([startSshServer(options.sshd), startIssuer()]);
  const pinned = options.hostKeys === undefined ? sshd.hostKeys : options.hostKeys(sshd);
  const hostKeys = pinned === null ? '' : `, hostKeys: [${pinned.map(key => JSON.stringify(key)).join(', ')}]`;
  const credential = options.credential?.(sshd) ?? `{ username: ${sshd.account}, privateKey: { file: ${JSON.stringify(sshd.userKey)} } }`;
  const manifests = `
apiVersion: sallyport.dev/v1
kind: Resource
metadata: { name: web, labels: { env: prod } }
spec:
  protocol: ssh
  upstream: { address: "127.0.0.1:${sshd.port}"${hostKeys} }
  credential: web-account
${options.resource ?? ''}
---
apiVersion: sallyport.dev/v1
kind: Credential
metadata: { name: web-account }
spec: ${credential}
---
apiVersion: sallyport.dev/v1
kind: IdentityProvider
metadata: { name: corp }
spec: { oidc: { issuer: "${issuer.url}", audiences: [sallyport], subjectClaim: email, groupsClaim: groups, clientId: sallyport-cli } }
---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: operators }
spec:
  members: { groups: [operators] }
  resources: { names: [web] }
${options.role === undefined ? '' : `  ssh: ${options.role}\n`}${(options.extra ?? '').replaceAll('$ADDRESS', `127.0.0.1:${sshd.port}`).replaceAll('$HOSTKEYS', JSON.stringify(sshd.hostKeys))}`;
  let gateway: Gateway;
  try {
    gateway = await startGateway({ manifests: { 'ssh.yaml': manifests }, args: options.args ?? [] });
  } catch (error) {
    await Promise.allSettled([sshd.stop(), issuer.stop()]);
    throw error;
  }
  const address = () => gateway.address('web');
  const token = (who: keyof typeof sshPeople = 'operator') => issuer.token(sshPeople[who]);
  const { host, port } = address();
  let key: string;
  try {
    key = await agentHostKey(host, port);
  } catch (error) {
    await Promise.allSettled([gateway.stop(), sshd.stop(), issuer.stop()]);
    throw error;
  }
  const knownHosts = knownHostsFile(`[${host}]:${port} ${key}`);
  const toolOptions = clientOptions(knownHosts);
  return {
    sshd,
    issuer,
    gateway,
    resource: 'web',
    address,
    options: toolOptions,
    token,
    async ssh(args, more = {}) {
      const at = address();
      const flags = [...toolOptions, '-p', String(at.port), ...(more.flags ?? []), '-l', more.user ?? 'web', at.host, ...args];
      const call = withPassword(await token(more.as), 'ssh', flags);
      return runProgram(call.program, call.args, { ...more, env: { ...more.env, ...call.env } });
    },
    async terminal(args, more = {}) {
      const at = address();
      const call = withPassword(await token(more.as), 'ssh', [...toolOptions, '-tt', '-p', String(at.port), '-l', 'web', at.host, ...args]);
      const program = [call.program, ...call.args];
      return new Terminal(more.modes === undefined ? program : ['sh', '-c', `stty ${more.modes}; exec "$@"`, 'sh', ...program], {
        ...more,
        env: call.env,
      });
    },
    async tool(program, args, more = {}) {
      const call = withPassword(await token(more.as), program, [...toolOptions, ...args]);
      return runProgram(call.program, call.args, { ...more, env: { ...more.env, ...call.env } });
    },
    async stop() {
      await gateway.stop();
      await Promise.all([sshd.stop(), issuer.stop()]);
    },
  };
}

/** The key that the agent shows, as `ssh-keyscan` sees it. */
async function agentHostKey(host: string, port: number): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    const scan = await runProgram('ssh-keyscan', ['-T', '30', '-t', 'ed25519', '-p', String(port), host]);
    const line = scan.stdout
      .toString()
      .split('\n')
      .find(each => each !== '' && !each.startsWith('#'));
    if (line !== undefined) return line.split(' ').slice(1).join(' ');
    // A machine that is busy may take longer than a listener waits.
    if (attempt >= 3) throw new Error(`the agent shows no host key: ${scan.stderr}`);
  }
}

/** Everything that lies in the gateway's folder, to look for what must not. */
export function logOf(gateway: Gateway): string {
  return readFileSync(`${gateway.data}/logs/agent.log`, 'utf8');
}
