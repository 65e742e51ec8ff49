/** The console in a real browser, against the demo and live traffic: signing in, finding sessions, reading one. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Browser } from 'playwright-core';
import { startChromium, type Visitor, visit } from './components/chromium.ts';
import { type Demo, startDemo } from './components/demo.ts';

let demo: Demo;
let browser: Browser;
let base: string;

/** Text that tries everything on whoever looks at it: markup, terminal escapes, reversed and invisible characters. */
const hostile = `select 'pwn' /* <img src=x onerror=alert(1)> </span><script>window.hacked=1</script> \u001b[31m \u202egnp.exe \u200b \ufeff */ as "<b>x</b>"`;

before(async () => {
  demo = await startDemo();
  browser = await startChromium();
  base = demo.endpoints().console;
  const alice = await demo.connect('alice');
  await alice.query('select id, name, email, card_number from customers order by id limit 3');
  await assert.rejects(alice.query('drop table orders'));
  await alice.query(hostile);
  await alice.end();
  const carol = await demo.connect('carol');
  for (let each = 0; each < 60; each++) await carol.query(`select ${each} as n`);
  await carol.end();
  // What the console shows comes from the store: all of it must have arrived.
  for (let attempt = 0; ; attempt++) {
    const { sessions } = await demo.api<{ sessions: { commands: number; status: string }[] }>('/v1/search/sessions');
    if (sessions.length === 2 && sessions.every(each => each.commands > 2 && each.status === 'ended')) break;
    assert.ok(attempt < 900, JSON.stringify(sessions));
    await new Promise(resolve => setTimeout(resolve, 200));
  }
});

after(async () => {
  await browser?.close();
  await demo?.stop();
});

const inConsole =
  (person: string | null, run: (visitor: Visitor) => Promise<void>, look = {}) =>
  async () => {
    const visitor = await visit(browser, base, person, look);
    try {
      await run(visitor);
      assert.deepEqual(visitor.complaints, []);
    } finally {
      await visitor.close();
    }
  };

describe('signing in', () => {
  test(
    'the page asked for is shown after signing in at the provider; signing out ends it',
    inConsole(null, async ({ page, screenshot, violations }) => {
      await page.goto(`${base}/commands?q=decision:denied`);
      await page.getByRole('link', { name: 'Continue with company' }).waitFor();
      assert.deepEqual(await violations(), []);
      await screenshot('sign-in');
      await page.getByRole('link', { name: 'Continue with company' }).click();
      await page.click('form[action$="person=bob"] button');
      await page.waitForURL(`${base}/commands?q=decision:denied`);
      await page.getByRole('gridcell', { name: 'drop table orders' }).waitFor();
      await page.getByTitle('Account and settings').click();
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByRole('link', { name: 'Continue with company' }).waitFor();
    }),
  );

  test(
    'the administrator’s token opens the console until it is reloaded; a wrong one does not',
    inConsole(null, async ({ page }) => {
      await page.goto(`${base}/sessions`);
      await page.getByRole('button', { name: 'Use the administrator’s token' }).click();
      await page.getByLabel('Administrator’s token').fill('spa_wrong');
      await page.getByRole('button', { name: 'Sign in with the token' }).click();
      await page.getByText('That is not the administrator’s token.').waitFor();
      await page.getByLabel('Administrator’s token').fill(demo.endpoints().adminToken);
      await page.keyboard.press('Enter');
      await page.getByRole('grid', { name: 'sessions' }).waitFor();
      await page.reload();
      await page.getByRole('link', { name: 'Continue with company' }).waitFor();
    }),
  );
});

const scriptBytesMax = 300_000;

test(
  'the scripts of signing in and of the first page are less than 300 kB as they are sent',
  inConsole(null, async ({ page }) => {
    const sizes: Promise<number>[] = [];
    page.on('requestfinished', request => {
      if (request.url().endsWith('.js')) sizes.push(request.sizes().then(({ responseBodySize }) => responseBodySize));
    });
    await page.goto(`${base}/sessions`);
    await page.getByRole('link', { name: 'Continue with company' }).click();
    await page.click('form[action$="person=bob"] button');
    await page.locator('.vrow').first().waitFor();
    const all = await Promise.all(sizes);
    const bytes = all.reduce((sum, size) => sum + size, 0);
    assert.ok(all.length > 2 && bytes > 20_000 && bytes < scriptBytesMax, `${all.length} scripts, ${bytes} bytes`);
  }),
);

