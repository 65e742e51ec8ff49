/**
 * A real bash with a real line editor on a real terminal: lines are typed, edited, recalled, completed, searched and pasted, and
 * what the follower said before each Enter is compared with what bash put into its history.
 */
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LineAtEnter, LineFollower } from './line-follower.ts';

const scratch = mkdtempSync(path.join(tmpdir(), 'sallyport-line-'));
const children: ChildProcessWithoutNullStreams[] = [];
after(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(scratch, { recursive: true, force: true });
});

const QUIET_MS = 60;

class Terminal {
  readonly follower: LineFollower;
  readonly said: LineAtEnter[] = [];
  readonly log: string;
  private readonly child: ChildProcessWithoutNullStreams;
  private lastOutput = performance.now();
  output = '';
  /** Enter follows upon the keys at once, as in pasted text. */
  hurried = false;

  constructor(columns: number, rows: number, program: string[], extra: Record<string, string> = {}) {
    const home = mkdtempSync(path.join(scratch, 'home-'));
    mkdirSync(path.join(home, 'some-folder'));
    writeFileSync(path.join(home, 'unique-file.txt'), '');
    this.log = path.join(home, 'log');
    writeFileSync(this.log, '');
    this.follower = new LineFollower({ columns, rows });
    const env = {
      PATH: process.env['PATH'] ?? '/usr/bin:/bin',
      HOME: home,
      TERM: 'xterm',
      LANG: 'C.UTF-8',
      PS1: '$ ',
      HISTFILE: path.join(home, 'history'),
      HISTCONTROL: '',
      PROMPT_COMMAND: `fc -ln -1 >> '${this.log}' 2>/dev/null`,
      ...extra,
    };
    this.child = spawn(
      '/usr/bin/python3',
      [path.join(import.meta.dirname, 'fixtures/on-a-terminal.py'), String(columns), String(rows), ...program],
      {
        cwd: home,
        env,
      },
    );
    children.push(this.child);
    this.child.stdout.on('data', (bytes: Buffer) => {
      this.lastOutput = performance.now();
      this.output += bytes.toString('latin1');
      this.follower.fromHost(bytes);
    });
  }

  async quiet(): Promise<void> {
    await sleep(15);
    for (let i = 0; i < 100 && performance.now() - this.lastOutput < QUIET_MS; i += 1) await sleep(15);
  }

  async until(text: RegExp): Promise<void> {
    for (let i = 0; i < 6000; i += 1) {
      if (text.test(this.output)) {
        await this.quiet();
        return;
      }
      await sleep(15);
    }
    assert.fail(`the terminal never showed ${text}; it showed ${JSON.stringify(this.output.slice(-400))}`);
  }

  /** Sends keys as a gateway does: what ends a line waits until the follower was asked. */
  async keys(text: string, how: 'sent' | 'continued' = 'sent'): Promise<void> {
    let rest = Buffer.from(text);
    while (rest.length > 0) {
      const end = this.follower.endOfLine(rest);
      const plain = end < 0 ? rest : rest.subarray(0, end);
      this.follower.fromClient(plain);
      if (plain.length > 0) this.child.stdin.write(plain);
      if (!this.hurried) await this.quiet();
      if (end < 0) return;
      let line = this.follower.lineAtEnter();
      for (let i = 0; i < 250 && 'waiting' in line; i += 1) {
        await sleep(20);
        line = this.follower.lineAtEnter();
      }
      this.said.push(line);
      this.follower.entered(how);
      const began = this.output.split('\u001b[?2004h').length;
      this.child.stdin.write(rest.subarray(end, end + 1));
      for (let i = 0; i < 40 && this.output.split('\u001b[?2004h').length === began; i += 1) await sleep(15);
      await this.quiet();
      rest = rest.subarray(end + 1);
    }
  }

  resize(columns: number, rows: number): void {
    this.follower.resize(columns, rows);
    this.child.stdin.write(`\0${columns} ${rows}\0`);
  }

  /** What bash remembers, one entry an Enter; `fc` puts a tab and a blank in front. */
  history(): string[] {
    return readFileSync(this.log, 'utf8')
      .split('\n')
      .filter(line => line !== '')
      .map(line => line.replace(/^\t ?/, ''));
  }

