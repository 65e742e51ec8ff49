import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isInNetworks, parseNetwork } from './networks.ts';

test('addresses in and out of networks, of both families', () => {
  const within: [string, string][] = [
    ['10.1.2.3', '10.0.0.0/8'],
    ['10.1.2.3', '10.1.2.3'],
    ['10.1.2.3', '0.0.0.0/0'],
    ['192.168.1.129', '192.168.1.128/25'],
    ['::ffff:10.1.2.3', '10.0.0.0/8'],
    ['::ffff:a01:203', '10.0.0.0/8'],
    ['2001:db8::1', '2001:db8::/32'],
    ['fe80::1%eth0', 'fe80::/10'],
    ['::1', '::1/128'],
    ['2001:db8:0:0:0:0:0:1', '2001:db8::1'],
  ];
  for (const [address, network] of within) assert.ok(isInNetworks(address, ['203.0.113.0/24', network]), `${address} ${network}`);
  const outside: [string, string][] = [
    ['11.0.0.0', '10.0.0.0/8'],
    ['192.168.1.127', '192.168.1.128/25'],
    ['10.1.2.3', '::/0'],
    ['::1', '0.0.0.0/0'],
    ['2001:db9::1', '2001:db8::/32'],
    ['', '0.0.0.0/0'],
    ['010.1.2.3', '0.0.0.0/0'],
    ['10.1.2', '0.0.0.0/0'],
    ['10.1.2.3', 'anything'],
    ['10.1.2.3', ''],
  ];
  for (const [address, network] of outside) assert.ok(!isInNetworks(address, [network]), `${address} ${network}`);
  assert.equal(isInNetworks('10.1.2.3', []), false);
});

test('what is no network', () => {
  for (const text of [
    '10.1.2.3/8',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/08',
    '10.0.0/8',
    '::/129',
    ':::',
    '1::2::3',
    '2001:db8::1/32',
    '256.0.0.0/8',
    'a/8',
    '/8',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
  ]) {
    assert.equal(parseNetwork(text), null, text);
  }
  for (const text of ['10.0.0.0/8', '0.0.0.0/0', '::/0', 'fe80::/10', '1:2:3:4:5:6:7::', '::ffff:1.2.3.4'])
    assert.notEqual(parseNetwork(text), null, text);
});
