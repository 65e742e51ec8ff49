/** The console's other pages in a real browser, each with its main task: fleet, policies, data map, evidence, overview. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { type Look, startChromium, type Visitor, visit } from './components/chromium.ts';
import { type Demo, startDemo } from './components/demo.ts';

let demo: Demo;
let browser: Browser;

before(async () => {
  demo = await startDemo();
  browser = await startChromium();
  const alice = await demo.connect('alice');
  await alice.query('select id, name, email, card_number from customers order by id limit 3');
  await alice.query('select name, value from app_secrets');
  await assert.rejects(alice.query('drop table orders'));
  await alice.end();
  for (let attempt = 0; ; attempt++) {
    const { commands } = await demo.api<{ commands: unknown[] }>('/v1/search/commands');
    if (commands.length >= 3) break;
    assert.ok(attempt < 900, 'records did not arrive');
    await new Promise(resolve => setTimeout(resolve, 200));
  }
});

after(async () => {
  await browser?.close();
  await demo?.stop();
});

const as =
  (person: string, run: (visitor: Visitor) => Promise<void>, look: Look = {}) =>
  async () => {
    const visitor = await visit(browser, demo.endpoints().console, person, look);
    try {
      await run(visitor);
      assert.deepEqual(visitor.complaints, []);
    } finally {
      await visitor.close();
    }
  };

for (const [kind, look] of [
  ['light', { theme: 'light' }],
  ['dark', { theme: 'dark' }],
  ['telephone', { theme: 'light', width: 390, height: 780 }],
] as const) {
  test(
    `every page is readable for everybody: ${kind}`,
    as(
      'bob',
      async ({ page, open, violations, screenshot }) => {
        for (const [name, address, seen] of [
          ['overview', '/overview', 'Decisions of the last'],
          ['resources', '/resources', 'Connect'],
          ['agents', '/agents', 'online'],
          ['policies', '/policies/Guard', 'sql-safety'],
          ['guard', '/policies/Guard/sql-safety', 'Schema changes go through migrations.'],
          ['data-policy-yaml', '/policies/DataPolicy/customer-data?view=yaml', 'See what would change'],
          ['data-map', '/data', 'public.customers.email'],
          ['evidence', '/evidence/access', 'alice@example.com'],
          ['retention', '/custody', 'Place a hold'],
          ['anchors', '/custody?view=anchors', 'The head is signed by'],
          ['export', '/custody?view=export', 'Export and verify'],
          ['ssh-keys', '/ssh-keys', 'No public key is registered'],
          ['start', '/start', 'We saw'],
          ['api', '/docs', 'Errors are RFC 9457'],
        ] as const) {
          await open(address);
          await page.getByText(seen).first().waitFor();
          assert.deepEqual(await violations(), [], `${name}: ${kind}`);
          const beside = await page.evaluate(() => {
            const { document, innerWidth } = globalThis as unknown as Window;
            return document.documentElement.scrollWidth - innerWidth;
          });
          assert.ok(beside <= 0, `nothing beside the screen: ${name}, ${kind}`);
          await screenshot(`${name}-${kind}`);
        }
      },
      look,
    ),
  );
}

test(
  'an agent is invited with one line to paste, and revoked',
  as('bob', async ({ page, open }) => {
    await open('/agents');
    await page.keyboard.press('i');
    await page.getByLabel('Labels').fill('network=lab <b>');
    await page.getByRole('button', { name: 'Make the invitation' }).click();
    await page.getByText('<b> is no label').waitFor();
    await page.getByLabel('Labels').fill('network=lab');
    await page.getByRole('button', { name: 'Make the invitation' }).click();
    const line = page.locator('dialog code', { hasText: 'sallyport agent --join' });
    assert.match(String(await line.textContent()), /^sallyport agent --join \S+ --control-plane 127\.0\.0\.1:\d+ --data /);
    await page.getByRole('button', { name: 'Close' }).click();
    const card = page.locator('section', { has: page.getByRole('heading', { name: /^lab/ }) }).locator('.card');
    await card.getByText('invited').waitFor();
    await card.getByRole('button', { name: 'Revoke' }).click();
    await page.locator('dialog').getByRole('button', { name: 'Revoke' }).click();
    await card.getByText('revoked', { exact: true }).waitFor();
  }),
);

test(
  'a policy is changed as YAML: checked while typing, rehearsed, applied with a reason, and its history says so',
  as('bob', async ({ page, open }) => {
    await open('/policies/Guard/sql-safety?view=yaml');
    const editor = page.getByRole('textbox', { name: 'Guard as YAML' });
    await editor.click();
    await page.keyboard.press('Control+End');
    await page.keyboard.type('  sped: 1');
    await page.getByText(/line \d+:.*sped/).waitFor();
    await editor.locator('.cm-lintRange-error').first().waitFor();
    assert.equal(await page.getByRole('button', { name: 'See what would change' }).isDisabled(), true);
    await page.keyboard.press('Shift+Home');
    await page.keyboard.type('prio');
    // Completed by the schema that manifests are checked by.
    await page.locator('.cm-tooltip-autocomplete li', { hasText: 'priority' }).click();
    await page.keyboard.type('7');
    await page
      .getByText(/line \d+:/)
      .first()
      .waitFor({ state: 'detached' });
    await page.keyboard.press('Control+Enter');
    await page.getByText('+ spec.priority: 7').waitFor();
    await page.getByLabel('Reason').fill('first things first');
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.getByText('Applied. Agents follow within a second.').waitFor();
    await open('/policies/Guard/sql-safety?view=history');
    await page.getByText('first things first').waitFor();
    await page.getByText('bob@example.com').first().waitFor();
  }),
);

test(
  'whoever may not change policies reads them',
  as('carol', async ({ page, open }) => {
    await open('/policies/Role');
    assert.equal(await page.getByRole('button', { name: /^New Role/ }).count(), 0);
    await page.getByRole('link', { name: 'customer-work' }).click();
    await page.getByText('group support, group privacy-office, billing-bot').waitFor();
    await page.getByRole('button', { name: 'YAML' }).click();
    await page.getByText('To change it needs the role admin.').waitFor();
    await page.getByText('maxDuration').first().waitFor();
  }),
);

test(
  'an auditor asks who read a column, and saves the answer',
  as('carol', async ({ page, open }) => {
    await open('/evidence');
    await page.getByRole('button', { name: /^Who read this column/ }).click();
    await page.getByText('Wanted: column').waitFor();
    await page.getByLabel('column').fill('public.customers.email');
    await page.keyboard.press('Enter');
    await page.waitForURL(/column=public\.customers\.email/);
    const answer = page.getByRole('region', { name: 'Answer' });
    await answer.getByText('alice@example.com').first().waitFor();
    await page.getByTitle('Save the answer').click();
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'CSV' }).click()]);
    let text = '';
    for await (const chunk of await download.createReadStream()) text += String(chunk);
    assert.match(text, /alice@example\.com/);
  }),
);

test(
  'what is kept for how long is shown; a legal hold is placed and released with a reason, and the log says so',
  as('carol', async ({ page, open }) => {
    await demo.apply(`apiVersion: sallyport.dev/v1
kind: AuditPolicy
metadata: { name: ninety-days }
spec: { resources: { names: [crm] }, retention: 90d }
`);
    await open('/custody');
    const row = page.getByRole('region', { name: 'Retention' }).locator('tr', { hasText: 'crm' });
    await row.getByText('90 d', { exact: true }).waitFor();
    await row.getByText('ninety-days').waitFor();
    await row.getByText(/in (89|90) d/).waitFor();
    await page.keyboard.press('n');
    await page.keyboard.type('alice@example.com');
    await page.keyboard.press('Enter');
    await page.locator('dialog:has(input:invalid)').waitFor();
    await page.getByLabel('Reason').fill('case 4711 <b>');
    await page.keyboard.press('Enter');
    const hold = page.getByRole('region', { name: 'Legal holds' }).locator('tr', { hasText: 'case 4711 <b>' });
    await hold.getByText('person alice@example.com').waitFor();
    assert.match(await demo.sallyport('evidence', 'hold', 'list'), /person alice@example\.com.*case 4711 <b>/);
    await hold.getByRole('button', { name: 'Release' }).click();
    await page.keyboard.type('case closed');
    await page.keyboard.press('Enter');
    await hold.waitFor({ state: 'detached' });
    assert.match(await demo.sallyport('evidence', 'hold', 'list'), /no legal holds/);
  }),
);

test(
  'the log is held against heads that this browser kept; one that is not of this log is a finding',
  as('carol', async ({ page, open }) => {
    await open('/custody?view=anchors');
    await page.getByText('The head is signed by').waitFor();
    await page.getByRole('region', { name: 'Checkpoints' }).getByText('in order').first().waitFor();
    await page.getByRole('button', { name: 'Keep this head' }).click();
    await page.getByText('The log goes on from the one head').waitFor();
    await open('/custody?view=anchors');
    await page.getByText('The log goes on from the one head').waitFor();
    await page.evaluate(() => {
      const storage = (globalThis as unknown as { localStorage: Storage }).localStorage;
      const [note = ''] = JSON.parse(storage['sallyport-kept-heads'] ?? '[]') as string[];
      const [origin, , root, ...rest] = note.split('\n');
      storage['sallyport-kept-heads'] = JSON.stringify([[origin, '1', root, ...rest].join('\n')]);
    });
    await open('/custody?view=anchors');
    await page.getByText('KEPT_HEAD_FORGED').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Keep this head' }).isDisabled(), true);
  }),
);

test(
  'evidence about a person is exported from the page, verified there, and by the command line with the same key',
  as('carol', async ({ page, open, screenshot }) => {
    await open('/custody?view=export');
    await page.getByLabel('Person or workload').fill('alice@example.com');
    await page.keyboard.press('Enter');
    await page.getByText('Verified in this browser: complete and unchanged.').waitFor();
    await page.waitForURL(/view=export&person=alice/);
    await screenshot('export-verified');
    const line = String(await page.locator('code', { hasText: 'sallyport evidence verify' }).textContent());
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: /Save the file/ }).click()]);
    const file = await download.path();
    assert.match(
      await demo.sallyport('evidence', 'verify', file, '--key', line.split(' ').at(-1) ?? ''),
      /alice@example\.com|whole|complete/,
    );
    await assert.rejects(demo.sallyport('evidence', 'verify', file, '--key', line.split(' ').at(-1)?.replace(/.{6}$/, 'AAAAA=') ?? ''));
    await page.getByLabel('From').fill('yesterday');
    await page.getByRole('button', { name: 'Export and verify' }).click();
    await page.getByText('"yesterday" is no time').waitFor();
  }),
);

test(
  'who is no auditor gets nothing of it',
  as('alice', async ({ page, open }) => {
    await open('/custody');
    await page.getByText('Your account has no right to this.').first().waitFor();
    assert.equal(await page.getByRole('region', { name: 'Retention' }).count(), 0);
  }),
);

test(
  'a column that a detector found is protected in one step, and is masked from then on',
  as('bob', async ({ page, open }) => {
    await open('/data?show=unlabelled');
    const row = page.locator('tr', { hasText: 'public.app_secrets.value' }).first();
    await row.getByRole('button', { name: 'Protect this column' }).click();
    await page.locator('dialog pre', { hasText: 'public.app_secrets.value' }).waitFor();
    await page.keyboard.press('Enter');
    await page.getByText('public.app_secrets.value is protected from now on.').waitFor();
    await open('/policies/DataPolicy');
    await page.locator('tbody tr').nth(1).waitFor();
  }),
);

test(
  'one command is explained, and a policy is tried on recorded traffic before it is applied',
  as('bob', async ({ page, open, violations, screenshot }) => {
    await open('/workbench');
    await page.getByLabel('As', { exact: true }).fill('alice@example.com');
    await page.getByRole('button', { name: 'Explain', exact: false }).last().click();
    const explanation = page.getByRole('region', { name: 'Explanation' });
    await explanation.locator('tr', { hasText: 'email' }).getByText('masked: partial').waitFor();
    await explanation.getByText('sql-safety/no-schema-changes').waitFor();
    assert.deepEqual(await violations(), []);
    await screenshot('workbench-explain');

    await page.getByRole('button', { name: 'Try a policy' }).click();
    const editor = page.getByRole('textbox', { name: 'Guard as YAML' });
    await editor.click();
    await page.keyboard.press('Control+a');
    await page.evaluate(
      text => (globalThis as unknown as { navigator: Clipboards }).navigator.clipboard.writeText(text),
      `apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: proposal }
spec:
  resources: {}
  rules:
    - { name: no-secrets, match: { objects: ["*.app_secrets"] }, action: deny, message: "Not from here." }
`,
    );
    await page.keyboard.press('Control+v');
    await page.getByRole('button', { name: 'Replay' }).click();
    const replay = page.getByRole('region', { name: 'Replay' });
    await replay.getByText(/^\d+ newly denied/).waitFor();
    const persons = replay.getByRole('region', { name: 'For whom it would change' });
    assert.match(String(await persons.locator('tr', { hasText: 'alice@example.com' }).textContent()), /alice@example\.com1$/);
    await replay.locator('summary', { hasText: 'proposal/no-secrets' }).click();
    await replay.getByText('select name, value from app_secrets').waitFor();
    assert.deepEqual(await violations(), []);
    await screenshot('workbench-simulate');
  }),
);

test(
  'a public key is registered with what the pasted line signs, seen by its owner and administrators alone, and removed',
  as('alice', async ({ page, open, violations, screenshot }) => {
    const home = mkdtempSync(path.join(os.tmpdir(), 'sallyport-home-'));
    const carol = await visit(browser, demo.endpoints().console, 'carol');
    const bob = await visit(browser, demo.endpoints().console, 'bob');
    try {
      mkdirSync(path.join(home, '.ssh'), { mode: 0o700 });
      const key = path.join(home, '.ssh', 'id_ed25519');
      execFileSync('ssh-keygen', ['-q', '-N', '', '-t', 'ed25519', '-C', 'laptop <b>', '-f', key], { stdio: 'pipe' });
      await open('/ssh-keys');
      await page.getByText('No public key is registered').waitFor();
      await page.keyboard.press('n');
      await page.getByRole('textbox', { name: 'Public key' }).fill(readFileSync(`${key}.pub`, 'utf8'));
      await page.getByRole('textbox', { name: 'Signature' }).fill('-----BEGIN SSH SIGNATURE-----');
      await page.getByRole('button', { name: 'Register the key' }).click();
      await page.getByText('The proof that the key is yours is not right.').waitFor();
      assert.deepEqual(await violations(), []);
      await screenshot('ssh-key-register');
      const line = String(await page.locator('dialog code', { hasText: 'ssh-keygen' }).textContent());
      const env = { PATH: process.env.PATH, HOME: home };
      await page
        .getByRole('textbox', { name: 'Signature' })
        .fill(execFileSync('sh', ['-c', line], { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }));
      await page.getByRole('button', { name: 'Register the key' }).click();
      const row = page.getByRole('region', { name: 'SSH keys' }).locator('tr', { hasText: 'laptop <b>' });
      await row.getByText('never').waitFor();
      assert.match(await demo.sallyport('ssh-key', 'list'), /alice@example\.com +laptop <b>/);

      await carol.open('/ssh-keys');
      await carol.page.getByText('No public key is registered').waitFor();

      await bob.open('/ssh-keys');
      await bob.page.locator('tr', { hasText: 'alice@example.com' }).waitFor();
      await bob.page.getByRole('button', { name: /^Register a key/ }).click();
      await bob.page.getByLabel('For').selectOption('billing-bot');
      execFileSync('ssh-keygen', ['-q', '-N', '', '-t', 'ed25519', '-C', 'bot', '-f', path.join(home, 'bot')], { stdio: 'pipe' });
      await bob.page.getByRole('textbox', { name: 'Public key' }).fill(readFileSync(path.join(home, 'bot.pub'), 'utf8'));
      assert.equal(await bob.page.getByRole('textbox', { name: 'Signature' }).count(), 0, 'administrators vouch for programs');
      await bob.page.getByRole('button', { name: 'Register the key' }).click();
      await bob.page.locator('tr', { hasText: 'billing-bot' }).waitFor();
      assert.deepEqual(await bob.violations(), []);
      await bob.screenshot('ssh-keys');
      await bob.page.locator('tr', { hasText: 'alice@example.com' }).getByRole('button', { name: 'Remove' }).click();
      await bob.page.keyboard.type('laptop lost');
      await bob.page.keyboard.press('Enter');
      await bob.page.locator('tr', { hasText: 'alice@example.com' }).waitFor({ state: 'detached' });
      await open('/ssh-keys');
      await page.getByText('No public key is registered').waitFor();
      assert.deepEqual([...carol.complaints, ...bob.complaints], []);
    } finally {
      await carol.close();
      await bob.close();
      rmSync(home, { recursive: true, force: true });
    }
  }),
);

interface Window {
  document: { documentElement: { scrollWidth: number } };
  innerWidth: number;
}

type Storage = Record<string, string | undefined>;

interface Clipboards {
  clipboard: { writeText: (text: string) => Promise<void> };
}