  end(): void {
    this.child.stdin.end();
  }
}

async function bash(columns = 80, rows = 24, extra: Record<string, string> = {}): Promise<Terminal> {
  const terminal = new Terminal(columns, rows, ['bash', '--norc', '--noprofile', '-i'], extra);
  await terminal.until(/[$#] /);
  writeFileSync(terminal.log, '');
  return terminal;
}

/** Every line that the follower was certain of is the one that bash ran, and it was certain of so many. */
function compare(terminal: Terminal, certain: number): void {
  const ran = terminal.history();
  assert.equal(ran.length, terminal.said.length, `said ${JSON.stringify(terminal.said)}, ran ${JSON.stringify(ran)}`);
  terminal.said.forEach((line, index) => {
    if ('text' in line) assert.equal(line.text.trimEnd(), ran[index]?.trimEnd());
  });
  const known = terminal.said.filter(line => 'text' in line);
  assert.ok(known.length >= certain, `certain of ${known.length} of ${terminal.said.length}: ${JSON.stringify(terminal.said)}`);
  terminal.end();
}

test('plain lines, and edited ones', async () => {
  const terminal = await bash();
  await terminal.keys('echo one\r');
  await terminal.keys('echo twx\u007fo\r');
  await terminal.keys('cho four\u0001e\r'); // Control-A
  await terminal.keys('echo fie\u001b[Dv\u001b[C!\u007f\r'); // arrows
  await terminal.keys('rubbish\u0015echo six\r'); // Control-U
  await terminal.keys('echo sevenXX\u001b[D\u001b[D\u000b\r'); // Control-K
  await terminal.keys('echo "a  b"   # x\n'); // Control-J ends it as well
  compare(terminal, 7);
});

test('recalled, completed and searched lines', async () => {
  const terminal = await bash();
  await terminal.keys('echo first\r');
  await terminal.keys('echo second\r');
  await terminal.keys('\u001b[A\r'); // up
  await terminal.keys('\u001b[A\u001b[A\u001b[A\u007f\u007fXY\r');
  await terminal.keys('cat uniq\t\r'); // completion
  await terminal.keys('cd some\t\r');
  await terminal.keys('\u0012seco\r'); // Control-R
  await terminal.keys('echo two words\u0017\u0017three\r'); // Control-W
  await terminal.keys('echo \u001b.\r'); // the last word of the line before
  compare(terminal, 8);
});

test('keys that the host has not got to yet are waited for', async () => {
  const terminal = await bash();
  terminal.hurried = true;
  await terminal.keys('cat uniq\t--\u007f\u007f\r');
  await terminal.keys('ls some\t -d -l\r');
  await terminal.keys('\u001b[A\u001b[A -n\r');
  compare(terminal, 1);
});

test('lists of completions move the prompt down', async () => {
  const terminal = await bash();
  await terminal.keys('touch aa1 aa2 aa3\r');
  await terminal.keys('ls aa\t\t1\r');
  compare(terminal, 2);
});

test('lines longer than the window, at its end and at the bottom of the screen', async () => {
  const terminal = await bash(40, 6);
  const long = `echo ${'abcdefghi '.repeat(9)}end`;
  await terminal.keys(`${long}\r`);
  await terminal.keys(`echo ${'x'.repeat(33)}\r`); // ends in the last column
  await terminal.keys(`echo ${'y'.repeat(34)}\r`);
  await terminal.keys(`${long}\u0001\u001b[3~E\r`);
  await terminal.keys('\u001b[A\u001b[A\r');
  await terminal.keys(`${long}${'\u007f'.repeat(30)}\r`);
  compare(terminal, 6);
});

test('pasted text, with marks and without', async () => {
  const terminal = await bash();
  await terminal.keys('\u001b[200~echo pasted\u001b[201~\r');
  await terminal.keys('echo a\rsleep 0.2\recho b\r'); // three lines at once
  compare(terminal, 4);
  const several = await bash();
  await several.keys('\u001b[200~echo one\necho two\u001b[201~\r');
  assert.deepEqual(several.said, [{ uncertain: 'several lines were pasted' }]);
  several.end();
});

test('prompts of other forms', async () => {
  const terminal = await bash(80, 24, { PS1: '\\[\\e]0;title\\a\\]\\[\\e[1;32m\\]me@host\\[\\e[0m\\]:\\w\\$ ' });
  await terminal.keys('echo coloured\r');
  await terminal.keys('cd some-folder\r');
  await terminal.keys('pwd\r');
  await terminal.keys('\u001b[A\u001b[A\u001b[A\r');
  compare(terminal, 4);
});

test('a line that goes on in the next', async () => {
  const terminal = await bash();
  await terminal.keys('echo one \\\r', 'continued');
  await terminal.keys('two\r');
  assert.deepEqual(terminal.said, [{ text: 'echo one \\' }, { text: 'echo one \\\ntwo' }]);
  await terminal.keys('for i in 1; do\r', 'continued');
  await terminal.keys('echo $i\r', 'continued');
  await terminal.keys('done\r');
  assert.deepEqual(terminal.said.at(-1), { text: 'for i in 1; do\necho $i\ndone' });
  // When nobody knew of it, what follows is not taken for a line of its own.
  await terminal.keys('echo "open\r', 'sent');
  await terminal.keys('rm x"\r');
  assert.ok('uncertain' in (terminal.said.at(-1) ?? {}), JSON.stringify(terminal.said.at(-1)));
  terminal.end();
});

test('passwords are not echoed, and not taken for lines', async () => {
  const terminal = await bash();
  await terminal.keys('read -s -p Password: x\r');
  await terminal.until(/Password:/);
  await terminal.keys('hunter2\r');
  assert.deepEqual(terminal.said.at(-1), { uncertain: 'the host does not echo', hidden: true });
  await terminal.keys('echo after\r');
  assert.deepEqual(terminal.said.at(-1), { text: 'echo after' });
  terminal.end();
});

test('full-screen programs, sizes that change, and output that comes by itself', async () => {
  const terminal = await bash();
  await terminal.keys("printf '\\033[?1049h'; sleep 0.6; printf '\\033[?1049l'\r");
  await terminal.keys('x');
  assert.ok('text' in (terminal.said[0] ?? {}));
  const beside = await bash();
  await beside.keys('echo recalled\r');
  await beside.keys('(sleep 1.2; printf "\\r$ ls          ") &\r');
  await beside.keys('\u001b[A\u001b[A');
  await beside.until(/recalled/);
  await sleep(1600);
  await beside.keys('\r');
  assert.ok('uncertain' in (beside.said.at(-1) ?? {}), JSON.stringify(beside.said.at(-1)));
  const sized = await bash();
  await sized.keys('echo abc');
  sized.resize(60, 20);
  await sized.quiet();
  await sized.keys('\r');
  assert.deepEqual(sized.said.at(-1), { uncertain: 'the window changed its size while the line was edited' });
  await sized.keys('echo afterwards\r');
  assert.deepEqual(sized.said.at(-1), { text: 'echo afterwards' });
  for (const each of [terminal, beside, sized]) each.end();
});

test('keys that come before the shell asks', async () => {
  const terminal = await bash();
  await terminal.keys('sleep 0.7\r');
  // Not waited for: the harness sends at once what was typed ahead.
  await terminal.keys('echo ahead\r');
  const last = terminal.said.at(-1);
  const ran = terminal.history().at(-1);
  assert.ok(last !== undefined && (!('text' in last) || last.text === ran || ran === 'sleep 0.7'), JSON.stringify([last, ran]));
  terminal.end();
});

test('a shell without a line editor', async () => {
  const terminal = new Terminal(80, 24, ['dash', '-i']);
  await terminal.until(/[$#] /);
  await terminal.keys('echo one\r');
  await terminal.keys('echo twx\u007fo\r');
  await terminal.keys('echo \u001b[A\r');
  assert.deepEqual(terminal.said.slice(0, 2), [{ text: 'echo one' }, { text: 'echo two' }]);
  assert.ok('uncertain' in (terminal.said[2] ?? {}), JSON.stringify(terminal.said[2]));
  terminal.end();
});
