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

/** A connection to a port, once something listens there. */
async function connected(port: number): Promise<net.Socket> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await new Promise<net.Socket>((resolve, reject) => {
        const socket = net.connect(port, '127.0.0.1', () => {
          socket.removeListener('error', reject);
          resolve(socket);
        });
        socket.once('error', reject);
      });
    } catch (error) {
      const isEarly = error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';
      if (!isEarly || attempt > 1800) throw error;
      await new Promise(resolve => setTimeout(resolve, 100));
    }
  }
}

/** Sends text to a port once it listens; what comes back until as much has come, or the end. */
async function exchange(port: number, text: string, before?: (socket: net.Socket) => Promise<void>): Promise<string> {
  const socket = await connected(port);
  try {
    await before?.(socket);
    return await new Promise<string>((resolve, reject) => {
      let back = '';
      socket.on('data', chunk => {
        back += chunk.toString();
        if (back.length >= text.length) socket.end();
      });
      socket.once('close', () => resolve(back));
      socket.once('error', reject);
      socket.write(text);
    });
  } finally {
    socket.destroy();
  }
}

/**
 * That a connection through a forward ends without a byte. It ends by FIN, or by RST: the client that listens closes a socket from which
 * it has not read what was sent already, and TCP says so with a reset (RFC 2525, 2.17).
 */
async function endsWithNothing(port: number): Promise<void> {
  const socket = await connected(port);
  let bytes = 0;
  let fault: Error | null = null;
  socket.on('data', chunk => {
    bytes += chunk.length;
  });
  socket.once('error', error => {
    fault = error;
  });
  const ended = new Promise(resolve => socket.once('close', resolve));
  socket.write('x');
  await ended;
  assert.equal(bytes, 0);
  const code = fault === null ? 'FIN' : ((fault as NodeJS.ErrnoException).code ?? '');
  assert.ok(['FIN', 'ECONNRESET', 'EPIPE'].includes(code), code);
}

const refusals = (text: string, rule: string) =>
  bastion.gateway.eventually(
    `select 1 from sallyport.commands where kind = 'ssh-forward' and text = '${text}' and status = 'refused' and rule = '${rule}'`,
    rows => rows.length > 0,
  );

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
  // Something does listen there: nothing but the refusal ends the connection.
  let reached = 0;
  const listener = net.createServer(socket => {
    reached++;
    socket.pipe(socket);
  });
  await new Promise<void>(resolve => listener.listen(other, '127.0.0.1', resolve));
  try {
    const port = await freePort();
    const { child } = await tunnel(['-L', `${port}:127.0.0.1:${other}`]);
    await endsWithNothing(port);
    child.kill();
    await refusals(`connection to 127.0.0.1:${other}`, 'role');
    assert.equal(reached, 0);
  } finally {
    listener.close();
  }
  const guarded = await freePort();
  const denied = await tunnel(['-L', `${guarded}:127.0.0.1:${echoPort}`], 'auditor');
  await endsWithNothing(guarded);
  denied.child.kill();
  await refusals(`connection to 127.0.0.1:${echoPort}`, 'hosts/no-two');
});

test('a dynamic forward is judged by where each connection goes', async () => {
  const port = await freePort();
  const { child } = await tunnel(['-D', String(port)]);
  const socks = (target: number) => (socket: net.Socket) =>
    new Promise<void>((resolve, reject) => {
      socket.once('data', () => {
        socket.once('data', reply => (reply[1] === 0 ? resolve() : reject(new Error('refused'))));
        socket.write(Buffer.from([5, 1, 0, 1, 127, 0, 0, 1, target >> 8, target & 255]));
      });
      socket.once('close', () => reject(new Error('reset')));
      socket.once('error', () => reject(new Error('reset')));
      socket.write(Buffer.from([5, 1, 0]));
    });
  assert.equal(await exchange(port, 'by socks', socks(echoPort)), 'by socks');
  const closed = await freePort();
  const asked = await connected(port);
  await assert.rejects(socks(closed)(asked), /refused|reset/);
  asked.destroy();
  child.kill();
  await refusals(`connection to 127.0.0.1:${closed}`, 'role');
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
