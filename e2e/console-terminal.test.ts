/** A terminal session in the console's player: played in its sandbox, found by what was shown, jumped to. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { type Bastion, startBastion } from './components/bastion.ts';
import { startChromium, visit } from './components/chromium.ts';
import { PROMPT } from './components/terminal.ts';

let bastion: Bastion;
let browser: Browser;
let session = '';

before(async () => {
  bastion = await startBastion({
    extra: `---
apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: hosts }
spec: { resources: {}, rules: [{ name: no-touch, match: { programs: [touch] }, action: deny }] }
---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: four-eyes }
spec: { members: { groups: [sales] }, resources: { names: [web] }, ssh: { shell: recorded, fourEyes: true } }
`,
  });
  browser = await startChromium();
  const terminal = await bastion.terminal([], { columns: 90, rows: 25 });
  let at = await terminal.until(PROMPT);
  for (const line of ['echo a needle in the hay', 'touch x', "printf '\\033]2;<img src=x>\\007<b>bold</b>\\n'", 'exit']) {
    terminal.type(`${line}\r`);
    if (line !== 'exit') at = await terminal.until(PROMPT, at + line.length);
  }
  await terminal.ended;
  const [row] = await bastion.gateway.eventually<{ session_id: string }>(
    `select session_id from sallyport.commands where kind = 'ssh-shell' and tag != ''`,
    rows => rows.length > 0,
  );
  session = row?.session_id ?? '';
});

after(async () => {
  await browser?.close();
  await bastion?.stop();
});

async function signIn(page: Page, adminToken: string): Promise<void> {
  const other = page.getByRole('button', { name: 'Use the administrator’s token' });
  await other.or(page.getByLabel('Administrator’s token')).first().waitFor();
  if (await other.isVisible()) await other.click();
  await page.getByLabel('Administrator’s token').fill(adminToken);
  await page.keyboard.press('Enter');
}

test('a terminal session is played, searched and jumped through, in a document that can reach nothing', async () => {
  const { console, adminToken } = bastion.gateway.endpoints();
  const visitor = await visit(browser, console, null);
  const { page } = visitor;
  await page.goto(`${console}/sessions/${session}`);
  await signIn(page, adminToken);

  await page.locator('iframe[data-ready="true"]').waitFor();
  const player = page.frameLocator('iframe');
  await player.locator('.ap-player').waitFor();
  const jumps = page.getByRole('list', { name: 'Lines that were typed' });
  await jumps.locator('li', { hasText: 'touch x' }).getByText('denied').waitFor();
  assert.deepEqual(await visitor.violations(), []);
  await page.getByLabel('Find in what was shown').fill('needle in');
  await page.getByRole('list', { name: 'Found' }).getByRole('button').last().click();
  await player.locator('.ap-term-text, .ap-term').first().waitFor();
  await visitor.screenshot('terminal');

  const reach = await page.frames()[1]?.evaluate(async () => {
    const tried = async (work: () => unknown) => {
      try {
        await work();
        return 'reached';
      } catch (error) {
        return (error as Error).name;
      }
    };
    const scope = globalThis as unknown as {
      parent: { document: unknown };
      localStorage: unknown;
      fetch: (url: string) => Promise<unknown>;
    };
    return [await tried(() => scope.parent.document), await tried(() => scope.localStorage), await tried(() => scope.fetch('/v1/me'))];
  });
  assert.deepEqual(reach, ['SecurityError', 'SecurityError', 'TypeError']);
  await page.getByRole('button', { name: 'Commands', exact: true }).click();
  await page.locator('.cmd', { hasText: 'touch x' }).waitFor();
  // The attempt above is what the policy is there to refuse.
  assert.deepEqual(
    visitor.complaints.filter(each => !/\/v1\/me|Refused to connect|violates the following Content Security Policy/.test(each)),
    [],
  );
  await visitor.close();
});

test('a session that runs before four eyes alone begins when somebody watches it in the console, and ends with their leaving', async () => {
  const { console, adminToken } = bastion.gateway.endpoints();
  const connecting = bastion.terminal([], { as: 'stranger', columns: 70, rows: 18 });
  const [open] = await bastion.gateway.eventually<{ session_id: string }>(
    `select session_id from sallyport.sessions where principal = 'sid@example.com' and status = 'open'`,
    rows => rows.length === 1,
  );
  const visitor = await visit(browser, console, null);
  const { page } = visitor;
  await page.goto(`${console}/sessions/${open?.session_id ?? ''}`);
  await signIn(page, adminToken);
  await page.getByRole('button', { name: 'Watch' }).click();
  await page.getByText('You are watching.').waitFor();
  const terminal = await connecting;
  const at = await terminal.until(PROMPT);
  terminal.type('echo seen by two\r');
  await terminal.until(PROMPT, at + 'echo seen by two'.length);
  const player = page.frameLocator('iframe');
  await player.getByText('seen by two').last().waitFor();
  assert.deepEqual(await visitor.violations(), []);
  await visitor.screenshot('terminal-live');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Watch' }).waitFor();
  await terminal.ended;
  assert.deepEqual(visitor.complaints, []);
  await visitor.close();
});
