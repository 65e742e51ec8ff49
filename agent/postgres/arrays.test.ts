import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileDetectors } from '@sallyport/shared/detectors/engine.ts';
import { changeBinaryArray, changeTextArray } from './arrays.ts';
import { scanValue } from './mask-value.ts';

const shout = (bytes: Buffer, start: number, end: number): Buffer | undefined => {
  const text = bytes.toString('utf8', start, end);
  return text.startsWith('x') ? Buffer.from(text.toUpperCase()) : undefined;
};

function text(array: string): string | null | undefined {
  // Bytes around the value must never be read.
  const framed = Buffer.from(`{${array}}`);
  const changed = changeTextArray(framed, 1, framed.length - 1, shout);
  return changed === null || changed === undefined ? changed : changed.toString();
}

test('the text form: elements as values, and back', () => {
  for (const [array, expected] of [
    ['{}', null],
    ['{a,b}', null],
    ['{NULL,"NULL"}', null],
    ['{a,x1,b}', '{a,"X1",b}'],
    ['{"x y",x}', '{"X Y","X"}'],
    ['{"x\\"q\\\\z",a}', '{"X\\"Q\\\\Z",a}'],
    ['{{a,x},{b,c}}', '{{a,"X"},{b,c}}'],
    ['[2:3]={x,b}', '[2:3]={"X",b}'],
    ['{"x,}{",b}', '{"X,}{",b}'],
    ['', undefined],
    ['x', undefined],
    ['{a', undefined],
    ['{"a}', undefined],
    ['{a}}', undefined],
    ['{a} ', undefined],
    ['[1:2]', undefined],
  ] as const)
    assert.equal(text(array), expected, array);
});

function binary(elements: (string | null)[], dimensions = [elements.length]): Buffer {
  const int = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(value);
    return bytes;
  };
  return Buffer.concat([
    int(dimensions.length),
    int(elements.includes(null) ? 1 : 0),
    int(25),
    ...dimensions.flatMap(size => [int(size), int(1)]),
    ...elements.flatMap(each => (each === null ? [int(-1)] : [int(Buffer.byteLength(each)), Buffer.from(each)])),
  ]);
}

test('the binary form: lengths fit what they stand for; lying ones are no array', () => {
  const whole = binary(['a', 'x1', null, 'xyz'], [2, 2]);
  assert.deepEqual(changeBinaryArray(whole, 0, whole.length, shout), binary(['a', 'X1', null, 'XYZ'], [2, 2]));
  const plain = binary(['a']);
  assert.equal(changeBinaryArray(plain, 0, plain.length, shout), null);
  const nulled = binary(['x']);
  const expected = binary([null]);
  assert.deepEqual(
    changeBinaryArray(nulled, 0, nulled.length, () => null),
    expected,
  );
  for (let length = 0; length < whole.length; length++)
    assert.equal(changeBinaryArray(whole, 0, length, shout), undefined, `cut at ${length}`);
  const lying = Buffer.from(whole);
  lying.writeInt32BE(1000, 28);
  assert.equal(changeBinaryArray(lying, 0, lying.length, shout), undefined);
});

test('detectors see each element by itself, in both forms', () => {
  const detectors = compileDetectors(['aws-access-key', 'payment-card']);
  const secret = ['AKIA', 'QX5ZT7CANARYKEY2'].join('');
  const key = new Uint8Array(32);
  const scan = (bytes: Buffer, isBinary: boolean) => {
    const finding = scanValue({ shape: 'textArray', binary: isBinary, detectors, as: 'redact', key }, bytes, 0, bytes.length);
    return finding === null ? null : { text: Buffer.from(finding.value ?? []).toString('latin1'), count: finding.count };
  };
  assert.deepEqual(scan(Buffer.from(`{keep,${secret},"4111 1111 1111 1111"}`), false), {
    text: '{keep,"[redacted]","[redacted]"}',
    count: 2,
  });
  // Digits of two elements are no number.
  assert.equal(scan(Buffer.from('{4111111111,111111}'), false), null);
  // What quotes escape is seen as it is.
  assert.equal(scan(Buffer.from(`{"key=\\"${secret}\\" \\\\"}`), false)?.text, '{"key=\\"[redacted]\\" \\\\"}');
  assert.equal(scan(Buffer.from(`{"\\\\x${Buffer.from(secret).toString('hex')}"}`), false)?.count, 1);
  assert.deepEqual(scan(binary(['keep', secret]), true)?.text, binary(['keep', '[redacted]']).toString('latin1'));
});
