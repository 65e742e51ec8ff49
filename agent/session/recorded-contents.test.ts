import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { CommandSchema, OutputChunkSchema, RecordSchema, ResponseSchema } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { ContentSealer, openContentKey, openContents } from '@sallyport/shared/crypto/contents.ts';
import { generateSealingKey } from '@sallyport/shared/crypto/seal.ts';
import { type Contents, SessionRecorder } from './recorder.ts';

const bytes = (value: string) => new TextEncoder().encode(value);
const canary = 'canary-of-contents';

/** A session of one command with everything that can be sealed. */
function recorded(contents: Contents) {
  const encoded: Uint8Array[] = [];
  const sink = { append: (record: Uint8Array) => encoded.push(record.slice()) - 1 } as unknown as SessionRecorder['sink'];
  const recorder = new SessionRecorder(sink, 'a-session', contents);
  recorder.started({ resource: 'crm' });
  recorder.command({ kind: 'query', text: 'select $1', parameters: [canary] }, undefined);
  recorder.outputChunk(1, 7, bytes(canary), 'o');
  recorder.response({ commandSeq: 1, status: 'ok', rows: 3, head: bytes(canary), sha256: bytes(canary), errorText: canary }, undefined);
  recorder.command({ kind: 'query', text: 'select 1' }, undefined);
  return { encoded, records: encoded.map(each => fromBinary(RecordSchema, each).body) };
}

describe('contents in records', () => {
  test('readable: as they are', () => {
    const { encoded, records } = recorded('readable');
    assert.equal(encoded.filter(each => Buffer.from(each).includes(canary)).length, 3);
    assert.equal(records[0]?.case === 'sessionStarted' ? records[0].value.contentKeyId : '-', '');
  });

  test('sealed: no record has them, and the session’s key opens them', () => {
    const { publicKey, privateKey } = generateSealingKey();
    const sealer = new ContentSealer('a-session', { id: 'k1', publicKey });
    const { encoded, records } = recorded(sealer);
    assert.ok(encoded.every(each => !Buffer.from(each).includes(canary)));
    const [started, command, chunk, response, bare] = records;
    assert.ok(started?.case === 'sessionStarted' && command?.case === 'command' && chunk?.case === 'outputChunk');
    assert.ok(response?.case === 'response' && bare?.case === 'command');
    assert.equal(started.value.contentKeyId, 'k1');
    const key = openContentKey(privateKey, 'a-session', started.value.contentKey);
    assert.deepEqual(fromBinary(CommandSchema, openContents(key, 1, command.value.sealed)).parameters, [canary]);
    assert.deepEqual(Buffer.from(fromBinary(OutputChunkSchema, openContents(key, 2, chunk.value.sealed)).data).toString(), canary);
    const answer = fromBinary(ResponseSchema, openContents(key, 3, response.value.sealed));
    assert.deepEqual(
      [Buffer.from(answer.head).toString(), Buffer.from(answer.sha256).toString(), answer.errorText],
      [canary, canary, canary],
    );
    assert.deepEqual([command.value.text, response.value.rows, chunk.value.offset, bare.value.sealed.length], ['select $1', 3n, 7n, 0]);
  });

  test('left out, where they must be sealed and there is no key: nothing of them is written, and the session says so', () => {
    const { encoded, records } = recorded('left out');
    assert.ok(encoded.every(each => !Buffer.from(each).includes(canary)));
    assert.equal(records[0]?.case === 'sessionStarted' ? records[0].value.contentKeyId : '-', 'none');
    assert.equal(records[3]?.case === 'response' && records[3].value.headTruncated, true);
  });
});
