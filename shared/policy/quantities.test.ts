import assert from 'node:assert/strict';
import { test } from 'node:test';
import { didYouMean, nearest } from './nearest.ts';
import { parseDurationMs, parseSizeBytes } from './quantities.ts';

test('durations', () => {
  const valid: [string, number][] = [
    ['1h', 3_600_000],
    ['10m', 600_000],
    ['1h30m', 5_400_000],
    ['250ms', 250],
    ['2d', 172_800_000],
    ['1d2h3m4s5ms', 93_784_005],
    ['0s', 0],
  ];
  for (const [text, ms] of valid) assert.equal(parseDurationMs(text), ms, text);
  for (const text of ['', '1', '1 h', 'h', '-1h', '1.5h', '1m1h', '1h1h', '1w', '1H', '99999999999d', `${'1'.repeat(40)}s`])
    assert.equal(parseDurationMs(text), undefined, text);
});

test('sizes', () => {
  const valid: [string, number][] = [
    ['50MB', 50_000_000],
    ['64KiB', 65_536],
    ['1.5MB', 1_500_000],
    ['1 GB', 1e9],
    ['0B', 0],
    ['10kB', 10_000],
    ['2TiB', 2 * 2 ** 40],
  ];
  for (const [text, bytes] of valid) assert.equal(parseSizeBytes(text), bytes, text);
  for (const text of ['', '5', 'MB', '-1MB', '1.5B', '1e3MB', '50mb', '9007199254740993B', '99999TiB ', '1  MB'])
    assert.equal(parseSizeBytes(text), undefined, text);
});

test('nearest names', () => {
  const fields = ['username', 'password', 'maxDuration', 'resources'];
  assert.equal(nearest('passwrd', fields), 'password');
  assert.equal(nearest('pasword', fields), 'password');
  assert.equal(nearest('max_duration', fields), 'maxDuration');
  assert.equal(nearest('MaxDuration', fields), 'maxDuration');
  assert.equal(nearest('resuorces', fields), 'resources');
  assert.equal(nearest('zzz', fields), undefined);
  assert.equal(nearest('', fields), undefined);
  assert.equal(nearest('p'.repeat(10_000), fields), undefined);
  assert.equal(didYouMean('usrname', fields), '; did you mean `username`?');
  assert.equal(didYouMean('zzz', fields), '');
});
