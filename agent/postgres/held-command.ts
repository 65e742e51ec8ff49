/**
 * A command that waits for people: its record, the question, what the client is told meanwhile, and the answer.
 *
 *     asking ── approved | denied | expired | cancelled ──▶ settled
 *
 * The Command record is written before anybody is asked, with the approval's id; the answer is an ApprovalNoted, which is on disk
 * before the command is sent; who released it and how long it waited is in the Response. frontend.ts makes the client's messages
 * wait, and goes on with the command or with the refusal.
 */
import { createHash } from 'node:crypto';
import type { ApprovalSpec } from '@sallyport/shared/policy/model.ts';
import type { Preview } from '@sallyport/shared/policy/preview.ts';
import type { Hold, HoldAnswer } from '../session/holds.ts';
import type { CommandRun } from './command-run.ts';
import { noticeResponse, SqlState } from './errors.ts';
import type { Judged } from './judge.ts';
import { encodeParameterStatus } from './messages.ts';
import type { RecordableText, Replacement } from './pipeline.ts';
import type { Relay } from './relay.ts';

/** How often something is sent to a client that waits, for what lies between that forgets silent connections. */
const KEEPALIVE_MS = 30_000;
/** Of each parameter that approvers are shown. */
const PARAMETER_SHOWN_MAX = 1024;

export interface HeldWhat {
  kind: string;
  /** As records hold it. */
  text: RecordableText;
  /** What approvers see more than the text: what EXECUTE stands for. */
  appendix: string;
  parameters: readonly string[] | undefined;
  preparedName: string | undefined;
  binding: Uint8Array;
}

export class HeldCommand {
  readonly judged: Judged;
  readonly rule: string;
  readonly binding: Uint8Array;
  readonly approvalId: string;
  readonly run: CommandRun;
  answer: HoldAnswer | null = null;
  /** Index of the answer's record: nothing is sent before that is durable. */
  notedIndex = -1;
  readonly #relay: Relay;
  readonly #approval: ApprovalSpec;
  readonly #what: HeldWhat;
  readonly #onSettled: () => void;
  readonly #heldAtMs = performance.now();
  /** What it would change; null: nobody asked for that, or it is being found out. */
  #preview: Preview | null = null;
  #hold: Hold | null = null;
  #keepalive: NodeJS.Timeout | null = null;

  /** Writes the command's record. @throws what the sink throws: nobody was asked then. */
  constructor(relay: Relay, judged: Judged, what: HeldWhat, onSettled: () => void) {
    const { decision } = judged;
    if (decision.action !== 'hold') throw new TypeError('only a held command waits');
    this.#relay = relay;
    this.judged = judged;
    this.rule = decision.rule;
    this.#approval = decision.approval;
    this.binding = what.binding;
    this.#what = what;
    this.#onSettled = onSettled;
    this.approvalId = relay.gateway.holds.newId();
    this.run = relay.recordCommand(judged, {
      kind: what.kind,
      text: what.text.text,
      truncated: what.text.truncated,
      sha256: what.text.sha256,
      approvalId: this.approvalId,
      ...(what.parameters === undefined ? {} : { parameters: what.parameters }),
      ...(what.preparedName === undefined || what.preparedName === '' ? {} : { preparedName: what.preparedName }),
    });
    relay.gateway.metrics.held++;
  }

  get settled(): boolean {
    return this.answer !== null;
  }

  get approval(): ApprovalSpec {
    return this.#approval;
  }

  /** Rows that the approvers were shown to be changed, so that no other number may be; null: they were shown none. */
  get rowsShown(): number | null {
    return this.#preview?.rowCount ?? null;
  }

