/**
 * The aggregate of one proposed change of policy: stream `change/ID`, from the proposal to its end.
 *
 *     unknown ── ChangeProposed ──▶ proposed ── ChangeApproved ──▶ approved ── ChangeApplied ──▶ applied
 *                                      │                             └── ChangeStale ──▶ stale
 *                                      └── ChangeRejected | ChangeWithdrawn | ChangeStale ──▶ rejected | withdrawn | stale
 *
 * What is approved is what was proposed: the manifests with their secrets sealed, on the versions that they had then. Who proposes does not
 * approve, under any of their names. Once it is approved nobody takes it back: the manifests' own events follow (changes/change-desk.ts).
 */
import type { Kind, Manifest } from '@sallyport/shared/policy/model.ts';
import { isAuthor, sameName } from './authors.ts';
import { type Aggregate, type DomainEvent, grant, reject } from './decider.ts';
import { impossible } from './impossible.ts';
import type { SealedSecret } from './manifest.ts';

/** A person, or a service account, as their token names them. */
export interface ChangeParty {
  kind: 'person' | 'workload';
  name: string;
  issuer: string;
  subject: string;
  groups: string[];
}

export interface ProposedItem {
  kind: Kind;
  name: string;
  /** Of the manifest's stream when it was proposed; 0: it was not there. */
  version: number;
  /** null: it is to be deleted. */
  manifest: Manifest | null;
  secrets: Record<string, SealedSecret>;
  /** What changes, for people; secrets are not in it. */
  change: 'created' | 'configured' | 'deleted';
  diff: { path: string; before?: unknown; after?: unknown }[];
}

export interface Proposal {
  author: ChangeParty;
  items: ProposedItem[];
  reason: string;
  atMs: number;
}

/** Who ended it, or brought it on. */
export interface ChangeAnswer {
  by: ChangeParty;
  reason: string;
  atMs: number;
}

export type ChangeStatus = 'proposed' | 'approved' | 'applied' | 'rejected' | 'withdrawn' | 'stale';

export type ChangeState =
  | { status: 'unknown' }
  | { status: 'proposed'; proposal: Proposal }
  | { status: 'approved' | 'applied' | 'rejected' | 'withdrawn'; proposal: Proposal; answer: ChangeAnswer }
  | {
      status: 'stale';
      proposal: Proposal;
      /** `Kind/name` of what had changed meanwhile. */
      moved: string[];
      answer: ChangeAnswer | null;
    };

export type ChangeRequest =
  | { type: 'propose'; proposal: Proposal; open: number }
  | {
      type: 'approve';
      answer: ChangeAnswer;
      /** `Kind/name` of what is not as it was when this was proposed. */
      moved: readonly string[];
    }
  | { type: 'reject' | 'withdraw'; answer: ChangeAnswer }
  | { type: 'applied' }
  | { type: 'stale'; moved: readonly string[] };

export type ChangeEvent =
  | { type: 'ChangeProposed'; payload: Proposal }
  | { type: 'ChangeApproved' | 'ChangeRejected' | 'ChangeWithdrawn'; payload: ChangeAnswer }
  | { type: 'ChangeApplied'; payload: Record<string, never> }
  | { type: 'ChangeStale'; payload: { moved: string[] } };

/** That wait at once. */
export const openChangesMax = 100;
const charactersMax = 1024 * 1024;

export const changeAggregate: Aggregate<ChangeState, ChangeRequest, ChangeEvent> = {
  name: 'change',
  initialState: { status: 'unknown' },

  decide(request, state) {
    if (request.type === 'propose') {
      if (state.status !== 'unknown') return reject('CHANGE_ID_TAKEN', 'conflict', 'There is a change of this id.');
      if (request.proposal.items.length === 0) return reject('CHANGE_EMPTY', 'invalid', 'This changes nothing: all of it is in force.');
      if (request.open >= openChangesMax)
        return reject('CHANGES_TOO_MANY', 'conflict', `${openChangesMax} changes wait for review. Answer or withdraw some of them.`);
      if (JSON.stringify(request.proposal).length > charactersMax)
        return reject('CHANGE_TOO_LARGE', 'invalid', 'A change for review has a megabyte at most. Propose it in parts.');
      return grant({ type: 'ChangeProposed', payload: request.proposal });
    }
    if (state.status === 'unknown') return reject('CHANGE_UNKNOWN', 'notFound', 'There is no such change.');
    switch (request.type) {
      case 'approve': {
        const { by } = request.answer;
        if (isSelf(by, state.proposal.author))
          return reject('CHANGE_OWN', 'denied', 'Who proposes a change does not approve it: ask somebody else.');
        if (by.kind !== 'person') return reject('CHANGE_NEEDS_PERSON', 'denied', 'A change is approved by a person.');
        // The same person again: their first answer stands, and what follows from it may have been cut off.
        if (state.status === 'approved' || state.status === 'applied') return isSelf(by, state.answer.by) ? grant() : closed(state.status);
        if (state.status !== 'proposed') return closed(state.status);
        if (request.moved.length > 0) return grant({ type: 'ChangeStale', payload: { moved: [...request.moved] } });
        return grant({ type: 'ChangeApproved', payload: request.answer });
      }
      case 'reject':
        if (state.status !== 'proposed') return closed(state.status);
        if (isSelf(request.answer.by, state.proposal.author))
          return reject('CHANGE_OWN', 'denied', 'This is your own proposal: withdraw it.');
        return grant({ type: 'ChangeRejected', payload: request.answer });
      case 'withdraw':
        if (state.status !== 'proposed') return closed(state.status);
        if (!isSelf(request.answer.by, state.proposal.author))
          return reject('CHANGE_NOT_OWN', 'denied', 'Only who proposed a change withdraws it: reject it.');
        return grant({ type: 'ChangeWithdrawn', payload: request.answer });
      case 'applied':
        if (state.status === 'applied') return grant();
        return state.status === 'approved' ? grant({ type: 'ChangeApplied', payload: {} }) : closed(state.status);
      case 'stale':
        if (state.status === 'stale') return grant();
        return state.status === 'approved' ? grant({ type: 'ChangeStale', payload: { moved: [...request.moved] } }) : closed(state.status);
    }
  },

  evolve(state, event: DomainEvent): ChangeState {
    const known = event as ChangeEvent;
    if (state.status === 'unknown')
      return known.type === 'ChangeProposed' ? { status: 'proposed', proposal: known.payload } : impossible('change', state.status, event);
    const { proposal } = state;
    if (known.type === 'ChangeApplied' && state.status === 'approved') return { ...state, status: 'applied' };
    if (known.type === 'ChangeStale' && (state.status === 'proposed' || state.status === 'approved'))
      return { status: 'stale', proposal, moved: known.payload.moved, answer: state.status === 'approved' ? state.answer : null };
    if (state.status !== 'proposed') return impossible('change', state.status, event);
    switch (known.type) {
      case 'ChangeApproved':
        return { status: 'approved', proposal, answer: known.payload };
      case 'ChangeRejected':
        return { status: 'rejected', proposal, answer: known.payload };
      case 'ChangeWithdrawn':
        return { status: 'withdrawn', proposal, answer: known.payload };
      default:
        return impossible('change', state.status, event);
    }
  },
};

/** By subject, and by name wherever they signed in. */
function isSelf(a: ChangeParty, b: ChangeParty): boolean {
  return isAuthor(a, b) || sameName(a.name, b.name);
}

function closed(status: ChangeStatus) {
  return reject('CHANGE_CLOSED', 'conflict', `This change is ${status} already.`);
}
