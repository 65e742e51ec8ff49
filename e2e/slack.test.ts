/** Approvals in Slack: told, answered by pressing a button by who is signed in, and by nobody else, whatever the request says. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type ControlPlane, startControlPlane } from '@sallyport/control-plane/control-plane.ts';
import pino from 'pino';
import { identityHandler, identityKeys, sampleProvider } from 'sallyport/demo/identity-provider.ts';
import { Browser } from './components/browser.ts';
import { Slack, type SlackMessage } from './components/slack.ts';

const APPROVE = 'sallyport-approve';
const DENY = 'sallyport-deny';
const token = ['xoxb', '1', 'canary-slack-token'].join('-');
const signingSecret = 'canary-signing-secret';
let dir: string;
let plane: ControlPlane;
let server: Server;
let slack: Slack;
const lines: string[] = [];

const manifests = (issuer: string, api: string) => `
kind: IdentityProvider
metadata: { name: company }
spec: { oidc: { issuer: "${issuer}", audiences: [sallyport], subjectClaim: email, groupsClaim: groups, clientId: sallyport } }
---
kind: Resource
metadata: { name: crm }
spec: { protocol: postgres, upstream: { address: "127.0.0.1:1", database: app, tls: { mode: disable } }, credential: crm-app }
---
kind: Credential
metadata: { name: crm-app }
spec: { username: app, password: { value: p } }
---
kind: Role
metadata: { name: oncall }
spec:
  members: {}
  resources: { names: [crm] }
  requests: { by: { groups: [support, dba] }, approval: { from: { groups: [dba, privacy-office] }, expiresIn: 1h }, maxDuration: 2h }
---
kind: Channel
metadata: { name: chat }
spec:
  slack: { channel: C0123, token: { value: "${token}" }, signingSecret: { value: "${signingSecret}" }, url: "${api}" }
`;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sallyport-slack-'));
  slack = new Slack({
    token,
    signingSecret,
    members: [
      { id: 'U0ALICE', email: 'alice@example.com' },
      { id: 'U0BOB', email: 'Bob@Example.com' },
      { id: 'U0CAROL', email: 'carol@example.com' },
      { id: 'U0FAKE', email: 'bob@example.com', team: 'T99' },
      { id: 'U0UNSURE', email: 'bob@example.com', confirmed: false },
      { id: 'U0GONE', email: 'bob@example.com', deleted: true },
      { id: 'U0ROBOT', email: 'bob@example.com', bot: true },
      { id: 'U0OTHER', email: 'stranger@example.com' },
    ],
  });
  const api = await slack.start();
  server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const host = `127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  server.on('request', identityHandler(sampleProvider(`http://${host}`, await identityKeys(join(dir, 'idp'))), host));
  plane = await startControlPlane({
    ...{ dataDir: join(dir, 'data'), http: '127.0.0.1:0', grpc: '127.0.0.1:0', env: {}, version: 'test' },
    logger: pino({ level: 'debug' }, { write: line => lines.push(line) }),
    onFault: error => {
      throw error;
    },
  });
  const applied = await fetch(`${plane.httpUrl}/v1/apply`, {
    method: 'POST',
    headers: { authorization: `Bearer ${plane.adminToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ manifests: [{ file: join(dir, 'm.yaml'), text: manifests(`http://${host}`, api) }] }),
  });
  assert.equal(applied.status, 200, await applied.text());
});

after(async () => {
  await plane?.close();
  slack?.stop();
  server?.closeAllConnections();
  server?.close();
  await rm(dir, { recursive: true });
});

async function until<T>(look: () => T | undefined | Promise<T | undefined>, what: string): Promise<T> {
  for (let i = 0; i < 9000; i++) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  throw new Error(`not seen: ${what}: ${JSON.stringify([slack.messages.at(-1), slack.ephemerals])}`);
}

async function signedIn(person: string): Promise<Browser> {
  const browser = new Browser();
  const { url } = await browser.go(`${plane.httpUrl}/auth/login`);
  await browser.go(`${url}?person=${person}`, { method: 'POST' });
  return browser;
}

async function asked(browser: Browser, reason: string): Promise<{ id: string; message: SlackMessage }> {
  const { csrf } = (await (await browser.fetch(`${plane.httpUrl}/v1/me`)).json()) as { csrf: string };
  const answer = await browser.fetch(`${plane.httpUrl}/v1/requests`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-sallyport-csrf': csrf },
    body: JSON.stringify({ resource: 'crm', role: 'oncall', seconds: 600, reason }),
  });
  assert.equal(answer.status, 201, await answer.clone().text());
  const { id } = (await answer.json()) as { id: string };
  return { id, message: await until(() => slack.messages.find(({ blocks }) => JSON.stringify(blocks).includes(id)), `message of ${id}`) };
}

async function approval(id: string): Promise<{ state: string; approvedBy: string[] }> {
  const answer = await fetch(`${plane.httpUrl}/v1/approvals/${id}`, { headers: { authorization: `Bearer ${plane.adminToken}` } });
  return (await answer.json()) as { state: string; approvedBy: string[] };
}

const post = (request: { body: string; headers: Record<string, string> }, name = 'chat') =>
  fetch(`${plane.httpUrl}/v1/channels/${name}/slack`, { method: 'POST', ...request });
const press = async (user: string, message: SlackMessage, action: string) => {
  const before = slack.ephemerals.length;
  assert.equal((await post(slack.pressed(user, message, action))).status, 200);
  return { refusal: () => until(() => slack.ephemerals[before]?.text, 'a refusal') };
};
const hasButtons = ({ blocks }: SlackMessage) => blocks.some(({ type }) => type === 'actions');

test('people press: each of the groups counts once, never who asked, and the message goes on with it', async () => {
  const alice = await signedIn('alice');
  const { id, message } = await asked(alice, 'ticket 1 <!channel> *now*');
  assert.equal(message.channel, 'C0123');
  assert.match(message.text, /alice@example\.com waits for an approval: access to crm for a time/);
  assert.ok(hasButtons(message));
  for (const { text } of message.blocks) assert.ok(text === undefined || text.type === 'plain_text', 'nothing in it is formatted');

  const first = await press('U0BOB', message, APPROVE);
  assert.match(await first.refusal(), /^Sign in at .* first, then press again/);
  assert.deepEqual((await approval(id)).approvedBy, []);

  await signedIn('bob');
  await press('U0BOB', message, APPROVE);
  await until(async () => ((await approval(id)).approvedBy.length === 1 ? true : undefined), 'bob counts');
  await until(() => (message.edits >= 1 ? true : undefined), 'the message says so');
  assert.ok(JSON.stringify(message.blocks).includes('approved by bob@example.com'));
  assert.ok(hasButtons(message), 'the other group still has to');

  const own = await press('U0ALICE', message, APPROVE);
  assert.match(await own.refusal(), /own|no such approval/i);
  await signedIn('carol');
  await press('U0CAROL', message, APPROVE);
  await until(async () => ((await approval(id)).state === 'approved' ? true : undefined), 'carol completes it');
  await until(() => (message.edits >= 2 ? true : undefined), 'the message ends');
  assert.equal(hasButtons(message), false);
  assert.match(message.text, /^approved: /);
});

test('one’s own request is never one’s own to answer, in the right group or not; a denial ends it', async () => {
  const bob = await signedIn('bob');
  const { id, message } = await asked(bob, 'ticket 2');
  for (const action of [APPROVE, DENY]) {
    const own = await press('U0BOB', message, action);
    assert.notEqual(await own.refusal(), '');
  }
  assert.deepEqual(await approval(id).then(({ state, approvedBy }) => [state, approvedBy]), ['pending', []]);
  await signedIn('carol');
  await press('U0CAROL', message, DENY);
  await until(async () => ((await approval(id)).state === 'denied' ? true : undefined), 'carol denies');
});

test('nobody is taken for somebody else: other workspaces, addresses that are not confirmed, who is gone, bots', async () => {
  const { id, message } = await asked(await signedIn('alice'), 'ticket 3');
  await signedIn('bob');
  for (const user of ['U0FAKE', 'U0UNSURE', 'U0GONE', 'U0ROBOT']) {
    const pressed = await press(user, message, APPROVE);
    assert.match(await pressed.refusal(), /Only members of this workspace/, user);
  }
  assert.match(await (await press('U0OTHER', message, APPROVE)).refusal(), /^Sign in/);
  assert.notEqual(await (await press('U0NOBODY', message, APPROVE)).refusal(), '');
  assert.deepEqual((await approval(id)).approvedBy, []);
});

test('a request that is not Slack’s, is old, or was here before does nothing', async () => {
  const { id, message } = await asked(await signedIn('alice'), 'ticket 4');
  const genuine = slack.pressed('U0BOB', message, APPROVE);
  const signature = genuine.headers['x-slack-signature'] ?? '';
  const wrong: [string, { body: string; headers: Record<string, string> }][] = [
    ['no signature', { ...genuine, headers: { 'content-type': 'application/x-www-form-urlencoded' } }],
    ['another body', { ...genuine, body: `${genuine.body}&x=1` }],
    [
      'another signature',
      {
        ...genuine,
        headers: { ...genuine.headers, 'x-slack-signature': `${signature.slice(0, -1)}${signature.endsWith('0') ? '1' : '0'}` },
      },
    ],
    ['another time', { ...genuine, headers: { ...genuine.headers, 'x-slack-request-timestamp': '1' } }],
    ['old', slack.pressed('U0BOB', message, APPROVE, Date.now() - 301_000)],
    ['of the future', slack.pressed('U0BOB', message, APPROVE, Date.now() + 900_000)],
  ];
  for (const [what, request] of wrong) assert.equal((await post(request)).status, 401, what);
  assert.equal((await post(genuine, 'nosuch')).status, 401);
  assert.deepEqual((await approval(id)).approvedBy, []);
  await signedIn('bob');
  assert.equal((await post(genuine)).status, 200);
  assert.equal((await post(genuine)).status, 401, 'the same once more');
  await until(async () => ((await approval(id)).approvedBy.length === 1 ? true : undefined), 'the genuine one counts');
});

test('what Slack does not take is told later, and no secret is in the log', async () => {
  const before = slack.messages.length;
  slack.failing = { status: 429, body: { ok: false, error: 'ratelimited' }, headers: { 'retry-after': '1' } };
  const { message } = await asked(await signedIn('alice'), 'ticket 5');
  assert.equal(slack.messages.length, before + 1);
  assert.ok(hasButtons(message));
  const log = lines.join('');
  assert.match(log, /a channel could not be told/);
  for (const secret of [token, signingSecret]) assert.equal(log.includes(secret), false);
});
