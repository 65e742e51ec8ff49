/** Approving in real browsers: two people at once, a telephone, and whoever asked. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { type Look, startChromium, type Visitor, visit } from './components/chromium.ts';
import { type Demo, startDemo } from './components/demo.ts';

let demo: Demo;
let browser: Browser;

const rules = `apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: releases }
spec:
  resources: { names: [crm] }
  rules:
    - { name: seen-by-support, match: { statements: [delete] }, when: "principal.name == 'carol@example.com'", action: hold, message: "Support knows <b>why</b>.", approval: { from: { groups: [support] }, expiresIn: 10m } }
    - { name: deletes, match: { statements: [delete] }, action: hold, message: "Deleting needs a dba.", approval: { from: { groups: [dba] }, expiresIn: 10m } }
    - { name: priced, match: { statements: [update], objects: ["*.customers"] }, action: hold, message: "Customers need a dba.", approval: { from: { groups: [dba] }, expiresIn: 10m, preview: true } }
    - { name: updates, match: { statements: [update] }, action: hold, message: "Changes need two.", approval: { from: { groups: [dba, privacy-office] }, expiresIn: 10m } }
---
apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: oncall }
spec:
  members: {}
  resources: { names: [crm] }
  session: { idleTimeout: 10m }
  requests: { by: { groups: [support] }, approval: { from: { groups: [dba] }, expiresIn: 1h }, maxDuration: 4h }
`;

before(async () => {
  demo = await startDemo();
  browser = await startChromium();
  await demo.apply(rules);
});

after(async () => {
  await browser?.close();
  await demo?.stop();
});

const at = (person: string, look: Look = {}) => visit(browser, demo.endpoints().console, person, look);

async function closed(...visitors: Visitor[]): Promise<void> {
  for (const { complaints, close } of visitors) {
    assert.deepEqual(complaints, []);
    await close();
  }
}

test('two people approve at once in two browsers, by keyboard, each seeing what the other does; whoever asked only watches', async () => {
  const alice = await demo.connect('alice');
  const [bob, carol, own] = [await at('bob'), await at('carol', { theme: 'dark' }), await at('alice')];
  await Promise.all([bob, carol, own].map(visitor => visitor.open('/inbox')));
  await bob.page.getByText('Nothing waits').waitFor();

  const update = alice.query('update orders set amount = amount + 1 where id = 1');
  // Nobody reloads anything.
  for (const { page } of [bob, carol, own]) await page.locator('.item', { hasText: 'alice@example.com' }).waitFor();
  await bob.page.getByTitle('1 wait for you').waitFor();

  await own.page.locator('.item').click();
  await own.page.getByText('This is yours: somebody else has to answer it.').waitFor();
  assert.equal(await own.page.getByRole('button', { name: 'Approve' }).count(), 0);

  for (const { page } of [bob, carol]) {
    await page.keyboard.press('j');
    await page.getByText('0 of 2 approvals').waitFor();
    assert.equal(await page.locator('.approval .sql').textContent(), 'update orders set amount = amount + 1 where id = 1');
    await page.locator('.timer').first().waitFor();
  }
  assert.deepEqual([...(await bob.violations()), ...(await carol.violations())], []);
  await bob.screenshot('inbox-light');

  await bob.page.keyboard.press('a');
  await bob.page.keyboard.type('ticket 17 <b>');
  await bob.page.keyboard.press('Enter');
  for (const { page } of [bob, carol, own]) await page.getByText('1 of 2 approvals').waitFor();
  await carol.page.getByText('bob@example.com').waitFor();
  await bob.page.getByText('You have approved it; others are still needed.').waitFor();
  await carol.screenshot('inbox-dark');

  await carol.page.keyboard.press('a');
  await carol.page.keyboard.press('Enter');
  assert.equal((await update).rowCount, 1);
  for (const { page } of [bob, carol, own]) await page.locator('.approval .badge', { hasText: 'approved' }).waitFor();
  await bob.page.getByText('Nothing else waits.').waitFor();
  await alice.end();
  await closed(bob, carol, own);
});

test('a denial reaches whoever waits, with its reason; what two answer at once is answered once', async () => {
  const alice = await demo.connect('alice');
  const [bob, second] = [await at('bob'), await at('bob')];
  const refused = assert.rejects(alice.query('delete from orders where id = 2'), /not on a Friday/);
  for (const { page, open } of [bob, second]) {
    await open('/inbox');
    await page.locator('.item').click();
    await page.getByRole('button', { name: 'Deny' }).waitFor();
  }
  await bob.page.keyboard.press('d');
  await bob.page.keyboard.press('Enter');
  assert.equal(await bob.page.locator('.approval .badge', { hasText: 'denied' }).count(), 0, 'a denial needs its reason');
  await bob.page.keyboard.type('not on a Friday');
  await bob.page.keyboard.press('Enter');
  await refused;
  await second.page.getByText('not on a Friday').waitFor();
  assert.equal(await second.page.getByRole('button', { name: 'Approve' }).count(), 0);
  await alice.end();
  await closed(bob, second);
});

test('whoever answers sees why it is held, what the same person did last, and what others decided on the same command', async () => {
  const [carol, asker] = [await demo.connect('carol'), await demo.connect('alice')];
  const [alice, bob] = [await at('alice'), await at('bob')];
  const refused = assert.rejects(carol.query('delete from orders where id = 888801'), /the wrong order/);
  await alice.open('/inbox');
  await alice.page.locator('.item', { hasText: 'carol@example.com' }).click();
  await alice.page.getByText('Support knows <b>why</b>.').waitFor();
  await alice.page.keyboard.press('d');
  await alice.page.keyboard.type('the wrong order');
  await alice.page.keyboard.press('Enter');
  await refused;
  const second = assert.rejects(carol.query('delete from orders where id = 888802'), /again/);
  await alice.open('/inbox');
  await alice.page.locator('.item', { hasText: '888802' }).click();
  const others = alice.page.getByRole('region', { name: 'Others like it' });
  await others.getByText('alice@example.com: the wrong order').waitFor();
  assert.match(String(await others.textContent()), /888801/);
  assert.equal(await others.getByRole('link', { name: 'all' }).count(), 0, 'the records are for auditors');
  assert.equal(await alice.page.getByText('Their last commands').count(), 0, 'and so is what somebody did');
  assert.deepEqual(await alice.violations(), []);
  await alice.screenshot('inbox-alike');
  await alice.page.keyboard.press('d');
  await alice.page.keyboard.type('again');
  await alice.page.keyboard.press('Enter');
  await second;
  // Somebody of the same rule sees nothing of approvals that are not theirs to answer.
  await asker.query('select 4711 as seen');
  const third = assert.rejects(asker.query('delete from orders where id = 888803'), /enough/);
  await bob.open('/inbox');
  await bob.page.locator('.item', { hasText: '888803' }).click();
  await bob.page.getByText('Their last commands').waitFor();
  await bob.page.getByRole('link', { name: 'releases/deletes' }).waitFor();
  assert.doesNotMatch(String(await bob.page.locator('.approval').textContent()), /888801/);
  await bob.page.keyboard.press('d');
  await bob.page.keyboard.type('enough');
  await bob.page.keyboard.press('Enter');
  await third;
  await carol.end();
  await asker.end();
  await closed(alice, bob);
});

test('approving on a telephone', async () => {
  const alice = await demo.connect('alice');
  const bob = await at('bob', { width: 390, height: 780 });
  const held = alice.query('delete from orders where id = 999999');
  await bob.open('/inbox');
  await bob.page.locator('.item').tap();
  await bob.page.getByRole('button', { name: 'Approve' }).waitFor();
  assert.deepEqual(await bob.violations(), []);
  const box = await bob.page.getByRole('button', { name: 'Approve' }).boundingBox();
  assert.ok(box !== null && box.height >= 44 && box.y + box.height <= 780, 'a thumb reaches it without scrolling');
  await bob.screenshot('inbox-telephone');
  const width = await bob.page.evaluate(() => (globalThis as unknown as { document: Page }).document.documentElement.scrollWidth);
  assert.ok(width <= 390, `nothing beside the screen: ${width}`);
  await bob.page.getByRole('button', { name: 'Approve' }).tap();
  await bob.page.getByRole('button', { name: 'Approve' }).tap();
  assert.equal((await held).rowCount, 0);
  await bob.page.locator('.approval .badge', { hasText: 'approved' }).waitFor();
  await alice.end();
  await closed(bob);
});

test('the effect of a held command is shown, row by row, masked', async () => {
  const alice = await demo.connect('alice');
  const bob = await at('bob');
  const held = alice.query("update customers set name = name || ' <b>!</b>' where id between 3 and 4");
  await bob.open('/inbox');
  await bob.page.locator('.item').first().click();
  const rows = bob.page.getByRole('region', { name: 'Rows before and after' });
  await rows.locator('ins', { hasText: '<b>!</b>' }).first().waitFor();
  await bob.page.getByText('2 rows').first().waitFor();
  assert.equal(await rows.locator('b').count(), 0);
  assert.doesNotMatch(String(await rows.textContent()), /[a-z]{4,}@example/, 'addresses are masked');
  assert.deepEqual(await bob.violations(), []);
  await bob.screenshot('inbox-effect');
  await bob.page.keyboard.press('a');
  await bob.page.keyboard.press('Enter');
  assert.equal((await held).rowCount, 2);
  await alice.end();
  await closed(bob);
});

test('a held command is answered where it stands in its session', async () => {
  const alice = await demo.connect('alice');
  const bob = await at('bob');
  const held = alice.query('delete from orders where id = 999998');
  await bob.open('/sessions?q=is:live+who:alice@example.com');
  await bob.page.locator('.vrow').first().click();
  await bob.page.locator('.cmd', { hasText: '999998' }).click();
  const approval = bob.page.getByRole('region', { name: 'Approval', exact: true });
  await approval.getByText('0 of 1 approval').waitFor();
  assert.deepEqual(await bob.violations(), []);
  await bob.screenshot('session-approval');
  await bob.page.keyboard.press('a');
  await bob.page.keyboard.type('seen in its session');
  await bob.page.keyboard.press('Enter');
  assert.equal((await held).rowCount, 0);
  await approval.locator('.badge', { hasText: 'approved' }).waitFor();
  await approval.getByText('seen in its session').waitFor();
  await alice.end();
  await closed(bob);
});

test('what is held while the page asks for the first time is shown, though that answer is older', async () => {
  const alice = await demo.connect('alice');
  const [bob, carol] = [await at('bob'), await at('carol')];
  await carol.open('/inbox');
  const asked = Promise.withResolvers<void>();
  const late = Promise.withResolvers<void>();
  let isFirst = true;
  await bob.page.route('**/v1/approvals', async route => {
    if (!isFirst) return route.continue();
    isFirst = false;
    const response = await route.fetch();
    asked.resolve();
    await late.promise;
    await route.fulfill({ response });
  });
  await bob.page.goto(`${demo.endpoints().console}/inbox`);
  await bob.page.getByRole('status').getByText('Live').waitFor();
  await asked.promise;
  const held = alice.query('update orders set amount = amount + 1 where id = 3');
  const refused = assert.rejects(held, /enough seen/);
  await carol.page.locator('.item').waitFor();
  late.resolve();
  await bob.page.locator('.item').click();
  await bob.page.getByRole('button', { name: 'Deny' }).waitFor();
  await bob.page.keyboard.press('d');
  await bob.page.keyboard.type('enough seen');
  await bob.page.keyboard.press('Enter');
  await refused;
  await alice.end();
  await closed(bob, carol);
});

