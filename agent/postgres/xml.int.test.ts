/** XML through the gateway: what detectors find in its text, attributes, CDATA, escapes and arrays is masked in every form that rows have. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type PostgresServer, startPostgres } from '../../e2e/components/postgres.ts';
import { type Frame, message, RawClient, values } from '../../e2e/components/raw-postgres.ts';
import { certificatesOf, startGateway, type TestGateway } from './testing/gateway.ts';

const SQL = `
set role app;
create table documents (id int primary key, doc xml, many xml[], note text);
insert into documents values
  (1, '<person mail="ada@example.com"><pan>4556 7375 8689 9855</pan></person>', null, 'text'),
  (2, '<![CDATA[ada@example.com]]>', null, 'cdata'),
  (3, '<a>&#97;da&#64;example.com</a>', null, 'escaped'),
  (4, '<a/>', array['<x>ada@example.com</x>', '<y>plain</y>']::xml[], 'array'),
  (5, '<ns:a xmlns:ns="urn:x"><!-- ada@example.com --></ns:a>', null, 'comment'),
  (6, ('<l>' || repeat('<i>word</i>', 20000) || '<m>ada@example.com</m></l>')::xml, null, 'large'),
  (7, '<plain version="1.2.3">nothing</plain>', array['<y>plain</y>']::xml[], 'nothing');
`;
let postgres: PostgresServer;
let gateway: TestGateway;
before(async () => {
  postgres = await startPostgres({ sql: SQL });
  gateway = await startGateway({
    upstream: { address: `127.0.0.1:${postgres.port}`, database: 'app' },
    credential: { username: postgres.app.user, password: postgres.app.password },
    ...certificatesOf(postgres),
    policy: { data: [{ detectors: ['email', 'payment-card'] }] },
  });
});
after(async () => {
  gateway?.stop();
  await postgres?.stop();
});

const connect = () => RawClient.connect({ host: gateway.host, port: gateway.port, user: 'x', database: 'app', password: 'good' });
const HIDDEN = /ada@example\.com|da&#64;example|4556 ?7375/;
const rows = (frames: Frame[]) =>
  frames.filter(({ type }) => type === 'D').map(({ body }) => values(body).map(value => value?.toString() ?? null));

test('found in every place, in text, binary and COPY, and what remains is still XML', async () => {
  const client = await connect();
  const sql = 'select id, doc, many, note from documents order by id';
  const answers = [
    await client.simple(sql),
    await client.extended(sql, [], { binary: false }),
    await client.extended(sql, [], { binary: true }),
  ];
  for (const frames of answers) {
    assert.equal(rows(frames).length, 7, JSON.stringify(frames.filter(({ type }) => type === 'E').map(({ body }) => body.toString())));
    for (const { body } of frames) assert.doesNotMatch(body.toString('latin1'), HIDDEN);
  }
  const simple = rows(answers[0] ?? []);
  assert.deepEqual(simple[6]?.slice(1, 3), ['<plain version="1.2.3">nothing</plain>', '{<y>plain</y>}']);
  assert.equal(simple[5]?.[1]?.split('<i>word</i>').length, 20_001, 'only what was found is replaced');
  for (const [, doc] of simple) {
    client.send(
      message.parse('', 'select $1::xml is not null', []),
      message.bind('', '', [doc ?? '']),
      message.execute(''),
      message.sync(),
    );
    assert.equal(rows(await client.until('Z'))[0]?.[0], 't', `no XML any more: ${doc?.slice(0, 200)}`);
  }
  for (const format of ['text', 'csv', 'binary']) {
    const frames = await client.simple(`copy (${sql}) to stdout (format ${format})`);
    assert.ok(frames.filter(({ type }) => type === 'd').length >= 7);
    for (const { body } of frames) assert.doesNotMatch(body.toString('latin1'), HIDDEN);
  }
  client.close();
});

test('made by functions and taken apart', async () => {
  const client = await connect();
  const queries = [
    "select xpath('//@mail', doc)::text[] from documents where id = 1",
    "select xpath('//pan/text()', doc) from documents where id = 1",
    "select x.* from documents, xmltable('/person' passing doc columns mail text path '@mail', pan text path 'pan') x where id = 1",
    'select xmlserialize(content doc as text indent) from documents where id = 1',
    'select xmlagg(doc order by id) from documents where id in (1, 5)',
    "select xmlelement(name a, xmlattributes('ada@example.com' as b))",
    'select doc::text::bytea from documents where id = 1',
    'select to_jsonb(doc::text) from documents where id = 1',
  ];
  for (const sql of queries) {
    const frames = await client.simple(sql);
    assert.ok(rows(frames).length > 0, sql);
    for (const { body } of frames) {
      assert.doesNotMatch(body.toString('latin1'), HIDDEN, sql);
      assert.doesNotMatch(body.toString('latin1'), new RegExp(Buffer.from('ada@example.com').toString('hex')), sql);
    }
  }
  client.close();
});
