import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { ControlEventSchema } from '@sallyport/proto/gen/sallyport/control/v1/control_pb.js';
import { controlEventRow, withoutSecrets } from './control-batch.ts';

const bytes = (value: unknown) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));

describe('withoutSecrets', () => {
  it('leaves out what is named like a secret, at any depth', () => {
    const kept = withoutSecrets(
      bytes({
        a: 1,
        secrets: { x: 'S' },
        spec: { oidc: { clientSecret: 'S', issuer: 'i' }, list: [{ password: 'S', privateKey: 'S', token: 'S' }] },
      }),
    );
    assert.ok(!kept.includes('"S"'));
    assert.deepEqual(JSON.parse(kept).spec.oidc, { clientSecret: '[withheld]', issuer: 'i' });
    assert.equal(JSON.parse(kept).a, 1);
  });

  it('shows nothing of what it cannot read', () => {
    assert.equal(withoutSecrets(bytes('{"a": "S')), '');
    assert.equal(withoutSecrets(Uint8Array.of(0xff, 0xfe)), '');
    assert.equal(withoutSecrets(new Uint8Array()), '');
  });
});

describe('controlEventRow', () => {
  it('shows no payload of a credential', () => {
    const event = create(ControlEventSchema, {
      stream: 'credential/crm/app',
      type: 'CredentialApplied',
      payload: bytes({ anything: 'S' }),
    });
    const row = controlEventRow(3n, event, true);
    assert.deepEqual([row.kind, row.name, row.payload], ['credential', 'crm/app', '']);
  });
});
