/**
 * Approvals in a Slack channel: one message each, changed as it goes on, with buttons.
 *
 * A button says which Slack user pressed it, and that is all that Slack vouches for. Who they are here: a confirmed address of a member
 * of the app's own workspace, that is the name of exactly one person who is signed in to the console now. Their groups are those of
 * that sign-in, so that whether they may answer is decided as for every other answer, never for themselves, and one person counts
 * once wherever they press. Nobody is let in by Slack: who is not signed in is told to do that first.
 */
import { isDeepStrictEqual } from 'node:util';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import type { WebClient } from '@slack/web-api';
import type { Logger } from 'pino';
import type { Approval } from '../http/schemas.ts';
import { APPROVE, DENY, slackMessage } from './slack-message.ts';
import { SlackSignatures, type SlackVerdict } from './slack-signature.ts';
import { type Approvals, type KnownState, Teller } from './teller.ts';

/** Answers of people that came by channels. */
export interface Answering {
  /** Live sign-ins under a name, newest first; those whom the directory has taken out are not among them. */
  signedIn(name: string): readonly Principal[];
  /** @throws {GatewayError} with what to tell them, when they may not. */
  answer(
    id: string,
    answer: 'approve' | 'deny',
    principal: Principal,
    via: { channel: string; requestId: string; address: string },
  ): Promise<void>;
}

export interface SlackChannelOptions {
  name: string;
  target: { url: string; channel: string; token: string; signingSecret: Uint8Array; groups?: readonly string[] | undefined };
  approvals: Approvals & { shown(id: string, state: KnownState): Approval | undefined };
  answering: Answering;
  consoleUrl: string | undefined;
  cursorFile: string;
  logger: Logger;
  clock: () => number;
  retryMs?: { first: number; longest: number };
}

export interface Pressed {
  user: string;
  id: string;
  answer: 'approve' | 'deny';
}

const ANSWERS: Readonly<Record<string, 'approve' | 'deny'>> = { [APPROVE]: 'approve', [DENY]: 'deny' };
/** Presses that are being worked on. */
const PRESSED_MAX = 64;

export class SlackChannel {
  readonly #options: SlackChannelOptions;
  readonly #teller: Teller;
  readonly #signatures: SlackSignatures;
  readonly #pressed = new Set<Promise<void>>();
  #opened: Promise<WebClient> | null = null;
  /** The workspace that the app's token is of. */
  #team: string | null = null;

