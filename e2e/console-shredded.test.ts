/** A terminal session whose contents were shredded: gone for the search, the command line and the console, which say why. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { type Bastion, startBastion } from './components/bastion.ts';
import { startChromium, visit } from './components/chromium.ts';
import { runProgram } from './components/ssh-client.ts';
import { PROMPT } from './components/terminal.ts';

const cli = path.join(import.meta.dirname, '..', 'cli', 'bin', 'sallyport.js');
let bastion: Bastion;
let browser: Browser;

before(async () => {
  bastion = await startBastion({
    extra: `---
apiVersion: sallyport.dev/v1
kind: AuditPolicy
metadata: { name: erasable }
spec: { resources: {}, erasable: true }
---
apiVersion: sallyport.dev/v1
kind: AccessPolicy
metadata: { name: auditors }
spec: { roles: [auditor], members: { groups: [leads] } }
`,
  });
  browser = await startChromium();
});
after(async () => {
  await browser?.close();
  await bastion?.stop();
});

const asAdmin = (...args: string[]) => runProgram(process.execPath, [cli, ...args, '--data', bastion.gateway.data]);

/** A terminal that shows a text; what is sealed once the agent has a key to seal to. @returns the session. */
async function shownOnTerminal(): Promise<string> {
  for (let number = 0; ; number += 1) {
    const terminal = await bastion.terminal([], { columns: 90, rows: 25 });
    const at = await terminal.until(PROMPT);
    terminal.type('echo a needle in the hay\r');
    await terminal.until(PROMPT, at + 25);
    terminal.type('exit\r');
    await terminal.ended;
    const [row] = await bastion.gateway.eventually<{ session_id: string; key: string }>(
      `select session_id, (select any(JSONExtractString(body, 'contentKeyId')) from sallyport.records as r
         where type = 'session_started' and r.session_id = s.session_id) as key from sallyport.sessions as s where status = 'ended' order by started_at desc`,
      rows => rows.length === number + 1,
      180_000,
    );
    if (row !== undefined && row.key !== 'none') return row.session_id;
  }
}

test('what a terminal showed is played while it is sealed, never searched, and gone everywhere once it is shredded', async () => {
  const session = await shownOnTerminal();
  const played = await asAdmin('sessions', 'replay', session, '--speed', '0');
  assert.equal(played.code, 0, played.stderr);
  assert.match(played.stdout.toString(), /a needle in the hay/);
  assert.deepEqual(await bastion.gateway.query('select text from sallyport.output'), []);

  const asked = await asAdmin('evidence', 'shred', '--person', 'olga@example.com', '--reason', 'erasure request 12');
  assert.equal(asked.code, 0, asked.stderr);
  const done = await runProgram(
    process.execPath,
    [cli, 'evidence', 'shred', '--confirm', asked.stdout.toString().trim(), '--now', '--api', bastion.gateway.endpoints().api],
    { env: { SALLYPORT_TOKEN: await bastion.token('approver') } },
  );
  assert.equal(done.code, 0, done.stderr);

  for (const more of [[], ['--search', 'needle'], ['--output', path.join(bastion.gateway.dir, 'gone.cast')]]) {
    const gone = await asAdmin('sessions', 'replay', session, ...more);
    assert.equal(gone.code, 1);
    assert.match(gone.stderr, /What the terminal showed is shredded at .*confirmed by ada@example\.com: erasure request 12/);
    assert.ok(!gone.stdout.toString().includes('needle'));
  }

  const { console, adminToken } = bastion.gateway.endpoints();
  const visitor = await visit(browser, console, null);
  const { page } = visitor;
  await page.goto(`${console}/sessions/${session}`);
  const other = page.getByRole('button', { name: 'Use the administrator’s token' });
  await other.or(page.getByLabel('Administrator’s token')).first().waitFor();
  if (await other.isVisible()) await other.click();
  await page.getByLabel('Administrator’s token').fill(adminToken);
  await page.keyboard.press('Enter');
  const sentence = page.locator('[data-gone]').first();
  await sentence.waitFor();
  assert.match(await sentence.innerText(), /What the terminal showed is shredded at .*erasure request 12\. That it was recorded/);
  await visitor.screenshot('session-shredded');
  await page.getByRole('button', { name: 'Commands', exact: true }).click();
  await page.locator('.cmd').first().click();
  await page.getByText('What came back, its parameters and its error text are shredded at').first().waitFor();
  assert.deepEqual(await visitor.violations(), []);
  await visitor.close();
});
