import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { VerifyContext, verifyToken } from '@sallyport/shared/identity/verify.ts';
import { decodeJwt } from 'jose';
import type { ControlPlaneOptions } from '../control-plane.ts';
import { hello, nextMessage, TestAgent } from '../grpc/test-agent.ts';
import { TestIdentityProvider } from '../test-identity-provider.ts';
import { routeNeeds } from './authorization.ts';
import { type Api, withApi as withManifests } from './test-api.ts';
import { billingBot, corpProvider, credential, resource } from './test-manifests.ts';

const manifests = (
  issuer: string,
) => `${corpProvider(issuer)}${billingBot(issuer)}${credential}${resource('crm', 'env: prod')}${resource('vault', 'env: secret')}---
kind: Role
metadata: { name: support }
spec: { members: { groups: [support], serviceAccounts: [billing-bot] }, resources: { names: [crm] } }
`;

const withApi = (body: (api: Api) => Promise<void>, options?: Partial<ControlPlaneOptions>) => withManifests(manifests, body, options);

const ann = { sub: 'a1', email: 'ann@example.com', groups: ['support'] };

/** Every path of the description, with parameters filled in. */
async function operations(api: Api): Promise<{ method: string; path: string }[]> {
  const { body } = await api.call('GET', '/openapi.json', { token: null });
  return Object.entries(body.paths as Record<string, Record<string, unknown>>).flatMap(([path, methods]) =>
    Object.keys(methods).map(method => ({
      method: method.toUpperCase(),
      path: path
        .replace('{kind}', 'Role')
        .replace(/\{id\}/, path.includes('approvals') ? '0'.repeat(36) : '0'.repeat(32))
        .replace(/\{\w+\}/g, 'x'),
    })),
  );
}

const open = new Set(
  Object.keys(routeNeeds).flatMap(route => (routeNeeds[route] === 'public' ? [route.slice(route.indexOf(' ') + 1)] : [])),
);

/** A path of the table with its parameters filled in. */
function filledIn(url: string): string {
  const id = url.includes('approvals') ? '0'.repeat(36) : '0'.repeat(32);
  return url.replace(':kind', 'Role').replace(':id', id).replace(/:\w+/g, 'x');
}

