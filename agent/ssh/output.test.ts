import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileDetectors } from '@sallyport/shared/detectors/engine.ts';
import { knownCredentialsFromValues } from '@sallyport/shared/detectors/known-credentials.ts';
import { escapeEnd, isErasure, MaskingStream, maskWhole } from './output.ts';

const detectors = compileDetectors(['email', 'aws-access-key']);
const options = { detectors, kind: 'redact' as const, key: new Uint8Array(32) };
const key = ['AKIA', 'QX5ZT7CANARYKEY2'].join('');

/** What comes out of pieces that come at once, and what of them was said to be done with. */
function through(pieces: readonly Buffer[]): { text: string; credit: number; found: string[] } {
  let text = Buffer.alloc(0);
  let credit = 0;
  const found: string[] = [];
  const stream = new MaskingStream(
    options,
    (bytes, done) => {
      text = Buffer.concat([text, bytes]);
      credit += done;
    },
    detector => found.push(detector),
  );
  for (const piece of pieces) stream.push(piece);
  stream.end();
  return { text: text.toString(), credit, found };
}

test('a value is found wherever it is cut, also inside of escape sequences and characters', () => {
  const input = Buffer.from(`caf\u00e9 \u001b[1mada@exam\u001b[0mple.org\u001b[K and ${key} end\r\n`);
  for (let at = 0; at <= input.length; at++) {
    const { text, credit, found } = through([input.subarray(0, at), input.subarray(at)]);
    assert.ok(!text.includes('ada@') && !text.includes('ple.org') && !text.includes('CANARY'), `cut at ${at}: ${JSON.stringify(text)}`);
    assert.match(text, /^caf\u00e9 .*\[redacted\].* and \[redacted\] end\r\n$/s, `cut at ${at}`);
    assert.deepEqual(found, ['email', 'aws-access-key']);
    assert.equal(credit, input.length);
  }
  assert.equal(through([...input].map(byte => Buffer.of(byte))).found.length, 2);
});

test('what holds nothing comes out byte for byte, and all of it is done with', () => {
  const input = Buffer.concat([
    Buffer.from('plain \u001b]0;title\u0007text \u2713\n'),
    Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * 7) % 256)),
  ]);
  for (const size of [11, 100, 4096]) {
    const pieces: Buffer[] = [];
    for (let at = 0; at < input.length; at += size) pieces.push(input.subarray(at, at + size));
    let out = Buffer.alloc(0);
    let credit = 0;
    const stream = new MaskingStream(
      options,
      (bytes, done) => {
        out = Buffer.concat([out, bytes]);
        credit += done;
      },
      () => assert.fail('nothing is to be found'),
    );
    for (const piece of pieces) stream.push(piece);
    stream.end();
    assert.ok(out.equals(input), `pieces of ${size}`);
    assert.equal(credit, input.length);
  }
});

test('what only looks like a beginning is no less there: at the end at once, and on the way after a while', async () => {
  for (const tail of [[0xe2], [0xe2, 0x9c], [0xf0, 0x9f, 0x98], [0xff], [0x1b], [0x1b, 0x5b, 0x31], [0xc3], [0x1b, 0x5d, 0x30]]) {
    const input = Buffer.from([0x41, 0x42, ...tail]);
    const out: Buffer[] = [];
    let credit = 0;
    const make = () =>
      new MaskingStream(
        options,
        (bytes, done) => {
          out.push(Buffer.from(bytes));
          credit += done;
        },
        () => assert.fail('nothing is found'),
      );
    const ended = make();
    ended.push(input);
    ended.end();
    assert.deepEqual([Buffer.concat(out), credit], [input, input.length], `${tail.join(' ')} at the end`);
    out.length = credit = 0;
    make().push(input);
    for (let attempt = 0; credit < input.length; attempt++) {
      assert.ok(attempt < 1000, `${tail.join(' ')} is never released`);
      await new Promise(resolve => setTimeout(resolve, 10));
    }
    assert.deepEqual(Buffer.concat(out), input);
  }
});