describe('sessions', () => {
  test(
    'a query is completed, corrected and answered as it is typed, and the address holds it',
    inConsole('bob', async ({ page, open, violations, screenshot }) => {
      await open('/sessions');
      const rows = page.locator('.vrow');
      await rows.nth(1).waitFor();
      assert.deepEqual(await violations(), []);
      await screenshot('sessions');
      await page.keyboard.press('/');
      await page.keyboard.type('decis');
      await page.getByRole('option', { name: /^decision:/ }).waitFor();
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('Tab');
      await page.keyboard.type('den');
      await page.getByRole('option', { name: /^decision:denied/ }).waitFor();
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('Enter');
      await page.waitForURL(`${base}/sessions?q=decision:denied`);
      await rows.nth(1).waitFor({ state: 'detached' });
      assert.match(await rows.first().innerText(), /alice@example\.com/);
      await page.keyboard.type(' wo:x');
      await page.getByText('There is no field "wo"; do you mean who?').waitFor();
      assert.match(await rows.first().innerText(), /alice@example\.com/, 'the last right query’s results stay');
    }),
  );

  test(
    'the keyboard alone goes from the list into a session and through its commands',
    inConsole('carol', async ({ page, open }) => {
      await open('/sessions?q=who:alice@example.com');
      await page.locator('.vrow').first().waitFor();
      await page.keyboard.press('j');
      await page.keyboard.press('Enter');
      await page.waitForURL(/\/sessions\/[0-9a-f-]{36}$/);
      await page.locator('.cmd').first().waitFor();
      await page.keyboard.press('j');
      await page.getByRole('region', { name: 'Rows of the answer' }).waitFor();
      await page.keyboard.press('n');
      await page.waitForURL(/seq=/);
      await page.getByText('Denied by').waitFor();
      await page.getByText('Schema changes go through migrations.').first().waitFor();
      await page.keyboard.press('g');
      await page.keyboard.press('c');
      await page.waitForURL(`${base}/commands`);
      await page.keyboard.press('Control+k');
      await page.getByRole('combobox', { name: 'Search and commands' }).waitFor();
      await page.keyboard.type('denied today');
      await page.getByRole('option', { name: 'What was denied today' }).waitFor();
      await page.keyboard.press('Enter');
      await page.waitForURL(/\/commands\?q=decision:denied\+since:1d/);
    }),
  );

  test(
    'only what is seen is in the document; a session of any length is read by scrolling',
    inConsole('carol', async ({ page, open }) => {
      await open('/commands?q=who:carol@example.com');
      await page.locator('.vrow').first().waitFor();
      assert.ok((await page.locator('.vrow').count()) < 50);
      await page.locator('.vlist').focus();
      await page.keyboard.press('End');
      await page.getByRole('gridcell', { name: 'select 0 as n' }).waitFor();
    }),
  );

  test(
    'columns are chosen, views saved, rows exported',
    inConsole('carol', async ({ page, open }) => {
      await open('/commands?q=decision:denied');
      await page.getByTitle('Columns').click();
      await page.getByLabel('Reason').check();
      await page.getByRole('columnheader', { name: 'Reason' }).waitFor();
      assert.match(page.url(), /cols=at,decision,/);
      await page.keyboard.press('Escape');
      await page.getByTitle('Saved views').click();
      await page.getByRole('button', { name: 'Save this view …' }).click();
      await page.keyboard.type('Refusals');
      await page.keyboard.press('Enter');
      await open('/commands');
      await page.getByTitle('Saved views').click();
      await page.getByRole('button', { name: 'Refusals decision:denied' }).click();
      await page.waitForURL(/q=decision:denied&cols=/);
      await page.getByTitle('Export').click();
      const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: /^CSV/ }).click()]);
      const stream = await download.createReadStream();
      let text = '';
      for await (const chunk of stream) text += String(chunk);
      assert.match(text, /^Time,Decision,Who,[^\r]*Reason\r\n[^\r]+,deny,alice@example\.com,crm,drop table orders,/);
    }),
  );
});

