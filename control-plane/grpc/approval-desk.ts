/**
 * Turns agents' questions into approval events, and time into expiries. The answers come over HTTP (http/approvals.ts); fleet.ts carries
 * them back.
 */
import { Buffer } from 'node:buffer';
import type { ApprovalRequested, ApprovalWithdrawn } from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { PrincipalKind } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { readPreview } from '@sallyport/shared/policy/preview.ts';
import type { Logger } from 'pino';
import { type ApprovalQuestion, approvalAggregate } from '../aggregates/approval.ts';
import { action, type ControlLog, type Provenance } from '../aggregates/control-log.ts';
import { Buckets, type Rate } from '../buckets.ts';
import type { AgentIdentity } from './agent-identity.ts';
import type { Fleet } from './fleet.ts';

const textCharactersMax = 65_536;
const parametersMax = 100;
const parameterCharactersMax = 1024;
/** Names and ids. */
const nameCharactersMax = 512;
const groupsMax = 1000;
/** Approvals are kept for ever in the log: an agent that is taken over must not flood it, nor the memory of who follows the log. */
const pendingPerAgentMax = 1000;
const pendingCharactersMax = 32 * 1024 * 1024;
const questionsOfAgent: Rate = { burst: 1000, perSecond: 1 };

export class ApprovalDesk {
  readonly #control: ControlLog;
  readonly #fleet: Fleet;
  readonly #logger: Logger;
  readonly #clock: () => number;
  readonly #timer: NodeJS.Timeout;
  /** Questions on their way into the log: who takes one back right away must not overtake it. */
  readonly #asking = new Map<string, Promise<unknown>>();
  readonly #asked: Buckets;

  constructor(options: { control: ControlLog; fleet: Fleet; logger: Logger; clock: () => number }) {
    this.#control = options.control;
    this.#fleet = options.fleet;
    this.#logger = options.logger;
    this.#clock = options.clock;
    this.#asked = new Buckets(options.clock);
    this.#timer = setInterval(() => void this.#expire(), 1000);
    this.#timer.unref();
  }

  /** @throws {GatewayError} APPROVAL_INVALID, APPROVAL_ID_TAKEN, APPROVAL_UNANSWERABLE. */
  async requested(identity: AgentIdentity, request: ApprovalRequested): Promise<void> {
    const { approvalId } = request;
    if (!isApprovalId(approvalId)) throw invalid('its id is not a UUID');
    const question = questionOf(identity.agentId, request, this.#clock());
    // What is repeated is there already, and costs nothing.
    if (this.#control.state.approval(approvalId).status === 'unknown') this.#mustHaveRoom(identity.agentId, question);
    const asking = this.#control.execute(
      [action(approvalAggregate, approvalId, { type: 'request', question, nowMs: this.#clock() })],
      this.#provenance(identity, 'approval requested'),
    );
    this.#asking.set(approvalId, asking);
    const outcome = await asking.finally(() => {
      if (this.#asking.get(approvalId) === asking) this.#asking.delete(approvalId);
    });
    if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
    // A repeat may come after the decision: then the agent has not heard it.
    if (outcome.events.length === 0) this.#fleet.tellApproval(approvalId, this.#control.state.approval(approvalId));
  }

  /** @throws {GatewayError} APPROVALS_TOO_MANY. */
  #mustHaveRoom(agentId: string, question: ApprovalQuestion): void {
    const waiting = this.#control.state
      .pendingApprovals()
      .flatMap(([, state]) => (state.status === 'pending' && state.question.agentId === agentId ? [charactersOf(state.question)] : []));
    const characters = waiting.reduce((sum, each) => sum + each, charactersOf(question));
    if (waiting.length >= pendingPerAgentMax || characters > pendingCharactersMax) {
      throw new GatewayError('APPROVALS_TOO_MANY', 'unavailable', `This agent has ${waiting.length} commands waiting already.`);
    }
    const taken = this.#asked.take(agentId, questionsOfAgent);
    if (taken.taken) return;
    throw new GatewayError(
      'APPROVALS_TOO_MANY',
      'unavailable',
      `This agent asks for approvals faster than anybody could answer: the next may come in ${taken.retryAfterSeconds} s.`,
    );
  }

  /** @throws {GatewayError} APPROVAL_INVALID, APPROVAL_UNKNOWN. */
  async withdrawn(identity: AgentIdentity, request: ApprovalWithdrawn): Promise<void> {
    const { approvalId } = request;
    if (!isApprovalId(approvalId)) throw invalid('its id is not a UUID');
    // A failure is told to whoever asked; this one finds then that there is no such question.
    await this.#asking.get(approvalId)?.catch(() => undefined);
    const outcome = await this.#control.execute(
      [action(approvalAggregate, approvalId, { type: 'withdraw', agentId: identity.agentId, reason: request.reason.slice(0, 500) })],
      this.#provenance(identity, 'approval withdrawn'),
    );
    if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
    // It was decided before: the agent repeats itself until it knows.
    if (outcome.events.length === 0) this.#fleet.tellApproval(approvalId, this.#control.state.approval(approvalId));
  }

  /**
   * Ends what waits for sessions that an agent does not have any more: it was restarted, and those commands are gone with their
   * connections. What it still holds it asks for again.
   */
  async agentReturned(identity: AgentIdentity, liveSessions: ReadonlySet<string>): Promise<void> {
    await this.#orphaned(
      ({ agentId, sessionId }) => agentId === identity.agentId && !liveSessions.has(sessionId),
      'the session ended with its agent, which was restarted',
    );
  }

  /** Ends what waits and can reach nobody any more. */
  async #orphaned(isOrphan: (question: ApprovalQuestion) => boolean, reason: string): Promise<void> {
    const orphans = this.#control.state
      .pendingApprovals()
      .flatMap(([id, state]) =>
        state.status === 'pending' && state.question.access === undefined && isOrphan(state.question) ? [{ id, state }] : [],
      );
    if (orphans.length === 0) return;
    await this.#control.execute(
      orphans.map(({ id, state }) => action(approvalAggregate, id, { type: 'withdraw', agentId: state.question.agentId, reason })),
      { author: 'system', authorAddress: '', reason, requestId: '' },
    );
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #expire(): Promise<void> {
    const nowMs = this.#clock();
    try {
      await this.#orphaned(
        ({ agentId }) => this.#control.state.agent(agentId).status === 'revoked',
        'the agent that asked was revoked, and its sessions have ended',
      );
    } catch (error) {
      this.#logger.error({ err: errorText(error) }, 'approvals of revoked agents could not be ended');
    }
    const due = this.#control.state
      .pendingApprovals()
      .filter(([, state]) => state.status === 'pending' && state.question.expiresAtMs <= nowMs);
    const over = this.#control.state.accessGrants(0).filter(({ expiresAtMs }) => expiresAtMs <= nowMs);
    if (due.length + over.length === 0) return;
    try {
      await this.#control.execute(
        [
          ...due.map(([id]) => action(approvalAggregate, id, { type: 'expire', nowMs })),
          ...over.map(({ approvalId }) => action(approvalAggregate, approvalId, { type: 'endAccess', by: '', reason: '', nowMs })),
        ],
        { author: 'system', authorAddress: '', reason: 'time is over', requestId: '' },
      );
    } catch (error) {
      this.#logger.error({ err: errorText(error) }, 'approvals could not be expired');
    }
  }

  #provenance(identity: AgentIdentity, reason: string): Provenance {
    return { author: `agent:${identity.agent.details.name}`, authorAddress: identity.address, reason, requestId: '' };
  }
}

