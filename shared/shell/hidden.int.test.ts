/**
 * Lines that hide what they do, run in a real bash: each has to do its harm there, so that nobody counts what is none, and each has to
 * be stopped by the sample policy. They are run in a scratch folder with a file `etc/shadow` of its own, whose content must not come
 * out, an `etc/passwd` that must not change, and a program `evil` that writes down that it ran.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { analyseShell } from './analyse.ts';
import { SAMPLE_POLICY } from './corpus.ts';
import { asJudged, fixtureLines } from './fixtures.ts';
import { compileShellMatch, matchCompiled } from './match.ts';

const SECRET = 'c4n4ry-of-the-shadow-file';
const PASSWD = 'root\n';
const LINE_MS = 20_000;
/** What root may do to the machine no line shall: `nobody` runs them then. */
const OWNER = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : undefined;
/** Without root these do nothing; with it they touch nothing but themselves. */
const NEEDS_ROOT = /^(nsenter|unshare|chroot) /;
const lines = fixtureLines(readFileSync(path.join(import.meta.dirname, 'fixtures', 'evasions-proven.txt'), 'utf8'));

const base = mkdtempSync(path.join(tmpdir(), 'sallyport-hidden-'));
after(() => rmSync(base, { recursive: true, force: true }));
chmodSync(base, 0o755);
const PATH = '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin';

/** What every line finds; copied for each. */
const template = path.join(base, 'template');
for (const folder of ['etc/ssl', 'etc/shadow.d', 'bin', 'parts', 'work/copied', 'home', 'usr', 'x'])
  mkdirSync(path.join(template, folder), { recursive: true });
for (const [file, content] of [
  ['etc/shadow', `${SECRET}\n`],
  ['etc/passwd', PASSWD],
  ['etc/group', 'g\n'],
  ['parts/step', '#!/bin/bash\nevil\n'],
  ['evil.sh', 'evil\n'],
  ['work/x', 'x\n'],
  ['work/x.py', '1\n'],
] as const)
  writeFileSync(path.join(template, file), content);
chmodSync(path.join(template, 'parts/step'), 0o755);
execFileSync(
  '/bin/bash',
  [
    '-c',
    'git init -q repo && cd repo && git config user.email a@b && git config user.name a && echo x > x && git add x && git commit -qm x && echo y >> x',
  ],
  { cwd: path.join(template, 'work'), env: { PATH, HOME: path.join(template, 'home') } },
);

/** Does a copy of the secret lie anywhere but where it was? */
function leaks(folder: string, own: string): boolean {
  return readdirSync(folder).some(name => {
    const file = path.join(folder, name);
    const stat = lstatSync(file);
    if (stat.isDirectory()) return leaks(file, own);
    return stat.isFile() && file !== own && stat.size < 1_000_000 && readFileSync(file).includes(SECRET);
  });
}

/** @returns what it did: `ran`, `shown`, `changed`, `copied`, or `nothing` and its output. */
async function harm(text: string, index: number): Promise<string> {
  const root = path.join(base, String(index));
  cpSync(template, root, { recursive: true });
  writeFileSync(path.join(root, 'bin/evil'), `#!/bin/bash --norc\necho ran >> '${root}/log'\n`);
  chmodSync(path.join(root, 'bin/evil'), 0o755);
  const owner = NEEDS_ROOT.test(text) ? undefined : OWNER;
  if (owner !== undefined) execFileSync('chown', ['-R', `${owner.uid}:${owner.gid}`, root]);
  const child = spawn('/bin/bash', ['-c', text.replaceAll('@R', root)], {
    ...owner,
    cwd: path.join(root, 'work'),
    detached: true,
    env: { PATH: `${path.join(root, 'bin')}:${PATH}`, HOME: path.join(root, 'home'), TERM: 'dumb' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')));
  const endGroup = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  await new Promise<void>(resolve => {
    const timer = setTimeout(() => {
      endGroup();
      child.stdout.destroy();
      child.stderr.destroy();
      resolve();
    }, LINE_MS);
    child.on('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
  endGroup();
  const passwd = path.join(root, 'etc/passwd');
  const found = existsSync(path.join(root, 'log'))
    ? 'ran'
    : output.includes(SECRET)
      ? 'shown'
      : !existsSync(passwd) || readFileSync(passwd, 'latin1') !== PASSWD
        ? 'changed'
        : leaks(root, path.join(root, 'etc/shadow'))
          ? 'copied'
          : `nothing: ${output.slice(0, 300)}`;
  rmSync(root, { recursive: true, force: true });
  return found;
}

test('each line does its harm in a real bash', async () => {
  assert.ok(lines.length >= 1000);
  const harmless: string[] = [];
  let next = 0;
  const one = async (): Promise<void> => {
    for (let index = next++; index < lines.length; index = next++) {
      const text = lines[index]?.text ?? '';
      const did = await harm(text, index);
      if (did.startsWith('nothing')) harmless.push(`${text} did ${did}`);
    }
  };
  await Promise.all([one(), one(), one()]);
  assert.deepEqual(harmless, []);
  // The way it is found out tells harm from none.
  assert.match(await harm('ls; cat x @R/etc/group; echo y > x', lines.length), /^nothing/);
});

test('each is stopped', () => {
  const rules = Object.values({ ...SAMPLE_POLICY, evil: { programs: ['evil'] } }).flatMap(match => compileShellMatch(match) ?? []);
  const passed = lines.filter(({ text }) => {
    const judged = asJudged(text);
    // A terminal gets one line at a time.
    const ways = judged.includes('\n') ? [analyseShell(judged)] : [analyseShell(judged), analyseShell(judged, { interactive: true })];
    return ways.some(analysis => !rules.some(rule => matchCompiled(analysis, rule, 'deny')));
  });
  assert.deepEqual(
    passed.map(({ category, text }) => `${category}: ${text}`),
    [],
  );
});
