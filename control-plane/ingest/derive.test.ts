import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { commandRow, type Outcome, withdrawnCommandRow } from './command-row.testing.ts';
import { decodeEntry } from './decode.ts';
import { type SessionFacts, sessionContext, sessionRow, type Timed } from './derive.ts';
import { batchOf, sampleSession, seededRandom } from './sample-records.ts';

function sample(seed: number) {
  const session = sampleSession(seededRandom(seed), seed, 12);
  return { session, records: decodeEntry(0n, batchOf('s', 0, session.records)).records };
}

/** Folds records in the given order, as far as they go. */
function fold(records: ReturnType<typeof sample>['records'], sessionId: string) {
  const facts: SessionFacts = { sessionId, started: null, refused: null, ended: null };
  const commands = new Map<number, Timed<never>>();
  const answers = new Map<number, Outcome>();
  for (const { message, seq, at } of records) {
    const { body } = message;
    if (body.case === 'sessionStarted') facts.started = { at, body: body.value };
    if (body.case === 'sessionRefused') facts.refused = { at, body: body.value };
    if (body.case === 'sessionEnded') facts.ended = { at, body: body.value };
    if (body.case === 'command') commands.set(seq, { at, body: body.value as never });
    if (body.case === 'response') answers.set(Number(body.value.commandSeq), { state: 'answered', response: { at, body: body.value } });
  }
  const context = sessionContext(facts);
  const rest: Outcome = facts.ended === null ? { state: 'open' } : { state: 'abandoned' };
  return {
    facts,
    rows: new Map([...commands].map(([seq, command]) => [seq, commandRow(sessionId, context, seq, command, answers.get(seq) ?? rest)])),
  };
}

describe('rows from records', () => {
  it('say how each command ended', () => {
    for (let seed = 1; seed < 60; seed += 1) {
      const { session, records } = sample(seed);
      const { rows } = fold(records, session.sessionId);
      assert.deepEqual(new Map([...rows].map(([seq, row]) => [seq, row.status])), session.commands);
    }
  });

  it('never lose revision as more becomes known, and keep what they are sorted by', () => {
    for (let seed = 1; seed < 20; seed += 1) {
      const { session, records } = sample(seed);
      let sessionRevision = 0;
      const revisions = new Map<number, number>();
      for (let known = 1; known <= records.length; known += 1) {
        const { facts, rows } = fold(records.slice(0, known), session.sessionId);
        const { revision } = sessionRow(facts);
        assert.ok(revision >= sessionRevision);
        sessionRevision = revision;
        for (const [seq, row] of rows) {
          assert.ok(row.revision >= (revisions.get(seq) ?? 0));
          revisions.set(seq, row.revision);
          assert.equal(row.principal, session.principal);
          assert.equal(row.at, records[seq]?.at);
        }
      }
    }
  });

  it('can be taken back when the principal was not known', () => {
    const { session, records } = sample(3);
    const command = records.find(record => record.type === 'command');
    assert.ok(command !== undefined && command.message.body.case === 'command');
    const row = withdrawnCommandRow(session.sessionId, command.seq, { at: command.at, body: command.message.body.value });
    assert.deepEqual([row.principal, row.deleted, row.revision, row.at], ['', 1, 255, command.at]);
  });
});

describe('decodeEntry', () => {
  it('returns for any bytes', () => {
    const random = seededRandom(99);
    const good = batchOf('s', 0, sampleSession(random, 1, 12).records);
    for (let round = 0; round < 2000; round += 1) {
      const bytes = Uint8Array.from(good.subarray(0, Math.floor(random() * good.length)));
      for (let flips = 0; flips < 4 && bytes.length > 0; flips += 1)
        bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      const { records, deadLetters } = decodeEntry(5n, bytes);
      for (const { seq, sessionId } of records) assert.ok(Number.isSafeInteger(seq) && sessionId.length <= 128);
      for (const { code, position } of deadLetters) assert.ok(code !== '' && position.offset === 5n);
    }
  });
});
