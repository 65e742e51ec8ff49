import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type EngineConfig, engineArguments, serverXml, startSql, usersXml } from './engine-config.ts';

const config: EngineConfig = {
  dataDir: '/data/clickhouse',
  usersPath: '/data/config/users.xml',
  logPath: '/data/logs/engine.log',
  portPath: "/data/it's/port",
  host: '127.0.0.1',
  port: 8123,
  gatePort: 4242,
  writer: { name: 'sallyport', password: 'a<b&c' },
  reader: { name: 'grafana', password: 'reader-secret' },
  memoryBytesMax: 1_000_000_000,
  threadsMax: 2,
};

describe('usersXml', () => {
  it('holds no password', () => {
    const xml = usersXml(config);
    for (const secret of ['a<b&c', 'a&lt;b&amp;c', 'reader-secret']) assert.ok(!xml.includes(secret));
    assert.match(xml, /<sallyport><password_sha256_hex>[0-9a-f]{64}</);
  });

  it('lets no name become markup, and none take the place of another', () => {
    for (const name of ['default', 'a b', '<x>', 'a/><b', '', '1a', 'x'.repeat(65), 'é']) {
      assert.throws(() => usersXml({ ...config, writer: { name, password: 'p' } }), { code: 'STORE_USER_INVALID' }, name);
      assert.throws(() => usersXml({ ...config, reader: { name, password: 'p' } }), { code: 'STORE_USER_INVALID' }, name);
    }
    assert.throws(() => usersXml({ ...config, reader: config.writer }), { code: 'STORE_USER_INVALID' });
  });

  it('gives nobody a source outside the database', () => {
    assert.doesNotMatch(usersXml(config), /\b(FILE|URL|S3|REMOTE|SOURCES|DICTIONARY|CREATE FUNCTION|ACCESS MANAGEMENT|ALL ON)\b/);
  });

  it('has a reader only when one is given', () => {
    assert.ok(!usersXml({ ...config, reader: undefined }).includes('<grafana>'));
  });

  it('makes the first session powerless but for what the command line gives it', () => {
    assert.match(usersXml(config), /<starter><readonly>1<\/readonly><max_query_size>1<\/max_query_size><\/starter>/);
    assert.ok(engineArguments(config, '/c', '/s').includes('--readonly=0'));
  });
});

describe('serverXml and startSql', () => {
  it('listen where they are told, and ask the gate', () => {
    assert.match(serverXml(config), /<listen_host>127\.0\.0\.1<\/listen_host>\n<http_port>8123<\/http_port>/);
    assert.match(serverXml(config), /<uri>http:\/\/127\.0\.0\.1:4242\/<\/uri>/);
  });

  it('escape a path in SQL', () => {
    assert.ok(startSql(config).includes("'/data/it\\'s/port'"));
  });
});
