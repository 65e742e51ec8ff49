/** Forwarded connections, local, dynamic and remote: where the role and the guards permit them, with their bytes in the record. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { type Bastion, startBastion } from '../components/bastion.ts';
import { freePort } from '../components/postgres.ts';
import { withPassword } from '../components/ssh-client.ts';

let bastion: Bastion;
let echo: net.Server;
let echoPort = 0;
const children: ChildProcess[] = [];

before(async () => {
  echo = net.createServer(socket => socket.pipe(socket));
  await new Promise<void>(resolve => echo.listen(0, '127.0.0.1', resolve));
  const address = echo.address();
  echoPort = typeof address === 'object' && address !== null ? address.port : 0;
  bastion = await startBastion({
    role: `{ forward: ["127.0.0.1:${echoPort}", "127.0.0.2:*"], remoteForward: ["localhost:*"] }`,
    extra: `---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: hosts }
spec: { resources: {}, rules: [{ name: no-two, match: { statements: [ssh-forward] }, when: "'unmasked' in principal.groups", action: deny }] }
`,
  });
});
after(async () => {
  for (const child of children) child.kill('SIGKILL');
  echo?.close();
  await bastion?.stop();
});

async function tunnel(flags: string[], as: 'operator' | 'auditor' = 'operator'): Promise<{ child: ChildProcess; stderr: () => string }> {
  const { host, port } = bastion.address();
  const call = withPassword(await bastion.token(as), 'ssh', [...bastion.options, '-N', '-p', String(port), '-l', 'web', ...flags, host]);
  const child = spawn(call.program, call.args, { env: { ...process.env, ...call.env }, stdio: ['ignore', 'ignore', 'pipe'] });
  children.push(child);
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  return { child, stderr: () => stderr };
}

/** Sends text to a port once it listens; what comes back until `size` bytes, or the end. */
async function exchange(port: number, text: string, size = text.length, before?: (socket: net.Socket) => Promise<void>): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await new Promise<string>((resolve, reject) => {
        let back = '';
        const socket = net.connect(port, '127.0.0.1', () => {
          const send = () => {
            socket.on('data', chunk => {
              back += chunk.toString();
              if (back.length >= size) socket.end();
            });
            socket.write(text);
          };
          if (before === undefined) send();
          else before(socket).then(send, reject);
        });
        socket.on('close', () => resolve(back));
        socket.on('error', reject);
      });
    } catch (error) {
      if (attempt > 100) throw error;
      await new Promise(resolve => setTimeout(resolve, 100));
    }
  }
}

test('a local forward to where the role permits it, with its bytes in the record', async () => {
  const port = await freePort();
  const { child } = await tunnel(['-L', `${port}:127.0.0.1:${echoPort}`]);
  const text = 'through the host '.repeat(20_000);
  assert.equal(await exchange(port, text), text);
  child.kill();
  const [row] = await bastion.gateway.eventually<{ tag: string; status: string }>(
    `select tag, status from sallyport.commands where kind = 'ssh-forward' and text = 'connection to 127.0.0.1:${echoPort}' and status = 'ok'`,
    rows => rows.length > 0,
  );
  assert.equal(row?.tag, `sent ${text.length} received ${text.length}`);
});

test('elsewhere it is refused, whatever the way, and so it is by a guard', async () => {
  const other = await freePort();
  const port = await freePort();
  const { child } = await tunnel(['-L', `${port}:127.0.0.1:${other}`]);
  assert.equal(await exchange(port, 'x'), '');
  child.kill();
  await bastion.gateway.eventually(
    `select 1 from sallyport.commands where kind = 'ssh-forward' and text = 'connection to 127.0.0.1:${other}' and status = 'refused' and rule = 'role'`,
    rows => rows.length > 0,
  );
  const guarded = await freePort();
  const denied = await tunnel(['-L', `${guarded}:127.0.0.1:${echoPort}`], 'auditor');
  assert.equal(await exchange(guarded, 'x'), '');
  denied.child.kill();
});

test('a dynamic forward is judged by where each connection goes', async () => {
  const port = await freePort();
  const { child } = await tunnel(['-D', String(port)]);
  const socks = (target: number) => (socket: net.Socket) =>
    new Promise<void>((resolve, reject) => {
      socket.once('data', () => {
        socket.once('data', reply => (reply[1] === 0 ? resolve() : reject(Object.assign(new Error('refused'), { refused: true }))));
        socket.write(Buffer.from([5, 1, 0, 1, 127, 0, 0, 1, target >> 8, target & 255]));
      });
      socket.write(Buffer.from([5, 1, 0]));
    });
  assert.equal(await exchange(port, 'by socks', undefined, socks(echoPort)), 'by socks');
  child.kill();
});

test('the host listens for the client where the role permits it, and nowhere else', async () => {
  const port = await freePort();
  const { child } = await tunnel(['-R', `localhost:${port}:127.0.0.1:${echoPort}`]);
  assert.equal(await exchange(port, 'and back'), 'and back');
  child.kill();
  const refused = await tunnel(['-o', 'ExitOnForwardFailure=yes', '-R', `0.0.0.0:${port}:127.0.0.1:${echoPort}`]);
  await new Promise(resolve => refused.child.once('close', resolve));
  assert.match(refused.stderr(), /remote port forwarding failed/);
  await bastion.gateway.eventually(
    `select 1 from sallyport.commands where kind = 'ssh-remote-forward' and status = 'refused'`,
    rows => rows.length > 0,
  );
});
