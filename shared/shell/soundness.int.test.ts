/**
 * Is what a real bash runs among what the analysis saw? Random texts are put together from ways to hide a command, run in a
 * scratch folder whose programs only write down how they were called, and compared: every call must be covered by a command of
 * the analysis, or the text must be opaque or refused.
 *
 * The programs are the test's own; PATH has nothing else but a few of the machine's wrappers, which start what they are given.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { analyseShell } from './analyse.ts';
import { intersects, parseGlob } from './glob.ts';

const scratch = mkdtempSync(path.join(tmpdir(), 'sallyport-shell-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const bin = path.join(scratch, 'bin');
const log = path.join(scratch, 'log');
const work = path.join(scratch, 'work');

/** Programs that write themselves down: name, then arguments, each ended by a unit separator, the call by a record separator. */
const STUBS = ['cat', 'rm', 'id', 'head', 'curl', 'mytool'];
const REAL = ['env', 'nohup', 'nice', 'timeout', 'stdbuf', 'setsid', 'xargs', 'find', 'sh', 'bash', 'base64', 'tr', 'sleep', 'true'];

mkdirSync(bin);
mkdirSync(work);
for (const name of STUBS) {
  writeFileSync(path.join(bin, name), `#!/bin/bash --posix\n{ printf '%s\\037' "\${0##*/}" "$@"; printf '\\036'; } >> '${log}'\n`);
  chmodSync(path.join(bin, name), 0o755);
}
for (const name of REAL) {
  const real = execFileSync('/bin/sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
  symlinkSync(real, path.join(bin, name));
}
for (const name of ['shadow', 'a.txt', 'b c.txt', 'passwd']) writeFileSync(path.join(work, name), '');
mkdirSync(path.join(work, 'etc'));
writeFileSync(path.join(work, 'etc', 'shadow'), '');

/** xorshift32: the same seed gives the same texts everywhere. */
class Random {
  private state: number;
  constructor(seed: number) {
    this.state = seed | 1;
  }
  below(count: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % count;
  }
  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    assert.ok(item !== undefined);
    return item;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
}

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** A word that means `text`, written in one of many ways. `before` collects what must be run first. */
function word(r: Random, text: string, before: string[], depth = 0): string {
  const c = text.charAt(0);
  const cut = 1 + r.below(Math.max(1, text.length - 1));
  const [head, tail] = [text.slice(0, cut), text.slice(cut)];
  const name = `v${r.below(6)}`;
  switch (r.below(depth > 2 ? 8 : 30)) {
    case 0:
      return quote(text);
    case 1:
      return `"${text}"`;
    case 2:
      return `${head}''${tail}`;
    case 3:
      return `${head}"${tail}"`;
    case 4:
      return `\\${text}`;
    case 5:
      return `$'${text
        .split('')
        .map(each => `\\x${each.charCodeAt(0).toString(16).padStart(2, '0')}`)
        .join('')}'`;
    case 6:
      return `$'${text
        .split('')
        .map(each => `\\${each.charCodeAt(0).toString(8).padStart(3, '0')}`)
        .join('')}'`;
    case 7:
      return text;
    case 8:
      before.push(`${name}=${word(r, text, before, depth + 1)}`);
      return r.pick([`$${name}`, `"$${name}"`, `\${${name}}`, `"\${${name}}"`]);
    case 9:
      before.push(`${name}=${word(r, head, before, depth + 1)}`);
      return `"\${${name}}"${quote(tail)}`;
    case 10:
      before.push(`${name}=${quote(head)}`, `${name}+=${quote(tail)}`);
      return `$${name}`;
    case 11:
      before.push(`${name}=${quote(`${text}.bak`)}`);
      return `\${${name}%.bak}`;
    case 12:
      before.push(`${name}=${quote(`xx${text}`)}`);
      return r.pick([`\${${name}#xx}`, `\${${name}:2}`, `"\${${name}##x*x}"`]);
    case 13:
      return `$(echo ${word(r, text, before, depth + 1)})`;
    case 14:
      return `\`echo ${quote(text)}\``;
    case 15:
      return `$(printf %s ${quote(text)})`;
    case 16:
      return `\${unset${r.below(9)}:-${quote(text)}}`;
    case 17:
      return `{${text},}`;
    case 18:
      return `${head}{${tail || "''"},}`;
    case 19:
      before.push(`${name}=(${quote('x')} ${quote(text)})`);
      return `"\${${name}[1]}"`;
    case 20:
      before.push(`${name}=${quote(text.toUpperCase())}`);
      return /^[a-z/.]+$/.test(text) ? `\${${name},,}` : quote(text);
    case 21:
      before.push(`${name}=${quote(text.replace(c, '@'))}`);
      return /[a-z]/.test(c) ? `\${${name}/@/${c}}` : quote(text);
    case 22:
      before.push(`printf -v ${name} %s ${quote(text)}`);
      return `"$${name}"`;
    case 23:
      before.push(`read -r ${name} <<< ${quote(text)}`);
      return `"$${name}"`;
    case 24:
      before.push(`if true; then ${name}=${quote(text)}; else ${name}=x; fi`);
      return `"$${name}"`;
    case 25:
      before.push(`for ${name} in x ${quote(text)}; do :; done`);
      return `"$${name}"`;
    case 26:
      before.push(`declare -n r${name}=${name}; r${name}=${quote(text)}`);
      return `"$${name}"`;
    case 27:
      before.push(`${name}=y; f${name}() { ${name}=${quote(text)}; }; f${name}`);
      return `"$${name}"`;
    case 28:
      return text.length > 2 && !text.includes('/') ? `${text.slice(0, -1)}${r.pick(['?', '*', `[${text.at(-1)}]`])}` : quote(text);
    default:
      return `${head}\\\n${tail}`;
  }
}

const TARGETS: readonly (readonly string[])[] = [
  ['cat', 'etc/shadow'],
  ['rm', '-rf', 'shadow'],
  ['id'],
  ['head', '-n1', 'a.txt'],
  ['curl', 'x'],
  ['mytool', '--flag', 'passwd'],
];

function simple(r: Random, depth: number): string {
  const before: string[] = [];
  const words = r.pick(TARGETS).map(each => (r.chance(60) ? word(r, each, before) : each));
  const line = wrapped(r, words.join(r.chance(10) ? '\t' : ' '), words, depth);
  return [...before, line].join(r.chance(50) ? '; ' : '\n');
}

/** Only what can stand inside other quotes: no double ones of its own. */
function wrapped(r: Random, line: string, words: readonly string[], depth: number): string {
  const plain = !line.includes('\n');
  switch (r.below(24)) {
    case 0:
      return `${r.pick(['env', 'nohup', 'nice -n 1', 'timeout 5', 'stdbuf -oL', 'setsid -w', 'env A=B', 'command', 'exec', 'env -i PATH="$PATH"', 'nice -1', 'timeout -s KILL 5', 'command -p --'])} ${line}`;
    case 1:
      return `eval ${quote(line)}`;
    case 2:
      return `eval ${line}`;
    case 3:
      return `${r.pick(['bash -c', 'sh -c', 'bash -ec'])} ${quote(line)}`;
    case 4:
      return `echo ${quote(line)} | ${r.pick(['sh', 'bash', 'bash -s', 'cat | sh'])}`;
    case 5:
      return `bash <<< ${quote(line)}`;
    case 6:
      return plain ? `sh <<'E'\n${line}\nE\n` : line;
    case 7:
      return `echo "$(${line})"`;
    case 8:
      return `: <(${line}); wait $!`;
    case 9:
      return `(${line})`;
    case 10:
      return `{ ${line}\n}`;
    case 11:
      return `fn() { ${line}\n}; fn`;
    case 12:
      return `fn() { "$@"; }; fn ${line}`;
    case 13:
      return `trap ${quote(line)} EXIT`;
    case 14:
      return `if ${line}\nthen :; fi`;
    case 15:
      return `for q in 1 2; do ${line}\ndone`;
    case 16:
      return `set -- ${line}\n"$@"`;
    case 17:
      return `arr=(${line})\n"\${arr[@]}"`;
    case 18:
      return `echo ${quote(words.at(-1) ?? '')} | xargs ${words.slice(0, -1).join(' ') || 'id'}`;
    case 19:
      return `find . -maxdepth 1 -name a.txt -exec ${line} \\;`;
    case 20:
      return `case x in y) :;; *) ${line}\n;; esac`;
    case 21:
      return `x=$(( 1 + $(${line}\necho 1) ))`;
    case 22:
      return depth < 2 ? `${simple(r, depth + 1)}\n${line}` : line;
    default:
      return line;
  }
}

interface Call {
  name: string;
  args: string[];
}

function runReally(text: string): Call[] {
  writeFileSync(log, '');
  spawnSync('/bin/bash', ['-c', text], { cwd: work, env: { PATH: bin, HOME: work }, timeout: 5000, stdio: ['ignore', 'ignore', 'ignore'] });
  return readFileSync(log, 'utf8')
    .split('\x1e')
    .filter(each => each !== '')
    .map(each => {
      const [name = '', ...args] = each.split('\x1f').slice(0, -1);
      return { name, args };
    });
}

/** Could this sequence of patterns be these words? `**` of an open command stands for any number, a glob for one or more. */
function fits(patterns: readonly string[], words: readonly string[], open: boolean): boolean {
  const memo = new Map<number, boolean>();
  const from = (i: number, j: number): boolean => {
    const key = i * 1000 + j;
    const known = memo.get(key);
    if (known !== undefined) return known;
    const pattern = patterns[i];
    const one = words[j];
    let result: boolean;
    if (pattern === undefined) result = j === words.length;
    else if (open && pattern === '**') result = from(i + 1, j) || (j < words.length && from(i, j + 1));
    else {
      const fitsOne = one !== undefined && intersects(parseGlob(pattern.startsWith('~') ? `\\${pattern}` : pattern), one.split(''));
      result = fitsOne && (from(i + 1, j + 1) || (/[*?[]/.test(pattern) && from(i, j + 1)));
    }
    memo.set(key, result);
    return result;
  };
  return from(0, 0);
}

function uncovered(text: string, calls: readonly Call[]): Call[] {
  const analysis = analyseShell(text, { directories: [work] });
  if (analysis.error !== undefined || analysis.opaque.length > 0) return [];
  return calls.filter(
    ({ name, args }) =>
      !analysis.commands.some(
        command => intersects(parseGlob(command.program), name.split('')) && fits(command.argv.slice(1), args, command.open),
      ),
  );
}

const SEED = Number(process.env['SALLYPORT_FUZZ_SEED'] ?? 20_261_121);
const ROUNDS = Number(process.env['SALLYPORT_FUZZ_ROUNDS'] ?? 400);

test('whatever a real bash runs was seen, or the text was called opaque', () => {
  const r = new Random(SEED);
  let ran = 0;
  let judged = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const text = simple(r, 0);
    const calls = runReally(text);
    const missed = uncovered(text, calls);
    assert.deepEqual(missed, [], `seed ${SEED}, round ${round}: ${JSON.stringify(text)}\n${JSON.stringify(analyseShell(text), null, 1)}`);
    ran += calls.length;
    const analysis = analyseShell(text);
    if (analysis.opaque.length === 0 && analysis.error === undefined) judged += calls.length;
  }
  // Calling everything opaque would be sound and useless.
  assert.ok(ran > ROUNDS / 2, `only ${ran} calls were made`);
  assert.ok(judged > ran / 3, `only ${judged} of ${ran} calls were judged`);
});

test('the comparison itself finds what is not covered', () => {
  assert.deepEqual(uncovered('cat x', [{ name: 'cat', args: ['x'] }]), []);
  assert.equal(uncovered('cat x', [{ name: 'cat', args: ['y'] }]).length, 1);
  assert.equal(uncovered('cat x', [{ name: 'rm', args: [] }]).length, 1);
  assert.ok(runReally('cat "b c"; id').length === 2);
});
