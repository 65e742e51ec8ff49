import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventStream, type StreamTarget } from './event-stream.ts';

class Target implements StreamTarget {
  text = '';
  taken = 0;
  state: 'open' | 'ended' | 'destroyed' = 'open';

  get writableLength(): number {
    return this.text.length - this.taken;
  }

  write(chunk: string): boolean {
    this.text += chunk;
    return false;
  }

  end(): void {
    this.state = 'ended';
  }

  destroy(): void {
    this.state = 'destroyed';
  }

  count(type: string): number {
    return this.text.split('\n').filter(line => line === `event: ${type}`).length;
  }
}

const limits = { perSecond: 10, burst: 20, skipAboveBytes: 2000, dropAboveBytes: 4000, stalledMs: 30_000 };

test('commands and sessions are rated, what is skipped is told with numbers, and the rest always passes', () => {
  const target = new Target();
  const stream = new EventStream(target, { ...limits, skipAboveBytes: 1e6, dropAboveBytes: 1e6 });
  for (let i = 0; i < 100; i++) {
    stream.send('command', '1.2', '{}', 1000);
    stream.send('approval', '1.2', '{}', 1000);
  }
  stream.send('session', '1.2', '{}', 1000);
  assert.deepEqual([target.count('command'), target.count('approval'), target.count('session')], [20, 100, 1]);
  stream.beat('1.3', 1000);
  assert.match(target.text, /event: skipped\ndata: \{"command":80\}\n\nid: 1\.3\n\n$/);
  for (let i = 0; i < 100; i++) stream.send('command', '1.2', '{}', 2000);
  assert.equal(target.count('command'), 30, 'a second later there is room for ten');
  stream.beat('1.4', 2000);
  stream.beat('1.5', 2000);
  assert.equal(target.count('skipped'), 2, 'numbers are told once');
});

test('a reader that lags loses commands first, and then the stream', () => {
  const target = new Target();
  const stream = new EventStream(target, limits);
  const data = `"${'x'.repeat(300)}"`;
  for (let i = 0; i < 10; i++) stream.send('command', '1.1', data, 0);
  assert.ok(target.writableLength < limits.skipAboveBytes + 400 && target.count('command') < 10);
  assert.equal(target.state, 'open');
  for (let i = 0; i < 10; i++) stream.send('approval', '1.1', data, 0);
  assert.equal(target.state, 'destroyed');
  const length = target.text.length;
  stream.send('approval', '1.1', data, 0);
  stream.beat('1.1', 0);
  assert.equal(target.text.length, length, 'nothing is kept for it any more');
});

test('a reader that takes nothing is dropped after a while, one that takes a little is not', () => {
  const stuck = new Target();
  const slow = new Target();
  const streams = [new EventStream(stuck, limits), new EventStream(slow, limits)];
  for (let atMs = 0; atMs <= 40_000; atMs += 10_000) {
    for (const stream of streams) stream.beat('1.1', atMs);
    slow.taken = slow.text.length - 1;
  }
  assert.deepEqual([stuck.state, slow.state], ['destroyed', 'open']);
});
