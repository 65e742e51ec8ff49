/** An empty installation, led by its console to the first recorded connection; every step is seen as it is taken. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import pg from 'pg';
import type { Browser } from 'playwright-core';
import { startChromium, visit } from './components/chromium.ts';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { type PostgresServer, startPostgres } from './components/postgres.ts';
import { people, shopSql } from './components/shop.ts';

let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;
let browser: Browser;

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
  gateway = await startGateway({ manifests: { 'nothing-yet.yaml': '# The console writes what is protected.\n' } });
  browser = await startChromium();
});
after(async () => {
  await browser?.close();
  await gateway?.stop();
  await Promise.all([issuer?.stop(), postgres?.stop()]);
});

test('identity provider, resource, role, connection: each is written here and checked live', async () => {
  const { console: base, adminToken } = gateway.endpoints();
  const visitor = await visit(browser, base, null);
  const { page } = visitor;
  await page.goto(`${base}/`);
  await page
    .getByLabel('Administrator’s token')
    .or(page.getByRole('button', { name: 'Use the administrator’s token' }))
    .first()
    .waitFor();
  const other = page.getByRole('button', { name: 'Use the administrator’s token' });
  if (await other.isVisible()) await other.click();
  await page.getByLabel('Administrator’s token').fill(adminToken);
  await page.keyboard.press('Enter');
  // Nothing is protected yet: the way there is the first page.
  await page.waitForURL(`${base}/start`);
  const steps = page.getByRole('list', { name: 'Steps' });
  const done = (title: string) => steps.getByRole('heading', { name: `${title} (done)` });
  await steps.getByRole('heading', { name: 'Say who vouches for people', exact: true }).waitFor();
  assert.deepEqual(await visitor.violations(), []);
  await visitor.screenshot('first-run-empty');

  /** The token is forgotten when the page is loaded anew: links alone lead on. */
  const write = async (link: string, kind: string, yaml: string) => {
    await page.getByRole('link', { name: link }).click();
    const editor = page.getByRole('textbox', { name: `${kind} as YAML` });
    await editor.click();
    await page.keyboard.press('Control+a');
    await page.evaluate(text => (globalThis as unknown as { navigator: Clipboards }).navigator.clipboard.writeText(text), yaml);
    await page.keyboard.press('Control+v');
    await page.getByRole('button', { name: 'See what would change' }).click();
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.waitForURL(new RegExp(`/policies/${kind}/(?!new)`));
    await page.getByTitle('Account and settings').click();
    await page.getByRole('link', { name: 'First steps' }).click();
    await steps.waitFor();
  };
  await write(
    'Write an identity provider',
    'IdentityProvider',
    `apiVersion: sallyport.dev/v1
kind: IdentityProvider
metadata: { name: corp }
spec: { oidc: { issuer: "${issuer.url}", audiences: [sallyport], subjectClaim: email, groupsClaim: groups } }
`,
  );
  await done('Say who vouches for people').waitFor();
  await write(
    'Write a credential',
    'Credential',
    `apiVersion: sallyport.dev/v1
kind: Credential
metadata: { name: crm-app }
spec: { username: ${postgres.app.user}, password: { value: "${postgres.app.password}" } }
`,
  );
  await write(
    'Write a resource',
    'Resource',
    `apiVersion: sallyport.dev/v1
kind: Resource
metadata: { name: crm }
spec:
  protocol: postgres
  upstream: { address: "127.0.0.1:${postgres.port}", database: app, tls: { mode: require } }
  credential: crm-app
`,
  );
  await done('Protect the first resource').waitFor();
  await done('Have an agent serve it').waitFor();
  await write(
    'Write a role',
    'Role',
    `apiVersion: sallyport.dev/v1
kind: Role
metadata: { name: support }
spec: { members: { groups: [support] }, resources: { names: [crm] } }
`,
  );
  await done('Say who may use it').waitFor();
  await steps.getByText('sallyport connect crm').waitFor();
  await visitor.screenshot('first-run-connect');

  const { resources } = (await (
    await fetch(`${gateway.endpoints().api}/v1/resources`, { headers: { authorization: `Bearer ${adminToken}` } })
  ).json()) as { resources: { address: string }[] };
  const [host = '', port = ''] = (resources[0]?.address ?? '').split(':');
  // The agent learns of the role a moment after the console does.
  for (let attempt = 0; ; attempt++) {
    const client = new pg.Client({
      ...{ host, port: Number(port), user: 'sam', database: 'app', password: await issuer.token(people.support) },
      ssl: { ca: readFileSync(gateway.endpoints().ca, 'utf8'), servername: 'localhost' },
    });
    client.on('error', () => undefined); // A refused login is tried again.
    const isIn = await client.connect().then(
      () => true,
      () => false,
    );
    if (isIn) {
      await client.query('select 1');
      await client.end();
      break;
    }
    assert.ok(attempt < 300, 'nobody gets in');
    await new Promise(resolve => setTimeout(resolve, 500));
  }
  await done('Connect').waitFor();
  await steps.getByText('We saw').waitFor();
  assert.match(String(await steps.textContent()), /We saw sam@example\.com on crm/);
  await visitor.screenshot('first-run-done');
  await page.getByRole('link', { name: 'Sallyport' }).click();
  await page.waitForURL(`${base}/sessions`);
  assert.deepEqual(visitor.complaints, []);
  await visitor.close();
});

interface Clipboards {
  clipboard: { writeText: (text: string) => Promise<void> };
}
