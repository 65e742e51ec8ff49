import assert from 'node:assert/strict';
import { test } from 'node:test';
import { moment } from './moment.ts';

test('dates, times with and without a zone, and how long ago', () => {
  const now = Date.UTC(2026, 10, 10, 12);
  for (const [text, expected] of [
    ['2026-11-01', '2026-11-01T00:00:00.000Z'],
    ['2026-11-01T08:30', '2026-11-01T08:30:00.000Z'],
    ['2026-11-01 08:30:15', '2026-11-01T08:30:15.000Z'],
    ['2026-11-01T08:30+02:00', '2026-11-01T06:30:00.000Z'],
    ['90m', '2026-11-10T10:30:00.000Z'],
    ['2w', '2026-10-27T12:00:00.000Z'],
  ] as const)
    assert.equal(moment(text, now), expected, text);
  for (const wrong of ['', 'yesterday', '2026-13-01', '2026-11-01T25:00', '7', '-7d', '2026-11-01T08:30+2'])
    assert.throws(() => moment(wrong, now), /a time is written/);
});
