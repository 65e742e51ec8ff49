/**
 * A `session` channel: what the client sets up (variables, a terminal), the one thing that it asks to be run, and that running.
 *
 *     open ─▶ judging ─▶ openingHost ─▶ starting ─▶ running ─▶ ended
 *       └────────┴────────────┴────────────┴──────────────────▶ ended
 *
 * The host hears nothing of a channel before its command is allowed and the record of it is on disk. What the client sent meanwhile
 * waits in the window of its own end.
 *
 * @see RFC 4254, 6
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type SshReader, SshWriter } from '@sallyport/shared/ssh/wire.ts';
import { PACKET_BYTES_MAX, WINDOW_BYTES } from './channel-end.ts';
import { ChannelPair, type ChannelRequest, type Side } from './channel-pair.ts';
import type { CommandOptions, HostCommand } from './command.ts';
import { GovernedInput } from './governed-input.ts';
import { HeldCommand } from './held-command.ts';
import { HostOutput } from './host-output.ts';
import type { Judged } from './judge.ts';
import { Message, STDERR } from './messages.ts';
import type { Relay } from './relay.ts';
import { SftpRelay } from './sftp/sftp-relay.ts';
import { LineFollower } from './terminal/line-follower.ts';
import { withFollowedModes } from './terminal/modes.ts';
import { waitWith } from './waiting-bytes.ts';

type State = 'open' | 'judging' | 'openingHost' | 'starting' | 'running' | 'ended';

const MOVES: Readonly<Record<State, readonly State[]>> = {
  open: ['judging', 'ended'],
  judging: ['openingHost', 'ended'],
  openingHost: ['starting', 'ended'],
  starting: ['running', 'ended'],
  running: ['ended'],
  ended: [],
};

/** The shell's own for a command that was found and may not be run. */
export const REFUSED_STATUS = 126;

/** In the record, of what ended because a role's budget was spent. */
export const BUDGET_SPENT = 'SSH_BUDGET_SPENT';
/** The end of a command's output waits so long for its status. */
const STATUS_MS = 100;
const ENVIRONMENT_MAX = 64;
const ENVIRONMENT_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
const ENVIRONMENT_VALUE_MAX = 4096;
/** What OpenSSH's own client sends and Debian's server takes. */
const ENVIRONMENT_DEFAULT = ['LANG', 'LC_*'];

/** What is asked to be run. */
interface Asked {
  /** Of the channel request. */
  request: 'exec' | 'shell' | 'subsystem';
  /** What the host is sent; null for a shell. */
  text: string | null;
}

export class SessionChannel extends ChannelPair {
  readonly #relay: Relay;
  #state: State = 'open';
  readonly #environment = new Map<string, string>();
  /** The client's pty-req as it came. */
  #terminal: { request: Buffer; columns: number; rows: number } | null = null;
  #input: GovernedInput | null = null;
  #follower: LineFollower | null = null;
  #asked: Asked | null = null;
  #command: HostCommand | null = null;
  #held: HeldCommand | null = null;
  #output: HostOutput | null = null;
  #sftp: SftpRelay | null = null;
  /** Requests to the host that it has not answered. */
  readonly #unanswered: ('terminal' | 'command')[] = [];
  #wantsReply = false;
  #eofTimer: NodeJS.Timeout | null = null;
  #outcome: { status: 'ok' | 'error'; tag: string; errorCode?: string } | null = null;

  constructor(relay: Relay, open: { remoteId: number; window: number; packetMax: number }) {
    super(relay);
    this.#relay = relay;
    const client = this.newEnd('client');
    client.opened(open.remoteId, open.window, open.packetMax);
    relay.downstream.send(
      new SshWriter(32)
        .byte(Message.channelOpenConfirmation)
        .uint32(open.remoteId)
        .uint32(client.localId)
        .uint32(WINDOW_BYTES)
        .uint32(PACKET_BYTES_MAX)
        .finish(),
    );
  }

