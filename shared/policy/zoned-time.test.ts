import assert from 'node:assert/strict';
import { test } from 'node:test';
import { calendarField, isTimeZone } from './zoned-time.ts';

const at = (text: string) => new Date(text);

test('fields in UTC', () => {
  const instant = at('2024-12-31T23:45:06.789Z'); // a Tuesday in a leap year
  const expected = {
    getFullYear: 2024,
    getMonth: 11,
    getDate: 31,
    getDayOfMonth: 30,
    getDayOfWeek: 2,
    getDayOfYear: 365,
    getHours: 23,
    getMinutes: 45,
    getSeconds: 6,
    getMilliseconds: 789,
  } as const;
  for (const [field, value] of Object.entries(expected))
    assert.equal(calendarField(field as keyof typeof expected, instant, 'UTC'), value, field);
});

test('zones, with their changes to and from summer time', () => {
  assert.equal(calendarField('getHours', at('2026-03-29T00:59:59Z'), 'Europe/Berlin'), 1);
  assert.equal(calendarField('getHours', at('2026-03-29T01:00:00Z'), 'Europe/Berlin'), 3);
  assert.equal(calendarField('getHours', at('2026-10-25T00:59:59Z'), 'Europe/Berlin'), 2);
  assert.equal(calendarField('getHours', at('2026-10-25T01:00:00Z'), 'Europe/Berlin'), 2);
  assert.equal(calendarField('getDayOfYear', at('2026-07-01T00:30:00Z'), 'America/New_York'), 180); // still 30 June
  assert.equal(calendarField('getMinutes', at('2026-01-01T00:00:00Z'), 'Asia/Kathmandu'), 45);
  assert.equal(calendarField('getFullYear', at('2025-12-31T23:00:00Z'), '+01:00'), 2026);
  assert.equal(calendarField('getMinutes', at('2026-01-01T00:00:00Z'), '-03:30'), 30);
});

test('midnight is hour 0', () => {
  assert.equal(calendarField('getHours', at('2026-01-01T05:00:00Z'), 'America/New_York'), 0);
});

test('unknown zones', () => {
  for (const zone of ['', 'Mars/Base', '+24:00', '+1:00', 'UTC+1', '../etc']) {
    assert.equal(isTimeZone(zone), false, zone);
    assert.throws(() => calendarField('getHours', at('2026-01-01T00:00:00Z'), zone), RangeError);
  }
});

test('the cache of zones is bounded and keeps answers right', () => {
  for (let minutes = 0; minutes < 300; minutes++) {
    const zone = `+${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
    assert.equal(calendarField('getMinutes', at('2026-01-01T00:00:00Z'), zone), minutes % 60);
  }
  assert.equal(calendarField('getHours', at('2026-07-01T00:00:00Z'), 'Europe/Berlin'), 2);
});