describe('one session', () => {
  const openAlices = async ({ page, open }: Visitor, text: string) => {
    await open('/sessions?q=who:alice@example.com');
    await page.locator('.vrow').first().click();
    await page.locator('.cmd', { hasText: text }).click();
    await page.locator('.command-details .facts').waitFor();
  };

  for (const theme of ['light', 'dark'] as const) {
    test(
      `the answer is a table with masks to be seen, in ${theme}`,
      inConsole(
        'carol',
        async visitor => {
          await openAlices(visitor, 'card_number');
          const cells = visitor.page.getByRole('region', { name: 'Rows of the answer' }).locator('tbody tr').first().locator('td');
          await cells.nth(3).waitFor();
          assert.deepEqual(await cells.locator('.masked').count(), 2);
          assert.match((await cells.nth(2).locator('.masked').innerText()) ?? '', /\*\*\*@/);
          assert.equal(await cells.nth(1).locator('.masked').count(), 0, 'a name is not masked');
          assert.deepEqual(await visitor.violations(), []);
          await visitor.screenshot(`session-${theme}`);
        },
        { theme },
      ),
    );
  }

  test(
    'hostile text does nothing, and what hides in it is shown',
    inConsole('carol', async visitor => {
      await openAlices(visitor, 'pwn');
      const { page } = visitor;
      const code = page.locator('.command-details .sql');
      assert.match(await code.innerText(), /<img src=x onerror=alert\(1\)> <\/span><script>window\.hacked=1<\/script>/);
      for (const mark of ['ESC', 'RLO', 'ZWSP', 'BOM']) await code.locator('.hidden-char', { hasText: mark }).waitFor();
      assert.equal(await page.locator('.command-details img, .command-details script, .command-details b').count(), 0);
      assert.equal(await page.evaluate(() => (globalThis as { hacked?: number }).hacked), undefined);
      const header = page.getByRole('region', { name: 'Rows of the answer' }).locator('th');
      assert.equal(await header.innerText(), '<b>x</b>');
      await visitor.screenshot('session-hostile');
    }),
  );

  test(
    'evidence is verified in the browser; a record that was altered on its way breaks it',
    inConsole('carol', async visitor => {
      await openAlices(visitor, 'card_number');
      const { page } = visitor;
      const evidence = page.getByRole('region', { name: 'Evidence' });
      // Checkpoints are signed at intervals: until one covers the session's end the status says so.
      for (let attempt = 0; ; attempt++) {
        await page.getByRole('button', { name: 'Verify now' }).click();
        await evidence.locator('.badge').waitFor();
        if ((await evidence.locator('.badge').textContent()) === 'verified') break;
        assert.ok(attempt < 180, String(await evidence.textContent()));
        await new Promise(resolve => setTimeout(resolve, 1000));
      }
      assert.match(String(await evidence.textContent()), /\d+ records, none missing, none changed/);
      assert.deepEqual(await visitor.violations(), []);

      await page.route('**/v1/evidence/export*', async route => {
        const response = await route.fetch();
        const lines = gunzipSync(await response.body())
          .toString()
          .split('\n');
        const at = lines.findIndex(line => line.startsWith('{"type":"record"'));
        const record = JSON.parse(lines[at] ?? '') as { bytes: string };
        const bytes = Buffer.from(record.bytes, 'base64');
        bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
        lines[at] = JSON.stringify({ ...record, bytes: bytes.toString('base64') });
        await route.fulfill({ response, body: gzipSync(lines.join('\n')) });
      });
      await page.keyboard.press('v');
      await evidence.locator('.badge', { hasText: 'broken' }).waitFor();
      await evidence
        .getByText(/RECORD/)
        .first()
        .waitFor();
    }),
  );

  test(
    'a live session is followed and ended from the console',
    inConsole('bob', async ({ page, open }) => {
      const alice = await demo.connect('alice');
      const ended = new Promise(resolve => alice.once('end', resolve));
      await alice.query('select 41 + 1 as answer');
      await open('/sessions?q=is:live');
      await page.locator('.vrow').first().click();
      await page.locator('.cmd', { hasText: '41 + 1' }).waitFor();
      await alice.query('select 42 + 1 as answer');
      await page.locator('.cmd', { hasText: '42 + 1' }).waitFor();
      await page.getByRole('button', { name: 'End session' }).click();
      await page.keyboard.type('a test of it');
      await page.keyboard.press('Enter');
      await ended;
      // For a moment there are two of the name: the page's and the one of the form that is still closing.
      await page.getByRole('button', { name: 'End session' }).first().waitFor({ state: 'detached' });
      await page.getByText(/a test of it/).waitFor();
    }),
  );

  test(
    'a list follows what happens now',
    inConsole('carol', async ({ page, open }) => {
      await open('/commands?q=who:alice@example.com');
      await page.getByRole('button', { name: 'Live', exact: true }).click();
      await page.waitForURL(/tail=1/);
      const alice = await demo.connect('alice');
      await alice.query("select 'followed' as tail");
      await page.getByRole('gridcell', { name: "select 'followed' as tail" }).waitFor();
      await alice.end();
    }),
  );

  test(
    'what somebody else did is for auditors: who only looks after the place sees that it was',
    inConsole('alice', async ({ page, open }) => {
      await open('/sessions');
      await page.locator('.vrow').first().waitFor();
      assert.equal(await page.locator('.vrow', { hasText: 'alice@example.com' }).count(), await page.locator('.vrow').count(), 'her own');
      const { sessions } = await demo.api<{ sessions: { sessionId: string }[] }>('/v1/search/sessions?q=who:carol@example.com');
      await open(`/sessions/${sessions[0]?.sessionId}`);
      await page.getByText('There is no such session.').waitFor();
    }),
  );
});
