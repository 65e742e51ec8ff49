/**
 * What a client types into a shell's terminal, on its way to the host. Whatever would make the host read a line stops here until
 * the line is judged; everything else passes at once.
 *
 *     typing ─▶ waitingForEcho ─▶ judging ─▶ settling ─▶ typing …
 *
 * A line of which the follower is not certain is judged as opaque. In a shell that is only recorded, lines are recorded and none is refused.
 * What is refused is cleared at the host by keys that the follower models, so that a host which does not clear it is found out at the
 * next Enter. What a determined person can do about all this is in docs/guides/ssh.md.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { ShellAnalysis } from '@sallyport/shared/shell/facts.ts';
import type { ChannelEnd } from './channel-end.ts';
import type { HostCommand } from './command.ts';
import { HeldCommand } from './held-command.ts';
import type { HostOutput } from './host-output.ts';
import type { Judged } from './judge.ts';
import type { Relay } from './relay.ts';
import type { LineFollower } from './terminal/line-follower.ts';
import { waitWith } from './waiting-bytes.ts';

type State = 'typing' | 'waitingForEcho' | 'judging' | 'settling' | 'closed';

const MOVES: Readonly<Record<State, readonly State[]>> = {
  typing: ['waitingForEcho', 'closed'],
  waitingForEcho: ['judging', 'settling', 'typing', 'closed'],
  judging: ['settling', 'typing', 'closed'],
  settling: ['typing', 'closed'],
  closed: [],
};

/** The host may take so long to show what was typed; a busy one takes seconds. */
const ECHO_MS = 4000;
/** The same where nothing hangs on it but the record of the line. */
const RECORDED_ECHO_MS = 250;
const ASK_AGAIN_MS = 25;
/** After a line editor got its line, what was typed ahead waits so long for it to ask for the next. */
const SETTLE_MS = 300;
/** A prompt that is not known is there when the host has been silent for so long; one that never is does not wait for it. */
const PROMPT_MS = 50;
const PROMPT_MS_MAX = 1000;
/** To the end, delete to the beginning: clears a line editor's line, and a terminal's own. */
const CLEAR_LINE = Buffer.of(0x05, 0x15);
const CLEAR_PLAIN_LINE = Buffer.of(0x15);
const INTERRUPT = 0x03;
const END_OF_FILE = 0x04;
/** Interrupt, quit, suspend: they must not wait. */
const SIGNALS = new Set([INTERRUPT, 0x1c, 0x1a]);
/** Enter, in its forms; every other key that stops is one whose effect on the line nobody has seen yet. */
const ENDS_LINE: ReadonlySet<number> = new Set([0x0d, 0x0a, 0x0f]);

/** Programs that ask for a password where nothing is echoed. What is typed elsewhere without an echo is opaque. */
const ASKS_FOR_PASSWORDS = new Set([
  'sudo',
  'su',
  'doas',
  'ssh',
  'scp',
  'sftp',
  'rsync',
  'passwd',
  'chsh',
  'chfn',
  'kinit',
  'ssh-add',
  'ssh-keygen',
  'git',
  'docker',
  'podman',
  'read',
]);
const PASSWORDS_MAX = 4;

export interface GovernedInputOptions {
  relay: Relay;
  /** `recorded`: lines are recorded, and not judged. */
  mode: 'governed' | 'recorded';
  follower: LineFollower;
  client: ChannelEnd;
  host: ChannelEnd;
  output: HostOutput;
  /** The shell's own, which holds the recording. */
  shell: HostCommand;
}

export class GovernedInput {
  readonly #options: GovernedInputOptions;
  #state: State = 'typing';
  readonly #queue: Buffer[] = [];
  #timer: NodeJS.Timeout | null = null;
  #askedAtMs = 0;
  #askedFor = 0;
  #enteredAtMs = 0;
  /** Where the shell may be; undefined: at home. */
  #directories: ShellAnalysis['directories'] | undefined;
  /** Passwords that the line that runs may still ask for. */
  #passwords = 0;
  #held: HeldCommand | null = null;

  constructor(options: GovernedInputOptions) {
    this.#options = options;
  }

