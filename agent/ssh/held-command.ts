/**
 * A command that waits for people: its record, the question, the answer. How it waits on its channel is the channel's.
 *
 * The Command record is written before anybody is asked; the answer is an ApprovalNoted, which is on disk before the command is run;
 * who released it and how long it waited is in the Response.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Hold, HoldAnswer } from '../session/holds.ts';
import type { CommandOptions, HostCommand } from './command.ts';
import { bindingOf } from './judge.ts';
import type { Relay } from './relay.ts';

/** What it needs of the session that it is in. */
export type Holder = Pick<Relay, 'gateway' | 'session' | 'newCommand' | 'recordText' | 'guard' | 'touch'> & {
  readonly judge: { readonly account: string };
};

export interface HeldOptions {
  command: CommandOptions;
  /** A line to the client: what is waited for. */
  say: (text: string) => void;
  /** Once, with null when it was released and that is on disk, or with what the client is told instead. Not after `withdraw`. */
  settled: (refusal: string | null) => void;
}

export class HeldCommand {
  readonly command: HostCommand;
  readonly approvalId: string;
  readonly #relay: Holder;
  readonly #options: HeldOptions;
  readonly #heldAtMs = performance.now();
  #hold: Hold | null = null;
  #answered = false;

  /** Records the command and asks. @throws what the sink throws: nobody was asked then. */
  constructor(relay: Holder, options: HeldOptions) {
    const { judged, kind, text } = options.command;
    const { decision } = judged;
    if (decision.action !== 'hold') throw new GatewayError('SSH_STATE', 'internal', 'only a held command waits');
    this.#relay = relay;
    this.#options = options;
    const { session, gateway } = relay;
    this.approvalId = gateway.holds.newId();
    this.command = relay.newCommand({ ...options.command, approvalId: this.approvalId });
    gateway.metrics.held++;
    if (gateway.holds.full) {
      this.#answer({ state: 'denied', by: [], reason: 'too many commands wait for approval already; try again later' });
      return;
    }
    session.recorder.approvalNoted({ approvalId: this.approvalId, state: 'requested', commandSeq: this.command.seq });
    const { account } = relay.judge;
    this.#hold = gateway.holds.ask(
      this.approvalId,
      {
        session,
        commandSeq: this.command.seq,
        rule: decision.rule,
        text: relay.recordText(text),
        parameters: [`account: ${account}`],
        binding: bindingOf(kind, account, text),
        approval: decision.approval,
        preview: '',
        fingerprint: '',
      },
      answer => relay.guard(() => this.#answer(answer)),
    );
    const until = new Date(this.#hold.expiresAtMs).toISOString().slice(0, 16).replace('T', ' ');
    const { groups } = decision.approval.from;
    options.say(
      `waiting for approval by ${groups.join(' and ')} until ${until} UTC: ${decision.message}\n(sallyport approvals show ${this.approvalId}; Ctrl-C takes it back)`,
    );
  }

  get waits(): boolean {
    return !this.#answered;
  }

  /** The client or the session's end takes it back; the Response is the caller's. @throws what the sink throws. */
  withdraw(reason: string): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#hold?.withdraw(reason);
    this.#note({ state: 'withdrawn', by: [], reason });
  }

  #note(answer: HoldAnswer): number {
    this.command.heldMs = performance.now() - this.#heldAtMs;
    return this.#relay.session.recorder.approvalNoted({
      approvalId: this.approvalId,
      state: answer.state,
      by: answer.by,
      reason: this.#relay.recordText(answer.reason).slice(0, 1000),
      commandSeq: this.command.seq,
    });
  }

  #answer(answer: HoldAnswer): void {
    if (this.#answered) return;
    this.#answered = true;
    const relay = this.#relay;
    const index = this.#note(answer);
    if (answer.state === 'approved') this.command.approvers = answer.by;
    relay.session.recorder.sink.whenDurable(index, error =>
      relay.guard(() => {
        if (error !== null) throw error;
        relay.touch();
        this.#options.settled(answer.state === 'approved' ? null : refusalOf(answer, this.approvalId));
      }),
    );
  }
}

function refusalOf({ state, by, reason }: HoldAnswer, approvalId: string): string {
  const because = reason === '' ? '' : `: ${reason}`;
  if (state === 'denied')
    return `the approval was denied${by.length === 0 ? '' : ` by ${by.join(', ')}`}${because} (approval ${approvalId})`;
  return `it was not approved in time${because} (approval ${approvalId}); ask again by running it again`;
}
