import assert from 'node:assert/strict';
import { test } from 'node:test';
import { md5Password, ScramClient } from './scram.ts';

test('the exchange of RFC 7677, section 3, with PostgreSQL\u2019s empty user name', async () => {
  // The RFC's example names a user; the proof below was computed for `n=` by an independent implementation (Python's hmac).
  const client = new ScramClient({ password: 'pencil' }, ['SCRAM-SHA-256'], null, 'rOprNGfwEbeRWgbNEkqO');
  assert.equal(client.mechanism, 'SCRAM-SHA-256');
  assert.equal(client.first().toString(), 'n,,n=,r=rOprNGfwEbeRWgbNEkqO');
  const challenge = Buffer.from('r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096');
  const final = (await client.final(challenge)).toString();
  assert.equal(final, 'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=qvT2SWdEH5Q06albL+hjSYuUhCG7VndFyzIb7CK4n9k=');
  assert.throws(() => client.verify(Buffer.from('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=')), { code: 'PG_UPSTREAM_SCRAM' });
  assert.equal(client.verified, false);
  client.verify(Buffer.from('v=3HO6Qt1M4MKJrmlKaoOqLAI0/0TV0HZe7J9H3MBtSOg='));
  assert.equal(client.verified, true);
});

test('channel binding is used when it is offered, and asked back for when it is not', () => {
  const binding = Buffer.alloc(32, 1);
  assert.equal(new ScramClient({ password: 'x' }, ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'], binding).mechanism, 'SCRAM-SHA-256-PLUS');
  const without = new ScramClient({ password: 'x' }, ['SCRAM-SHA-256'], binding, 'n');
  assert.equal(without.first().toString(), 'y,,n=,r=n');
  assert.throws(() => new ScramClient({ password: 'x' }, ['PLAIN'], null), { code: 'PG_UPSTREAM_SCRAM' });
});

test('challenges that lie', async () => {
  for (const challenge of [
    'r=other,s=AAAA,i=4096',
    'r=n,s=AAAA,i=4096',
    'r=nx,s=AAAA,i=0',
    'r=nx,s=AAAA,i=99999999',
    'm=x,r=nx,s=AAAA,i=1',
    '',
    'r=nx',
  ]) {
    await assert.rejects(
      new ScramClient({ password: 'x' }, ['SCRAM-SHA-256'], null, 'n').final(Buffer.from(challenge)),
      { code: 'PG_UPSTREAM_SCRAM' },
      challenge,
    );
  }
});

test('md5', () => {
  assert.equal(md5Password('app', 'secret', Buffer.from([1, 2, 3, 4])), 'md5911f527656472583a006e7727877b33e');
});