  #move(next: State): void {
    if (!MOVES[this.#state].includes(next))
      throw new GatewayError('SSH_STATE', 'internal', `the input of a terminal cannot go from ${this.#state} to ${next}`);
    this.#state = next;
  }

  /** Takes what the client typed; the bytes count as consumed when they have gone on or were dropped. */
  push(bytes: Buffer): void {
    if (this.#state === 'closed') {
      this.#options.client.consumed(bytes.length);
      return;
    }
    waitWith(this.#queue, bytes);
    // What waited before was looked at when it came.
    if (this.#held !== null && bytes.includes(INTERRUPT)) this.#withdraw(this.#held);
    this.#pump();
  }

  /** The host wrote something, and the follower has seen it. */
  hostWrote(): void {
    if (this.#state === 'waitingForEcho') this.#askForLine();
    else if (this.#state === 'settling' && this.#options.follower.linesAskedFor !== this.#askedFor) {
      if (this.#options.follower.promptIsKnown || performance.now() - this.#enteredAtMs > PROMPT_MS_MAX) this.#settled();
      else this.#later(PROMPT_MS, () => this.#settled());
    }
  }

  close(): void {
    this.#stopTimer();
    this.#state = 'closed';
    const held = this.#held;
    this.#held = null;
    if (held?.waits === true) {
      held.withdraw('the terminal was closed');
      held.command.end({ status: 'aborted', errorCode: 'SSH_CLIENT_CLOSED' });
    }
    for (const bytes of this.#queue.splice(0)) this.#options.client.consumed(bytes.length);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #later(ms: number, run: () => void): void {
    this.#stopTimer();
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#options.relay.guard(run);
    }, ms);
  }

  #send(bytes: Buffer): void {
    const { host, client, output } = this.#options;
    output.typed(bytes);
    host.sendData(bytes, null, () => client.consumed(bytes.length));
  }

  #pump(): void {
    const { follower } = this.#options;
    while (this.#queue.length > 0 && (this.#state === 'typing' || this.#state === 'settling')) {
      const bytes = this.#queue[0] as Buffer;
      if (this.#state === 'settling') {
        if (!SIGNALS.has(bytes[0] as number)) return;
        this.#settled(false);
      }
      let end = follower.endOfLine(bytes);
      // At the end of file a shell runs what it has of a line that is not whole; one without an editor at the second in a row.
      if (follower.continues || (!follower.editorReads && follower.begun)) {
        const eof = bytes.indexOf(END_OF_FILE);
        if (eof >= 0 && (end < 0 || eof < end)) end = eof;
      }
      const plain = end < 0 ? bytes : bytes.subarray(0, end);
      if (plain.length > 0) {
        follower.fromClient(plain);
        this.#send(plain);
      }
      if (end < 0) {
        this.#queue.shift();
        continue;
      }
      this.#queue[0] = bytes.subarray(end);
      this.#move('waitingForEcho');
      this.#askedAtMs = performance.now();
      this.#askForLine();
    }
  }

  #askForLine(): void {
    const { follower, mode } = this.#options;
    const line = follower.lineAtEnter();
    if ('waiting' in line && performance.now() - this.#askedAtMs < (mode === 'recorded' ? RECORDED_ECHO_MS : ECHO_MS)) {
      this.#later(ASK_AGAIN_MS, () => {
        if (this.#state === 'waitingForEcho') this.#askForLine();
      });
      return;
    }
    this.#stopTimer();
    if (mode === 'recorded') {
      this.#recordOnly('text' in line ? line.text : null);
      return;
    }
    const key = this.#queue[0]?.[0] ?? 0;
    if (key === END_OF_FILE) this.#judgeUncertain('the line is ended before it is whole');
    else if (!ENDS_LINE.has(key)) this.#judgeUncertain('a key that can run a line or part of it');
    else if ('text' in line) this.#judgeLine(line.text);
    else if ('hidden' in line && follower.programReads && this.#passwords > 0) {
      this.#passwords--;
      this.#mark('something was typed that is not echoed');
      this.#enter('sent');
    } else this.#judgeUncertain(line.uncertain);
  }

