/** CALL of procedures that can be read: guards see what they run, nothing protected comes out, and the rest stays refused. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type PostgresServer, startPostgres } from '../../e2e/components/postgres.ts';
import { type Frame, fields, RawClient, values } from '../../e2e/components/raw-postgres.ts';
import { certificatesOf, startGateway, type TestGateway } from './testing/gateway.ts';

const SQL = `
set role app;
create table people (id int primary key, email text);
insert into people values (1, 'ada@example.com');
create table stock (item text, quantity int);
insert into stock values ('a', 1), ('b', 2);
create procedure counts(inout n bigint) language plpgsql as 'begin select count(*) into n from stock; end';
create procedure restocks(what text) language sql as 'update stock set quantity = quantity + 1 where item = what';
create procedure empties() language plpgsql as 'begin delete from stock; end';
create procedure tells(inout r text) language sql as 'select email from people';
create procedure tells_too(inout r text) language plpgsql as 'begin select email into r from people; end';
create procedure builds(inout r text) language plpgsql as 'begin execute r into r; end';
create procedure nests() language plpgsql as 'begin call empties(); end';
`;
let postgres: PostgresServer;
let gateway: TestGateway;
before(async () => {
  postgres = await startPostgres({ sql: SQL });
  gateway = await startGateway({
    upstream: { address: `127.0.0.1:${postgres.port}`, database: 'app' },
    credential: { username: postgres.app.user, password: postgres.app.password },
    ...certificatesOf(postgres),
    policy: {
      guards: [
        { resources: {}, priority: 0, rules: [{ name: 'no-delete', match: { statements: ['delete'], where: ['none'] }, action: 'deny' }] },
      ],
      data: [
        { columns: [{ match: 'public.people.email', action: 'mask', as: 'redact', predicates: { equality: 'record', other: 'record' } }] },
      ],
    },
  });
});
after(async () => {
  gateway?.stop();
  await postgres?.stop();
});

const rows = (frames: Frame[]) =>
  frames.filter(({ type }) => type === 'D').map(({ body }) => values(body).map(value => value?.toString() ?? null));
const errorOf = (frames: Frame[]) => fields(frames.find(({ type }) => type === 'E')?.body ?? Buffer.from([0]))['M'] ?? '';

test('what is harmless runs, what guards speak against does not, what cannot be read is refused', async () => {
  const client = await RawClient.connect({ host: gateway.host, port: gateway.port, user: 'x', database: 'app', password: 'good' });
  for (const binary of [false, true]) {
    const [[count] = []] = rows(await client.extended('call counts(null)', [], { binary }));
    assert.equal(binary ? Buffer.from(count ?? '').at(-1) : count, binary ? 2 : '2');
  }
  assert.deepEqual(rows(await client.simple('call public.counts(null)')), [['2']]);
  assert.equal(errorOf(await client.simple("call restocks('a')")), '');
  const command = gateway.sink.commands.at(-1);
  assert.deepEqual(command?.statements.toSorted(), ['call', 'update']);
  assert.match(errorOf(await client.simple('call empties()')), /no-delete/);
  for (const sql of [
    'call tells_too(null)',
    "call builds('select email from people')",
    'call nests()',
    'call missing()',
    "call restocks((select 'a'))",
  ])
    assert.notEqual(errorOf(await client.simple(sql)), '', sql);
  for (const frames of [
    await client.simple('call tells(null)'),
    await client.extended('call tells(null)', [], { binary: true, describe: false }),
  ])
    for (const { body } of frames) assert.doesNotMatch(body.toString('latin1'), /ada@/);
  assert.deepEqual(rows(await client.simple('select quantity from stock order by item')), [['2'], ['2']]);
  client.close();
});
