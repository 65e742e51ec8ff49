import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientAddress } from './client-address.ts';

const trusted = ['10.0.0.0/8', 'fd00::/8'];
const by = (peer: string, forwardedFor?: string, forwarded?: string, networks = trusted) =>
  clientAddress(peer, { forwardedFor, forwarded }, networks);

test('only a trusted proxy is believed, and only what it wrote itself', () => {
  assert.equal(by('10.0.0.1', '203.0.113.7'), '203.0.113.7');
  assert.equal(by('198.51.100.1', '203.0.113.7'), '198.51.100.1', 'anybody may send the header');
  assert.equal(by('10.0.0.1', '203.0.113.7', undefined, []), '10.0.0.1', 'nobody is trusted unless named');
  assert.equal(by('10.0.0.1', '1.1.1.1, 203.0.113.7, 10.9.9.9'), '203.0.113.7', 'the client may have sent the beginning');
  assert.equal(by('::ffff:10.0.0.1', '::ffff:203.0.113.7'), '203.0.113.7');
  assert.equal(by('10.0.0.1', '10.0.0.2, 10.0.0.3'), '10.0.0.2', 'a client inside');
});

test('what is no address ends the way at the proxy that wrote it', () => {
  for (const bad of ['', 'unknown', 'localhost', '203.0.113.7:x', '1.2.3', '[::1', '203.0.113.7 evil'])
    assert.equal(by('10.0.0.1', `203.0.113.7, ${bad}`), '10.0.0.1', bad);
  assert.equal(by('10.0.0.1', `${'203.0.113.7,'.repeat(40)}203.0.113.7`), '10.0.0.1', 'too long a way');
});

test('Forwarded, with ports, IPv6 and quotes', () => {
  assert.equal(by('10.0.0.1', undefined, 'for=203.0.113.7;proto=https'), '203.0.113.7');
  assert.equal(by('10.0.0.1', undefined, 'proto=https;For="[2001:db8::7]:4711"'), '2001:db8::7');
  assert.equal(by('10.0.0.1', undefined, 'for=1.1.1.1, for="203.0.113.7:80";by=10.0.0.9'), '203.0.113.7');
  assert.equal(by('10.0.0.1', undefined, 'for=203.0.113.7, for=_hidden'), '10.0.0.1');
  assert.equal(by('10.0.0.1', undefined, 'host="a,for=1.1.1.1";for=203.0.113.7'), '203.0.113.7', 'a comma in quotes');
});

test('two headers that disagree count for nothing', () => {
  assert.equal(by('10.0.0.1', '203.0.113.7', 'for=203.0.113.7'), '203.0.113.7');
  assert.equal(by('10.0.0.1', '203.0.113.7', 'for=1.1.1.1'), '10.0.0.1');
});
