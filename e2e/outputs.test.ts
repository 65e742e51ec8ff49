/**
 * Evidence sent on: each kind of output against a receiver, from a real gateway's log. Syslog goes to a real rsyslog over TLS; the other
 * receivers are of this file and fail first. One that never answers holds back nobody, and kill -9 loses nothing.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import pg from 'pg';
import { filesBelow } from './components/folder.ts';
import { type Gateway, startGateway } from './components/gateway.ts';
import { type Issuer, startIssuer } from './components/issuer.ts';
import { freePort, type PostgresServer, startPostgres } from './components/postgres.ts';
import { people, shopManifests, shopSql } from './components/shop.ts';

const cli = path.join(import.meta.dirname, '..', 'cli', 'bin', 'sallyport.js');
let postgres: PostgresServer;
let issuer: Issuer;
let gateway: Gateway;
let outputs: ChildProcess;
let rsyslog: ChildProcess;
let dir = '';
let syslogPort = 0;
const servers: http.Server[] = [];

type Ocsf = Record<string, unknown> & { metadata: { uid: string; event_code: string }; unmapped: Record<string, unknown> };

const siem: Ocsf[] = [];
const limited: Ocsf[] = [];
const otlp: { attributes: Map<string, unknown>; severityText: string }[] = [];
const objects = new Map<string, Buffer>();
let siemRequests = 0;

interface Received {
  request: http.IncomingMessage;
  body: Buffer;
}

/** A receiver over HTTPS. @returns its port. */
async function receiver(answer: (received: Received, response: http.ServerResponse) => void): Promise<number> {
  const pem = { key: readFileSync(path.join(dir, 'tls.key')), cert: readFileSync(path.join(dir, 'tls.crt')) };
  const server = https.createServer(pem, (request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => answer({ request, body: Buffer.concat(parts) }, response));
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function startRsyslog(): Promise<ChildProcess> {
  const config = path.join(dir, 'rsyslog.conf');
  writeFileSync(
    config,
    `global(workDirectory="${dir}" maxMessageSize="64k" defaultNetstreamDriver="ossl"
  defaultNetstreamDriverCAFile="${dir}/tls.crt" defaultNetstreamDriverCertFile="${dir}/tls.crt" defaultNetstreamDriverKeyFile="${dir}/tls.key")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="out" type="string" string="%pri%|%timestamp:::date-rfc3339%|%hostname%|%app-name%|%msgid%|%msg%\\n")
input(type="imtcp" port="${syslogPort}")
action(type="omfile" file="${dir}/syslog.txt" template="out")
`,
  );
  const child = spawn('/usr/sbin/rsyslogd', ['-n', '-f', config, '-i', path.join(dir, 'rsyslog.pid')], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  await eventually('rsyslog listens', () => {
    try {
      execFileSync('openssl', ['s_client', '-connect', `127.0.0.1:${syslogPort}`, '-brief'], {
        stdio: ['ignore', 'ignore', 'ignore'],
        timeout: 5000,
      });
      return true;
    } catch {
      return false;
    }
  });
  return child;
}

async function eventually(what: string, holds: () => boolean, limitMs = 240_000): Promise<void> {
  for (const deadline = Date.now() + limitMs; !holds(); ) {
    if (Date.now() > deadline) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

function startOutputs(): ChildProcess {
  const log = path.join(gateway.data, 'control-plane', 'log');
  const args = [cli, 'outputs', '--config', path.join(dir, 'outputs.yaml'), '--log', log, '--data', path.join(dir, 'cursors')];
  return spawn(process.execPath, args, {
    env: { ...process.env, SIEM_TOKEN: 'token-4711', S3_SECRET: 'secret-key' },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}

async function use(who: (typeof people)[keyof typeof people], ...statements: string[]): Promise<void> {
  const { host, port } = gateway.address('crm');
  const ca = readFileSync(gateway.endpoints().ca, 'utf8');
  const client = new pg.Client({
    host,
    port,
    user: 'x',
    database: 'app',
    password: await issuer.token(who),
    ssl: { ca, servername: 'localhost' },
  });
  await client.connect();
  for (const text of statements) await client.query(text).catch(() => {}); // a denial is what some of them are for
  await client.end();
}

const uids = (events: readonly Ocsf[]) => new Set(events.map(({ metadata }) => metadata.uid));
const coded = (events: readonly Ocsf[], code: string) => events.filter(({ metadata }) => metadata.event_code === code);
/** Whole lines: what is behind the last end of a line is still being written. */
const wholeLines = (text: string) =>
  text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(Boolean);
const jsonLines = (text: string) => wholeLines(text).map(line => JSON.parse(line) as Ocsf);

function written(): Ocsf[] {
  const folder = path.join(dir, 'events');
  return filesBelow(folder).flatMap(file => {
    try {
      return jsonLines(readFileSync(file, 'utf8'));
    } catch (error) {
      // It was given its next name meanwhile: all of it is seen the next time.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  });
}

function logged(): { fields: string[]; event: Ocsf }[] {
  const file = path.join(dir, 'syslog.txt');
  const lines = existsSync(file) ? wholeLines(readFileSync(file, 'utf8')).filter(line => line.endsWith('}')) : [];
  return lines.map(line => {
    const fields = line.split('|', 5);
    return { fields, event: JSON.parse(line.slice(fields.join('|').length + 1)) as Ocsf };
  });
}

before(async () => {
  [postgres, issuer] = await Promise.all([startPostgres({ sql: shopSql }), startIssuer()]);
  gateway = await startGateway({
    manifests: { 'shop.yaml': shopManifests(postgres, { issuer: issuer.url }) },
    env: { CRM_PASSWORD: postgres.app.password },
  });
  dir = gateway.dir;
  mkdirSync(path.join(dir, 'events'));
  mkdirSync(path.join(dir, 'cursors'));
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost'].concat([
      '-addext',
      'subjectAltName=DNS:localhost,IP:127.0.0.1',
      '-keyout',
      path.join(dir, 'tls.key'),
      '-out',
      path.join(dir, 'tls.crt'),
    ]),
    { stdio: 'ignore' },
  );
  const siemPort = await receiver(({ request, body }, response) => {
    siemRequests++;
    if (request.headers.authorization !== 'token-4711') return void response.writeHead(401).end();
    if (siemRequests === 1) return void response.writeHead(503).end('not yet');
    if (siemRequests === 2) return void request.socket.destroy();
    siem.push(...(JSON.parse(body.toString()) as Ocsf[]));
    // Taken, and the answer is lost: it comes again.
    if (siemRequests === 3) request.socket.destroy();
    else response.writeHead(200).end('{}');
  });
  const limitedPort = await receiver(({ body }, response) => {
    limited.push(...jsonLines(body.toString()));
    response.writeHead(204).end();
  });
  const silentPort = await receiver(() => {});
  const otlpPort = await receiver(({ request, body }, response) => {
    assert.equal(request.url, '/v1/logs');
    interface Request {
      resourceLogs: { scopeLogs: { logRecords: { severityText: string; attributes: { key: string; value: unknown }[] }[] }[] }[];
    }
    for (const { scopeLogs } of (JSON.parse(body.toString()) as Request).resourceLogs)
      for (const { logRecords } of scopeLogs)
        for (const { attributes, severityText } of logRecords)
          otlp.push({ severityText, attributes: new Map(attributes.map(({ key, value }) => [key, value])) });
    response.writeHead(200).end('{}');
  });
  const s3Port = await receiver(({ request, body }, response) => {
    const isWhole = request.headers['x-amz-content-sha256'] === createHash('sha256').update(body).digest('hex');
    const isSigned =
      /^AWS4-HMAC-SHA256 Credential=key-id\/\d{8}\/eu-1\/s3\/aws4_request, SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date, Signature=[0-9a-f]{64}$/.test(
        request.headers.authorization ?? '',
      );
    if (request.method !== 'PUT' || !isWhole || !isSigned) return void response.writeHead(403).end();
    objects.set(request.url ?? '', body);
    response.writeHead(200).end();
  });
  syslogPort = await freePort();
  rsyslog = await startRsyslog();
  const ca = '{ file: tls.crt }';
  writeFileSync(
    path.join(dir, 'outputs.yaml'),
    `outputs:
  - { name: siem, http: { url: "https://127.0.0.1:${siemPort}/in", headers: { Authorization: { env: SIEM_TOKEN } }, ca: ${ca} } }
  - name: limited
    http: { url: "https://127.0.0.1:${limitedPort}/", body: lines, ca: ${ca} }
    events: [command]
    drop: [text, client_address]
    sample: { command: 0.5 }
  - { name: silent, http: { url: "https://127.0.0.1:${silentPort}/", ca: ${ca} } }
  - { name: otel, otlp: { url: "https://127.0.0.1:${otlpPort}/v1/logs", ca: ${ca} } }
  - { name: syslog, syslog: { address: "localhost:${syslogPort}", hostname: gw-1, ca: ${ca} } }
  - { name: files, file: { path: ${path.join(dir, 'events', 'events.jsonl')}, rotateBytes: 16384, keep: 100 } }
  - name: archive
    s3: { endpoint: "https://127.0.0.1:${s3Port}", bucket: evidence, prefix: gw, region: eu-1, accessKeyId: key-id, secretAccessKey: { env: S3_SECRET }, ca: ${ca} }
  - { name: elsewhere, resources: [another], events: [session, command], file: { path: ${path.join(dir, 'elsewhere.jsonl')} } }
`,
  );
  outputs = startOutputs();
});
after(async () => {
  outputs?.kill('SIGKILL');
  rsyslog?.kill('SIGTERM');
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  await gateway?.stop();
  await issuer?.stop();
  await postgres?.stop();
});

const hostile = `select 'x' as "a${'\u0001'}|b", '<13>1 - - - - - -' as y`;

test('every output gets what happened: who, what, decided how, and no contents of answers', async () => {
  await use(people.support, 'select id, email from customers where id = 1', 'drop table customers', hostile);
  const all = [
    ['siem', () => siem],
    ['files', written],
    ['syslog', () => logged().map(({ event }) => event)],
    ['archive', () => [...objects.values()].flatMap(body => jsonLines(gunzipSync(body).toString()))],
  ] as const;
  for (const [name, events] of all) {
    await eventually(`${name} has the session's end`, () => coded(events(), 'session.ended').length > 0);
    const denied = coded(events(), 'command.denied')[0];
    assert.ok(denied !== undefined, name);
    assert.equal(denied['class_uid'], 6005, name);
    assert.equal(denied['status_id'], 2);
    assert.deepEqual((denied['query_info'] as { query_string: string }).query_string, 'drop table customers');
    assert.equal((denied['actor'] as { user: { name: string } }).user.name, 'sam@example.com');
    assert.equal((denied['dst_endpoint'] as { name: string }).name, 'crm');
    assert.equal(denied.unmapped['rule'], 'sql-safety/no-ddl');
    assert.ok(
      events().some(event => event.unmapped['text'] === hostile),
      `${name}: as the client sent it`,
    );
    assert.ok(coded(events(), 'response.ok').some(({ unmapped }) => Number(unmapped['masked_values']) > 0));
    assert.ok(events().some(({ metadata }) => metadata.event_code === 'change.ResourceApplied'));
    assert.ok(!JSON.stringify(events()).includes(postgres.app.password));
  }
  await eventually('what was refused, cut off, and taken without an answer came again', () => siemRequests > 3);
  const { fields } = logged()[0] ?? { fields: [] };
  assert.match(fields.join('|'), /^1\d\d\|\d{4}-.*\|gw-1\|sallyport\|\w+$/);
  assert.ok([...objects.keys()].every(key => /^\/evidence\/gw\/\d{4}\/\d\d\/\d\d\/\d+-[0-9a-f]{24}\.jsonl\.gz$/.test(key)));
  await eventually('the collector has the session’s end', () =>
    otlp.some(({ attributes }) => (attributes.get('event.name') as { stringValue: string }).stringValue === 'sallyport.session.ended'),
  );
  const denied = otlp.find(
    ({ attributes }) => (attributes.get('event.name') as { stringValue: string }).stringValue === 'sallyport.command.denied',
  );
  assert.equal(denied?.severityText, 'ERROR');
  assert.deepEqual(denied?.attributes.get('sallyport.principal'), { stringValue: 'sam@example.com' });
});

test('filters and samples are of each output alone', async () => {
  await use(people.privacy, ...Array.from({ length: 40 }, (_, at) => `select ${at}`));
  await eventually('all are written', () => written().filter(({ metadata }) => metadata.event_code === 'command.allowed').length >= 42);
  const commands = written().filter(({ metadata }) => metadata.event_code.startsWith('command.'));
  await eventually('the sample is there', () => uids(limited).size > commands.length * 0.2);
  for (const event of limited) {
    assert.match(event.metadata.event_code, /^command\./);
    assert.equal(event.unmapped['text'], undefined);
    assert.equal(
      event['query_info'] === undefined ? undefined : (event['query_info'] as Record<string, unknown>)['query_string'],
      undefined,
    );
    assert.equal(event['src_endpoint'], undefined);
  }
  const chosen = uids(limited);
  assert.ok(chosen.size < commands.length * 0.8, `${chosen.size} of ${commands.length}`);
  assert.equal(existsSync(path.join(dir, 'elsewhere.jsonl')), false, 'nothing happened on that resource');
  assert.ok(readdirSync(path.join(dir, 'events')).length > 1, 'files are rotated');
});

test('kill -9 of the sender and a receiver that is away lose nothing', async () => {
  const first = use(people.support, ...Array.from({ length: 30 }, (_, at) => `select ${at} as before`));
  outputs.kill('SIGKILL');
  await once(outputs, 'exit');
  await first;
  rsyslog.kill('SIGTERM');
  await once(rsyslog, 'exit');
  outputs = startOutputs();
  await use(people.support, ...Array.from({ length: 30 }, (_, at) => `select ${at} as away`));
  rsyslog = await startRsyslog();
  const expected = await gateway.eventually<{ uid: string }>(
    "select concat(session_id, '/', toString(seq)) as uid from sallyport.commands where text like 'select % as before' or text like 'select % as away'",
    rows => rows.length === 60,
  );
  const missing = (events: readonly Ocsf[]) => {
    const there = uids(events);
    return expected.filter(({ uid }) => !there.has(uid)).length;
  };
  await eventually('the SIEM has all', () => missing(siem) === 0);
  await eventually('the files have all', () => missing(written()) === 0);
  await eventually('syslog has all', () => missing(logged().map(({ event }) => event)) === 0);
  // Whose they are is known also after the restart in the middle of the session.
  const text = siem.filter(({ unmapped }) => / as (before|away)$/.test(String(unmapped['text'])));
  assert.ok(text.every(({ unmapped }) => unmapped['principal'] === 'sam@example.com' && unmapped['resource'] === 'crm'));
});
