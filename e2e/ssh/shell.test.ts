/** Interactive shells through the gateway, on a real terminal: governed line by line, recorded only, and off. */
import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Bastion, startBastion } from '../components/bastion.ts';
import { filesBelow, holding } from '../components/folder.ts';
import { PROMPT, type Terminal } from '../components/terminal.ts';

let bastion: Bastion;
const terminals: Terminal[] = [];

before(async () => {
  bastion = await startBastion({
    extra: `---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: recorded }
spec: { members: { groups: [leads] }, resources: { names: [web] }, ssh: { shell: recorded } }
---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: commands-only }
spec: { members: { groups: [sales] }, resources: { names: [web] }, ssh: { shell: off } }
---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: hosts }
spec:
  resources: {}
  rules:
    - { name: no-touch, match: { programs: [touch] }, when: "!('leads' in principal.groups)", action: deny, message: "Files are made by releases." }
---
apiVersion: sallyport.dev/v1
kind: DataPolicy
metadata: { name: hosts }
spec: { resources: {}, detectors: [email, aws-access-key] }
`,
  });
});
after(async () => {
  for (const terminal of terminals) terminal.stop();
  await bastion?.stop();
});

async function shell(as: 'operator' | 'approver' = 'operator', size: { columns?: number; rows?: number } = {}): Promise<Terminal> {
  const terminal = await bastion.terminal([], { as, ...size });
  terminals.push(terminal);
  await terminal.until(PROMPT);
  return terminal;
}

/** Types a line, and waits for the next prompt behind `expected`. */
async function line(terminal: Terminal, keys: string, expected: RegExp): Promise<void> {
  const from = terminal.output.length;
  terminal.type(`${keys}\r`);
  await terminal.until(PROMPT, await terminal.until(expected, from));
}

test('lines pass or are refused before the host reads them, whatever keys made them', async () => {
  const terminal = await shell();
  await line(terminal, 'echo one', /\rone\r/);
  await line(terminal, 'touch denied-1', /sallyport: Files are made by releases\./);
  await line(terminal, 'echo two', /\rtwo\r/);
  await line(terminal, 'echo txx\u007f\u007fhree', /\rthree\r/);
  await line(terminal, 'ouch denied-2\u0001t', /sallyport: Files/);
  terminal.stop();
  const again = await shell();
  await line(again, 'echo "x" && \\\rtouch denied-3', /sallyport: Files/);
  await line(again, 'ls --colo\t=never -d /etc', /\r\/etc\r/);
  await line(again, 'echo done', /\rdone\r/);
  again.type('exit 5\r');
  assert.equal(await again.ended, 5);
  for (const n of [1, 2, 3]) assert.ok(!existsSync(path.join(bastion.sshd.home, `denied-${n}`)));
  const rows = await bastion.gateway.eventually<{ text: string; status: string; tag: string }>(
    `select text, status, tag from sallyport.commands where kind in ('ssh-line', 'ssh-shell') order by at`,
    found => found.some(row => row.text === 'exit 5') && found.some(row => row.tag === 'exit 5'),
  );
  assert.ok(rows.some(row => row.text === 'touch denied-2' && row.status === 'refused'));
  assert.ok(
    rows.some(row => row.text === 'ls --colo=never -d /etc' && row.status === 'ok'),
    JSON.stringify(rows),
  );
});

test('ways around the judgement of lines end in a refusal', async () => {
  const canary = (n: number) => path.join(bastion.sshd.home, `evaded-${n}`);
  const attempts: [string, string[]][] = [
    ['no echo', ['stty -echo', 'touch evaded-1']],
    ['a variable', ['x=touch', '$x evaded-2']],
    ['history', ['echo touch evaded-3', '!!:1-$']],
    ['pasted lines', ['\u001b[200~echo a\ntouch evaded-4\u001b[201~']],
    ['lines in one go', ['echo a\rtouch evaded-5\recho b']],
    ['a screen that is not full', ["printf '\\033[?1049h'", 'touch evaded-6']],
    ['an end of file in a here-document', ['sh <<X', 'touch evaded-7', '\u0004']],
    ['an interrupt that is ignored', ["trap '' INT", 'touch evaded-8', '', '']],
    ['an alias', ["alias ll='touch evaded-9'", 'll']],
    ['a function', ['f() { touch evaded-10; }', 'f']],
    ['keys bound to others', ['bind \'"x": "touch evaded-11"\'', 'x']],
    ['a prompt that lies', ["PS1='$ touch evaded-12 #'", 'touch evaded-12']],
    ['a shell without an editor', ['sh', 'touch evaded-13', 'stty -echo', 'touch evaded-13']],
    ['quotes', ["t''ouch evaded-14", 'tou\\ch evaded-14', '"touch" evaded-14', '/usr/bin/touch evaded-14', '/usr/bin/t?uch evaded-14']],
    ['a name that looks alike', ['t\u043euch evaded-15', 'command touch evaded-15', 'env touch evaded-15', 'xargs touch <<< evaded-15']],
    ['what runs later', ['PROMPT_COMMAND="touch evaded-16"', 'echo', 'trap "touch evaded-16" EXIT', 'exit']],
  ];
  for (let n = 1; n <= attempts.length; n++) rmSync(canary(n), { force: true });
  for (const [what, lines] of attempts) {
    const terminal = await shell();
    for (const each of lines) {
      terminal.type(each === '\u0004' ? each : `${each}\r`);
      // A person's pace: what the host shows for one line is there before the next is typed.
      await new Promise(resolve => setTimeout(resolve, 700));
    }
    terminal.stop();
    await new Promise(resolve => setTimeout(resolve, 200));
    for (let n = 1; n <= attempts.length; n++) assert.ok(!existsSync(canary(n)), `${what}: ${JSON.stringify(terminal.output.slice(-800))}`);
  }
});

