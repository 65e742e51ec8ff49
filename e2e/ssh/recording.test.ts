/** A terminal that was recorded: over HTTP, played, searched and exported by the command line, and for whom. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Bastion, startBastion } from '../components/bastion.ts';
import { runProgram, type SshRun } from '../components/ssh-client.ts';
import { PROMPT } from '../components/terminal.ts';

let bastion: Bastion;
let session = '';
/** How long the terminal was there. */
let lasted = 0;
const cli = path.join(import.meta.dirname, '..', '..', 'cli', 'bin', 'sallyport.js');

before(async () => {
  bastion = await startBastion({
    extra: `---
apiVersion: sallyport.dev/v1
kind: DataPolicy
metadata: { name: hosts }
spec: { resources: {}, detectors: [email] }
---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: hosts }
spec: { resources: {}, rules: [{ name: no-touch, match: { programs: [touch] }, action: deny }] }
`,
  });
  const began = performance.now();
  const terminal = await bastion.terminal([], { columns: 90, rows: 25 });
  let at = await terminal.until(PROMPT);
  for (const line of [
    'echo a needle in the hay',
    'touch x',
    'echo ada@example.org',
    "printf '\\033]52;c;cm0gLXJm\\007'; echo clip",
    'exit 4',
  ]) {
    terminal.type(`${line}\r`);
    if (!line.startsWith('exit')) at = await terminal.until(PROMPT, at + line.length);
  }
  assert.equal(await terminal.ended, 4, terminal.output);
  lasted = (performance.now() - began) / 1000;
  const [row] = await bastion.gateway.eventually<{ session_id: string }>(
    `select session_id from sallyport.commands where kind = 'ssh-shell' and tag = 'exit 4'`,
    rows => rows.length > 0,
  );
  session = row?.session_id ?? '';
});
after(() => bastion?.stop());

const sallyport = (...args: string[]): Promise<SshRun> => runProgram(process.execPath, [cli, ...args, '--data', bastion.gateway.data]);

async function recording(token: string): Promise<Response> {
  return fetch(`${bastion.gateway.endpoints().api}/v1/sessions/${session}/recording`, { headers: { authorization: `Bearer ${token}` } });
}

test('over HTTP it is asciicast version 3, masked, with marks of decisions and the exit status', async () => {
  const response = await recording(bastion.gateway.endpoints().adminToken);
  assert.equal(response.headers.get('content-type'), 'application/x-asciicast');
  const [head, ...events] = (await response.text())
    .trim()
    .split('\n')
    .map(line => JSON.parse(line));
  assert.deepEqual(head.term, { cols: 90, rows: 25, type: 'xterm' });
  assert.equal(head.version, 3);
  const of = (code: string) => events.filter(event => event[1] === code).map(event => event[2]);
  const output = of('o').join('');
  assert.match(output, /a needle in the hay/);
  assert.match(output, /sallyport: /);
  assert.doesNotMatch(output, /ada@example/);
  assert.ok(
    of('m').some(mark => /^deny: touch x/.test(mark)),
    JSON.stringify(of('m')),
  );
  assert.deepEqual(of('i').slice(0, 1), ['echo a needle in the hay\r']);
  assert.deepEqual(of('x'), ['4']);
  // Seconds since the event before.
  assert.ok(events.every(event => event[0] >= 0));
  const seconds = events.reduce((sum, event) => sum + event[0], 0);
  assert.ok(seconds > 0 && seconds <= lasted, `${seconds} of ${lasted}`);
});

