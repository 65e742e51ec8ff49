import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { SlackSignatures } from './slack-signature.ts';

// The example of Slack's own page.
const secret = Buffer.from('8f742231b10e8888abcd99yyyzzz85a5');
const body = Buffer.from(
  'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c',
);
const time = '1531420618';
const signature = 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503';

test('Slack’s own example is genuine once, within five minutes', () => {
  let nowMs = Number(time) * 1000 + 299_000;
  const signatures = new SlackSignatures(secret, () => nowMs);
  assert.equal(signatures.verify(time, signature, body), 'genuine');
  assert.equal(signatures.verify(time, signature, body), 'repeated');
  nowMs += 2000;
  assert.equal(signatures.verify(time, signature, body), 'stale');
  nowMs = (Number(time) - 301) * 1000;
  assert.equal(new SlackSignatures(secret, () => nowMs).verify(time, signature, body), 'stale');
});

test('anything else is forged', () => {
  const signatures = new SlackSignatures(secret, () => Number(time) * 1000);
  const forged: [unknown, unknown, Buffer][] = [
    [time, signature, Buffer.concat([body, Buffer.from(' ')])],
    [time, signature.replace('v0=a', 'v0=b'), body],
    [time, signature.slice(3), body],
    [time, undefined, body],
    [time, '', body],
    [`${time} `, signature, body],
    ['1531420619', signature, body],
    [[time], [signature], body],
    [undefined, signature, body],
  ];
  for (const [at, mac, bytes] of forged) assert.equal(signatures.verify(at, mac, bytes), 'forged', String(mac));
});

test('what is remembered is bounded, and forgotten when it could not be sent again', () => {
  let nowMs = 1_000_000_000_000;
  const signatures = new SlackSignatures(secret, () => nowMs, 50);
  const request = (i: number): [string, string, Buffer] => {
    const at = String(Math.floor(nowMs / 1000));
    const bytes = Buffer.from(String(i));
    return [at, `v0=${createHmac('sha256', secret).update(`v0:${at}:`).update(bytes).digest('hex')}`, bytes];
  };
  for (let i = 0; i < 50; i++) assert.equal(signatures.verify(...request(i)), 'genuine');
  assert.equal(signatures.verify(...request(50)), 'repeated');
  nowMs += 601_000;
  assert.equal(signatures.verify(...request(50)), 'genuine');
});
