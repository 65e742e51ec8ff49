/**
 * The aggregate of one approval: stream `approval/ID`, from an agent's question to its answer.
 *
 *     unknown ── ApprovalRequested ──▶ pending ── ApprovalGiven ──▶ pending | approved
 *                                        └── ApprovalDenied | ApprovalExpired | ApprovalWithdrawn ──▶ closed
 *
 * Nobody approves their own command, whatever groups they are in, and nobody who acts for its author or for whom its author acts.
 * Who has changed the policy that asks does not approve under it; they may deny.
 * What is asked for may also be access for a time (`access`): approved, it is a grant until it ends.
 * Whoever was taken out of the directory since they approved does not count, and the quorum is that of the question and that of the rule
 * as it is now, both. A person counts once for a group, and once in all when several groups must approve: two groups need two people.
 */
import type { AccessGrant } from '@sallyport/shared/policy/access-grants.ts';
import { type Author, isAuthor, sameName } from './authors.ts';
import { type Aggregate, type DomainEvent, grant, reject } from './decider.ts';
import { impossible } from './impossible.ts';

export interface ApprovalPrincipal {
  kind: 'person' | 'workload';
  name: string;
  issuer: string;
  subject: string;
  groups: string[];
  delegation: string[];
}

/** A role on a resource, asked for by a person themselves. */
export interface AccessAsked {
  role: string;
  seconds: number;
  reason: string;
}

export interface ApprovalQuestion {
  /** Set: access is asked for, and the fields about a command are empty. */
  access?: AccessAsked;
  agentId: string;
  sessionId: string;
  commandSeq: number;
  resource: string;
  rule: string;
  /** Masked. */
  text: string;
  /** Bound values, masked; absent in events of old. */
  parameters?: string[];
  /** SHA-256 over the exact text and parameters, base64. */
  binding: string;
  principal: ApprovalPrincipal;
  groups: string[];
  /** Distinct people of each group. */
  quorum: number;
  /** What it would change, masked, as JSON (shared/policy/preview.ts); empty: nobody asked for that. */
  preview: string;
  fingerprint: string;
  expiresAtMs: number;
}

export interface Approver {
  name: string;
  issuer: string;
  subject: string;
  groups: string[];
  reason: string;
  atMs: number;
}

export type ApprovalState =
  | { status: 'unknown' }
  | { status: 'pending'; question: ApprovalQuestion; approvers: Approver[] }
  | {
      status: 'approved' | 'denied' | 'expired' | 'withdrawn';
      question: ApprovalQuestion;
      by: string[];
      reason: string;
      access?: AccessGiven;
    };

/** Access that was approved. */
export interface AccessGiven {
  untilMs: number;
  ended: { why: 'revoked' | 'expired'; by: string; reason: string } | null;
}

export type ApprovalRequest =
  | { type: 'request'; question: ApprovalQuestion; nowMs: number }
  | {
      type: 'approve';
      approver: Approver;
      /** Everyone who has had a hand in the policy that asks (policy-authors.ts). */
      policyAuthors: readonly Author[];
      /** Names of those who have approved, and were taken out of the directory since. */
      keptOut: readonly string[];
      /** Groups that those who have approved are in by now, in their order; absent: as when they did. */
      earlierGroups?: readonly (readonly string[])[];
      /** Who must approve by the policy as it is now; null: what was asked stands alone. */
      ruleNow: { groups: string[]; quorum: number } | null;
    }
  | { type: 'deny'; approver: Approver }
  | { type: 'expire'; nowMs: number }
  | { type: 'withdraw'; agentId: string; reason: string }
  /** Ends access that was given; `by` is empty when its time is over. */
  | { type: 'endAccess'; by: string; reason: string; nowMs: number };

export type ApprovalEvent =
  | { type: 'ApprovalRequested'; payload: ApprovalQuestion }
  | { type: 'ApprovalGiven'; payload: { approver: Approver; complete: boolean; disregarded?: string[] } }
  | { type: 'ApprovalDenied'; payload: { approver: Approver } }
  | { type: 'ApprovalExpired'; payload: Record<string, never> }
  | { type: 'ApprovalWithdrawn'; payload: { reason: string } }
  | { type: 'AccessEnded'; payload: { why: 'revoked' | 'expired'; by: string; reason: string } };

