import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventParser, type ServerEvent } from './event-source.ts';

test('events are read alike wherever the stream is cut; ids count without data; half an event is not used', () => {
  const stream =
    'retry: 1500\n\nid: 1.1\nevent: hello\ndata: {"resumed":false}\n\nid: 1.2\n\n: a comment\n\nid: 1.3\nevent: command\ndata: {"text":"a\\n\\nb"}\n\n';
  for (let cut = 0; cut <= stream.length; cut++) {
    const events: ServerEvent[] = [];
    const parser = new EventParser(event => events.push(event));
    parser.take(stream.slice(0, cut));
    parser.take(stream.slice(cut));
    assert.deepEqual(events, [
      { type: 'hello', data: { resumed: false } },
      { type: 'command', data: { text: 'a\n\nb' } },
    ]);
    assert.deepEqual([parser.lastId, parser.retryMs], ['1.3', 1500]);
    parser.take('id: 1.4\nevent: command\ndata: {"te');
    parser.broken();
    parser.take('id: 1.5\n\n');
    assert.equal(events.length, 2);
    assert.equal(parser.lastId, '1.5');
  }
  assert.throws(() => new EventParser(() => undefined).take('x'.repeat(5_000_000)), /no events/);
});
