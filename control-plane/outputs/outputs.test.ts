import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { parseOutputs } from './config.ts';
import type { OutputEvent } from './event.ts';
import { ocsf } from './ocsf.ts';
import { otlpRequest } from './otlp-destination.ts';
import { syslogMessage } from './syslog-destination.ts';

const event: OutputEvent = {
  id: 's/4',
  type: 'command',
  activity: 'denied',
  severity: 'high',
  atMs: Date.UTC(2026, 3, 1),
  fields: {
    ...{ session_id: 's', seq: 4, principal: 'sam@example.com', issuer: 'https://idp.example', groups: ['support'], resource: 'crm' },
    ...{
      client_address: '10.0.0.7:50000',
      text: 'drop table x\n\u001b[2J\u0000',
      statements: ['drop-table'],
      rule: 'sql-safety/no-ddl',
      reason: 'Migrations.',
    },
  },
};

test('OCSF: class, type, severity, actor, end points, and nothing lost', () => {
  const shown = ocsf(event, { version: '1' });
  assert.equal(shown['class_uid'], 6005);
  assert.equal(shown['type_uid'], 600507);
  assert.equal(shown['severity_id'], 4);
  assert.equal(shown['status_id'], 2);
  assert.deepEqual(shown['actor'], {
    user: { name: 'sam@example.com', domain: 'https://idp.example', groups: [{ name: 'support' }] },
    session: { uid: 's', issuer: 'https://idp.example' },
  });
  assert.deepEqual(shown['src_endpoint'], { ip: '10.0.0.7', port: 50000 });
  assert.deepEqual(shown['unmapped'], event.fields);
});

test('a syslog message is one line of RFC 5424, whatever a client sent', () => {
  const message = syslogMessage(event, { facility: 13, hostname: 'gw' }, '1');
  assert.match(message, /^<107>1 2026-04-01T00:00:00\.000Z gw sallyport - command - \{/);
  assert.ok(Buffer.from(message).every(byte => byte >= 0x20));
});

test('OTLP: values keep their types', () => {
  const { resourceLogs } = otlpRequest([event], '1') as {
    resourceLogs: { scopeLogs: { logRecords: { attributes: { key: string; value: unknown }[] }[] }[] }[];
  };
  const attributes = new Map(resourceLogs[0]?.scopeLogs[0]?.logRecords[0]?.attributes.map(({ key, value }) => [key, value]));
  assert.deepEqual(attributes.get('sallyport.seq'), { intValue: '4' });
  assert.deepEqual(attributes.get('sallyport.groups'), { arrayValue: { values: [{ stringValue: 'support' }] } });
  assert.deepEqual(attributes.get('event.name'), { stringValue: 'sallyport.command.denied' });
});

test('the file of outputs: secrets from elsewhere; mistakes with their place', () => {
  const read = (text: string) => parseOutputs(text, { TOKEN: 'secret-1' }, path => `text of ${path}\n`);
  const [siem] = read(
    'outputs: [{ name: siem, http: { url: https://siem.example/in, headers: { Authorization: { env: TOKEN } }, ca: { file: ca.pem } }, events: [command], drop: [text], sample: { command: 0.5 } }]',
  );
  assert.deepEqual(siem?.target, {
    kind: 'http',
    url: 'https://siem.example/in',
    headers: { authorization: 'secret-1' },
    ca: 'text of ca.pem',
    lines: false,
  });
  for (const [text, expected] of [
    ['outputs: []', /a list of 1 to 32/],
    ['output: []', /it has no `output`.*outputs/],
    ['outputs: [{ name: a, http: { url: http://siem.example/ } }]', /outputs\[0\]\.http\.url: an https: address/],
    ['outputs: [{ name: a, http: { uri: x } }]', /outputs\[0\]\.http: it has no `uri`.*url/],
    ['outputs: [{ name: a }]', /give one of http, otlp/],
    ['outputs: [{ name: ../x, file: { path: x } }]', /outputs\[0\]\.name/],
    ['outputs: [{ name: a, file: { path: x } }, { name: a, file: { path: y } }]', /same name/],
    ['outputs: [{ name: a, file: { path: x }, events: [comand] }]', /no events `comand`/],
    ['outputs: [{ name: a, file: { path: x }, sample: { command: 0 } }]', /a share above 0/],
    ['outputs: [{ name: a, s3: { endpoint: https://s3.example, bucket: b-1, accessKeyId: { env: NOTHING } } }]', /NOTHING is not set/],
    ['outputs: [', /no YAML/],
  ] as const) {
    assert.throws(
      () => read(text),
      (error: unknown) => error instanceof GatewayError && error.code === 'OUTPUTS_INVALID' && expected.test(error.message),
      text,
    );
  }
});