export const approvalAggregate: Aggregate<ApprovalState, ApprovalRequest, ApprovalEvent> = {
  name: 'approval',
  initialState: { status: 'unknown' },

  decide(request, state) {
    switch (request.type) {
      case 'request':
        if (state.status !== 'unknown') {
          // The agent repeats its question until it is answered. Another question under the same id is not a repeat.
          return sameQuestion(state.question, request.question)
            ? grant()
            : reject('APPROVAL_ID_TAKEN', 'conflict', 'Another command has asked for approval under this id.');
        }
        if (request.question.groups.length === 0 || request.question.quorum < 1) {
          return reject(
            'APPROVAL_UNANSWERABLE',
            'invalid',
            'The rule names nobody who could approve: give it groups and a quorum of at least 1.',
          );
        }
        return grant({ type: 'ApprovalRequested', payload: request.question });

      case 'approve': {
        const refusal = mayAnswer(request.approver, state);
        if (refusal !== null) return refusal;
        if (state.status === 'approved') return grant();
        if (state.status !== 'pending') return closed(state.status);
        if (request.policyAuthors.some(author => isAuthor(request.approver, author))) {
          return reject(
            'APPROVAL_OWN_POLICY',
            'denied',
            'Who has changed the policy that asks for this approval does not give it: ask somebody else of the group.',
          );
        }
        if (state.approvers.some(earlier => samePerson(earlier, request.approver) || sameName(earlier.name, request.approver.name)))
          return grant();
        const isKeptOut = ({ name }: Approver) => request.keptOut.some(each => sameName(each, name));
        if (isKeptOut(request.approver)) return hidden;
        const asked = new Set([...state.question.groups, ...(request.ruleNow?.groups ?? [])]);
        const earlier = state.approvers.map((each, at) => ({ ...each, groups: [...(request.earlierGroups?.[at] ?? each.groups)] }));
        const counts = (each: Approver) => !isKeptOut(each) && each.groups.some(group => asked.has(group));
        // Who was taken out meanwhile, of the directory or of the groups that are asked, does not count, and a rule that asks for more than it did is asked as well.
        const disregarded = earlier.filter(each => !counts(each)).map(({ name }) => name);
        const counting = [...earlier.filter(counts), request.approver];
        const complete = quorumReached(state.question, counting) && (request.ruleNow === null || quorumReached(request.ruleNow, counting));
        return grant({
          type: 'ApprovalGiven',
          payload: { approver: request.approver, complete, ...(disregarded.length === 0 ? {} : { disregarded }) },
        });
      }

      case 'deny': {
        const refusal = mayAnswer(request.approver, state);
        if (refusal !== null) return refusal;
        if (state.status === 'denied') return grant();
        if (state.status !== 'pending') return closed(state.status);
        return grant({ type: 'ApprovalDenied', payload: { approver: request.approver } });
      }

      case 'expire':
        if (state.status !== 'pending' || request.nowMs < state.question.expiresAtMs) return grant();
        return grant({ type: 'ApprovalExpired', payload: {} });

      case 'withdraw':
        // A replica that is behind may not know the question yet: the agent repeats this until it hears that it is decided.
        if (state.status === 'unknown' || state.question.agentId !== request.agentId)
          return reject('APPROVAL_UNKNOWN', 'notFound', 'There is no such approval.');
        if (state.status !== 'pending') return grant();
        return grant({ type: 'ApprovalWithdrawn', payload: { reason: request.reason } });

      case 'endAccess': {
        if (state.status !== 'approved' || state.access === undefined)
          return reject('ACCESS_NOT_GIVEN', 'conflict', 'This approval gives no access that could be ended.');
        if (state.access.ended !== null) return grant();
        const expired = request.nowMs >= state.access.untilMs;
        if (!expired && request.by === '') return grant();
        const payload = expired
          ? ({ why: 'expired', by: '', reason: 'its time is over' } as const)
          : ({ why: 'revoked', by: request.by, reason: request.reason } as const);
        return grant({ type: 'AccessEnded', payload });
      }
    }
  },

  evolve(state, event: DomainEvent): ApprovalState {
    const known = event as ApprovalEvent;
    if (known.type === 'ApprovalRequested' && state.status === 'unknown') {
      return { status: 'pending', question: known.payload, approvers: [] };
    }
    if (known.type === 'AccessEnded' && state.status === 'approved' && state.access?.ended === null) {
      return { ...state, access: { ...state.access, ended: known.payload } };
    }
    if (state.status !== 'pending') return impossible('approval', state.status, event);
    const { question } = state;
    switch (known.type) {
      case 'ApprovalGiven': {
        const approvers = [...state.approvers, known.payload.approver];
        if (!known.payload.complete) return { ...state, approvers };
        const { disregarded = [] } = known.payload;
        const counted = approvers.filter(({ name }) => !disregarded.includes(name));
        return {
          status: 'approved',
          question,
          by: counted.map(a => a.name),
          reason: counted
            .map(a => a.reason)
            .filter(Boolean)
            .join('; '),
          ...(question.access === undefined
            ? {}
            : { access: { untilMs: known.payload.approver.atMs + question.access.seconds * 1000, ended: null } }),
        };
      }
      case 'ApprovalDenied':
        return { status: 'denied', question, by: [known.payload.approver.name], reason: known.payload.approver.reason };
      case 'ApprovalExpired':
        return { status: 'expired', question, by: [], reason: 'nobody answered in time' };
      case 'ApprovalWithdrawn':
        return { status: 'withdrawn', question, by: [], reason: known.payload.reason };
      case 'ApprovalRequested':
        return impossible('approval', state.status, event);
      default:
        return impossible('approval', state.status, event);
    }
  },
};

