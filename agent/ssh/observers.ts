/**
 * Who watches a session while it runs: each is a command of its record, from their coming to their going. Where the role asks for four
 * eyes, nothing is run until somebody watches, and the session ends when nobody does any more.
 *
 * The control plane says who watches, again and again: what it said is true for the time that it named, so that nobody counts as
 * present whose view has broken off, or whose control plane has. What they see is the recording, which is not this file's.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { HostCommand } from './command.ts';
import type { Relay } from './relay.ts';

const OBSERVERS_MAX = 16;
const WAITING_MAX = 128;
/** No control plane's word counts for longer. */
const PRESENT_MS_MAX = 30_000;
const CHECK_MS = 500;
const NAME_MAX = 200;

interface Observer {
  readonly command: HostCommand;
  /** Their coming is on disk: they count. */
  counts: boolean;
  untilMs: number;
}

export class Observers {
  readonly #relay: Relay;
  readonly #present = new Map<string, Observer>();
  #waiting: (() => void)[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(relay: Relay) {
    this.#relay = relay;
  }

  /** Does the role let nothing be run unobserved, and does nobody observe? */
  get missing(): boolean {
    return this.#relay.session.sshAccess?.fourEyes === true && ![...this.#present.values()].some(each => each.counts);
  }

  /** Runs at once, or when somebody has come. @returns false: it waits. @throws {GatewayError} SSH_CHANNEL_FLOOD. */
  whenObserved(run: () => void): boolean {
    if (!this.missing) {
      run();
      return true;
    }
    if (this.#waiting.length >= WAITING_MAX) throw new GatewayError('SSH_CHANNEL_FLOOD', 'protocol', 'too much waits for an observer');
    this.#waiting.push(run);
    return false;
  }

  /** @param forMs how long they are there from now on; 0: they have gone. @throws what the sink throws. */
  seen(watchId: string, name: string, forMs: number): void {
    const known = this.#present.get(watchId);
    if (forMs <= 0) {
      if (known !== undefined) this.#gone(watchId, known);
      return;
    }
    const untilMs = performance.now() + Math.min(forMs, PRESENT_MS_MAX);
    if (known !== undefined) {
      known.untilMs = untilMs;
      return;
    }
    if (this.#present.size >= OBSERVERS_MAX) return;
    const relay = this.#relay;
    const judged = relay.judge.withoutRules('ssh-watch', 'observer', 'whoever may see recordings may watch');
    const command = relay.newCommand({ kind: 'ssh-watch', text: `watched by ${name.slice(0, NAME_MAX)}`, judged, isOwnText: true });
    const observer: Observer = { command, counts: false, untilMs };
    this.#present.set(watchId, observer);
    this.#timer ??= setInterval(() => relay.guard(() => this.#check()), CHECK_MS);
    command.whenDurable(error =>
      relay.guard(() => {
        if (error !== null) throw error;
        observer.counts = true;
        for (const run of this.#waiting.splice(0)) run();
      }),
    );
  }

  #check(): void {
    const nowMs = performance.now();
    for (const [watchId, observer] of this.#present) if (observer.untilMs < nowMs) this.#gone(watchId, observer);
  }

  #gone(watchId: string, observer: Observer): void {
    this.#present.delete(watchId);
    observer.command.end({ status: 'ok', tag: 'watched' });
    if (this.#present.size === 0 && this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
    if (observer.counts && this.missing)
      throw new GatewayError(
        'SSH_UNOBSERVED',
        'denied',
        'nobody watches the session any more, and your role runs only while somebody does',
      );
  }

  /** The session ends. @throws what the sink throws. */
  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#waiting = [];
    for (const { command } of this.#present.values()) command.end({ status: 'ok', tag: 'watched' });
    this.#present.clear();
  }
}
