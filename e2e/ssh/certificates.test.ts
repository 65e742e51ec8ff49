/** Certificates in all three places: of people to agents, of agents to people, of agents to hosts; and the sign-in in the browser. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Bastion, sshPeople, startBastion } from '../components/bastion.ts';
import { clientOptions, runProgram, type SshRun } from '../components/ssh-client.ts';
import { Terminal } from '../components/terminal.ts';

let bastion: Bastion;
let dir = '';
const cli = path.join(import.meta.dirname, '..', '..', 'cli', 'bin', 'sallyport.js');

before(async () => {
  dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-certificates-'));
  chmodSync(dir, 0o700);
  bastion = await startBastion({ credential: sshd => `{ username: ${sshd.account}, certificate: true }` });
  const authority = await sallyport(['ssh', 'authority', '--credential', 'web-account']);
  assert.equal(authority.code, 0, authority.stderr);
  writeFileSync(path.join(bastion.sshd.dir, 'authorities'), authority.stdout);
});
after(async () => {
  await bastion?.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function sallyport(args: string[], as?: keyof typeof sshPeople): Promise<SshRun> {
  const env = as === undefined ? {} : { SALLYPORT_TOKEN: await bastion.token(as) };
  return runProgram(process.execPath, [cli, ...args.slice(0, 2), '--data', bastion.gateway.data, ...args.slice(2)], { env });
}

const ssh = (key: string, knownHosts: string, args: string[], more: string[] = []) => {
  const { host, port } = bastion.address();
  const options = ['-o', 'BatchMode=yes', '-i', key, '-p', String(port), '-l', 'web', ...more];
  return runProgram('ssh', [...clientOptions(knownHosts), ...options, host, ...args]);
};

test('`sallyport ssh cert` opens a session without a password, by a host certificate that is trusted, and the host sees a certificate too', async () => {
  const key = path.join(dir, 'id');
  const made = await sallyport(['ssh', 'cert', 'web', '--key', key], 'operator');
  assert.equal(made.code, 0, made.stderr);
  const shown = execFileSync('ssh-keygen', ['-L', '-f', `${key}-cert.pub`], { encoding: 'utf8' });
  assert.match(shown, /user certificate/);
  assert.match(shown, /Principals:\s+olga@example\.com/);
  const knownHosts = path.join(dir, 'authority');
  writeFileSync(knownHosts, (await sallyport(['ssh', 'authority'])).stdout);
  const run = await ssh(key, knownHosts, ['echo by certificate'], ['-o', 'HostKeyAlgorithms=ssh-ed25519-cert-v01@openssh.com']);
  assert.equal(run.stdout.toString(), 'by certificate\n', run.stderr);
  assert.match(bastion.sshd.log(), /Accepted publickey for .* ssh2: ED25519-CERT .* ID sallyport session [0-9a-f-]{36} .* CA ED25519/);
  const [row] = await bastion.gateway.eventually<{ principal: string; client: Record<string, string>; token_id: string }>(
    `select s.principal as principal, s.client as client, s.token_id as token_id from sallyport.sessions s
     join sallyport.commands c on c.session_id = s.session_id where c.text = 'echo by certificate'`,
    rows => rows.length > 0,
  );
  assert.deepEqual([row?.principal, row?.client['method']], ['olga@example.com', 'certificate']);

  // Whom the certificate is for decides, not who holds a certificate.
  const stranger = path.join(dir, 'stranger');
  await sallyport(['ssh', 'cert', 'web', '--key', stranger], 'stranger');
  assert.equal((await ssh(stranger, knownHosts, ['true'])).code, 255);

  // Revoked like the ticket that it is.
  const { api, adminToken } = bastion.gateway.endpoints();
  const revoked = await fetch(`${api}/v1/tickets/${row?.token_id}/revoke`, {
    method: 'POST',
    headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
    body: '{}',
  });
  assert.ok(revoked.ok, await revoked.text());
  let code: number | null = 0;
  for (const deadline = Date.now() + 180_000; code === 0 && Date.now() < deadline; ) {
    await new Promise(resolve => setTimeout(resolve, 200));
    code = (await ssh(key, knownHosts, ['true'])).code;
  }
  assert.equal(code, 255);
});

test('certificates of others, and keys without one, open nothing', async () => {
  const ca = path.join(dir, 'ca');
  const key = path.join(dir, 'forged');
  const keygen = (...args: string[]) => execFileSync('ssh-keygen', ['-q', ...args], { stdio: 'pipe' });
  keygen('-t', 'ed25519', '-N', '', '-f', ca);
  keygen('-t', 'ed25519', '-N', '', '-f', key);
  const principal = JSON.stringify({
    kind: 'person',
    name: 'olga@example.com',
    issuer: 'x',
    subject: 'o-1',
    groups: ['operators'],
    delegation: [],
  });
  keygen(
    '-s',
    ca,
    '-I',
    'forged',
    '-n',
    'olga@example.com',
    '-O',
    `extension:principal@sallyport.dev=${principal}`,
    '-O',
    'extension:token-id@sallyport.dev=t',
    `${key}.pub`,
  );
  const knownHosts = path.join(dir, 'authority-2');
  writeFileSync(knownHosts, (await sallyport(['ssh', 'authority'])).stdout);
  assert.equal((await ssh(key, knownHosts, ['true'])).code, 255);
  await bastion.gateway.eventually(
    `select 1 from sallyport.sessions where code = 'CERTIFICATE_REFUSED' and reason like '%another authority%'`,
    rows => rows.length > 0,
  );
  assert.equal((await ssh(bastion.sshd.userKey, knownHosts, ['true'])).code, 255);
});

test('`sallyport connect` does all of it', async () => {
  const run = await sallyport(['connect', 'web', '--', 'echo connected; exit 3'], 'operator');
  assert.equal(run.stdout.toString(), 'connected\n', run.stderr);
  assert.equal(run.code, 3);
});

test('nothing typed means a sign-in in the browser, and the session goes on by itself', async () => {
  const { host, port } = bastion.address();
  // What a server says beside its questions is for the log, by OpenSSH's lights.
  const shown = bastion.options.map(option => (option === 'LogLevel=ERROR' ? 'LogLevel=INFO' : option));
  const options = [...shown, '-o', 'PreferredAuthentications=keyboard-interactive', '-p', String(port), '-l', 'web', host];
  const terminal = new Terminal(['ssh', ...options, 'echo signed in']);
  try {
    const asked = await terminal.until(/Password \(a ticket or token; just press Enter to sign in in the browser\): $/);
    terminal.type('\r');
    await terminal.until(/open http:\S+\/activate\s+and check that it shows the code WDJB-MJHT/, asked);
    bastion.issuer.signIn(sshPeople.operator);
    assert.equal(await terminal.ended, 0, terminal.output);
    assert.match(terminal.output, /signed in/);
  } finally {
    terminal.stop();
  }
  const [row] = await bastion.gateway.eventually<{ client: Record<string, string> }>(
    `select client from sallyport.sessions where client['method'] = 'device'`,
    rows => rows.length > 0,
  );
  assert.equal(row?.client['software']?.startsWith('OpenSSH'), true);
});