function isApprovalId(id: string): boolean {
  return /^[0-9a-f-]{36}$/.test(id);
}

/** The longest `expiresIn` of an approval, and what clocks may differ by. */
const expiryMsMax = 8 * 24 * 60 * 60 * 1000;

function questionOf(agentId: string, request: ApprovalRequested, nowMs: number): ApprovalQuestion {
  const { principal } = request;
  if (principal === undefined) throw invalid('it names no principal');
  if (request.binding.length !== 32) throw invalid('its binding is not a SHA-256');
  const { groups, quorum } = approvalOf(request.approvalJson);
  const expiresAtMs = Number(request.expiresUnixUs / 1000n);
  if (!(expiresAtMs > 0 && expiresAtMs <= nowMs + expiryMsMax)) throw invalid('its expiry is out of range');
  return {
    agentId,
    sessionId: short('session', request.sessionId),
    commandSeq: Number(request.commandSeq),
    resource: short('resource', request.resource),
    rule: short('rule', request.rule),
    text: request.text.slice(0, textCharactersMax),
    parameters: request.parameters.slice(0, parametersMax).map(value => value.slice(0, parameterCharactersMax)),
    binding: Buffer.from(request.binding).toString('base64'),
    principal: {
      kind: principal.kind === PrincipalKind.WORKLOAD ? 'workload' : 'person',
      name: short('principal', principal.name),
      issuer: short('issuer', principal.issuer),
      subject: short('subject', principal.subject),
      groups: few('groups', principal.groups),
      delegation: few('delegation', principal.delegation),
    },
    groups,
    quorum,
    preview: previewOf(request.previewJson),
    fingerprint: short('fingerprint', request.fingerprint),
    expiresAtMs,
  };
}

/** What says who and where is never shortened: half a name is another name. */
function short(what: string, value: string): string {
  if (value.length > nameCharactersMax) throw invalid(`its ${what} has more than ${nameCharactersMax} characters`);
  return value;
}

function few(what: string, values: string[]): string[] {
  if (values.length > groupsMax) throw invalid(`its ${what} are more than ${groupsMax}`);
  return values.map(each => short(what, each));
}

function charactersOf({ text, parameters = [], preview, principal }: ApprovalQuestion): number {
  const names = [...principal.groups, ...principal.delegation, ...parameters];
  return text.length + preview.length + names.reduce((sum, each) => sum + each.length, 0);
}

/** What an agent says a command would change, if it is that. */
function previewOf(json: string): string {
  if (json === '') return '';
  const preview = readPreview(json);
  if (preview === null) throw invalid('its preview is none');
  return JSON.stringify(preview);
}

/** The rule's ApprovalSpec (shared/policy/model.ts), as JSON. */
function approvalOf(json: string): { groups: string[]; quorum: number } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (cause) {
    throw invalid('its rule is not JSON', cause);
  }
  const { from, quorum } = (parsed ?? {}) as { from?: { groups?: unknown }; quorum?: unknown };
  const groups = from?.groups;
  if (
    !Array.isArray(groups) ||
    !groups.every((group): group is string => typeof group === 'string') ||
    typeof quorum !== 'number' ||
    !Number.isInteger(quorum)
  ) {
    throw invalid('its rule does not say who may approve');
  }
  return { groups: few('rule’s groups', groups), quorum };
}

function invalid(why: string, cause?: unknown): GatewayError {
  return new GatewayError(
    'APPROVAL_INVALID',
    'invalid',
    `An agent’s approval request is refused: ${why}.`,
    cause === undefined ? undefined : { cause },
  );
}
