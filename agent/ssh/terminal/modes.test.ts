/** Of the modes that clients ask for, those stay that change nothing of a line. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SshWriter } from '@sallyport/shared/ssh/wire.ts';
import { withFollowedModes } from './modes.ts';

const VERASE = 3;
const VEOF = 5;
const VEOL = 6;
const ICANON = 51;
const ECHO = 53;

function request(modes: Uint8Array): Buffer {
  return new SshWriter().string('xterm-256color').uint32(80).uint32(24).uint32(640).uint32(480).string(modes).finish();
}

function modes(...pairs: [number, number][]): Buffer {
  const writer = new SshWriter();
  for (const [opcode, value] of pairs) writer.byte(opcode).uint32(value);
  return writer.byte(0).finish();
}

test('characters that end and edit lines, echo and line discipline stay the host’s own', () => {
  const asked = request(modes([128, 38400], [VEOL, 0x7a], [VEOF, 0x78], [VERASE, 0x61], [42, 1], [ICANON, 0], [ECHO, 0], [129, 38400]));
  assert.deepEqual(withFollowedModes(asked), request(modes([128, 38400], [42, 1], [129, 38400])));
});

test('what is cut, or follows an opcode that nobody knows, is dropped', () => {
  assert.deepEqual(withFollowedModes(request(new Uint8Array(0))), request(Buffer.of(0)));
  assert.deepEqual(withFollowedModes(request(Buffer.of(42, 0, 0))), request(Buffer.of(0)));
  assert.deepEqual(withFollowedModes(request(Buffer.of(200, 42, 0, 0, 0, 1))), request(Buffer.of(0)));
  assert.throws(() => withFollowedModes(Buffer.of(0, 0, 0, 9)), { code: 'SSH_TRUNCATED' });
});