  #recordOnly(text: string | null): void {
    const { relay } = this.#options;
    if (text !== null && text.trim() !== '') {
      const judged = relay.judge.withoutRules('ssh-line', 'shell-recorded', 'the role records shells and does not judge their lines');
      const command = relay.newCommand({ kind: 'ssh-line', text, judged });
      this.#typedLine(text);
      command.end({ status: 'ok', tag: 'sent' });
    }
    this.#enter('sent');
  }

  #judgeLine(text: string): void {
    const { relay } = this.#options;
    if (text.trim() === '') {
      this.#enter('sent');
      return;
    }
    const { judged, incomplete } = relay.judge.line(text, this.#directories);
    if (incomplete && judged.decision.action === 'allow') {
      this.#enter('continued');
      return;
    }
    this.#decide(text, judged, () => {
      const { shell } = judged.facts;
      this.#directories = shell?.directories ?? null;
      this.#passwords = shell?.commands.some(each => ASKS_FOR_PASSWORDS.has(each.program)) === true ? PASSWORDS_MAX : 0;
      this.#typedLine(text);
    });
  }

  #judgeUncertain(reason: string): void {
    this.#decide(`(a line that is not known: ${reason})`, this.#options.relay.judge.uncertainLine(reason), () => {
      this.#directories = null;
      this.#passwords = 0;
    });
  }

  #decide(text: string, judged: Judged, allowed: () => void): void {
    const { relay, output } = this.#options;
    this.#move('judging');
    const { decision } = judged;
    const options = { kind: 'ssh-line', text, judged };
    const send = (command: HostCommand) => {
      if (this.#state === 'closed') {
        command.end({ status: 'aborted', errorCode: 'SSH_CLIENT_CLOSED' });
        return;
      }
      command.end({ status: 'ok', tag: 'sent' });
      allowed();
      this.#enter('sent');
    };
    const refuse = (command: HostCommand, message: string) => {
      command.end({ status: 'refused', errorCode: 'SSH_DENIED', errorText: relay.recordText(message) });
      if (this.#state !== 'closed') this.#refuse(message);
    };
    this.#mark(`${decision.action}: ${text}`);
    if (decision.action === 'hold') {
      const held = new HeldCommand(relay, {
        command: options,
        say: message => output.say(Buffer.from(`\r\n${this.#shown(message)}`)),
        settled: refusal => {
          this.#held = null;
          this.#mark(refusal ?? 'released');
          if (refusal === null) send(held.command);
          else refuse(held.command, refusal);
        },
      });
      this.#held = held;
      // The first byte is the Enter that waits.
      if (this.#queue.some((bytes, i) => bytes.includes(INTERRUPT, i === 0 ? 1 : 0))) this.#withdraw(held);
      return;
    }
    if (decision.action === 'deny') relay.gateway.metrics.denied++;
    const command = relay.newCommand(options);
    command.whenDurable(error =>
      relay.guard(() => {
        if (error !== null) throw error;
        if (decision.action === 'allow') send(command);
        else refuse(command, decision.message);
      }),
    );
  }

  /** Ctrl-C takes a held line back. */
  #withdraw(held: HeldCommand): void {
    if (!held.waits) return;
    this.#held = null;
    held.withdraw('taken back by Ctrl-C');
    held.command.end({ status: 'cancelled', errorCode: 'SSH_WITHDRAWN' });
    this.#refuse('taken back');
  }

  /** Input is recorded by lines that were echoed, never by keys: a password is not among them. */
  #typedLine(text: string): void {
    const { relay, shell } = this.#options;
    shell.capture('i', Buffer.from(`${relay.recordText(text)}\r`));
  }

  #mark(text: string): void {
    const { relay, shell } = this.#options;
    shell.capture('m', Buffer.from(relay.recordText(text).replaceAll(/\s+/g, ' ').slice(0, 500)));
  }

  /** The line goes. */
  #enter(how: 'sent' | 'continued'): void {
    const { follower } = this.#options;
    const bytes = this.#queue[0] as Buffer;
    const wasEditor = follower.editorReads;
    this.#askedFor = follower.linesAskedFor;
    this.#enteredAtMs = performance.now();
    follower.entered(how);
    this.#send(bytes.subarray(0, 1));
    if (bytes.length > 1) this.#queue[0] = bytes.subarray(1);
    else this.#queue.shift();
    this.#move('settling');
    if (wasEditor) this.#later(SETTLE_MS, () => this.#settled());
    else this.#settled();
  }

  #settled(goOn = true): void {
    if (this.#state !== 'settling') return;
    this.#stopTimer();
    this.#move('typing');
    if (goOn) this.#pump();
  }

  /** The line does not go: it is cleared at the host, what was typed behind it is dropped, and the client is told. */
  #refuse(message: string): void {
    const { follower, client, host, output } = this.#options;
    for (const bytes of this.#queue.splice(0)) client.consumed(bytes.length);
    output.say(Buffer.from(`\r\n${this.#shown(message)}`));
    const isContinued = follower.continues;
    const clear = follower.editorReads
      ? Buffer.concat([CLEAR_LINE, Buffer.of(INTERRUPT)])
      : isContinued
        ? Buffer.of(0x15, INTERRUPT)
        : CLEAR_PLAIN_LINE;
    if (isContinued) follower.entered('withdrawn');
    else follower.cleared(clear);
    host.sendData(clear, null);
    this.#move('typing');
  }

  #shown(message: string): string {
    const text = this.#options.relay
      .cleanText(message)
      .replaceAll(/[^\P{C}\n]/gu, ' ')
      .replaceAll('\n', '\r\n');
    return `\u001b[1msallyport: ${text}\u001b[0m\r\n`;
  }
}
