/**
 * The first key of a host whose resource pins none. Which one is trusted from now on is a decision: guards see it as the statement
 * `ssh-host-key`, and it is recorded. Where a guard asks people, nothing is sent to the host until they have answered: the connection
 * to it is dropped, and made again once the very key that they were shown is held.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { fingerprint } from '@sallyport/shared/ssh/keys.ts';
import type { Gateway } from '../session/gateway.ts';
import type { LiveSession } from '../session/live-session.ts';
import { HostCommand } from './command.ts';
import { HeldCommand } from './held-command.ts';
import { Judge } from './judge.ts';
import { holdHostKey } from './known-hosts.ts';
import type { Transport } from './transport.ts';
import { connectUpstream, type UpstreamTarget } from './upstream.ts';

export interface FirstHostKeyOptions {
  readonly gateway: Gateway;
  readonly session: LiveSession;
  /** Without what is decided here. */
  readonly target: Omit<UpstreamTarget, 'onFirstKey'>;
  /** A line to the client that waits. */
  readonly say: (text: string) => void;
  /** The client has gone, or the session is to end. */
  readonly gone: AbortSignal;
}

/**
 * Opens and authenticates a connection to the host, and decides about its key when it is the first one seen.
 * @returns the connection, and how many commands were recorded.
 * @throws {GatewayError} as connectUpstream; SSH_HOST_KEY_REFUSED: a guard or the people who were asked do not trust it.
 */
export async function connectDecidingKey(options: FirstHostKeyOptions): Promise<{ upstream: Transport; commands: number }> {
  const { session, target } = options;
  const judge = new Judge(session, target.account);
  let asked: { text: string; blob: Buffer; type: string } | null = null;
  let commands = 0;
  const refused = (reason: string) =>
    new GatewayError('SSH_HOST_KEY_REFUSED', 'denied', `the host's key is not trusted: ${reason}; no credential was sent`);
  const onFirstKey: UpstreamTarget['onFirstKey'] = (type, blob) => {
    const text = `${type} ${fingerprint(blob)}`;
    const judged = judge.hostKey();
    const { decision } = judged;
    if (decision.action === 'hold') {
      asked = { text, type, blob: Buffer.from(blob) };
      return refused('people are asked about it first');
    }
    const command = new HostCommand(session, { kind: 'ssh-host-key', text, judged });
    commands++;
    if (decision.action === 'deny') {
      command.end({ status: 'refused', errorCode: 'SSH_HOST_KEY_REFUSED', errorText: decision.message });
      return refused(decision.message);
    }
    command.end({ status: 'ok', tag: 'kept' });
    return null;
  };
  try {
    return { upstream: await connectUpstream({ ...target, onFirstKey }), commands };
  } catch (error) {
    const question = asked as { text: string; blob: Buffer; type: string } | null;
    if (question === null) throw error;
    await approval(options, judge, question.text);
    if (!holdHostKey(target.knownHosts, question.type, question.blob)) throw refused('another one was kept meanwhile');
    return { upstream: await connectUpstream({ ...target, onFirstKey }), commands: commands + 1 };
  }
}

function approval({ gateway, session, say, gone }: FirstHostKeyOptions, judge: Judge, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const held = new HeldCommand(
      {
        gateway,
        session,
        judge,
        newCommand: command => new HostCommand(session, command),
        recordText: each => each,
        guard: run => {
          try {
            run();
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        },
        touch: () => undefined,
      },
      {
        command: { kind: 'ssh-host-key', text, judged: judge.hostKey() },
        say: message => say(`the host shows ${text}, which nobody has seen before: ${message}`),
        settled: refusal => {
          gone.removeEventListener('abort', withdraw);
          if (refusal === null) {
            held.command.end({ status: 'ok', tag: 'kept' });
            resolve();
            return;
          }
          held.command.end({ status: 'refused', errorCode: 'SSH_HOST_KEY_REFUSED', errorText: refusal });
          reject(new GatewayError('SSH_HOST_KEY_REFUSED', 'denied', `the host's key is not trusted: ${refusal}; no credential was sent`));
        },
      },
    );
    const withdraw = () => {
      held.withdraw('the client has gone');
      held.command.end({ status: 'cancelled', errorCode: 'SSH_WITHDRAWN' });
      reject(new GatewayError('SSH_CLIENT_GONE', 'unavailable', 'the connection was closed before the session began'));
    };
    if (gone.aborted) withdraw();
    else gone.addEventListener('abort', withdraw, { once: true });
  });
}