/** The grant that an approval is; null: it is none, or none any more. */
export function accessGrantOf(approvalId: string, state: ApprovalState): AccessGrant | null {
  if (state.status !== 'approved' || state.access === undefined || state.access.ended !== null) return null;
  const { question, access, by } = state;
  if (question.access === undefined) return null;
  const { kind, issuer, subject } = question.principal;
  return {
    approvalId,
    role: question.access.role,
    resource: question.resource,
    principal: { kind, issuer, subject },
    expiresAtMs: access.untilMs,
    approvers: by,
  };
}

/** Whether enough distinct people of every group have approved, with nobody counted for two groups. */
export function quorumReached(question: Pick<ApprovalQuestion, 'groups' | 'quorum'>, approvers: readonly Approver[]): boolean {
  // Seats (a group's votes) are matched to people: augmenting paths, as a person may sit in several groups.
  const seats = question.groups.flatMap(group => Array.from({ length: question.quorum }, () => group));
  const takenBy = new Map<number, number>(); // person → seat
  const seat = (index: number, tried: Set<number>): boolean => {
    for (const [person, approver] of approvers.entries()) {
      if (tried.has(person) || !approver.groups.includes(seats[index] ?? '')) continue;
      tried.add(person);
      const other = takenBy.get(person);
      if (other === undefined || seat(other, tried)) {
        takenBy.set(person, index);
        return true;
      }
    }
    return false;
  };
  return seats.every((_, index) => seat(index, new Set()));
}

/** To somebody who may not answer, an approval that does not exist looks the same as one that does. */
const hidden = reject('APPROVAL_UNKNOWN', 'notFound', 'There is no such approval.');

function mayAnswer(approver: Approver, state: ApprovalState) {
  if (state.status === 'unknown') return hidden;
  const { question } = state;
  const author = question.principal;
  const own =
    samePerson(approver, author) ||
    author.delegation.some(actor => actor === approver.subject || sameName(actor, approver.name)) ||
    sameName(approver.name, author.name);
  if (own) return reject('APPROVAL_OWN', 'denied', 'Nobody approves or denies their own command.');
  if (!approver.groups.some(group => question.groups.includes(group))) return hidden;
  if (state.status === 'pending' && approver.atMs >= question.expiresAtMs) return closed('expired');
  return null;
}

function closed(status: string) {
  return reject('APPROVAL_CLOSED', 'conflict', `This approval is ${status} already.`);
}

function samePerson(a: { issuer: string; subject: string }, b: { issuer: string; subject: string }): boolean {
  return a.issuer === b.issuer && a.subject === b.subject;
}

function sameQuestion(a: ApprovalQuestion, b: ApprovalQuestion): boolean {
  return a.agentId === b.agentId && a.sessionId === b.sessionId && a.commandSeq === b.commandSeq && a.binding === b.binding;
}
