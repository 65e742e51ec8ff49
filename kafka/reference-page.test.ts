import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { compressions, kafkaConfig, kafkaFlags, kafkaHelp, saslMechanisms } from './config.ts';
import { controlTopic, presenceTopic, recordsTopic } from './topics.ts';

const page = readFileSync(new URL('../docs/reference/kafka.md', import.meta.url), 'utf8');

test('docs/reference/kafka.md has every option and what it may be, and help says the same', () => {
  for (const name of Object.keys(kafkaFlags)) {
    assert.match(page, new RegExp(`\`--${name}[ \`]`), name);
    assert.equal(kafkaHelp.filter(([flags]) => flags.split(' ')[0] === `--${name}`).length, 1, name);
  }
  for (const value of [...saslMechanisms, ...compressions]) assert.ok(page.includes(`\`${value}\``), value);
});

test('the topics are as the page says', () => {
  const config = kafkaConfig({ kafka: 'localhost:1' }, {}, 'test');
  assert.ok(config);
  const [control, records] = [controlTopic(config), recordsTopic(config)];
  const dayMs = 24 * 60 * 60 * 1000;
  assert.deepEqual([control.partitions, control.partitionsFixed, control.retention], [1, true, 'forever']);
  assert.match(page, /exactly 1: its order/);
  assert.deepEqual([records.partitions, records.retention], [12, { madeMs: 30 * dayMs, leastMs: dayMs }]);
  assert.match(page, /\| 12 when made .*\n.*\n\| `retention\.ms` \| -1, for ever \| 30 days when made; at least one day \|/);
  const presence = presenceTopic(config);
  assert.deepEqual(
    [presence.name, presence.partitions, presence.retention],
    ['sallyport.presence', 1, { madeMs: 60 * 60 * 1000, leastMs: 0 }],
  );
  assert.match(page, /`sallyport\.presence` \(one partition, an hour's retention, made when it is missing\)/);
  assert.deepEqual([control.maxMessageBytes, records.maxMessageBytes], [2 ** 24, 2 ** 24]);
});