test('whoever looks elsewhere is notified once, without the command’s text; whoever may not answer is not', async () => {
  const alice = await demo.connect('alice');
  const visitors = [await at('bob'), await at('alice')] as const;
  for (const { page, context, open } of visitors) {
    await context.grantPermissions(['notifications'], { origin: demo.endpoints().console });
    // Headless Chromium shows none: what the page asks it to show is kept.
    await page.addInitScript(() => {
      const shown: string[] = [];
      class Recorded {
        static permission = 'granted';
        constructor(title: string, { body, tag }: { body: string; tag: string }) {
          shown.push(`${title} | ${body} | ${tag}`);
        }
      }
      Object.assign(globalThis, { Notification: Recorded, shown });
      Object.defineProperty((globalThis as unknown as { document: object }).document, 'hidden', { get: () => true });
    });
    await open('/sessions');
    await page.getByRole('status').getByText('Live').waitFor();
  }
  const [bob, own] = visitors;
  const shown = ({ page }: Visitor) => page.evaluate(() => (globalThis as unknown as { shown: string[] }).shown);
  const held = alice.query('delete from orders where id = 7');
  const refused = assert.rejects(held, /seen elsewhere/);
  await bob.page.getByTitle('1 wait for you').waitFor();
  await bob.page.waitForFunction(() => (globalThis as unknown as { shown: string[] }).shown.length > 0);
  const [notification = '', ...more] = await shown(bob);
  const [title, body, id = ''] = notification.split(' | ');
  assert.deepEqual([title, body, more], ['Sallyport: an approval is asked for', 'alice@example.com on crm', []]);
  await bob.open(`/inbox/${id}`);
  await bob.page.getByRole('button', { name: 'Deny' }).click();
  await bob.page.keyboard.type('seen elsewhere');
  await bob.page.keyboard.press('Enter');
  await refused;
  assert.deepEqual(await shown(own), []);
  await alice.end();
  await closed(...visitors);
});

test('access is asked for with a reason, given, and ended', async () => {
  const [own, bob] = [await at('alice'), await at('bob')];
  await own.open('/inbox');
  await own.page.keyboard.press('r');
  await own.page.keyboard.type('payroll');
  await own.page.getByLabel('Why').fill('ticket 17');
  await own.page.keyboard.press('Enter');
  await own.page.getByText('There is no role on "payroll" that you may ask for.').waitFor();
  await own.page.getByLabel('Resource').fill('crm');
  await own.page.keyboard.press('Enter');
  await own.page.getByRole('button', { name: 'Take it back' }).waitFor();
  await bob.open('/inbox');
  await bob.page.locator('.item', { hasText: 'ticket 17' }).click();
  await bob.page.getByText('asks to use').waitFor();
  await bob.page.keyboard.press('a');
  await bob.page.keyboard.press('Enter');
  await own.page.getByRole('button', { name: 'End the access' }).click();
  await bob.page.getByText(/revoked, alice@example.com/).waitFor();
  await closed(own, bob);
});

interface Page {
  documentElement: { scrollWidth: number };
}
