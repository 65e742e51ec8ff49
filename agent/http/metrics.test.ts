import assert from 'node:assert/strict';
import { test } from 'node:test';
import { metricsText, workerMetrics } from './metrics.ts';

test('the text format, with labels escaped', () => {
  const text = metricsText([
    { name: 'a', help: 'h', type: 'gauge', samples: [{ value: 1.5 }, { labels: { x: 'a"b\\c\nd' }, value: Number.POSITIVE_INFINITY }] },
  ]);
  assert.equal(
    text,
    '# HELP sallyport_agent_a h\n# TYPE sallyport_agent_a gauge\nsallyport_agent_a 1.5\nsallyport_agent_a{x="a\\"b\\\\c\\nd"} +Inf\n',
  );
});

test('workers’ numbers become counters and gauges with a worker label', () => {
  const metrics = workerMetrics(
    new Map([
      [0, { commands: 4, spoolBytes: 10 }],
      [1, { commands: 5, spoolBytes: 20 }],
    ]),
  );
  const text = metricsText(metrics);
  assert.match(
    text,
    /# TYPE sallyport_agent_commands_total counter\nsallyport_agent_commands_total\{worker="0"\} 4\nsallyport_agent_commands_total\{worker="1"\} 5\n/,
  );
  assert.match(text, /# TYPE sallyport_agent_spool_bytes gauge\n/);
});
