/** Two people change a policy: one proposes it by command line or in the browser, the other approves it in theirs. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { startChromium, visit } from './components/chromium.ts';
import { type Demo, startDemo } from './components/demo.ts';

let demo: Demo;
let browser: Browser;
const dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-changes-'));
const file = path.join(dir, 'guard.yaml');

const guard = (message: string) => `apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: freeze }
spec:
  resources: { names: [crm] }
  rules:
    - { name: no-updates, match: { statements: [update] }, action: deny, message: "${message}" }
`;

before(async () => {
  demo = await startDemo({ SALLYPORT_TWO_PERSON_APPLY: '1' });
  browser = await startChromium();
  await demo.apply(`apiVersion: sallyport.dev/v1
kind: AccessPolicy
metadata: { name: second-person }
spec: { roles: [admin], members: { groups: [privacy-office] } }
`);
});

after(async () => {
  await browser?.close();
  await demo?.stop();
  rmSync(dir, { recursive: true, force: true });
});

test('a change is proposed by command line, reviewed live in a browser with its replay, approved, and in force', async () => {
  const [bob, carol] = [
    await visit(browser, demo.endpoints().console, 'bob'),
    await visit(browser, demo.endpoints().console, 'carol', { theme: 'dark' }),
  ];
  await Promise.all([bob, carol].map(visitor => visitor.open('/changes')));
  await carol.page.getByText('No change of policy was proposed').waitFor();
  writeFileSync(file, guard('Not before Monday <b>.'));
  await assert.rejects(demo.sallyport('apply', '-f', file, '--propose', '--as', 'bob'), /--propose wants --reason/);
  const printed = await demo.sallyport('apply', '-f', file, '--propose', '--as', 'bob', '--reason', 'a freeze <i>');
  assert.match(
    printed,
    /: proposed\n {2}proposed by bob@example\.com.*a freeze <i>\nGuard\/freeze created\n {2}\+ .*Not before Monday <b>/,
  );
  const id = printed.slice(0, 36);
  assert.match(await demo.sallyport('changes', 'list', '--as', 'carol'), new RegExp(`${id} +proposed +bob@example\\.com`));
  await assert.rejects(demo.sallyport('changes', 'approve', id, '--as', 'bob'), /Who proposes a change does not approve it/);

  // Nobody reloads anything.
  for (const { page } of [bob, carol]) await page.locator('.item', { hasText: 'a freeze <i>' }).click();
  await bob.page.getByText('This is yours: somebody else has to approve it.').waitFor();
  assert.equal(await bob.page.getByRole('button', { name: 'Approve and apply' }).count(), 0);
  await carol.page.locator('.diff .add', { hasText: 'message: Not before Monday <b>.' }).waitFor();
  await carol.page.getByRole('button', { name: 'Replay the last week under it' }).click();
  await carol.page.getByText(/would be decided otherwise/).waitFor();
  assert.deepEqual([...(await bob.violations()), ...(await carol.violations())], []);
  await bob.screenshot('change-light');
  await carol.screenshot('change-dark');
  await carol.page.keyboard.press('a');
  await carol.page.keyboard.type('agreed');
  await carol.page.keyboard.press('Enter');
  for (const { page } of [bob, carol])
    await page.getByRole('region', { name: 'Change' }).locator('.badge', { hasText: 'applied' }).waitFor();
  assert.match(await demo.sallyport('get', 'guard', 'freeze'), /Not before Monday/);
  assert.match(await demo.sallyport('changes', 'list', '--all', '--as', 'carol'), new RegExp(`${id} +applied`));
  for (const { complaints, close } of [bob, carol]) {
    assert.deepEqual(complaints, []);
    await close();
  }
});

test('the editor proposes where it may not apply; what is stale by then is said on a telephone, and not applied', async () => {
  const bob = await visit(browser, demo.endpoints().console, 'bob');
  await bob.open('/policies/Guard/sql-safety?view=yaml');
  await bob.page.getByRole('textbox', { name: 'Guard as YAML' }).click();
  await bob.page.keyboard.press('Control+End');
  await bob.page.keyboard.type('  priority: 7');
  await bob.page.keyboard.press('Control+Enter');
  await bob.page.getByText('+ spec.priority: 7').waitFor();
  await bob.page.getByLabel('Reason').fill('first things first');
  await bob.page.getByRole('button', { name: 'Apply' }).click();
  await bob.page.getByText('Changes need a second person here.').waitFor();
  await bob.page.getByRole('button', { name: 'Propose it' }).click();
  await bob.page.waitForURL(/\/changes\/[0-9a-f-]{36}/);
  await bob.page.getByText('This is yours').waitFor();
  const { pathname } = new URL(bob.page.url());

  const carol = await visit(browser, demo.endpoints().console, 'carol', { width: 390, height: 780 });
  await carol.open(pathname);
  await carol.page.getByRole('button', { name: 'Approve and apply' }).waitFor();
  assert.deepEqual(await carol.violations(), []);
  const width = await carol.page.evaluate(() => (globalThis as unknown as { document: Page }).document.documentElement.scrollWidth);
  assert.ok(width <= 390, `nothing beside the screen: ${width}`);
  await carol.screenshot('change-telephone');
  await demo.apply(`apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: sql-safety }
spec: { resources: { names: [crm] }, rules: [{ name: none, match: { statements: [drop] }, action: deny, message: "No." }] }
`);
  await carol.page.getByText('It is not applied any more').waitFor();
  assert.equal(await carol.page.getByRole('button', { name: 'Approve and apply' }).isDisabled(), true);
  for (const { complaints, close } of [bob, carol]) {
    assert.deepEqual(complaints, []);
    await close();
  }
});

test('protecting a column is proposed from the data map where a second person is needed', async () => {
  const alice = await demo.connect('alice');
  await alice.query('select name, value from app_secrets');
  await alice.end();
  const bob = await visit(browser, demo.endpoints().console, 'bob');
  await bob.open('/data?show=unlabelled');
  const row = bob.page.locator('tr', { hasText: 'public.app_secrets.value' }).first();
  for (let attempt = 0; (await row.count()) === 0; attempt++) {
    assert.ok(attempt < 600, 'the finding did not arrive');
    await new Promise(resolve => setTimeout(resolve, 300));
    await bob.open('/data?show=unlabelled');
    await bob.page.getByText('The last seven days').waitFor();
  }
  await row.getByRole('button', { name: 'Protect this column' }).click();
  await bob.page.keyboard.press('Enter');
  await bob.page.getByText('Changes need a second person here.').waitFor();
  await bob.page.getByRole('button', { name: 'Propose it' }).click();
  await bob.page.waitForURL(/\/changes\/[0-9a-f-]{36}/);
  await bob.page.getByText('protect public.app_secrets.value').first().waitFor();
  assert.deepEqual(bob.complaints, []);
  await bob.close();
});

interface Page {
  documentElement: { scrollWidth: number };
}