  /** Puts the question and tells the client. @param preview what the command would change; null: not asked for. */
  ask(preview: Preview | null): void {
    this.#preview = preview;
    const relay = this.#relay;
    const { session, gateway } = relay;
    if (gateway.holds.full) {
      this.#settle({ state: 'denied', by: [], reason: 'too many commands wait for approval already; try again later' });
      return;
    }
    const { decision, fingerprint } = this.judged;
    const index = session.recorder.approvalNoted({ approvalId: this.approvalId, state: 'requested', commandSeq: this.run.seq });
    this.#hold = gateway.holds.ask(
      this.approvalId,
      {
        session,
        commandSeq: this.run.seq,
        rule: this.rule,
        text: this.#what.text.text + this.#what.appendix,
        parameters: (this.#what.parameters ?? []).map(value => value.slice(0, PARAMETER_SHOWN_MAX)),
        binding: this.binding,
        approval: this.#approval,
        preview: preview === null ? '' : JSON.stringify(preview),
        fingerprint,
      },
      answer => this.#settle(answer),
    );
    const until = new Date(this.#hold.expiresAtMs).toISOString().slice(0, 19).replace('T', ' ');
    const console = gateway.lease?.consoleUrl ?? '';
    const { groups } = this.#approval.from;
    const message = decision.action === 'allow' ? '' : relay.cleanText(decision.message);
    const again =
      preview?.replaces === undefined
        ? ''
        : ` again, because it changed another number of rows than the ${preview.replaces.rowCount} that were approved, and nothing of that was kept`;
    relay.release(
      noticeResponse(
        `waiting for approval${again}: ${message}`,
        `Approval ${this.approvalId} by ${groups.join(' and ')}, until ${until} UTC. ${console === '' ? 'Run' : `Look at ${console}/inbox/${this.approvalId} or run`}: sallyport approvals show ${this.approvalId}. Cancel the statement to withdraw it.`,
      ),
      index,
      false,
    );
    this.#keepalive ??= setInterval(() => {
      const value = relay.judge.settings.standardConformingStrings ? 'on' : 'off';
      relay.release(encodeParameterStatus('standard_conforming_strings', value), -1, false);
    }, KEEPALIVE_MS);
  }

  /** The client or the session's end takes it back. */
  withdraw(reason: string): void {
    if (this.settled) return;
    this.#hold?.withdraw(reason);
    this.#settle({ state: 'withdrawn', by: [], reason });
  }

  #settle(answer: HoldAnswer): void {
    if (this.settled) return;
    this.answer = answer;
    if (this.#keepalive !== null) clearInterval(this.#keepalive);
    const { run } = this;
    run.heldUs = Math.round((performance.now() - this.#heldAtMs) * 1000);
    if (answer.state === 'approved') run.approvers = answer.by;
    try {
      this.notedIndex = this.#relay.session.recorder.approvalNoted({
        approvalId: this.approvalId,
        state: answer.state,
        by: answer.by,
        reason: this.#relay.recordText(answer.reason).slice(0, 1000),
        commandSeq: run.seq,
      });
    } catch (error) {
      this.answer = { state: 'denied', by: [], reason: 'the approval cannot be recorded' };
      this.#relay.failWith(error);
      return;
    }
    this.#onSettled();
  }

  /** What the client gets in the command's place; null: it was released. */
  refusal(): Replacement | null {
    const { answer, rule } = this;
    if (answer === null) throw new TypeError('nobody has answered yet');
    const told = (code: string, message: string): Replacement => ({ code, message, refused: true });
    const because = answer.reason === '' ? '' : `: ${this.#relay.cleanText(answer.reason)}`;
    const which = `(rule ${rule}, approval ${this.approvalId})`;
    switch (answer.state) {
      case 'approved':
        return null;
      case 'denied':
        return told(
          SqlState.insufficientPrivilege,
          `the approval was denied${answer.by.length === 0 ? '' : ` by ${answer.by.join(', ')}`}${because} ${which}`,
        );
      case 'expired':
        return told(
          SqlState.insufficientPrivilege,
          `the statement was not approved in time${because} ${which}; send it again to ask again`,
        );
      case 'withdrawn':
        return told(SqlState.queryCanceled, 'canceling statement due to user request');
    }
  }
}

/** SHA-256 over a text and what is bound to it, each part with its length: no two commands share one. */
export function bindingOf(parts: readonly (Uint8Array | string)[]): Uint8Array {
  const hash = createHash('sha256').update('sallyport-binding-v1\0');
  for (const part of parts) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : part;
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    hash.update(length).update(bytes);
  }
  return hash.digest();
}