  constructor(options: SlackChannelOptions) {
    const { name, target, approvals, cursorFile, logger, clock, retryMs } = options;
    this.#options = options;
    this.#signatures = new SlackSignatures(target.signingSecret, clock);
    this.#teller = new Teller({
      ...{ name, approvals, cursorFile, logger, groups: target.groups },
      ...(retryMs === undefined ? {} : { retryMs }),
      tell: ({ id, state, note }) => this.#tell(id, state, note),
    });
  }

  look(): void {
    this.#teller.look();
  }

  async close(): Promise<void> {
    await this.#teller.close();
    await Promise.all(this.#pressed);
  }

  /** Its library is loaded when something is first told. */
  #client(): Promise<WebClient> {
    const { token, url } = this.#options.target;
    this.#opened ??= import('./slack-client.ts').then(({ slackClient }) => slackClient(token, url));
    return this.#opened;
  }

  async #tell(id: string, state: KnownState, note: string | null): Promise<string | null> {
    const { approvals, consoleUrl, target } = this.#options;
    const approval = approvals.shown(id, state);
    if (approval === undefined) return note;
    const message = slackMessage(approval, consoleUrl === undefined ? undefined : `${consoleUrl}/inbox/${id}`);
    // What has ended and was never told here is nobody's to answer any more.
    if (note === null && state.status !== 'pending') return null;
    const client = await this.#client();
    if (note === null) {
      const { ts } = await client.chat.postMessage({ channel: target.channel, ...message, unfurl_links: false, unfurl_media: false });
      return ts ?? null;
    }
    await client.chat.update({ channel: target.channel, ts: note, ...message });
    return note;
  }

  verify(timestamp: unknown, signature: unknown, body: Uint8Array): SlackVerdict {
    return this.#signatures.verify(timestamp, signature, body);
  }

  /**
   * Works on what a genuine request says was pressed, behind its answer: Slack waits three seconds. What comes of it is told to
   * who pressed.
   * @returns false: too much is being worked on.
   */
  take(pressed: Pressed, via: { requestId: string; address: string }): boolean {
    if (this.#pressed.size >= PRESSED_MAX) return false;
    const work = this.#answer(pressed, via).finally(() => this.#pressed.delete(work));
    this.#pressed.add(work);
    return true;
  }

  async #answer({ user, id, answer }: Pressed, via: { requestId: string; address: string }): Promise<void> {
    const { answering, logger, name, target } = this.#options;
    let told: string;
    try {
      if (!this.#isHere(id)) throw new GatewayError('APPROVAL_UNKNOWN', 'notFound', 'There is no such approval here.');
      await answering.answer(id, answer, await this.#person(user, id), { ...via, channel: name });
      return;
    } catch (error) {
      const known = error instanceof GatewayError && error.kind !== 'internal';
      logger[known ? 'info' : 'warn'](
        { channel: name, approvalId: id, slackUser: user, err: errorText(error) },
        'an answer by Slack does not count',
      );
      told = known ? error.message : 'That did not work; answer in the console, or try again.';
    }
    try {
      const client = await this.#client();
      await client.chat.postEphemeral({ channel: target.channel, user, text: told.replaceAll(/[&<>]/g, ' ') });
    } catch (error) {
      logger.warn({ channel: name, slackUser: user, err: errorText(error) }, 'who pressed a button could not be told');
    }
  }

  /** Only approvals that this channel tells of are answered here. */
  #isHere(id: string): boolean {
    const { approvals, target } = this.#options;
    const state = approvals.approval(id);
    if (state.status === 'unknown') return false;
    return target.groups === undefined || state.question.groups.some(group => target.groups?.includes(group));
  }

  async #person(user: string, id: string): Promise<Principal> {
    const { answering, consoleUrl } = this.#options;
    const client = await this.#client();
    this.#team ??= (await client.auth.test()).team_id ?? null;
    const { user: known } = await client.users.info({ user });
    const isMember =
      known !== undefined &&
      this.#team !== null &&
      known.id === user &&
      known.team_id === this.#team &&
      known.deleted !== true &&
      known.is_bot !== true &&
      known.is_stranger !== true &&
      known.is_email_confirmed === true;
    const address = known?.profile?.email ?? '';
    if (!isMember || address === '') throw notSignedIn('Only members of this workspace whose e-mail address is confirmed answer here.');
    const people = answering.signedIn(address);
    const [first, ...others] = people;
    const where = consoleUrl === undefined ? 'the console' : `${consoleUrl}/inbox/${id}`;
    if (first === undefined) throw notSignedIn(`Sign in at ${where} first, then press again: it says who you are and in which groups.`);
    const same = (other: Principal) => isDeepStrictEqual([other.issuer, other.subject], [first.issuer, first.subject]);
    if (!others.every(same)) throw notSignedIn(`Several people are signed in by this name; answer at ${where}.`);
    return first;
  }
}

function notSignedIn(message: string): GatewayError {
  return new GatewayError('APPROVAL_NEEDS_PERSON', 'denied', message);
}

/** What a `block_actions` payload says was pressed; null: nothing that is answered here. */
export function pressedIn(payload: unknown): Pressed | null {
  if (!isObject(payload) || payload['type'] !== 'block_actions') return null;
  const { user, actions } = payload;
  const [action] = Array.isArray(actions) ? (actions as unknown[]) : [];
  if (!isObject(user) || !isObject(action)) return null;
  const { id } = user;
  const { action_id: name, value } = action;
  const answer = typeof name === 'string' && Object.hasOwn(ANSWERS, name) ? ANSWERS[name] : undefined;
  if (answer === undefined || typeof id !== 'string' || !/^[UW][A-Z0-9]{2,30}$/.test(id)) return null;
  if (typeof value !== 'string' || !/^[0-9a-f-]{36}$/.test(value)) return null;
  return { user: id, id: value, answer };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
