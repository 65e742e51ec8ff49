/**
 * Changes of policy by two people: one proposes manifests, another approves exactly those. Proposals, answers and what became of them are
 * events of the control log (aggregates/change.ts); this prepares what is proposed and, once it is approved, applies it.
 *
 * An approval and the manifests' own events are several entries of the log. A process that ends between them leaves the change approved:
 * whichever replica looks next goes on. What is as it was proposed already is left alone, so that going on twice does nothing twice.
 */
import { randomUUIDv7 } from 'node:crypto';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Kind, Principal } from '@sallyport/shared/policy/model.ts';
import type { Logger } from 'pino';
import { approvalAggregate } from '../aggregates/approval.ts';
import { type ChangeAnswer, type ChangeParty, type ChangeRequest, changeAggregate, type ProposedItem } from '../aggregates/change.ts';
import { action, type ControlLog, informedAction, type Outcome, type Provenance } from '../aggregates/control-log.ts';
import type { Rejection } from '../aggregates/decider.ts';
import { manifestKinds } from '../aggregates/manifest.ts';
import type { Projection } from '../aggregates/projection.ts';
import type { ManifestFile, ManifestStore } from '../manifests/apply.ts';

export interface ChangeDeskOptions {
  control: ControlLog;
  manifests: ManifestStore;
  logger: Logger;
  clock: () => number;
}

const resumeMs = 30_000;
const looksAt: readonly string[] = [...Object.values(manifestKinds), approvalAggregate.name];

export class ChangeDesk {
  readonly #options: ChangeDeskOptions;
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: ChangeDeskOptions) {
    this.#options = options;
  }

  /** Goes on with what was approved and not applied, now and from time to time. */
  start(): void {
    const round = () => {
      this.#running = this.#resume();
    };
    round();
    this.#timer = setInterval(round, resumeMs);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#running;
  }

  /** @returns the change's id. @throws {ManifestsInvalid} MANIFEST_UNKNOWN, MANIFEST_IN_USE, AUDIT_OWN, CHANGE_EMPTY, CHANGES_TOO_MANY, CHANGE_TOO_LARGE. */
  async propose(
    files: readonly ManifestFile[],
    deletions: readonly { kind: Kind; name: string }[],
    author: Principal,
    provenance: Provenance,
  ): Promise<string> {
    const { control, manifests, clock } = this.#options;
    const items = await manifests.prepare(files, deletions, author);
    const id = randomUUIDv7();
    const proposal = { author: partyOf(author), items, reason: provenance.reason, atMs: clock() };
    const propose = informedAction(
      changeAggregate,
      id,
      [changeAggregate.name],
      (all): ChangeRequest => ({
        type: 'propose',
        proposal,
        open: all.openChanges().length,
      }),
    );
    done(await control.execute([propose], provenance));
    return id;
  }

  /** @throws {GatewayError} CHANGE_UNKNOWN, CHANGE_OWN, CHANGE_NEEDS_PERSON, CHANGE_CLOSED, CHANGE_STALE, AUDIT_OWN. */
  async approve(id: string, principal: Principal, provenance: Provenance): Promise<void> {
    const { control, manifests, clock } = this.#options;
    const answer: ChangeAnswer = { by: partyOf(principal), reason: provenance.reason, atMs: clock() };
    const approve = informedAction(changeAggregate, id, looksAt, (all): ChangeRequest | Rejection => {
      const state = all.change(id);
      if (state.status !== 'proposed') return { type: 'approve', answer, moved: [] };
      const { author, items } = state.proposal;
      const own = manifests.ownAudit(items, [author, answer.by], all);
      return own ?? { type: 'approve', answer, moved: movedOf(items, all) };
    });
    done(await control.execute([approve], provenance));
    await this.#finish(id, provenance);
    const state = control.state.change(id);
    if (state.status === 'stale') throw stale(state.moved);
  }

  /** @throws {GatewayError} CHANGE_UNKNOWN, CHANGE_OWN, CHANGE_NOT_OWN, CHANGE_CLOSED. */
  async end(id: string, type: 'reject' | 'withdraw', principal: Principal, provenance: Provenance): Promise<void> {
    const answer = { by: partyOf(principal), reason: provenance.reason, atMs: this.#options.clock() };
    done(await this.#options.control.execute([action(changeAggregate, id, { type, answer })], provenance));
  }

  async #resume(): Promise<void> {
    const { control, logger } = this.#options;
    for (const [id, { status }] of control.state.openChanges()) {
      if (status !== 'approved') continue;
      await this.#finish(id, { author: 'system', authorAddress: '', reason: '', requestId: '' }).catch((error: unknown) =>
        logger.warn({ change: id, err: errorText(error) }, 'an approved change was not applied; it is tried again'),
      );
    }
  }

  /** Applies what was approved. */
  async #finish(id: string, { authorAddress, requestId }: Provenance): Promise<void> {
    const { control, manifests } = this.#options;
    const state = control.state.change(id);
    if (state.status !== 'approved') return;
    const { author, items, reason } = state.proposal;
    const { by } = state.answer;
    const why = `${reason} (change ${id}, approved by ${by.name})`;
    const outcome = await manifests.applyReviewed(items, author, by, {
      ...{ author: author.name, authorIdentity: { issuer: author.issuer, subject: author.subject } },
      ...{ authorAddress, requestId, reason: why },
    });
    const moved = movedOf(items, control.state);
    const end = outcome.accepted
      ? action(changeAggregate, id, { type: 'applied' })
      : action(changeAggregate, id, { type: 'stale', moved: moved.length > 0 ? moved : [outcome.stream] });
    done(await control.execute([end], { author: 'system', authorAddress: '', reason: why, requestId }));
  }
}

/** `Kind/name` of what is neither as it was when it was proposed nor as it is proposed to be, and of credentials that are gone. */
export function movedOf(items: readonly ProposedItem[], state: Projection): string[] {
  const moved = items
    .filter(({ kind, name, version }) => state.stream(`${manifestKinds[kind]}/${name}`).version !== BigInt(version))
    .map(({ kind, name }) => `${kind}/${name}`);
  const proposed = new Set(items.filter(({ manifest }) => manifest !== null).map(({ kind, name }) => `${kind}/${name}`));
  const gone = items.flatMap(({ kind, manifest }) => {
    const credential = kind === 'Resource' ? (manifest?.spec as { credential?: string } | undefined)?.credential : undefined;
    if (credential === undefined || proposed.has(`Credential/${credential}`)) return [];
    return state.manifest('Credential', credential) === undefined ? [`Credential/${credential}`] : [];
  });
  return [...moved, ...new Set(gone)];
}

export function partyOf({ kind, name, issuer, subject, groups }: Principal): ChangeParty {
  return { kind, name, issuer, subject, groups };
}

export function stale(moved: readonly string[]): GatewayError {
  return new GatewayError(
    'CHANGE_STALE',
    'conflict',
    `Since this was proposed, ${moved.join(', ')} has changed: nothing is applied on top of what nobody has looked at. Propose it anew.`,
  );
}

/** @throws {GatewayError} of a rejection. */
function done(outcome: Outcome): void {
  if (outcome.accepted) return;
  const { code, kind, message } = outcome.rejection;
  throw new GatewayError(code, kind, message);
}
