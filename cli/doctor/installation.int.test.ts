/** What is wrong with an identity provider, looked at over HTTP as the doctor does. */
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { after, before, test } from 'node:test';
import { checkProvider } from './installation.ts';

let server: Server;
let issuer: string;
let answers: Record<string, unknown>;
let date: Date;

before(async () => {
  server = createServer((request, response) => {
    const answer = answers[request.url ?? ''];
    response.setHeader('date', date.toUTCString());
    response.statusCode = answer === undefined ? 404 : 200;
    response.end(typeof answer === 'string' ? answer : JSON.stringify(answer ?? {}));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  issuer = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
});
after(() => server.close());

const discovery = '/.well-known/openid-configuration';

async function brief(): Promise<string> {
  return (await checkProvider('idp', issuer))
    .map(({ outcome, detail, mend }) => `${outcome}: ${detail}${outcome === 'wrong' && !mend ? ' NO MEND' : ''}`)
    .join('; ');
}

test('discovery, its own name, keys and the clock', async () => {
  date = new Date();
  const good = { issuer, jwks_uri: `${issuer}/jwks` };
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ [discovery]: good, '/jwks': { keys: [{}] } }, /^fine: discovery and 1 key \(\d+ ms\)$/],
    [{}, /^wrong: discovery answers 404$/],
    [{ [discovery]: '<html>' }, /^wrong: discovery does not answer JSON$/],
    [{ [discovery]: { ...good, issuer: `${issuer}/` } }, /^wrong: calls itself .*\/, the manifest says http/],
    [{ [discovery]: { issuer } }, /^wrong: discovery names no `jwks_uri`$/],
    [{ [discovery]: good, '/jwks': { keys: [] } }, /^wrong: no keys at .* \(HTTP 200\)$/],
    [{ [discovery]: good }, /^wrong: no keys at .* \(HTTP 404\)$/],
  ];
  for (const [given, expected] of cases) {
    answers = given;
    assert.match(await brief(), expected);
  }
  answers = { [discovery]: good, '/jwks': { keys: [{}] } };
  date = new Date(Date.now() + 5 * 60_000);
  assert.match(await brief(), /^fine: discovery and 1 key .*; wrong: it is 5 min ahead of this machine$/);
});
