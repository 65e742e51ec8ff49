/**
 * The aggregate of the agents' checkpoints: one stream, `checkpoint/log`. An event holds the newest checkpoint of some ledgers, as the
 * agents signed them; a checkpoint vouches for all before it in its ledger, so that those in between need not be logged.
 *
 * An agent that comes back with another checkpoint under a number that it has shown before, or with a lower one, has had its spool set
 * back or copied. That is logged once, beside what was known, and what it says from then on is logged again: evidence, not opinion.
 * Signatures have been checked when a request arrives here.
 */
import { type Aggregate, type DomainEvent, grant } from './decider.ts';
import { impossible } from './impossible.ts';

export interface LoggedCheckpoint {
  agentId: string;
  ledger: string;
  number: number;
  /** Base64: the CheckpointStatement as the agent encoded it. */
  statement: string;
  /** Base64. */
  signature: string;
}

export interface CheckpointState {
  /** ledger → the newest checkpoint, and the newest one that did not fit. */
  ledgers: Readonly<Record<string, LedgerState>>;
}

interface LedgerState {
  agentId: string;
  number: number;
  statement: string;
  conflict: string | null;
}

const initialState: CheckpointState = { ledgers: {} };

export interface CheckpointRequest {
  type: 'log';
  checkpoints: LoggedCheckpoint[];
}

export interface CheckpointEvent {
  type: 'CheckpointsLogged';
  payload: { checkpoints: LoggedCheckpoint[]; conflicts: LoggedCheckpoint[] };
}

export const checkpointAggregate: Aggregate<CheckpointState, CheckpointRequest, CheckpointEvent> = {
  name: 'checkpoint',
  initialState,

  decide(request, { ledgers }) {
    const checkpoints: LoggedCheckpoint[] = [];
    const conflicts: LoggedCheckpoint[] = [];
    const claimed = new Set<string>();
    for (const checkpoint of request.checkpoints) {
      const known = ledgers[checkpoint.ledger];
      // A ledger is the agent's that came first: what another says of it is no evidence against that one.
      if (claimed.has(checkpoint.ledger) || (known !== undefined && known.agentId !== checkpoint.agentId)) continue;
      claimed.add(checkpoint.ledger);
      if (known === undefined || checkpoint.number > known.number) checkpoints.push(checkpoint);
      else if (checkpoint.statement !== known.statement && checkpoint.statement !== known.conflict) conflicts.push(checkpoint);
    }
    return checkpoints.length + conflicts.length === 0
      ? grant()
      : grant({ type: 'CheckpointsLogged', payload: { checkpoints, conflicts } });
  },

  evolve(state, event: DomainEvent): CheckpointState {
    const known = event as CheckpointEvent;
    if (known.type !== 'CheckpointsLogged') return impossible('checkpoint', 'log', event);
    // In place, but for the first: there is an event every few seconds, and a copy of thousands of ledgers for each made a start take minutes.
    const ledgers: Record<string, LedgerState> = state === initialState ? {} : state.ledgers;
    for (const { agentId, ledger, number, statement } of known.payload.checkpoints) {
      ledgers[ledger] = { agentId, number, statement, conflict: ledgers[ledger]?.conflict ?? null };
    }
    for (const { ledger, statement } of known.payload.conflicts) {
      const logged = ledgers[ledger];
      if (logged !== undefined) ledgers[ledger] = { ...logged, conflict: statement };
    }
    return { ledgers };
  },
};
