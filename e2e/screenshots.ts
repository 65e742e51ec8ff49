/**
 * Makes the pictures of docs/guides: `node e2e/screenshots.ts`. A demo of its own, some traffic, one held command; every picture is of
 * the real console with what is really recorded.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startChromium, visit } from './components/chromium.ts';
import { startDemo } from './components/demo.ts';

const folder = path.join(import.meta.dirname, '..', 'docs', 'guides', 'images');
mkdirSync(folder, { recursive: true });
const rules = `apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: releases }
spec:
  resources: { names: [crm] }
  rules:
    - name: changes
      match: { statements: [update, delete] }
      action: hold
      message: Changes need a second person of each team.
      approval: { from: { groups: [dba, privacy-office] }, expiresIn: 15m, preview: true }
`;

const freeze = `apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: freeze }
spec:
  resources: { names: [crm] }
  rules:
    - { name: no-updates, match: { statements: [update, delete] }, action: deny, message: "Not before Monday." }
`;
const secondPerson = `apiVersion: sallyport.dev/v1
kind: AccessPolicy
metadata: { name: second-person }
spec: { roles: [admin], members: { groups: [privacy-office] } }
`;

const demo = await startDemo();
const browser = await startChromium();
try {
  await demo.apply(rules);
  await demo.apply(secondPerson);
  const { console } = demo.endpoints();
  const [alice, carol] = [await demo.connect('alice'), await demo.connect('carol')];
  for (let each = 1; each <= 12; each++) {
    await alice.query(`select id, name, email, phone from customers where id = ${each}`);
    await carol.query(`select o.id, o.amount, c.email from orders o join customers c on c.id = o.customer_id where c.id = ${each} limit 3`);
  }
  await alice.query('select name, value from app_secrets order by name');
  await alice.query('select id, name, email, card_number from customers order by id limit 5');
  for (const refused of ['drop table orders', 'select username, password from app_users'])
    await alice.query(refused).catch(() => undefined); // That is what is to be seen.
  const bot = await demo.connect('billing-bot');
  await bot.query('select count(*) from orders');
  await bot.query('update orders set amount = 0 where id = 1').catch(() => undefined);
  const released = alice.query('update orders set amount = amount * 0.9 where id between 10 and 14');
  // Everything recorded must be in the store before it is looked at.
  await new Promise(resolve => setTimeout(resolve, 6000));

  const bob = await visit(browser, console, 'bob');
  const dark = await visit(browser, console, 'carol', { theme: 'dark' });
  const telephone = await visit(browser, console, 'bob', { width: 390, height: 780 });
  const picture = async (visitor: typeof bob, name: string) => {
    await visitor.page.waitForTimeout(700);
    await visitor.page.screenshot({ path: path.join(folder, `${name}.png`) });
  };
  const proposal = path.join(mkdtempSync(path.join(os.tmpdir(), 'sallyport-pictures-')), 'freeze.yaml');
  writeFileSync(proposal, freeze);
  const proposed = await demo.sallyport('apply', '-f', proposal, '--propose', '--as', 'bob', '--reason', 'ticket 42: freeze until Monday');
  rmSync(path.dirname(proposal), { recursive: true });
  await dark.open(`/changes/${proposed.slice(0, 36)}`);
  await dark.page.getByRole('button', { name: 'Replay the last week under it' }).click();
  await dark.page.getByText(/would be decided otherwise/).waitFor();
  await picture(dark, 'change-dark');
  await bob.open('/custody?view=anchors');
  await bob.page.getByRole('button', { name: 'Keep this head' }).click();
  await bob.page.getByText('The log goes on from the one head').waitFor();
  await picture(bob, 'anchors');
  await bob.open('/overview');
  await picture(bob, 'overview');
  await bob.open('/resources');
  await bob.page.getByRole('button', { name: 'Connect' }).click();
  await bob.page.locator('dialog code', { hasText: 'psql' }).waitFor();
  await picture(bob, 'connect');
  const keys = mkdtempSync(path.join(os.tmpdir(), 'sallyport-pictures-'));
  execFileSync('ssh-keygen', ['-q', '-N', '', '-t', 'ed25519', '-C', 'deploys', '-f', path.join(keys, 'bot')], { stdio: 'pipe' });
  await demo.sallyport('ssh-key', 'add', path.join(keys, 'bot.pub'), '--expires-in', '90d', '--service-account', 'billing-bot');
  rmSync(keys, { recursive: true });
  await bob.open('/ssh-keys');
  await bob.page.getByRole('button', { name: /^Register a key/ }).click();
  await bob.page.locator('dialog code', { hasText: 'ssh-keygen' }).waitFor();
  await picture(bob, 'ssh-keys');
  await bob.open('/sessions?q=who:alice@example.com');
  await bob.page.locator('.vrow').first().click();
  await bob.page.locator('.cmd', { hasText: 'card_number' }).click();
  await bob.page.getByRole('region', { name: 'Rows of the answer' }).scrollIntoViewIfNeeded();
  await picture(bob, 'session');
  await bob.open('/inbox');
  await bob.page.keyboard.press('j');
  await bob.page.locator('.approval').waitFor();
  await picture(bob, 'inbox');
  await telephone.open('/inbox');
  await telephone.page.locator('.item').first().tap();
  await telephone.page.locator('.approval').waitFor();
  await picture(telephone, 'inbox-telephone');
  for (const { page, open } of [bob, dark]) {
    await open('/inbox');
    await page.locator('.item').first().click();
    await page.getByRole('button', { name: 'Approve' }).waitFor();
    await page.keyboard.press('a');
    await page.keyboard.press('Enter');
    await page
      .getByText(/You have approved it|approved/)
      .first()
      .waitFor();
  }
  await released;
  await bob.open('/policies/DataPolicy/customer-data?view=yaml');
  await bob.page.getByRole('textbox', { name: 'DataPolicy as YAML' }).waitFor();
  await picture(bob, 'policy');
  await bob.open('/workbench');
  await bob.page.getByLabel('As', { exact: true }).fill('alice@example.com');
  await bob.page.getByRole('button', { name: /^Explain Ctrl/ }).click();
  await bob.page.getByRole('region', { name: 'Explanation' }).locator('.badge').first().waitFor();
  await picture(bob, 'workbench');
  await dark.open('/commands?q=decision:denied');
  await dark.page.locator('.vrow').first().waitFor();
  await picture(dark, 'commands-dark');
  await dark.open('/data');
  await picture(dark, 'data-map-dark');
  await dark.open('/evidence/who-read?column=public.customers.email');
  await dark.page.getByRole('region', { name: 'Answer' }).waitFor();
  await picture(dark, 'evidence-dark');
  for (const client of [alice, carol, bot]) await client.end();
} finally {
  await browser.close();
  await demo.stop();
}
