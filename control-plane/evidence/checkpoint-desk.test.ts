import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { signEd25519 } from '@sallyport/shared/crypto/sha256.ts';
import { encodeStatement, signedBytes } from '@sallyport/shared/evidence/checkpoint.ts';
import { pino } from 'pino';
import { type CheckpointState, checkpointAggregate } from '../aggregates/checkpoint.ts';
import type { Action, ControlLog } from '../aggregates/control-log.ts';
import { Projection } from '../aggregates/projection.ts';
import type { AgentIdentity } from '../grpc/agent-identity.ts';
import { CheckpointDesk } from './checkpoint-desk.ts';

function agent(agentId: string) {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const signingKey = Buffer.from(publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)).toString('base64');
  return {
    identity: { agentId, agent: { details: { keys: { signingKey } } } } as unknown as AgentIdentity,
    signed(ledger: string, number: number) {
      const empty = new Uint8Array(0);
      const statement = encodeStatement({ agentId, ledger, number, atUnixUs: 1, previous: empty, headsRoot: empty, heads: 0 });
      const signature = signEd25519(privateKey, signedBytes(statement));
      return { $typeName: 'sallyport.agent.v1.Checkpointed' as const, statement, signature };
    },
  };
}

test('an agent cannot speak for the ledger of another: what it signs is refused, and neither logged nor acknowledged', async () => {
  let state: CheckpointState = checkpointAggregate.initialState;
  const control = {
    state: { checkpoints: () => state },
    execute: (actions: Action[]) => {
      const decision = actions[0]?.decide(state, new Projection());
      const events = decision?.accepted ? decision.events : [];
      for (const event of events) state = checkpointAggregate.evolve(state, event);
      return Promise.resolve({ accepted: true, events });
    },
  } as unknown as ControlLog;
  const desk = new CheckpointDesk({ control, logger: pino({ level: 'silent' }), gatherMs: 1e6 });
  const [first, other] = [agent('first'), agent('other')];
  const acknowledged: string[] = [];
  const note = (who: string) => (ledger: string, number: number) => void acknowledged.push(`${who} ${ledger} ${number}`);
  // Both at once: the ledger is the one's that came first.
  desk.received(first.identity, first.signed('0a', 0), note('first'));
  desk.received(other.identity, other.signed('0a', 7), note('other'));
  await desk.flush();
  assert.deepEqual(acknowledged, ['first 0a 0']);
  assert.throws(() => desk.received(other.identity, other.signed('0a', 8), note('other')), {
    code: 'CHECKPOINT_INVALID',
    message: /ledger of another agent/,
  });
  desk.received(first.identity, first.signed('0a', 1), note('first'));
  await desk.close();
  assert.deepEqual(acknowledged, ['first 0a 0', 'first 0a 1']);
  assert.deepEqual([state.ledgers['0a']?.agentId, state.ledgers['0a']?.number, state.ledgers['0a']?.conflict], ['first', 1, null]);
});