test('the command line plays it without what would act on the terminal, finds text, and exports it', async () => {
  const played = await sallyport('sessions', 'replay', session, '--speed', '0');
  assert.equal(played.code, 0, played.stderr);
  assert.match(played.stdout.toString(), /a needle in the hay/);
  assert.ok(!played.stdout.includes('\u001b]52'), 'a clipboard is not written to');
  const found = await sallyport('sessions', 'replay', session, '--search', 'NEEDLE IN');
  assert.equal(found.code, 0);
  assert.match(found.stdout.toString(), /\d\.\d s {2}.*a needle in the hay/);
  const missing = await sallyport('sessions', 'replay', session, '--search', 'haystack');
  assert.equal(missing.code, 1);
  const file = path.join(bastion.gateway.dir, 'two.cast');
  const exported = await sallyport('sessions', 'replay', session, '--output', file, '--format', 'asciicast-v2');
  assert.equal(exported.code, 0, exported.stderr);
  const [head, ...events] = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line));
  assert.deepEqual([head.version, head.width, head.height], [2, 90, 25]);
  assert.ok(events.every((event, i) => i === 0 || event[0] >= events[i - 1][0]));
  const unknown = await sallyport('sessions', 'replay', 'none');
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /no recording of this session/);
});

test('what it showed is found by the search, with the place in the recording, and masks stay masks', async () => {
  const search = async (over: 'commands' | 'sessions', q: string, token = bastion.gateway.endpoints().adminToken) => {
    const response = await fetch(`${bastion.gateway.endpoints().api}/v1/search/${over}?q=${encodeURIComponent(q)}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    assert.equal(response.status, 200);
    return (
      ((await response.json()) as Record<string, { sessionId: string; kind: string; output?: { offsetMs: number; text: string } }[]>)[
        over
      ] ?? []
    );
  };
  await bastion.gateway.eventually("select 1 from sallyport.output where text like '%needle in the hay%'", rows => rows.length > 0);
  const commands = await search('commands', 'output:"NEEDLE in the"');
  const shell = commands.find(({ kind }) => kind === 'ssh-shell') ?? assert.fail(JSON.stringify(commands));
  assert.equal(shell.sessionId, session);
  assert.match(shell.output?.text ?? '', /a needle in the hay/);
  const events = (await (await recording(bastion.gateway.endpoints().adminToken)).text()).trim().split('\n').slice(1);
  let seconds = 0;
  const shown: { atMs: number; text: string }[] = [];
  for (const line of events) {
    const [interval, code, text] = JSON.parse(line) as [number, string, string];
    seconds += interval;
    if (code === 'o') shown.push({ atMs: seconds * 1000, text });
  }
  const offsetMs = shell.output?.offsetMs ?? -1;
  const there = shown.findIndex(({ atMs }) => Math.abs(atMs - offsetMs) < 2);
  assert.ok(there >= 0, `${offsetMs} in ${JSON.stringify(shown)}`);
  const upTo = shown.slice(0, there + 1).map(({ text }) => text);
  assert.match(upTo.join(''), /needle in the/);
  assert.deepEqual(
    (await search('sessions', 'output:"needle in the" kind:person')).map(({ sessionId }) => sessionId),
    [session],
  );
  const listed = await sallyport('sessions', 'list', '--query', 'output:"needle in the"', '--json');
  assert.deepEqual(
    (JSON.parse(listed.stdout.toString()) as { sessions: { sessionId: string }[] }).sessions.map(({ sessionId }) => sessionId),
    [session],
    listed.stderr,
  );
  assert.match((await sallyport('sessions', 'list', '--query', 'output:haystack')).stdout.toString(), /no session is like that/);
  assert.deepEqual(await search('commands', 'output:ada@example'), []);
  assert.deepEqual(await search('commands', 'output:"needle in the" -output:hay'), []);
  assert.deepEqual(await search('commands', 'output:"needle in the"', await bastion.token('stranger')), []);
  assert.equal((await search('commands', 'output:"needle in the"', await bastion.token('operator'))).length, commands.length);
});

test('its own person sees it, others do not', async () => {
  assert.equal((await recording(await bastion.token('operator'))).status, 200);
  assert.equal((await recording(await bastion.token('stranger'))).status, 404);
  assert.equal((await recording('nonsense')).status, 401);
});
