import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TimedLogLevel } from './log-level.ts';

test('a level holds for its time and is back by itself; the last word counts', context => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const logger = { level: 'info' };
  const back: string[] = [];
  const level = new TimedLogLevel(logger, normal => back.push(normal));
  assert.ok(level.set('debug', 600_000));
  context.mock.timers.tick(599_999);
  assert.equal(logger.level, 'debug');
  assert.ok(level.set('warn', 60_000));
  context.mock.timers.tick(59_999);
  assert.deepEqual([logger.level, back], ['warn', []], 'the first time is over and does not count');
  context.mock.timers.tick(1);
  assert.deepEqual([logger.level, back], ['info', ['info']]);
  level.set('debug', 60_000);
  level.set('debug', 0);
  assert.equal(logger.level, 'info');
  context.mock.timers.tick(60_000);
  assert.deepEqual(back, ['info']);
  level.set('debug', 10 * 24 * 3_600_000);
  context.mock.timers.tick(24 * 3_600_000);
  assert.equal(logger.level, 'info', 'a day at most');
  for (const wrong of ['trace', 'silent', '', 'DEBUG', '10']) assert.equal(level.set(wrong, 1000), false, wrong);
  assert.equal(logger.level, 'info');
});