test('the table of needs has every documented route', () =>
  withApi(async api => {
    const { body } = await api.call('GET', '/openapi.json', { token: null });
    const documented = Object.entries(body.paths as Record<string, Record<string, unknown>>).flatMap(([path, methods]) =>
      Object.keys(methods).map(method => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`),
    );
    assert.ok(documented.length > 18);
    assert.deepEqual(
      documented.filter(route => !Object.hasOwn(routeNeeds, route)),
      [],
    );
  }));

test('every route that is not meant for all asks for a token, and answers a problem document', () =>
  withApi(async api => {
    let wrongTokens = 0;
    for (const { method, path } of await operations(api)) {
      if (open.has(path)) continue;
      // Not many failures in a row from one address, or the limit speaks.
      for (const token of wrongTokens++ < 15 ? [null, 'x'] : [null]) {
        const answer = await api.call(method, path, { token });
        assert.equal(answer.status, 401, `${method} ${path} with ${token}`);
        assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/);
        // Slack has no token: what it sends is signed.
        assert.equal(answer.body.code, path.endsWith('/slack') ? 'SLACK_SIGNATURE' : 'UNAUTHENTICATED', path);
      }
    }
  }));

test('a role opens what the table says, on every route, and nothing else', () =>
  withApi(async api => {
    const given = ['viewer', 'approver', 'operator', 'auditor', 'admin'] as const;
    const text = given
      .map(role => `kind: AccessPolicy\nmetadata: { name: ${role} }\nspec: { roles: [${role}], members: { groups: [the-${role}s] } }\n`)
      .join('---\n');
    assert.equal((await api.call('POST', '/v1/apply', { body: { manifests: [{ file: 'roles.yaml', text }] } })).status, 200);
    for (const role of [null, ...given]) {
      const token = await api.provider.token({ ...ann, groups: role === null ? ['support'] : [`the-${role}s`] });
      const me = await api.call('GET', '/v1/me', { token });
      assert.deepEqual(me.body.roles, role === null ? [] : role === 'admin' ? [...given] : [role]);
      for (const [route, need] of Object.entries(routeNeeds)) {
        const [method = '', url = ''] = route.split(' ');
        const sent = method === 'GET' || method === 'DELETE' ? {} : { body: { nothing: 'that a route takes' } };
        const { status, body } = await api.call(method, filledIn(url), { token, ...sent });
        const isOpen = typeof need === 'string' || role === 'admin' || need.some(each => each === role);
        if (isOpen) assert.notEqual(body.code, 'ROLE_MISSING', `${role} at ${route}`);
        else assert.deepEqual([status, body.code], [403, 'ROLE_MISSING'], `${role} at ${route}`);
      }
    }
    const acting = await api.provider.token({ ...ann, groups: ['the-admins'], act: { sub: 'a-program' } });
    assert.deepEqual((await api.call('GET', '/v1/me', { token: acting })).body.roles, [], 'who acts for an admin is none');
    const robot = await api.provider.token({ sub: 'repo:billing', groups: ['the-admins'] });
    assert.deepEqual((await api.call('GET', '/v1/me', { token: robot })).body.roles, [], 'groups of a workload’s token count for nothing');
  }));

test('unknown fields, wrong types and rubbish are refused with a problem document', () =>
  withApi(async api => {
    const cases: [method: string, path: string, body: unknown, status: number][] = [
      ['POST', '/v1/apply', { manifests: [{ file: 'a', text: '', extra: 1 }] }, 400],
      ['POST', '/v1/apply', { manifests: [], force: true }, 400],
      ['POST', '/v1/apply', {}, 400],
      ['POST', '/v1/apply', '{"manifests":', 400],
      ['POST', '/v1/tickets', { resource: 'crm', expiresInSeconds: 3601 }, 400],
      ['POST', '/v1/tickets', { resource: 'crm', groups: ['admin'] }, 400],
      ['POST', '/v1/agents/invitations', { labels: { a: 'b' }, admin: true }, 400],
      ['POST', '/v1/agents/invitations', { expiresInSeconds: 604_801 }, 400],
      ['GET', '/v1/sessions?limit=100000', undefined, 400],
      ['GET', '/v1/sessions?offset=1', undefined, 400],
      ['GET', '/v1/manifests/Secret', undefined, 400],
      ['POST', '/v1/agents/../../etc/revoke', {}, 404],
      ['POST', `/v1/agents/${'A'.repeat(32)}/revoke`, {}, 400],
      ['POST', '/v1/tickets', { resource: 'x'.repeat(70_000) }, 413],
      ['PUT', '/v1/apply', {}, 404],
      ['GET', '/nothing', undefined, 404],
      ['GET', '/console/../main.ts', undefined, 404],
      ['GET', '/console/%2e%2e/main.ts', undefined, 404],
    ];
    for (const [method, path, body, status] of cases) {
      const answer = await api.call(method, path, body === undefined ? {} : { body });
      assert.equal(answer.status, status, `${method} ${path}: ${JSON.stringify(answer.body)}`);
      assert.equal(answer.body.status, status);
      assert.equal(typeof answer.body.code, 'string');
    }
    const bad = await api.call('POST', '/v1/apply', {
      body: { manifests: [{ file: 'm.yaml', text: 'kind: Rol\nmetadata: { name: x }\nspec: {}\n' }] },
    });
    assert.equal(bad.status, 422);
    assert.match(String(bad.body.detail), /^m\.yaml:1:7: .*Role/);
  }));

test('a ticket opens one resource, for the principal of the token, and not for longer than the token', () =>
  withApi(async api => {
    const token = await api.provider.token({ ...ann, act: { sub: 'assistant', act: { sub: 'tool' } } }, { lifetimeSeconds: 600 });
    const answer = await api.call('POST', '/v1/tickets', { token, body: { resource: 'crm' } });
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    const claims = decodeJwt(String(answer.body.ticket));
    const identityClaims = decodeJwt(token);
    assert.deepEqual(
      { ...claims, jti: '', iat: 0 },
      {
        ...{ iss: 'sallyport', aud: 'resource:crm', sub: 'a1', name: 'ann@example.com', kind: 'person', groups: ['support'] },
        ...{ oiss: api.provider.issuer, act: { sub: 'assistant', act: { sub: 'tool' } }, jti: '', iat: 0, exp: identityClaims.exp },
      },
    );
    assert.equal(answer.body.expiresAt, new Date((identityClaims.exp ?? 0) * 1000).toISOString());
    assert.equal('address' in answer.body, false);
    const longer = await api.call('POST', '/v1/tickets', {
      token: await api.provider.token(ann, { lifetimeSeconds: 7200 }),
      body: { resource: 'crm' },
    });
    const lifetime = Date.parse(String(longer.body.expiresAt)) - Date.now();
    assert.ok(lifetime > 14 * 60_000 && lifetime <= 15 * 60_000);

    // The agent takes it, by the keys that its lease brings.
    const agent = new TestAgent(api.plane.grpcAddress);
    const invitation = await api.call('POST', '/v1/agents/invitations', { body: { everyResource: true } });
    await agent.join(String(invitation.body.token));
    await agent.connectChannel();
    const stream = agent.control();
    stream.write(hello());
    const { body } = await nextMessage(stream, message => message.body.case === 'lease');
    assert.ok(body.case === 'lease');
    const context = new VerifyContext();
    context.useLease(agent.openLease(body.value));
    const verified = await verifyToken(String(answer.body.ticket), context);
    assert.ok(verified.ok);
    assert.deepEqual(
      [verified.ticketResource, verified.principal.name, verified.principal.delegation],
      ['crm', 'ann@example.com', ['assistant', 'tool']],
    );

    // Revoked: every connected agent hears of it at once, and the next lease has it.
    const told = nextMessage(stream, message => message.body.case === 'revocations');
    assert.equal((await api.call('POST', `/v1/tickets/${String(claims.jti)}/revoke`)).status, 200);
    const revocations = (await told).body;
    assert.deepEqual(revocations.case === 'revocations' && revocations.value.tokenIds, [claims.jti]);
    stream.end();
    agent.close();
  }));

test('no ticket without a grant, and no telling whether a resource exists', () =>
  withApi(async api => {
    const token = await api.provider.token(ann);
    const hidden = await api.call('POST', '/v1/tickets', { token, body: { resource: 'vault' } });
    const missing = await api.call('POST', '/v1/tickets', { token, body: { resource: 'nowhere' } });
    assert.equal(hidden.status, 404);
    assert.deepEqual(hidden.body, missing.body);
    const stranger = await api.provider.token({ ...ann, groups: [] });
    assert.equal((await api.call('POST', '/v1/tickets', { token: stranger, body: { resource: 'crm' } })).status, 404);
    assert.equal((await api.call('POST', '/v1/tickets', { body: { resource: 'crm' } })).body.code, 'TICKET_NEEDS_PRINCIPAL');
    const resources = async (bearer: string) =>
      ((await api.call('GET', '/v1/resources', { token: bearer })).body.resources as { name: string }[]).map(({ name }) => name);
    assert.deepEqual(await resources(token), ['crm']);
    assert.deepEqual(await resources(stranger), []);
    assert.deepEqual(await resources(api.plane.adminToken), ['crm', 'vault']);
    const bot = await api.provider.token({ sub: 'repo:billing' });
    assert.equal(
      decodeJwt(String((await api.call('POST', '/v1/tickets', { token: bot, body: { resource: 'crm' } })).body.ticket)).kind,
      'workload',
    );
  }));

test('tokens of a wrong audience, issuer, key or time, and tickets, do not open the API', () =>
  withApi(async api => {
    const good = await api.provider.token(ann);
    const ticket = String((await api.call('POST', '/v1/tickets', { token: good, body: { resource: 'crm' } })).body.ticket);
    const stranger = await TestIdentityProvider.start();
    const foreign = await stranger.token({ ...ann, iss: api.provider.issuer });
    const bad = [
      ticket,
      foreign,
      await stranger.token(ann),
      await api.provider.token({ ...ann, aud: 'another' }),
      await api.provider.token(ann, { lifetimeSeconds: -120 }),
      await api.provider.token({ ...ann, nbf: Math.floor(Date.now() / 1000) + 600 }),
      `${Buffer.from('{"alg":"none"}').toString('base64url')}.${good.split('.')[1]}.`,
      `${good.slice(0, -4)}AAAA`,
    ];
    const answers = new Set<string>();
    for (const token of bad) {
      const answer = await api.call('GET', '/v1/resources', { token });
      assert.equal(answer.status, 401);
      answers.add(JSON.stringify(answer.body));
    }
    assert.equal(answers.size, 1, 'one answer for every reason');
    await stranger.close();
    for (const token of [...bad, good]) assert.equal(api.lines.join('').includes(token), false, 'no token in a log');
  }));

test('keys are fetched when a token needs them, again after a rotation, and not for issuers that nobody configured', () => {
  let now = Date.now();
  return withApi(
    async api => {
      assert.equal((await api.call('GET', '/v1/resources', { token: await api.provider.token(ann) })).status, 200);
      assert.equal(api.provider.fetches, 1);
      api.provider.rotate();
      now += 10_000;
      assert.equal((await api.call('GET', '/v1/resources', { token: await api.provider.token(ann, { nowMs: now }) })).status, 200);
      assert.equal(api.provider.fetches, 2);
      // A token that names an unknown key makes one fetch, not one each.
      const other = await TestIdentityProvider.start();
      for (let i = 0; i < 3; i++) {
        assert.equal(
          (await api.call('GET', '/v1/resources', { token: await other.token({ ...ann, iss: api.provider.issuer }) })).status,
          401,
        );
      }
      assert.equal((await api.call('GET', '/v1/resources', { token: await other.token(ann) })).status, 401);
      assert.equal(other.fetches, 0);
      assert.ok(api.provider.fetches <= 3);
      await other.close();
    },
    { clock: () => now },
  );
});

test('failed sign-ins from one address are slowed, the administrator is not locked out', () =>
  withApi(async api => {
    let limited = 0;
    for (let i = 0; i < 30; i++) {
      const answer = await api.call('GET', '/v1/resources', { token: `guess-${i}` });
      if (answer.status === 429) {
        limited++;
        assert.equal(answer.body.code, 'TOO_MANY_FAILURES');
        assert.ok(Number(answer.headers.get('retry-after')) > 0);
      }
    }
    assert.equal(limited, 10);
    assert.equal((await api.call('GET', '/v1/resources')).status, 200);
    const token = await api.provider.token({ sub: 'a1', email: 'ann@example.com', groups: ['support'] });
    assert.equal((await api.call('GET', '/v1/resources', { token })).status, 200, 'nor is anybody else at the address');
  }));

test('security headers are on every answer; the console’s pages let nothing in from elsewhere', () =>
  withApi(async api => {
    for (const path of ['/', '/docs', '/sessions/x', '/console/icon.svg', '/healthz', '/nothing', '/v1/agents', '/openapi.json']) {
      const { headers } = await api.call('GET', path, { token: null });
      assert.equal(headers.get('x-content-type-options'), 'nosniff', path);
      assert.equal(headers.get('x-frame-options'), 'DENY', path);
      assert.match(headers.get('content-security-policy') ?? '', /default-src 'none'.*frame-ancestors 'none'/, path);
    }
    for (const path of ['/', '/docs', '/inbox/x']) {
      const { body } = await api.call('GET', path, { token: null });
      const references = [...String(body.text).matchAll(/(?:src|href)="([^"]+)"/g)].map(([, reference]) => reference ?? '');
      assert.ok(references.length > 3);
      for (const reference of references) {
        assert.match(reference, /^\/(?!\/)/, 'its own files only');
        assert.equal((await api.call('GET', reference, { token: null })).status, 200, reference);
      }
      assert.equal(/<script(?![^>]*\ssrc=)|\son\w+=|style=/.test(String(body.text)), false, 'nothing inline');
    }
    const first = await api.call('GET', '/', { token: null });
    const again = await api.call('GET', '/', { token: null, headers: { 'if-none-match': first.headers.get('etag') ?? '' } });
    assert.equal(again.status, 304);
  }));

test('manifests are shown, planned and deleted; what is in use is not', () =>
  withApi(async api => {
    const shown = await api.call('GET', '/v1/manifests/Credential/c');
    assert.deepEqual(shown.body.spec, { username: 'u', password: { env: 'PW' } });
    assert.equal((shown.body.status as { author: string }).author, 'admin');
    const text = 'kind: Role\nmetadata: { name: support }\nspec: { members: { groups: [support, more] }, resources: { names: [crm] } }\n';
    const plan = await api.call('POST', '/v1/apply', { body: { manifests: [{ file: 'r.yaml', text }], dryRun: true } });
    const [change] = plan.body.changes as { change: string; diff: { path: string; after: unknown }[] }[];
    assert.equal(change?.change, 'configured');
    assert.deepEqual(change?.diff.find(({ path }) => path === 'spec.members.groups')?.after, ['support', 'more']);
    const role = async () =>
      ((await api.call('GET', '/v1/manifests/Role/support')).body.spec as { members: { groups: string[] } }).members.groups;
    assert.deepEqual(await role(), ['support'], 'a rehearsal changes nothing');
    assert.equal((await api.call('DELETE', '/v1/manifests/Credential/c')).body.code, 'MANIFEST_IN_USE');
    assert.equal((await api.call('DELETE', '/v1/manifests/Role/support')).status, 200);
    assert.equal((await api.call('DELETE', '/v1/manifests/Role/support')).status, 404);
    assert.equal((await api.call('POST', '/v1/tickets', { token: await api.provider.token(ann), body: { resource: 'crm' } })).status, 404);
  }));

test('sessions come from the store by parameters; while it is down, live ones are shown and the answer says so', async () => {
  const queries: { query: string; parameters: Record<string, string> }[] = [];
  const store = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://x');
    if (url.pathname === '/ping') return response.end('Ok.\n');
    let query = '';
    request.on('data', (chunk: Buffer) => {
      query += chunk.toString();
    });
    request.on('end', () => {
      queries.push({ query, parameters: Object.fromEntries([...url.searchParams].filter(([name]) => name.startsWith('param_'))) });
      response.end('');
    });
    return undefined;
  });
  store.listen(0, '127.0.0.1');
  await new Promise(resolve => store.once('listening', resolve));
  const address = store.address();
  const url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  await withApi(
    async api => {
      const injection = "x' OR 1=1 --";
      const answer = await api.call('GET', `/v1/sessions?limit=5&principal=${encodeURIComponent(injection)}`);
      assert.deepEqual(answer.body, { sessions: [], store: { status: 'up' } });
      assert.equal(queries[0]?.query.includes('OR 1=1'), false);
      assert.match(queries[0]?.parameters.param_principal ?? '', /OR 1=1/);
      // A person asks for somebody else's and gets their own.
      await api.call('GET', '/v1/sessions?principal=bob', { token: await api.provider.token(ann) });
      assert.deepEqual(
        [queries[1]?.parameters.param_principal, queries[1]?.parameters.param_issuer],
        ['ann@example.com', api.provider.issuer],
      );
      assert.equal((await api.call('GET', '/v1/sessions/none')).status, 404);
      store.closeAllConnections();
      store.close();
      const down = await api.call('GET', '/v1/sessions');
      assert.equal(down.status, 200);
      assert.equal((down.body.store as { status: string }).status, 'down');
      assert.equal((await api.call('GET', '/v1/sessions/none')).status, 503);
      assert.equal(((await api.call('GET', '/v1/status')).body.store as { status: string }).status, 'down');
      assert.equal((await api.call('GET', '/readyz', { token: null })).status, 200, 'the control plane works without it');
    },
    { clickhouse: { url, user: 'u', password: 'p' } },
  );
});

test('metrics are Prometheus’ text, with counts and no names', () =>
  withApi(async api => {
    const { body, headers } = await api.call('GET', '/metrics', { token: null });
    assert.match(headers.get('content-type') ?? '', /^text\/plain/);
    const text = String(body.text);
    for (const line of text.trim().split('\n')) assert.match(line, /^(# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"\})? -?[\d.e+-]+)$/);
    assert.match(text, /^sallyport_control_log_offset \d+$/m);
    assert.equal(/crm|ann|support/.test(text), false);
  }));