test('what is typed where nothing is echoed is recorded nowhere', async () => {
  const terminal = await shell();
  terminal.type('read -s -p Password: word\r');
  const from = await terminal.until(/Password:$/);
  terminal.type('correct-horse-42\r');
  await terminal.until(PROMPT, from);
  await line(terminal, 'echo "$word" | wc -c', /\r17\r/);
  terminal.type('exit\r');
  await terminal.ended;
  const [session] = await bastion.gateway.eventually<{ session_id: string }>(
    `select session_id from sallyport.commands where text like 'read -s%'`,
    rows => rows.length > 0,
  );
  await bastion.gateway.eventually(
    `select 1 from sallyport.records where session_id = '${session?.session_id}' and type = 'session_ended'`,
    rows => rows.length > 0,
  );
  const rows = await bastion.gateway.query<{ n: string }>(
    `select count() as n from sallyport.records where position(encoded, 'correct-horse') > 0 or position(body, 'correct-horse') > 0`,
  );
  assert.equal(Number(rows[0]?.n), 0);
  assert.deepEqual(holding(filesBelow(bastion.gateway.data), 'correct-horse'), []);
});

test('a terminal has the client’s size, follows it, and its output is masked for the client and in the recording', async () => {
  const terminal = await shell('operator', { columns: 101, rows: 33 });
  await line(terminal, 'stty size', /33 101/);
  terminal.resize(77, 22);
  // The client hears of its window by a signal, and of keys by another way: the keys may be quicker, and then they are not certain.
  for (let attempt = 0; ; attempt++) {
    const from = terminal.output.length;
    await line(terminal, 'stty size', /\d+ \d+\r|cannot be judged fully/);
    if (/22 77\r/.test(terminal.output.slice(from))) break;
    assert.ok(attempt < 50, terminal.output.slice(from));
  }
  await line(terminal, "printf 'ada\\033[1m@exam'; sleep 0.02; printf 'ple.\\033[0morg\\n'", /redacted/);
  // A key that is typed letter by letter is seen by the one who types it, and by no record.
  const key = ['AKIA', 'QX5ZT7CANARYKEY2'].join('');
  for (const letter of `echo ${key}`) {
    terminal.type(letter);
    await new Promise(resolve => setTimeout(resolve, 15));
  }
  await line(terminal, '', /redacted/);
  terminal.type('exit\r');
  await terminal.ended;
  assert.doesNotMatch(terminal.output, /example\.org/);
  const sizes = await bastion.gateway.eventually<{ n: string }>(
    `select count() as n from sallyport.records where type = 'output_chunk' and position(encoded, '77x22') > 0`,
    rows => Number(rows[0]?.n) > 0,
  );
  assert.equal(Number(sizes[0]?.n), 1);
  const leaks = await bastion.gateway.query<{ n: string }>(
    `select count() as n from sallyport.records where position(encoded, 'CANARYKEY2') > 0`,
  );
  assert.equal(Number(leaks[0]?.n), 0);
});

test('lines end where the gateway sees them end, whatever characters the client’s terminal ends and edits them by', async () => {
  const terminal = await bastion.terminal([], { modes: 'eol z eol2 w eof y erase x kill q' });
  terminals.push(terminal);
  await terminal.until(PROMPT);
  await line(terminal, 'stty -a', /erase = \^\?; kill = \^U; eof = \^D; eol = <undef>;\s+eol2 = <undef>;/);
  terminal.type('exit\r');
  await terminal.ended;
});

test('a role that records shells judges no lines; a role without shells has commands alone', async () => {
  const terminal = await shell('approver');
  await line(terminal, 'touch allowed-1; ls allowed-1; rm allowed-1', /\rallowed-1/);
  terminal.type('exit\r');
  assert.equal(await terminal.ended, 0);
  await bastion.gateway.eventually(
    `select 1 from sallyport.commands where rule = 'shell-recorded' and text like 'touch allowed-1%'`,
    rows => rows.length > 0,
  );
  const off = await bastion.terminal([], { as: 'stranger' });
  assert.equal(await off.ended, 126);
  assert.match(off.output, /no shell: give a command/);
  const command = await bastion.ssh(['echo command'], { as: 'stranger' });
  assert.equal(command.stdout.toString(), 'command\n');
  const piped = await bastion.ssh([], { input: 'touch evaded-20\n' });
  assert.equal(piped.code, 126);
  assert.match(piped.stderr, /without a terminal/);
});