test('what is echoed passes at once, unless something waits in front of it', () => {
  const out: string[] = [];
  const stream = new MaskingStream(
    options,
    bytes => out.push(bytes.toString()),
    () => undefined,
  );
  assert.ok(stream.passEcho(Buffer.from('l')));
  assert.deepEqual(out, ['l']);
  stream.push(Buffer.from('waits'));
  assert.ok(!stream.passEcho(Buffer.from('s')));
  stream.end();
  assert.equal(out.join(''), 'lwaits');
});

test('an erasure is told from text, and passes where nothing waits and no finding goes on', () => {
  for (const text of ['\b', '\b \b', '\b\b\b\u001b[K', `${'\b \b'.repeat(99)}`])
    assert.ok(isErasure(Buffer.from(text)), JSON.stringify(text));
  for (const text of ['', ' ', '\u001b[K', '\bx', '\b\u001b[', '\b\u001b[31m', '\b\r\n', '\b\u001b[KAKIA'])
    assert.ok(!isErasure(Buffer.from(text)), JSON.stringify(text));
  const out: string[] = [];
  const stream = new MaskingStream(
    options,
    bytes => out.push(bytes.toString()),
    () => undefined,
  );
  stream.push(Buffer.from(key.slice(0, 9)));
  assert.ok(!stream.passEcho(Buffer.from('\b \b')));
  stream.push(Buffer.from(`${key.slice(9)} `));
  stream.end();
  assert.ok(!out.join('').includes(key.slice(0, 12)), out.join(''));
});

test('where escape sequences end', () => {
  for (const [text, end] of [
    ['\u001b[1;31mx', 7],
    ['\u001b[', -1],
    ['\u001b]0;t\u0007x', 6],
    ['\u001b]0;t\u001b\\x', 7],
    ['\u001b(Bx', 3],
    ['\u001b7x', 2],
    ['\u001b', -1],
  ] as const)
    assert.equal(escapeEnd(Buffer.from(text), 0), end, JSON.stringify(text));
});

test('texts as a whole', () => {
  assert.equal(maskWhole(`send ${key} home`, options), 'send [redacted] home');
  assert.equal(maskWhole('nothing', options), 'nothing');
});

test('values longer than what is held back are found however they are cut', () => {
  const set = compileDetectors(['jwt', 'known-credentials', 'private-key'], {
    known: knownCredentialsFromValues([Array.from({ length: 400 }, (_, i) => `word ${i}`).join(' ')]),
  });
  const header = Buffer.from('{"alg":"RS256","typ":"JWT"}').toString('base64url');
  const token = [header, 'a'.repeat(6000), 'c'.repeat(342)].join('.');
  const credential = Array.from({ length: 400 }, (_, i) => `word ${i}`).join(' ');
  const keyText = `-----BEGIN PRIVATE KEY-----\n${'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n'.repeat(1500)}-----END PRIVATE KEY-----`;
  for (const value of [token, credential, keyText])
    for (const size of [700, 5000, 32_768]) {
      const input = Buffer.from(`before ${'x '.repeat(300)}${value}\nbehind it\n${'y '.repeat(2000)}`);
      let out = '';
      const stream = new MaskingStream(
        { ...options, detectors: set },
        bytes => {
          out += bytes.toString();
        },
        () => undefined,
      );
      for (let at = 0; at < input.length; at += size) stream.push(input.subarray(at, at + size));
      stream.end();
      assert.match(out, /^before (x )+(\[redacted\])+\nbehind it\n(y )+$/, `${value.slice(0, 20)} in pieces of ${size}`);
    }
});

test('a value that stops for a while is masked to its end, and nothing behind it', t => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const set = compileDetectors(['github-token', 'private-key']);
  const block = `-----BEGIN PRIVATE KEY-----\n${'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n'.repeat(30)}-----END PRIVATE KEY-----`;
  const pieces = [block.slice(0, 120), block.slice(120, 600), block.slice(600), '\nplain words', '\nand more\n'];
  let out = '';
  const found: string[] = [];
  const stream = new MaskingStream(
    { ...options, detectors: set },
    bytes => {
      out += bytes.toString();
    },
    detector => found.push(detector),
  );
  for (const piece of pieces) {
    stream.push(Buffer.from(piece));
    t.mock.timers.tick(1000);
    t.mock.timers.tick(1000);
  }
  stream.end();
  assert.match(out, /^(\[redacted\]\n?)+\nplain words\nand more\n$/);
  assert.deepEqual(found, ['private-key']);
});
