import assert from 'node:assert/strict';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { CATALOG, POLICY } from '@sallyport/shared/rehearsal/fixture.testing.ts';
import { run } from '../main.ts';
import { watchedTerminal } from '../watched-terminal.testing.ts';

async function folder(): Promise<string> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'sallyport-policy-'));
  await writeFile(path.join(dir, 'policy.yaml'), POLICY);
  await writeFile(path.join(dir, 'crm.catalog.json'), JSON.stringify(CATALOG));
  return dir;
}

test('policy explain, offline: manifests and the catalog beside them', async () => {
  const config = await folder();
  const args = ['policy', 'explain', '--config', config, '--resource', 'crm', '--as', 'ada@example.com', '--groups', 'support'];
  const people = watchedTerminal();
  assert.equal(await run([...args, 'SELECT email FROM customers'], people), 0);
  assert.match(people.outLines.join('\n'), /email {2}masked \(partial\) {2}is public\.customers\.email by pii\/public\.customers\.email/);
  const machines = watchedTerminal();
  assert.equal(await run([...args, '--json', 'DROP TABLE customers'], machines), 0);
  const { decision, facts } = JSON.parse(machines.outLines.join('\n'));
  assert.deepEqual([decision.action, decision.rule, facts.statements], ['deny', 'safety/no-ddl', ['drop-table']]);
  for (const [argv, code, message] of [
    [['policy', 'explain', '--config', config, '--resource', 'crn', '--as', 'x', 'SELECT 1'], 1, /no resource crn; did you mean `crm`/],
    [['policy', 'explain', '--resource', 'crm', '--as', 'x', '--catalog', 'f', 'SELECT 1'], 2, /--catalog goes with --config/],
    [['policy', 'explain', '--resource', 'crm', '--as', 'x', '--kind', 'robot', 'SELECT 1'], 2, /--kind is person or workload/],
  ] as const) {
    const terminal = watchedTerminal();
    assert.equal(await run(argv, terminal), code);
    assert.match(terminal.errLines.join('\n'), message);
  }
});

test('policy test: the guide’s own table, and one that fails', async () => {
  const config = await folder();
  const guide = await readFile(new URL('../../docs/guides/write-a-policy.md', import.meta.url), 'utf8');
  const example = /```yaml\n([\s\S]*?)```/.exec(guide)?.[1] ?? '';
  const file = path.join(config, 'crm.test.yaml');
  await writeFile(file, example);
  const good = watchedTerminal();
  assert.equal(await run(['policy', 'test', config], good), 0, good.errLines.join('\n'));
  assert.deepEqual(good.outLines, ['crm', '  ✔ support sees addresses in part', '  ✔ DROP TABLE customers', '  ✔ SELECT 1']);
  await writeFile(file, example.replace('rule: safety/no-ddl', 'rule: safety/other'));
  const bad = watchedTerminal();
  assert.equal(await run(['policy', 'test', config, '--json'], bad), 1);
  const { passed, failed, cases } = JSON.parse(bad.outLines.join('\n'));
  assert.deepEqual([passed, failed, cases[1].ok, cases[1].line], [2, 1, false, 13]);
  assert.match(bad.errLines.join(''), /1 of 3 cases failed/);
  await writeFile(file, example.replace('resource: crm', 'resource: crn'));
  const wrong = watchedTerminal();
  assert.equal(await run(['policy', 'test', config], wrong), 1);
  assert.match(wrong.errLines.join('\n'), /crm\.test\.yaml:10:17: there is no resource `crn`; did you mean `crm`\?/);
});
