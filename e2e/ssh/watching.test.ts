/** Sessions that somebody watches while they run: what is seen, who may, what the record says of it; and sessions that need it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Bastion, startBastion } from '../components/bastion.ts';
import { PROMPT } from '../components/terminal.ts';

const CLI = path.join(import.meta.dirname, '..', '..', 'cli', 'bin', 'sallyport.js');
let bastion: Bastion;

before(async () => {
  bastion = await startBastion({
    extra: `---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: four-eyes }
spec: { members: { groups: [sales] }, resources: { names: [web] }, ssh: { shell: recorded, fourEyes: true, forward: ["127.0.0.1:*"] } }
---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: leads }
spec: { members: { groups: [leads] }, resources: { names: [web] } }
---
apiVersion: sallyport.dev/v1
kind: AccessPolicy
metadata: { name: auditors }
spec: { roles: [auditor], members: { groups: [leads] } }
---
apiVersion: sallyport.dev/v1
kind: DataPolicy
metadata: { name: hosts }
spec: { resources: {}, detectors: [email] }
`,
  });
});
after(() => bastion?.stop());

interface View {
  status: number;
  text: () => string;
  until: (wanted: RegExp) => Promise<void>;
  ended: Promise<void>;
  stop: () => void;
}

/** A live view, read as it comes. */
async function view(sessionId: string, token: string): Promise<View> {
  const stopping = new AbortController();
  const { api } = bastion.gateway.endpoints();
  const response = await fetch(`${api}/v1/sessions/${sessionId}/live`, {
    headers: { authorization: `Bearer ${token}` },
    signal: stopping.signal,
  });
  let text = '';
  const ended = (async () => {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of response.body ?? []) text += decoder.decode(chunk as Uint8Array, { stream: true });
    } catch (error) {
      if (!stopping.signal.aborted) throw error;
    }
  })();
  return {
    status: response.status,
    text: () => text,
    until: async wanted => {
      for (let attempt = 0; !wanted.test(text); attempt++) {
        assert.ok(attempt < 1800, `the view never showed ${wanted}: ${text}`);
        await new Promise(resolve => setTimeout(resolve, 100));
      }
    },
    ended,
    stop: () => stopping.abort(),
  };
}

const liveSession = async (principal: string): Promise<string> => {
  const { api, adminToken } = bastion.gateway.endpoints();
  for (let attempt = 0; ; attempt++) {
    const response = await fetch(`${api}/v1/sessions?live=true`, { headers: { authorization: `Bearer ${adminToken}` } });
    const { sessions } = (await response.json()) as { sessions: { sessionId: string; principal: string; live: boolean }[] };
    const found = sessions.find(each => each.live && each.principal === principal);
    if (found !== undefined) return found.sessionId;
    assert.ok(attempt < 1800, 'no session');
    await new Promise(resolve => setTimeout(resolve, 100));
  }
};

test('what a terminal shows is seen while it runs, masked, and the record says who watched', async () => {
  const terminal = await bastion.terminal([]);
  await terminal.until(PROMPT);
  terminal.type('echo before anybody\r');
  await terminal.until(/\rbefore anybody\r/);
  const id = await liveSession('olga@example.com');
  const lead = await bastion.token('approver');
  const watching = await view(id, lead);
  assert.equal(watching.status, 200);
  await watching.until(/before anybody/);
  terminal.type('echo "ada@example.""org" and $((6 * 7))\r');
  await watching.until(/and 42/);
  assert.doesNotMatch(watching.text(), /ada@example\.org/);
  await bastion.gateway.eventually(
    `select 1 from sallyport.commands where session_id = '${id}' and kind = 'ssh-watch' and text = 'watched by ada@example.com' and status = 'running'`,
    rows => rows.length > 0,
  );
  watching.stop();
  await bastion.gateway.eventually(
    `select 1 from sallyport.commands where session_id = '${id}' and kind = 'ssh-watch' and status = 'ok' and tag = 'watched'`,
    rows => rows.length > 0,
  );
  // A view ends with its session.
  const second = await view(id, bastion.gateway.endpoints().adminToken);
  await second.until(/and 42/);
  terminal.type('exit 3\r');
  assert.equal(await terminal.ended, 3);
  await second.ended;
  assert.match(second.text(), /"x","3"|"x", ?"3"/);
});

