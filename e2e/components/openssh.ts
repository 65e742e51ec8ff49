/**
 * A real OpenSSH server on a port and with keys of its own: public keys, certificates, passwords (by PAM), sftp. It logs people in as
 * accounts of this machine, so it makes one, and needs to be root for that.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { freePort } from './postgres.ts';

export interface SshServer {
  host: string;
  port: number;
  account: string;
  password: string;
  /** Folder of the account. */
  home: string;
  /** Files: a key that logs in, a known_hosts for direct clients. */
  userKey: string;
  knownHosts: string;
  /** Lines of its host keys, `type base64`. */
  hostKeys: string[];
  dir: string;
  pid: number;
  log(): string;
  stop(): Promise<void>;
}

export interface SshServerOptions {
  /** Lines for sshd_config. */
  config?: string;
  /** Lines of authorities whose user certificates log in. */
  userAuthorities?: string[];
}

const ACCOUNT = 'sallyport-guest';
const PASSWORD = 'guest-Pa55-of-the-host';

function run(program: string, args: string[], input?: string): string {
  return execFileSync(program, args, { encoding: 'utf8', ...(input === undefined ? {} : { input }), stdio: ['pipe', 'pipe', 'pipe'] });
}

function makeAccount(): string {
  const find = () => {
    try {
      return run('getent', ['passwd', ACCOUNT]).split(':')[5] ?? '';
    } catch {
      return '';
    }
  };
  // Another test may do the same at this moment: then the files are locked, and soon all of it is done.
  for (const deadline = Date.now() + 60_000; ; Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)) {
    try {
      if (find() === '') run('useradd', ['--create-home', '--shell', '/bin/bash', ACCOUNT]);
      run('chpasswd', [], `${ACCOUNT}:${PASSWORD}\n`);
      return find();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

export async function startSshServer(options: SshServerOptions = {}): Promise<SshServer> {
  const home = makeAccount();
  const dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-sshd-'));
  chmodSync(dir, 0o755);
  if (!existsSync('/run/sshd')) mkdirSync('/run/sshd', { mode: 0o755 });
  const file = (name: string) => path.join(dir, name);
  for (const type of ['ed25519', 'rsa'])
    run('ssh-keygen', ['-q', '-t', type, ...(type === 'rsa' ? ['-b', '2048'] : []), '-N', '', '-C', 'host', '-f', file(`host_${type}`)]);
  run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'user', '-f', file('user_ed25519')]);
  writeFileSync(file('authorized_keys'), readFileSync(file('user_ed25519.pub')), { mode: 0o644 });
  writeFileSync(file('authorities'), (options.userAuthorities ?? []).map(line => `${line}\n`).join(''), { mode: 0o644 });
  const port = await freePort();
  const hostKeys = ['ed25519', 'rsa'].map(type =>
    readFileSync(file(`host_${type}.pub`), 'utf8')
      .split(' ')
      .slice(0, 2)
      .join(' '),
  );
  writeFileSync(file('known_hosts'), hostKeys.map(key => `[127.0.0.1]:${port} ${key}\n`).join(''));
  writeFileSync(
    file('sshd_config'),
    `ListenAddress 127.0.0.1:${port}
HostKey ${file('host_ed25519')}
HostKey ${file('host_rsa')}
PidFile none
UsePAM yes
StrictModes no
AuthorizedKeysFile ${file('authorized_keys')}
TrustedUserCAKeys ${file('authorities')}
PasswordAuthentication yes
KbdInteractiveAuthentication yes
AllowTcpForwarding yes
AllowAgentForwarding yes
AcceptEnv LANG LC_* APP_*
X11Forwarding no
PrintMotd no
PrintLastLog no
MaxStartups 500:30:1000
MaxSessions 100
LogLevel VERBOSE
Subsystem sftp /usr/lib/openssh/sftp-server
${options.config ?? ''}
`,
  );
  const child: ChildProcess = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', file('sshd_config')], { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      log = (log + chunk.toString()).slice(-2_000_000);
    });
  const gone = new Promise<void>(resolve => child.once('exit', () => resolve()));
  for (const deadline = Date.now() + 120_000; ; ) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`sshd does not listen:\n${log}`);
    if (await listens(port)) break;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  return {
    host: '127.0.0.1',
    port,
    account: ACCOUNT,
    password: PASSWORD,
    home,
    userKey: file('user_ed25519'),
    knownHosts: file('known_hosts'),
    hostKeys,
    dir,
    pid: child.pid ?? 0,
    log: () => log,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await gone;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function listens(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