  get isBusy(): boolean {
    return this.#state !== 'ended' && this.#asked !== null && this.#asked.request !== 'shell';
  }

  #move(next: State): void {
    if (!MOVES[this.#state].includes(next))
      throw new GatewayError('SSH_STATE', 'internal', `a session channel cannot go from ${this.#state} to ${next}`);
    this.#state = next;
  }

  protected onRequest(side: Side, request: ChannelRequest): void {
    const answered = side === 'client' ? this.#clientRequest(request) : this.#hostRequest(request);
    if (answered !== 'later' && request.wantReply) this.end(side)?.reply(answered);
  }

  #clientRequest(request: ChannelRequest): boolean | 'later' {
    switch (request.type) {
      case 'env':
        return this.#setEnvironment(request.reader);
      case 'pty-req':
        return this.#setTerminal(request);
      case 'exec':
      case 'shell':
      case 'subsystem':
        return this.#ask(request.type, request);
      case 'window-change':
      case 'signal':
      case 'break':
        // They wait for nobody, and mean nothing before something runs.
        if (this.#state !== 'running') return false;
        if (request.type === 'window-change') this.#resize(request.reader);
        this.host?.request(request.type, false, request.data);
        return true;
      default:
        // Forwarding of agents and of X11 is refused as well: either gives the host power over the client.
        return false;
    }
  }

  #setEnvironment(reader: SshReader): boolean {
    if (this.#state !== 'open') return false;
    const name = reader.text();
    const value = reader.text();
    reader.end();
    const allowed = [...ENVIRONMENT_DEFAULT, ...(this.#relay.session.sshAccess?.environment ?? [])];
    const isAllowed = allowed.some(each => (each.endsWith('*') ? name.startsWith(each.slice(0, -1)) : name === each));
    const isSane = ENVIRONMENT_NAME.test(name) && value.length <= ENVIRONMENT_VALUE_MAX && !value.includes('\0');
    if (!isAllowed || !isSane || this.#environment.size >= ENVIRONMENT_MAX) return false;
    this.#environment.set(name, value);
    return true;
  }

  #setTerminal(request: ChannelRequest): boolean {
    if (this.#state !== 'open' || this.#terminal !== null || this.#relay.authenticated.withoutPty) return false;
    const { reader } = request;
    reader.text();
    const columns = reader.uint32();
    const rows = reader.uint32();
    reader.uint32();
    reader.uint32();
    reader.bytes();
    reader.end();
    this.#terminal = { request: Buffer.from(request.data), columns, rows };
    return true;
  }

  #resize(reader: SshReader): void {
    const columns = reader.uint32();
    const rows = reader.uint32();
    this.#follower?.resize(columns, rows);
    this.#command?.capture('r', Buffer.from(`${columns}x${rows}`));
  }

  #ask(type: Asked['request'], request: ChannelRequest): boolean | 'later' {
    if (this.#state !== 'open') return false;
    this.#move('judging');
    this.#wantsReply = request.wantReply;
    let text: string | null = null;
    try {
      if (type !== 'shell') text = request.reader.text();
      request.reader.end();
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== 'SSH_NOT_UTF8') throw error;
      this.#begin({ request: type, text: '' }, this.#relay.judge.unreadable());
      return 'later';
    }
    const forced = this.#relay.forcedCommand;
    if (forced !== null) this.#begin({ request: 'exec', text: forced }, this.#relay.judge.text('ssh-exec', forced), text ?? type);
    else if (type === 'exec') this.#begin({ request: type, text }, this.#relay.judge.text('ssh-exec', text ?? ''));
    else if (type === 'shell') this.#begin({ request: type, text: null }, this.#judgeShell());
    else this.#begin({ request: type, text }, this.#relay.judge.subsystem(text ?? ''));
    return 'later';
  }

  /** How the role lets shells be used. */
  get #shellMode(): 'off' | 'governed' | 'recorded' {
    const { sshAccess, principal } = this.#relay.session;
    return sshAccess?.shell ?? (principal.kind === 'person' ? 'governed' : 'off');
  }

  #judgeShell(): Judged {
    const { judge } = this.#relay;
    const judged = judge.shell();
    if (judged.decision.action !== 'allow') return judged;
    const mode = this.#shellMode;
    if (mode === 'off') return judge.refusal(judged, 'role', 'your role gives you commands on this host, and no shell: give a command');
    if (mode === 'governed' && this.#terminal === null)
      return judge.refusal(judged, 'role', 'a shell without a terminal cannot be followed: give a command, or ask for a terminal (ssh -t)');
    return judged;
  }

  /** Records what is asked for, and goes on with it or refuses it. @param instead what was asked for where another command is forced. */
  #begin(asked: Asked, judged: Judged, instead?: string): void {
    const relay = this.#relay;
    const isObserved = relay.observers.whenObserved(() => {
      if (this.#state === 'judging') this.#beginObserved(asked, judged, instead);
    });
    if (!isObserved)
      this.#say(`waiting for an observer: your role runs only while somebody watches (sallyport sessions watch ${relay.session.id})`);
  }

  #beginObserved(asked: Asked, judged: Judged, instead?: string): void {
    const relay = this.#relay;
    this.#asked = asked;
    const options: CommandOptions = {
      kind: judged.facts.statements[0] ?? 'ssh-exec',
      text: asked.request === 'shell' ? 'shell' : asked.request === 'subsystem' ? `subsystem ${asked.text}` : (asked.text ?? ''),
      judged,
      isTerminal: this.#terminal !== null,
      ...(instead === undefined ? {} : { parameters: [`asked for: ${instead}`] }),
    };
    const { decision } = judged;
    if (decision.action === 'hold') {
      this.#held = new HeldCommand(relay, {
        command: options,
        say: text => this.#say(text),
        settled: refusal => (refusal === null ? this.#openHost() : this.#refuse(refusal)),
      });
      this.#command = this.#held.command;
      return;
    }
    const command = relay.newCommand(options);
    this.#command = command;
    if (decision.action === 'deny') relay.gateway.metrics.denied++;
    command.whenDurable(error =>
      relay.guard(() => {
        if (error !== null) throw error;
        if (decision.action === 'allow') this.#openHost();
        else this.#refuse(decision.message);
      }),
    );
  }

  /** Says why on the client's standard error, and ends as a shell does that may not run something. */
  #refuse(message: string): void {
    const { client } = this;
    if (this.#state === 'ended' || client === null) return;
    this.#command?.end({ status: 'refused', errorCode: 'SSH_DENIED', errorText: this.#relay.recordText(message) });
    this.#move('ended');
    this.#answerCommand(true);
    this.#say(message);
    client.request('exit-status', false, new SshWriter(4).uint32(REFUSED_STATUS).finish());
    client.eof();
    client.close();
  }

  /** The role's budget is spent in the midst of output: the host is told to stop, and the client why. */
  #overBudget(): void {
    const { client, host } = this;
    if (this.#state === 'ended' || client === null) return;
    const message = this.#relay.session.budget?.describe() ?? 'the budget is spent';
    this.#move('ended');
    this.#input?.close();
    this.#command?.end({ status: 'refused', errorCode: BUDGET_SPENT, errorText: message });
    this.#say(message);
    client.request('exit-status', false, new SshWriter(4).uint32(REFUSED_STATUS).finish());
    client.eof();
    client.close();
    host?.drop();
    host?.close();
  }

  #answerCommand(success: boolean): void {
    if (this.#wantsReply) this.client?.reply(success);
    this.#wantsReply = false;
  }

  /** A line of the gateway's own to the client. */
  #say(text: string): void {
    const isTerminal = this.#terminal !== null;
    const line = `sallyport: ${this.#relay.cleanText(text)}`.replaceAll(/[^\P{C}\n]/gu, ' ');
    const bytes = Buffer.from(isTerminal ? `${line.replaceAll('\n', '\r\n')}\r\n` : `${line}\n`);
    this.client?.sendData(bytes, isTerminal ? null : STDERR);
  }

  #openHost(): void {
    if (this.#state === 'ended') return;
    this.#move('openingHost');
    const host = this.newEnd('host');
    host.hold();
    this.#relay.upstream.send(
      new SshWriter(32)
        .byte(Message.channelOpen)
        .string('session')
        .uint32(host.localId)
        .uint32(WINDOW_BYTES)
        .uint32(PACKET_BYTES_MAX)
        .finish(),
    );
  }

  protected onOpened(side: Side): void {
    const { host, client } = this;
    if (side !== 'host' || host === null || client === null) return;
    const asked = this.#asked;
    const command = this.#command;
    if (this.#state === 'ended' || asked === null || command === null) {
      host.close();
      return;
    }
    this.#move('starting');
    this.#output = new HostOutput({
      session: this.#relay.session,
      command,
      client,
      host,
      terminal: this.#terminal !== null,
      guard: run => this.#relay.guard(run),
      overBudget: () => this.#overBudget(),
      observe: data => this.#follower?.fromHost(data),
    });
    if (this.#terminal !== null) {
      const { columns, rows } = this.#terminal;
      command.capture('r', Buffer.from(`${columns}x${rows}`));
      if (asked.request === 'shell') {
        this.#follower = new LineFollower({ columns, rows });
        this.#input = new GovernedInput({
          relay: this.#relay,
          mode: this.#shellMode === 'governed' ? 'governed' : 'recorded',
          follower: this.#follower,
          client,
          host,
          output: this.#output,
          shell: command,
        });
      }
    }
    if (asked.request === 'subsystem' && asked.text === 'sftp') this.#sftp = new SftpRelay({ relay: this.#relay, client, host });
    for (const bytes of this.#early.splice(0)) this.#toHost(bytes);
    if (client.receivedEof) this.#eofToHost();
    for (const [name, value] of this.#environment) host.requestNow('env', false, new SshWriter().string(name).string(value).finish());
    if (this.#terminal !== null) {
      this.#unanswered.push('terminal');
      const { request } = this.#terminal;
      host.requestNow('pty-req', true, this.#input === null ? request : withFollowedModes(request));
    }
    this.#unanswered.push('command');
    host.requestNow(asked.request, true, asked.text === null ? undefined : new SshWriter().string(asked.text).finish());
  }

  protected onOpenFailed(side: Side, _code: number, text: string): void {
    if (side !== 'host') return;
    this.#failAtHost(`the host opens no more channels: ${text}`);
  }

  protected onReply(side: Side, success: boolean): void {
    if (side !== 'host') return;
    const what = this.#unanswered.shift();
    if (what === undefined) throw new GatewayError('SSH_REPLY_UNEXPECTED', 'protocol', 'the host answers what it was not asked');
    if (this.#state !== 'starting') return;
    if (what === 'terminal') {
      if (!success) this.#say('the host gives no terminal');
      return;
    }
    if (!success) {
      this.#failAtHost('the host does not run it');
      return;
    }
    this.#move('running');
    this.#answerCommand(true);
    this.host?.release();
  }

  #failAtHost(reason: string): void {
    if (this.#state === 'ended') return;
    this.#command?.end({ status: 'error', errorCode: 'SSH_HOST_REFUSED', errorText: this.#relay.recordText(reason) });
    this.#move('ended');
    this.host?.drop();
    this.host?.close();
    this.#say(reason);
    this.#answerCommand(false);
    this.client?.close();
  }

  #hostRequest(request: ChannelRequest): boolean {
    const { type, reader } = request;
    switch (type) {
      case 'exit-status': {
        const status = reader.uint32();
        reader.end();
        this.#outcome =
          status === 0 ? { status: 'ok', tag: 'exit 0' } : { status: 'error', tag: `exit ${status}`, errorCode: `EXIT_${status}` };
        this.client?.request(type, false, request.data);
        this.#eofToClient();
        return true;
      }
      case 'exit-signal': {
        const name = reader.text().slice(0, 32);
        const dumped = reader.boolean();
        this.#outcome = { status: 'error', tag: `signal ${name}`, errorCode: `SIGNAL_${name}` };
        // Its text is the host's: nobody has looked at it.
        this.client?.request(type, false, new SshWriter().string(name).boolean(dumped).string('').string('').finish());
        this.#eofToClient();
        return true;
      }
      case 'eow@openssh.com':
      case 'xon-xoff':
        this.client?.request(type, false, request.data);
        return true;
      default:
        return false;
    }
  }

  protected onData(side: Side, data: Buffer, kind: number | null): boolean | undefined {
    const { client, host } = this;
    if (side === 'host') {
      if (this.#state === 'ended' || this.#output === null) host?.consumed(data.length);
      else if (this.#sftp !== null && kind === null) {
        this.#sftp.fromHost(data);
        return undefined;
      } else {
        this.#output.push(data, kind);
        this.#input?.hostWrote();
      }
      return true;
    }
    if (this.#state === 'starting' || this.#state === 'running') return this.#toHost(data);
    if (this.#state === 'ended') client?.consumed(data.length);
    else waitWith(this.#early, data);
    return undefined;
  }

  #toHost(data: Buffer): boolean | undefined {
    if (this.#sftp !== null) this.#sftp.fromClient(data);
    else if (this.#input !== null) this.#input.push(data);
    else return this.host?.sendData(data, null, () => this.client?.consumed(data.length));
    return undefined;
  }

  #eofToHost(): void {
    if (this.#sftp !== null) this.#sftp.eof();
    else this.host?.eof();
  }

  /** What the client sent before the host had a channel: bounded by the window, which is not given back. */
  readonly #early: Buffer[] = [];

  protected onEof(side: Side): void {
    if (side === 'client') {
      if (this.#state === 'starting' || this.#state === 'running') this.#eofToHost();
      return;
    }
    if (this.#state === 'ended') return;
    this.#output?.end();
    // Some clients close the channel at the end of file, and a status behind it is lost on them: it goes first if it comes soon.
    if (this.#outcome === null) this.#eofTimer = setTimeout(() => this.#relay.guard(() => this.#eofToClient()), STATUS_MS);
    else this.client?.eof();
  }

  #eofToClient(): void {
    if (this.#eofTimer === null) return;
    clearTimeout(this.#eofTimer);
    this.#eofTimer = null;
    this.client?.eof();
  }

  protected onClose(side: Side): void {
    const { client, host } = this;
    if (side === 'host') {
      host?.close();
      if (this.#state === 'ended') return;
      this.#input?.close();
      this.#sftp?.close('the host closed the channel', 'SSH_HOST_CLOSED');
      this.#output?.end();
      this.#eofToClient();
      this.#command?.end(
        this.#outcome ?? { status: 'aborted', errorCode: 'SSH_NO_STATUS', errorText: 'the host closed the channel without an exit status' },
      );
      this.#move('ended');
      client?.close();
      return;
    }
    client?.close();
    host?.close();
    if (this.#state === 'ended') return;
    this.#held?.withdraw('the client closed the channel');
    this.#sftp?.close('the client closed the channel', 'SSH_CLIENT_CLOSED');
    this.#input?.close();
    this.#output?.end();
    this.#command?.end(this.#outcome ?? { status: 'aborted', errorCode: 'SSH_CLIENT_CLOSED', errorText: 'the client closed the channel' });
    this.#move('ended');
  }

  abort(reason: string, code: string): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#eofToClient();
    this.#held?.withdraw(reason);
    this.#sftp?.close(reason, code);
    this.#input?.close();
    this.#output?.end();
    this.#command?.end({ status: 'aborted', errorCode: code, errorText: reason });
  }
}
