import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, equals, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { Decision, PrincipalKind, RecordSchema, Status } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { GatewayError } from '../errors.ts';
import type { Principal } from '../policy/model.ts';
import * as encode from './encode.ts';

/** Deterministic pseudo-random numbers (mulberry32), so that a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const next = random(20260101);
const below = (limit: number) => Math.floor(next() * limit);
const pick = <T>(values: readonly T[]): T => values[below(values.length)] as T;
const LENGTHS = [0, 1, 5, 41, 42, 43, 47, 48, 49, 126, 127, 128, 129, 300, 5461, 5462, 16383, 16384, 20000];
const ALPHABETS = ['abcXYZ 019', 'aé', '漢字', '😀a', '\u0000\u007f\u0080', 'ﷺ'];

function someText(): string {
  const alphabet = Array.from(pick(ALPHABETS));
  const length = next() < 0.8 ? below(60) : pick(LENGTHS);
  return Array.from({ length }, () => pick(alphabet)).join('');
}
const someList = () => Array.from({ length: below(4) }, someText);
const someBytes = () => Uint8Array.from({ length: next() < 0.3 ? 0 : below(400) }, () => below(256));
const someNumber = () =>
  pick([
    0,
    1,
    127,
    128,
    16383,
    16384,
    2 ** 21,
    2 ** 28 - 1,
    2 ** 28,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32,
    2 ** 35,
    2 ** 49 - 1,
    Number.MAX_SAFE_INTEGER,
  ]);
const someFlag = () => next() < 0.5;
const someMap = () => Object.fromEntries(Array.from({ length: below(4) }, () => [someText(), someText()]));
const somePrincipal = (): Principal => ({
  kind: pick(['person', 'workload']),
  name: someText(),
  issuer: someText(),
  subject: someText(),
  groups: someList(),
  delegation: someList(),
});

const someHead = (): encode.RecordHead => ({
  sessionId: pick(['', '019a8b7c-0000-7000-8000-00000000beef', 'x'.repeat(64)]),
  seq: someNumber(),
  atUnixUs: someNumber(),
  ...(next() < 0.5 ? { previousHash: someBytes().subarray(0, 32) } : {}),
});

type Init = MessageInitShape<typeof RecordSchema>;
type Body = NonNullable<Init['body']>;
const DECISIONS = { allow: Decision.ALLOW, deny: Decision.DENY, hold: Decision.HOLD };
const STATUSES = { ok: Status.OK, error: Status.ERROR, refused: Status.REFUSED, cancelled: Status.CANCELLED, aborted: Status.ABORTED };

const protoPrincipal = (p: Principal) => ({ ...p, kind: p.kind === 'person' ? PrincipalKind.PERSON : PrincipalKind.WORKLOAD });

function check(head: encode.RecordHead, encoded: Uint8Array, body: Body): void {
  const expected = create(RecordSchema, {
    sessionId: head.sessionId,
    seq: BigInt(head.seq),
    atUnixUs: BigInt(head.atUnixUs),
    previousHash: head.previousHash ?? new Uint8Array(),
    body,
  });
  const actual = fromBinary(RecordSchema, encoded);
  assert.equal(actual.$unknown, undefined);
  assert.ok(
    equals(RecordSchema, actual, expected),
    JSON.stringify([head, body], (_, v) => (typeof v === 'bigint' ? String(v) : v)).slice(0, 2000),
  );
}

const someCommand = () => ({
  kind: someText(),
  text: someText(),
  textTruncated: someFlag(),
  fingerprint: someText(),
  statements: someList(),
  objects: someList(),
  columnsRead: someList(),
  parameters: someList(),
  decision: pick(['allow', 'deny', 'hold'] as const),
  rule: someText(),
  reason: someText(),
  approvalId: someText(),
  approvers: someList(),
  policyVersion: someNumber(),
  inferences: someList(),
  textSha256: someBytes(),
  preparedName: someText(),
  database: someText(),
});

const protoCommand = (c: ReturnType<typeof someCommand>) => ({
  ...c,
  decision: DECISIONS[c.decision],
  policyVersion: BigInt(c.policyVersion),
});

test('a Command decodes to what was encoded', () => {
  for (let i = 0; i < 150; i++) {
    const head = someHead();
    const command = someCommand();
    check(head, encode.encodeCommand(head, command), { case: 'command', value: protoCommand(command) });
  }
});

test('a Command of a fixed part and fields per call decodes to both, and a Command split over several chunks merges', () => {
  for (let i = 0; i < 80; i++) {
    const head = someHead();
    const command = someCommand();
    const { parameters, preparedName, textSha256, ...fixed } = command;
    const part = encode.commandPart({ ...fixed, parameters: ['before'] });
    const encoded = encode.encodeCommand(head, { parameters, preparedName, textSha256 }, part).slice();
    const whole = protoCommand({ ...command, parameters: ['before', ...parameters] });
    check(head, encoded, { case: 'command', value: whole });
    // The same bytes as two records concatenated: the sub-message of one field number, given twice, merges.
    const first = encode.encodeCommand(head, {}, part).slice();
    const second = encode.encodeCommand(head, { parameters, preparedName, textSha256 }).slice();
    check(head, Buffer.concat([first, second]), { case: 'command', value: whole });
  }
});

test('the fields given per call win over the fixed part', () => {
  const head = { sessionId: 's', seq: 1, atUnixUs: 2 };
  const part = encode.commandPart({ kind: 'query', decision: 'allow', rule: 'default' });
  const record = fromBinary(RecordSchema, encode.encodeCommand(head, { decision: 'deny', rule: 'guard/no-ddl' }, part));
  assert.equal(record.body.case, 'command');
  assert.equal(record.body.case === 'command' && record.body.value.decision, Decision.DENY);
  assert.equal(record.body.case === 'command' && record.body.value.rule, 'guard/no-ddl');
});

test('a Response decodes to what was encoded', () => {
  for (let i = 0; i < 150; i++) {
    const head = someHead();
    const response = {
      commandSeq: someNumber(),
      status: pick(['ok', 'error', 'refused', 'cancelled', 'aborted'] as const),
      errorCode: someText(),
      errorText: someText(),
      tag: someText(),
      rows: someNumber(),
      bytes: someNumber(),
      maskedValues: someNumber(),
      dataClasses: someList(),
      durationUs: someNumber(),
      head: someBytes(),
      headTruncated: someFlag(),
      sha256: someBytes(),
      columns: someList(),
      heldUs: someNumber(),
    };
    const { columns, ...rest } = response;
    const value = {
      ...response,
      status: STATUSES[response.status],
      commandSeq: BigInt(response.commandSeq),
      rows: BigInt(response.rows),
      bytes: BigInt(response.bytes),
      maskedValues: BigInt(response.maskedValues),
      durationUs: BigInt(response.durationUs),
      heldUs: BigInt(response.heldUs),
    };
    check(head, encode.encodeResponse(head, response), { case: 'response', value });
    const part = encode.responsePart({ columns });
    check(head, encode.encodeResponse(head, rest, part), { case: 'response', value });
  }
});

test('the other bodies decode to what was encoded', () => {
  for (let i = 0; i < 80; i++) {
    const head = someHead();
    const started = {
      resource: someText(),
      protocol: someText(),
      principal: somePrincipal(),
      agent: someText(),
      clientAddress: someText(),
      role: someText(),
      policyVersion: someNumber(),
      client: someMap(),
      tokenId: someText(),
      durability: someText(),
    };
    check(head, encode.encodeSessionStarted(head, started), {
      case: 'sessionStarted',
      value: { ...started, principal: protoPrincipal(started.principal), policyVersion: BigInt(started.policyVersion) },
    });
    const refused = {
      resource: someText(),
      protocol: someText(),
      agent: someText(),
      clientAddress: someText(),
      code: someText(),
      reason: someText(),
      principal: somePrincipal(),
      client: someMap(),
      told: someText(),
    };
    check(head, encode.encodeSessionRefused(head, refused), {
      case: 'sessionRefused',
      value: { ...refused, principal: protoPrincipal(refused.principal) },
    });
    const ended = {
      reason: someText(),
      commands: someNumber(),
      bytesToClient: someNumber(),
      bytesToUpstream: someNumber(),
      errorCode: someText(),
    };
    check(head, encode.encodeSessionEnded(head, ended), {
      case: 'sessionEnded',
      value: {
        ...ended,
        commands: BigInt(ended.commands),
        bytesToClient: BigInt(ended.bytesToClient),
        bytesToUpstream: BigInt(ended.bytesToUpstream),
      },
    });
    const gap = { fromSeq: someNumber(), toSeq: someNumber(), reason: someText() };
    check(head, encode.encodeGap(head, gap), { case: 'gap', value: { ...gap, fromSeq: BigInt(gap.fromSeq), toSeq: BigInt(gap.toSeq) } });
    const cancel = { commandSeq: someNumber(), by: pick(['client', 'console', 'policy'] as const) };
    check(head, encode.encodeCancelRequested(head, cancel), {
      case: 'cancelRequested',
      value: { ...cancel, commandSeq: BigInt(cancel.commandSeq) },
    });
    const noted = {
      approvalId: someText(),
      state: pick(['requested', 'approved', 'denied', 'expired', 'withdrawn'] as const),
      by: someList(),
      reason: someText(),
      commandSeq: someNumber(),
    };
    check(head, encode.encodeApprovalNoted(head, noted), {
      case: 'approvalNoted',
      value: { ...noted, commandSeq: BigInt(noted.commandSeq) },
    });
    const chunk = { commandSeq: someNumber(), offset: someNumber(), data: someBytes(), stream: someText() };
    check(head, encode.encodeOutputChunk(head, chunk), {
      case: 'outputChunk',
      value: { ...chunk, commandSeq: BigInt(chunk.commandSeq), offset: BigInt(chunk.offset) },
    });
  }
});

test('every varint has its shortest form: the size equals that of the reference encoder', () => {
  for (let i = 0; i < 100; i++) {
    const head = { ...someHead(), sessionId: 'abc' };
    const command = someCommand();
    const encoded = encode.encodeCommand(head, command).slice();
    assert.equal(encoded.length, toBinary(RecordSchema, fromBinary(RecordSchema, encoded)).length);
  }
});

test('a lone surrogate becomes U+FFFD, as in the reference encoder', () => {
  const head = { sessionId: 's', seq: 0, atUnixUs: 1 };
  const record = fromBinary(RecordSchema, encode.encodeCommand(head, { text: 'a\ud800b', rule: 'ok' }));
  assert.equal(record.body.case === 'command' && record.body.value.text, 'a\ufffdb');
});

test('numbers that cannot be right are refused', () => {
  const head = { sessionId: 's', seq: 0, atUnixUs: 1 };
  for (const wrong of [-1, 0.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY]) {
    assert.throws(() => encode.encodeResponse(head, { rows: wrong }), GatewayError);
    assert.throws(() => encode.encodeResponse({ ...head, seq: wrong }, {}), GatewayError);
    assert.throws(() => encode.encodeResponse({ ...head, atUnixUs: wrong }, {}), GatewayError);
  }
  assert.throws(() => encode.encodeResponse({ ...head, sessionId: 'é' }, {}), GatewayError);
  assert.throws(() => encode.encodeResponse({ ...head, sessionId: 'x'.repeat(65) }, {}), GatewayError);
});

test('a huge record is encoded, and its buffer is not kept', () => {
  const head = { sessionId: 's', seq: 3, atUnixUs: 1 };
  const data = new Uint8Array(3_000_000).fill(7);
  const record = fromBinary(RecordSchema, encode.encodeOutputChunk(head, { data }));
  assert.ok(record.body.case === 'outputChunk' && Buffer.compare(record.body.value.data, data) === 0);
  assert.ok(encode.encodeOutputChunk(head, {}).buffer.byteLength < 100_000);
});
