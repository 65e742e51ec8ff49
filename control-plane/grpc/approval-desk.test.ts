import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { ApprovalRequestedSchema, ApprovalWithdrawnSchema } from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import pino from 'pino';
import type { ApprovalState } from '../aggregates/approval.ts';
import { ControlLog } from '../aggregates/control-log.ts';
import type { EventLog } from '../log/event-log.ts';
import { openFileLog } from '../log/file-log.ts';
import type { AgentIdentity } from './agent-identity.ts';
import { ApprovalDesk } from './approval-desk.ts';
import type { Fleet } from './fleet.ts';

let dir: string;
let log: EventLog;
let control: ControlLog;
let desk: ApprovalDesk;
const told: [string, ApprovalState['status']][] = [];
const identity = { agentId: 'a1', agent: { details: { name: 'agent' } }, address: '127.0.0.1:1' } as unknown as AgentIdentity;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sallyport-desk-'));
  log = await openFileLog({ dir: join(dir, 'sallyport.control') });
  control = await ControlLog.open(log, {
    onFault: error => {
      throw error;
    },
  });
  const fleet = { tellApproval: (id: string, state: ApprovalState) => told.push([id, state.status]) } as unknown as Fleet;
  desk = new ApprovalDesk({ control, fleet, logger: pino({ level: 'silent' }), clock: Date.now });
});
after(async () => {
  desk.close();
  await control.close();
  await log.close();
  await rm(dir, { recursive: true });
});

const question = (approvalId: string) =>
  create(ApprovalRequestedSchema, {
    approvalId,
    sessionId: randomUUID(),
    resource: 'crm',
    rule: 'g/r',
    text: 'delete from t',
    binding: new Uint8Array(32),
    principal: { name: 'ann', issuer: 'i', subject: 's' },
    approvalJson: JSON.stringify({ from: { groups: ['dba'] }, quorum: 1 }),
    expiresUnixUs: BigInt(Date.now() + 60_000) * 1000n,
  });
const taken = (approvalId: string) => create(ApprovalWithdrawnSchema, { approvalId, reason: 'the client left' });

test('who takes a question back at once does not overtake it', async () => {
  const approvalId = randomUUID();
  const asked = desk.requested(identity, question(approvalId));
  await desk.withdrawn(identity, taken(approvalId));
  await asked;
  assert.equal(control.state.approval(approvalId).status, 'withdrawn');
  await desk.withdrawn(identity, taken(approvalId));
  assert.deepEqual(told, [[approvalId, 'withdrawn']], 'who repeats it is told');
});

test('what is not known, or not theirs, is not taken back', async () => {
  const approvalId = randomUUID();
  await assert.rejects(desk.withdrawn(identity, taken(approvalId)), { code: 'APPROVAL_UNKNOWN' });
  await desk.requested(identity, question(approvalId));
  await assert.rejects(desk.withdrawn({ ...identity, agentId: 'a2' }, taken(approvalId)), { code: 'APPROVAL_UNKNOWN' });
  assert.equal(control.state.approval(approvalId).status, 'pending');
});
