import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import { detectCommand } from './detect.ts';

async function detect(argv: string[], input = ''): Promise<{ code: number; out: string; err: string }> {
  const written = { out: '', err: '' };
  const into = (key: 'out' | 'err'): Writable =>
    new Writable({
      write(chunk, _encoding, done) {
        written[key] += String(chunk);
        done();
      },
    });
  const code = await detectCommand(argv, { stdin: Readable.from([Buffer.from(input)]), stdout: into('out'), stderr: into('err') });
  return { code, ...written };
}

test('JSON lines give spans in code points', async () => {
  const { code, out } = await detect(['--jsonl'], '{"id":"a","text":"é😀 mail bob@example.com"}\n\n{"id":2,"text":"nothing"}\n');
  assert.equal(code, 0);
  assert.equal(out, '{"id":"a","spans":[[8,23,"email"]]}\n{"id":2,"spans":[]}\n');
});

test('a broken line is told and does not stop the others', async () => {
  const { code, out, err } = await detect(['--jsonl'], 'x\n{"id":1}\n{"id":3,"text":"bob@example.com"}\n');
  assert.equal(code, 1);
  assert.equal(out, '{"id":3,"spans":[[0,15,"email"]]}\n');
  assert.match(err, /line 1 .*\nline 2 /);
});

test('only the chosen detectors are run, and the value is never printed', async () => {
  const { out } = await detect(['--detectors', 'email,secrets'], 'first\nbob@example.com 123-45-6789\n');
  assert.equal(out, '-:2:1: email (15 bytes)\n');
});

test('files, --json, --exit-code and gitleaks rules', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'detect-'));
  try {
    const file = path.join(folder, 'app.env');
    const rules = path.join(folder, 'rules.toml');
    await writeFile(file, 'A=1\nKEY=acme_12345\n');
    await writeFile(rules, "[[rules]]\nid = \"acme\"\nregex = '''acme_\\d{5}'''\nkeywords = [\"acme\"]\n");
    const { code, out } = await detect([file, '--detectors', 'email', '--gitleaks', rules, '--json', '--exit-code']);
    assert.equal(code, 1);
    assert.deepEqual(JSON.parse(out), [{ file, line: 2, column: 5, start: 8, end: 18, detector: 'acme' }]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('usage errors give 2, failures 1', async () => {
  assert.equal((await detect(['--nope'])).code, 2);
  assert.equal((await detect(['--json', '--jsonl'])).code, 2);
  assert.equal((await detect(['--detectors', 'nope'])).code, 1);
  assert.equal((await detect(['/does/not/exist'])).code, 1);
  assert.match((await detect(['--help'])).out, /^usage: sallyport detect/);
});
