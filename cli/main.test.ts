import assert from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { type Endpoints, writeEndpoints } from './endpoints.ts';
import { run } from './main.ts';
import { watchedTerminal } from './watched-terminal.testing.ts';

async function folder(): Promise<string> {
  return mkdtemp(path.join(os.tmpdir(), 'sallyport-cli-'));
}

/** A stand-in for the control plane's API: answers from a table, keeps what it was asked. */
async function fakeApi(answers: Record<string, { status?: number; body: unknown }>): Promise<{
  server: Server;
  url: string;
  asked: { request: string; authorization: string | undefined; body: string }[];
}> {
  const asked: { request: string; authorization: string | undefined; body: string }[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      const name = `${request.method} ${request.url}`;
      asked.push({ request: name, authorization: request.headers.authorization, body });
      const answer = answers[name] ?? { status: 404, body: { title: 'Not Found', detail: `no ${name}` } };
      response.writeHead(answer.status ?? 200, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body));
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

function endpoints(api: string): Endpoints {
  return {
    console: api,
    api,
    grpc: '127.0.0.1:1',
    clickhouse: { url: 'http://127.0.0.1:2', user: 'sallyport', password: 'p' },
    ca: '/nowhere/ca.crt',
    resources: { crm: '127.0.0.1:15432' },
    pids: {},
    adminToken: 'administrator',
  };
}

test('usage errors: exit code 2, one line that says what to do', async () => {
  const cases: [string[], RegExp][] = [
    [['tiket'], /there is no command `tiket`; did you mean `ticket`\?/],
    [['xyzzy'], /`sallyport --help` lists them/],
    [['ticket'], /missing required argument 'resource'.*sallyport ticket --help/],
    [['ticket', 'crm', '--expires-in', 'soon'], /`soon` is no duration; write 90s/],
    [['up', '--console-port', '99999'], /a port is a number from 1 to 65535, not `99999`/],
    [['up', '--agent-workers', '0'], /--agent-workers is a number from 1 to 64/],
    [['up', '--wat'], /unknown option '--wat'/],
    [['apply'], /required option '-f, --file <PATH>' not specified/],
    [['get', 'roles', '--api', 'http://127.0.0.1:9', 'a', 'b'], /too many arguments/],
    [['get', 'gard', '--data', '/nowhere'], /there is no kind `gard`; did you mean `Guard`\?/],
    [['sessions', 'list', '--limit', '0'], /--limit is a number from 1 to 1000/],
    [['agents', 'invite', '--label', 'x'], /a label is KEY=VALUE/],
    [['sessions', 'lst'], /unknown command 'lst'/],
  ];
  for (const [argv, message] of cases) {
    const terminal = watchedTerminal();
    assert.equal(await run(argv, terminal), 2, argv.join(' '));
    assert.equal(terminal.errLines.length, 1, argv.join(' '));
    assert.match(terminal.errLines[0] ?? '', message);
    assert.deepEqual(terminal.outLines, []);
  }
});

test('--help and --version print to standard output and end with 0', async () => {
  for (const argv of [['--help'], ['help'], ['help', 'ticket'], ['ticket', '--help'], ['--version'], ['sessions', 'list', '--help']]) {
    const terminal = watchedTerminal();
    assert.equal(await run(argv, terminal), 0, argv.join(' '));
    assert.notDeepEqual(terminal.outLines, []);
    assert.deepEqual(terminal.errLines, []);
  }
});

test('nothing runs: one line, exit code 1', async () => {
  const data = await folder();
  for (const argv of [
    ['sessions', 'list'],
    ['agents', 'list'],
    ['ticket', 'crm'],
  ]) {
    const terminal = watchedTerminal();
    assert.equal(await run([...argv, '--data', data], terminal), 1);
    assert.deepEqual(terminal.errLines.length, 1);
    assert.match(terminal.errLines[0] ?? '', /no Sallyport runs on .*`sallyport up`/);
  }
});

test("a ticket is asked for with the caller's own token, never with the administrator's", async t => {
  const api = await fakeApi({ 'POST /v1/tickets': { body: { ticket: 'the-ticket', expiresAt: '', resource: 'crm' } } });
  t.after(() => api.server.close());
  const data = await folder();
  await writeEndpoints(data, endpoints(api.url));
  const tokenFile = path.join(data, 'token');
  await writeFile(tokenFile, 'from-file\n');
  for (const [options, env, token] of [
    [['--token-file', tokenFile], {}, 'from-file'],
    [[], { SALLYPORT_TOKEN: 'from-environment' }, 'from-environment'],
  ] as [string[], Record<string, string>, string][]) {
    const terminal = watchedTerminal({ SALLYPORT_DATA: data, ...env });
    assert.equal(await run(['ticket', 'crm', '--expires-in', '5m', ...options], terminal), 0);
    assert.deepEqual(terminal.outLines, ['the-ticket']);
    assert.deepEqual(api.asked.pop(), {
      request: 'POST /v1/tickets',
      authorization: `Bearer ${token}`,
      body: '{"resource":"crm","expiresInSeconds":300}',
    });
  }
  const nobody = watchedTerminal({ SALLYPORT_DATA: data, XDG_CONFIG_HOME: data });
  assert.equal(await run(['ticket', 'crm'], nobody), 1);
  assert.match(nobody.errLines[0] ?? '', /nobody is signed in. Run `sallyport login`/);
});

test("a refusal is the server's own sentence", async t => {
  const api = await fakeApi({
    'POST /v1/tickets': { status: 403, body: { code: 'NO_GRANT', detail: 'no role lets you use this resource.' } },
  });
  t.after(() => api.server.close());
  const terminal = watchedTerminal({ SALLYPORT_API: api.url, SALLYPORT_TOKEN: 't' });
  assert.equal(await run(['ticket', 'crm'], terminal), 1);
  assert.deepEqual(terminal.errLines, ['error: no role lets you use this resource.']);
});

test('apply and plan: what changes, and every problem with its place', async t => {
  const data = await folder();
  const file = path.join(data, 'role.yaml');
  await writeFile(file, 'kind: Role\n');
  const changes = [
    {
      kind: 'Role',
      name: 'support',
      change: 'configured',
      diff: [
        { path: 'spec.session.maxDuration', before: '1h', after: '2h' },
        { path: 'spec.members.groups', before: ['support', 'sales'], after: ['support', 'dba'] },
      ],
    },
    { kind: 'Guard', name: 'sql', change: 'unchanged', diff: [] },
  ];
  const api = await fakeApi({
    'POST /v1/apply': { body: { changes, warnings: [{ file, line: 3, column: 5, message: 'a secret in plain text' }] } },
  });
  t.after(() => api.server.close());
  const env = { SALLYPORT_API: api.url, SALLYPORT_TOKEN: 't' };
  const planned = watchedTerminal(env);
  assert.equal(await run(['plan', '-f', data], planned), 0);
  assert.deepEqual(JSON.parse(api.asked[0]?.body ?? ''), { manifests: [{ file, text: 'kind: Role\n' }], dryRun: true });
  assert.deepEqual(planned.outLines, [
    `warning: ${file}:3:5: a secret in plain text`,
    'Role/support would change',
    '  spec.session.maxDuration: "1h" → "2h"',
    '  spec.members.groups:',
    '    - "sales"',
    '    + "dba"',
    'Guard/sql unchanged',
  ]);

  const refusing = await fakeApi({
    'POST /v1/apply': { status: 422, body: { detail: 'invalid', problems: [{ file, line: 1, column: 7, message: 'unknown kind' }] } },
  });
  t.after(() => refusing.server.close());
  const refused = watchedTerminal({ ...env, SALLYPORT_API: refusing.url });
  assert.equal(await run(['apply', '-f', file], refused), 1);
  assert.deepEqual(refused.errLines, [`${file}:1:7: unknown kind`]);

  const empty = watchedTerminal(env);
  assert.equal(await run(['apply', '-f', path.join(data, 'absent')], empty), 1);
  assert.match(empty.errLines[0] ?? '', /there is no file or folder/);
});

test('listings: aligned for people, --json for programs', async t => {
  const agents = [
    {
      id: 'a1',
      name: 'edge',
      status: 'online',
      labels: { env: 'prod' },
      version: '0.1.0',
      sessions: 2,
      listeners: { crm: '127.0.0.1:1' },
      problems: {},
    },
  ];
  const api = await fakeApi({ 'GET /v1/agents': { body: { agents } } });
  t.after(() => api.server.close());
  const env = { SALLYPORT_API: api.url, SALLYPORT_TOKEN: 't' };
  const people = watchedTerminal(env);
  assert.equal(await run(['agents', 'list'], people), 0);
  assert.match(people.outLines[0] ?? '', /^ID {2}NAME {2}STATUS/);
  assert.match(people.outLines[1] ?? '', /^a1 {2}edge {2}online {2,}0\.1\.0 {4}env=prod/);
  const programs = watchedTerminal(env);
  assert.equal(await run(['agents', 'list', '--json'], programs), 0);
  assert.deepEqual(JSON.parse(programs.outLines.join('\n')), { agents });
});

test('a token does not go over plain http to another machine', async () => {
  const terminal = watchedTerminal({ SALLYPORT_API: 'http://sallyport.example:8420', SALLYPORT_TOKEN: 't' });
  assert.equal(await run(['agents', 'list'], terminal), 1);
  assert.match(terminal.errLines[0] ?? '', /not sent over plain http/);
});
