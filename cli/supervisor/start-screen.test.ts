import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { styleOf } from '../terminal.ts';
import { connectionString, startScreen } from './start-screen.ts';

const dataFolder = path.resolve('.sallyport');
const screen = {
  endpoints: {
    console: 'http://127.0.0.1:8420',
    api: 'http://127.0.0.1:8420',
    grpc: '127.0.0.1:8421',
    clickhouse: { url: 'http://127.0.0.1:8123', user: 'sallyport', password: 'store-password' },
    ca: path.join(dataFolder, 'control-plane', 'pki', 'ca.crt'),
    resources: { crm: '127.0.0.1:15432', warehouse: '127.0.0.1:15433' },
    pids: {},
    adminToken: 'admin-token-value',
  },
  dataFolder,
  manifestFolder: path.join(dataFolder, 'demo', 'manifests'),
  demo: true,
  tookMs: 6_543,
  env: { PATH: '/nowhere' },
};

test('says where things are, without any secret in it', () => {
  const text = startScreen(screen, styleOf(false));
  assert.match(text, /Console {4}http:\/\/127\.0\.0\.1:8420 {2}sign in as Bob, who runs the place;/);
  assert.match(text, /Resources {2}127\.0\.0\.1:15432 {8}crm\n {13}127\.0\.0\.1:15433 {8}warehouse/);
  assert.equal(/admin-token-value|store-password/.test(text), false);
  assert.equal(stripVTControlCharacters(startScreen(screen, styleOf(true))), text);
});

test('without psql, the line to paste uses the prompt of our own', () => {
  assert.match(startScreen(screen, styleOf(false)), /npx sallyport connect crm --as alice\n/);
});

test('with another data folder, every command names it', () => {
  const text = startScreen({ ...screen, dataFolder: '/srv/data' }, styleOf(false));
  assert.match(text, /connect crm --as alice --data \/srv\/data/);
  assert.match(text, /sessions list --data \/srv\/data/);
});

test('without a demo: the first resource, and no sample people', () => {
  const text = startScreen({ ...screen, demo: false }, styleOf(false));
  assert.match(text, /npx sallyport connect crm/);
  assert.equal(text.includes('alice'), false);
  const empty = startScreen({ ...screen, demo: false, endpoints: { ...screen.endpoints, resources: {} } }, styleOf(false));
  assert.match(empty, /Nothing is protected yet/);
});

test('the connection string: names for old clients, paths with spaces quoted', () => {
  assert.equal(
    connectionString('crm', '127.0.0.1:15432', "/it's here/ca.crt"),
    "host=localhost port=15432 dbname=crm user=alice sslmode=verify-full sslrootcert='/it\\'s here/ca.crt'",
  );
  assert.match(connectionString('crm', '10.0.0.7:15432', 'ca.crt'), /^host=10\.0\.0\.7 /);
});