test('`sallyport sessions watch` shows the terminal in this one, and says why not where it may not', async () => {
  const terminal = await bastion.terminal([]);
  await terminal.until(PROMPT);
  const id = await liveSession('olga@example.com');
  const { api } = bastion.gateway.endpoints();
  const watch = async (who: 'approver' | 'operator', session: string) => {
    const child = spawn(process.execPath, [CLI, 'sessions', 'watch', session], {
      env: { ...process.env, SALLYPORT_API: api, SALLYPORT_TOKEN: await bastion.token(who) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const ended = new Promise<number | null>(resolve => child.once('close', resolve));
    return { ended, stdout: () => stdout, stderr: () => stderr };
  };
  const watching = await watch('approver', id);
  terminal.type('echo seen from $((40 + 2)) places\r');
  for (let attempt = 0; !watching.stdout().includes('seen from 42 places'); attempt++) {
    assert.ok(attempt < 1800, `${watching.stdout()} ${watching.stderr()}`);
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  const refused = await watch('operator', id);
  assert.equal(await refused.ended, 1);
  assert.match(refused.stderr(), /auditor|may not|themselves|own session/);
  const unknown = await watch('approver', '00000000-0000-7000-8000-000000000000');
  assert.equal(await unknown.ended, 1);
  assert.match(unknown.stderr(), /no live session/);
  terminal.type('exit 0\r');
  assert.equal(await terminal.ended, 0);
  assert.equal(await watching.ended, 0, watching.stderr());
});

test('nobody watches themselves, nor without a role for it, nor what is over', async () => {
  const own = await bastion.terminal([], { as: 'approver' });
  await own.until(PROMPT);
  const id = await liveSession('ada@example.com');
  assert.equal((await view(id, await bastion.token('approver'))).status, 403);
  assert.equal((await view(id, await bastion.token('operator'))).status, 403);
  assert.equal((await view('00000000-0000-7000-8000-000000000000', await bastion.token('approver'))).status, 404);
  own.type('exit\r');
  await own.ended;
});

test('a role of four eyes runs nothing unobserved, and no longer than it is observed', async () => {
  let told = '';
  const waiting = bastion.ssh(['echo ran; sleep 300'], {
    as: 'stranger',
    started: child => child.stderr?.on('data', (chunk: Buffer) => (told += chunk.toString())),
  });
  const id = await liveSession('sid@example.com');
  for (let attempt = 0; !told.includes('waiting for an observer'); attempt++) {
    assert.ok(attempt < 1800, told);
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  assert.match(told, new RegExp(`sallyport sessions watch ${id}`));
  assert.equal((await bastion.gateway.query(`select 1 from sallyport.commands where text like 'echo ran%'`)).length, 0);
  const watching = await view(id, await bastion.token('approver'));
  const [row] = await bastion.gateway.eventually<{ at: string }>(
    `select at from sallyport.commands where text like 'echo ran%' and session_id = '${id}'`,
    rows => rows.length > 0,
  );
  const [presence] = await bastion.gateway.query<{ at: string }>(
    `select at from sallyport.commands where kind = 'ssh-watch' and session_id = '${id}'`,
  );
  assert.ok(presence !== undefined && row !== undefined && presence.at <= row.at);
  watching.stop();
  const { code, stdout, stderr } = await waiting;
  assert.equal(stdout.toString(), 'ran\n');
  assert.equal(code, 255);
  assert.match(stderr, /nobody watches the session any more/);
  await bastion.gateway.eventually(
    `select 1 from sallyport.sessions where session_id = '${id}' and error_code = 'SSH_UNOBSERVED'`,
    rows => rows.length > 0,
  );
  const { api, adminToken } = bastion.gateway.endpoints();
  const me = await fetch(`${api}/v1/sessions/${id}/live`, { headers: { authorization: `Bearer ${adminToken}` } });
  assert.equal(me.status, 404);
});
