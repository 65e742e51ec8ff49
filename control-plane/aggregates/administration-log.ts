/** Writes acts of administration (administration.ts) to the log, one after the other, so that this process does not race with itself. */
import { randomUUIDv7 } from 'node:crypto';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type AdministrationEvent, administrationAggregate } from './administration.ts';
import { action, type ControlLog, type Provenance } from './control-log.ts';
import { reject } from './decider.ts';

const waitingMax = 1000;

export class AdministrationLog {
  readonly #control: Pick<ControlLog, 'execute'>;
  readonly #stream = randomUUIDv7();
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(control: Pick<ControlLog, 'execute'>) {
    this.#control = control;
  }

  /**
   * Records an act that can happen once, by its key.
   * @throws {GatewayError} ALREADY_DONE; the log's errors.
   */
  async recordOnce(key: string, event: AdministrationEvent, provenance: Provenance): Promise<void> {
    const stream = `${administrationAggregate.name}/${key}`;
    const decide = (state: unknown) =>
      (state as { acts: number }).acts > 0
        ? reject('ALREADY_DONE', 'conflict', 'This has happened before.')
        : administrationAggregate.decide(event, administrationAggregate.initialState);
    const outcome = await this.#control.execute([{ stream, decide }], provenance);
    if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
  }

  /**
   * Resolves when the act is in the log: what it is about must not happen before.
   * @throws {GatewayError} ADMINISTRATION_UNRECORDED, or the log's errors.
   */
  async record(event: AdministrationEvent, provenance: Provenance): Promise<void> {
    if (this.#waiting >= waitingMax) {
      throw new GatewayError('ADMINISTRATION_UNRECORDED', 'unavailable', 'Too much is waiting to be recorded: try again in a moment.');
    }
    this.#waiting++;
    const turn = this.#last.then(() => this.#control.execute([action(administrationAggregate, this.#stream, event)], provenance));
    this.#last = turn.catch(() => undefined); // The next one's turn comes in any case; this one's caller gets the error.
    try {
      await turn;
    } finally {
      this.#waiting--;
    }
  }
}
