/** What becomes of doubts once a line was cleared at the host; lines themselves are followed in line-follower.int.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LineFollower } from './line-follower.ts';

const ASKS = '\u001b[?2004h$ ';
const CLEARED = `^C\r\n\u001b[?2004l\r\r\n${ASKS}`;

function inDoubt() {
  let nowMs = 0;
  const follower = new LineFollower({ columns: 80, rows: 24, now: () => nowMs });
  const host = (text: string) => follower.fromHost(Buffer.from(text));
  const type = (text: string) => {
    follower.fromClient(Buffer.from(text));
    nowMs += 10;
  };
  host(ASKS);
  type('ls');
  host('ls');
  follower.resize(70, 20);
  assert.ok('uncertain' in follower.lineAtEnter());
  follower.cleared(Buffer.of(0x05, 0x15, 0x03));
  return { follower, host, type, read: () => follower.lineAtEnter() };
}

test('a doubt ends with the line that it was about', () => {
  const { host, type, read } = inDoubt();
  for (const letter of CLEARED) host(letter);
  type('pwd');
  host('pwd');
  assert.deepEqual(read(), { text: 'pwd' });
});

test('keys that came before the next prompt keep the next line in doubt', () => {
  const { host, type, read } = inDoubt();
  type('r');
  host(`${CLEARED}r`);
  type('m x');
  host('m x');
  assert.ok('uncertain' in read());
});

test('so does a host that does not clear the line, or shows another prompt', () => {
  for (const shown of [
    '',
    '\u0007',
    `^C\r\n${ASKS}ls `,
    `^C\r\n\u001b[?2004l\r\u001b[?2004h$ ls`,
    `^C\r\n\u001b[?2004l\r\u001b[?2004hother$ `,
  ]) {
    const { host, type, read } = inDoubt();
    host(shown);
    type(' /');
    host(' /');
    assert.ok('uncertain' in read(), JSON.stringify(shown));
  }
});

/** A line that goes on in the next, with Enter already on its way up. */
function continued() {
  let nowMs = 0;
  const follower = new LineFollower({ columns: 80, rows: 24, now: () => nowMs });
  const host = (text: string) => follower.fromHost(Buffer.from(text));
  const type = (text: string) => follower.fromClient(Buffer.from(text));
  host(ASKS);
  type('ls \\');
  host('ls \\');
  follower.entered('continued');
  const read = () => {
    nowMs += 1000;
    return follower.lineAtEnter();
  };
  return { follower, host, type, read };
}
const ASKS_FOR_MORE = ['\r\n\u001b[?2004l\r', '\u001b[?2004h', '>', ' '];

test('keys that come while a slow host has not asked for more yet are known all the same', () => {
  for (const typedAfter of [0, 1, 4]) {
    const { host, type, read } = continued();
    for (const part of ASKS_FOR_MORE.slice(0, typedAfter)) host(part);
    type('-l');
    for (const part of ASKS_FOR_MORE.slice(typedAfter)) host(part);
    host('-l');
    assert.deepEqual(read(), { text: 'ls \\\n-l' }, `${typedAfter}`);
  }
});

test('what was typed ahead waits for the whole of the prompt', () => {
  const { follower, host } = continued();
  assert.deepEqual(
    ASKS_FOR_MORE.map(part => {
      host(part);
      return follower.promptIsKnown;
    }),
    [false, false, false, true],
  );
});

test('a line of which nothing is known but what is shown does not take its beginning for a prompt', () => {
  const { host, type, read } = continued();
  host('\r\n\u001b[?2004l\r');
  type('\u001b[A');
  host('\u001b[?2004h> x');
  type('y');
  host('y');
  assert.ok('uncertain' in read());
});
