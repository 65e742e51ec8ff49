/**
 * Slack's Web API as far as a channel of approvals uses it, with Slack's own checks: the token, the method, arguments as a form or
 * JSON, errors as `ok: false` with status 200, rate limits as 429. Members press buttons; what they press is signed as Slack signs it.
 *
 * @see https://docs.slack.dev/reference/methods
 */
import { createHmac, randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';

export interface SlackMember {
  id: string;
  email: string;
  team?: string;
  confirmed?: boolean;
  deleted?: boolean;
  bot?: boolean;
}

interface Block {
  type: string;
  block_id?: string;
  text?: { type: string; text: string };
  elements?: { type: string; action_id?: string; value?: string; text?: unknown }[];
}

export interface SlackMessage {
  channel: string;
  ts: string;
  text: string;
  blocks: Block[];
  edits: number;
}

export class Slack {
  readonly messages: SlackMessage[] = [];
  readonly ephemerals: { user: string; text: string }[] = [];
  readonly members: SlackMember[];
  readonly token: string;
  readonly signingSecret: string;
  /** What the next call is answered with in place of its answer. */
  failing: { status: number; body: object; headers?: Record<string, string> } | null = null;
  readonly #server: Server;
  #ts = 1_790_000_000;

  constructor(options: { members: SlackMember[]; token: string; signingSecret: string }) {
    this.members = options.members;
    this.token = options.token;
    this.signingSecret = options.signingSecret;
    this.#server = createServer((request, response) => {
      let body = '';
      request.on('data', (part: Buffer) => (body += part.toString()));
      request.on('end', () => {
        const answer = (value: object, status = 200, headers: Record<string, string> = {}) =>
          response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers }).end(JSON.stringify(value));
        const { failing } = this;
        if (failing !== null) {
          this.failing = null;
          answer(failing.body, failing.status, failing.headers);
        } else if (request.method !== 'POST' || request.headers.authorization !== `Bearer ${this.token}`)
          answer({ ok: false, error: 'invalid_auth' });
        else answer(this.#call((request.url ?? '').replace('/api/', ''), argumentsOf(body, request.headers['content-type'] ?? '')));
      });
    });
  }

  async start(): Promise<string> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/api/`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #call(method: string, args: Record<string, string>): object {
    switch (method) {
      case 'auth.test':
        return { ok: true, team_id: 'T01', user_id: 'U0BOT' };
      case 'chat.postMessage': {
        const ts = `${this.#ts++}.000100`;
        this.messages.push({ channel: args['channel'] ?? '', ts, text: args['text'] ?? '', blocks: blocksOf(args), edits: 0 });
        return { ok: true, channel: args['channel'], ts };
      }
      case 'chat.update': {
        const message = this.messages.find(({ ts, channel }) => ts === args['ts'] && channel === args['channel']);
        if (message === undefined) return { ok: false, error: 'message_not_found' };
        message.text = args['text'] ?? '';
        message.blocks = blocksOf(args);
        message.edits++;
        return { ok: true, ts: message.ts };
      }
      case 'chat.postEphemeral':
        this.ephemerals.push({ user: args['user'] ?? '', text: args['text'] ?? '' });
        return { ok: true, message_ts: '1' };
      case 'users.info': {
        const member = this.members.find(({ id }) => id === args['user']);
        if (member === undefined) return { ok: false, error: 'user_not_found' };
        const { id, email, team = 'T01', confirmed = true, deleted = false, bot = false } = member;
        return { ok: true, user: { id, team_id: team, deleted, is_bot: bot, is_email_confirmed: confirmed, profile: { email } } };
      }
      default:
        return { ok: false, error: 'unknown_method' };
    }
  }

  /** The request that Slack sends when a member presses a button of a message. */
  pressed(user: string, message: SlackMessage, action: string, atMs = Date.now()): { body: string; headers: Record<string, string> } {
    const block = message.blocks.find(({ type }) => type === 'actions');
    const button = block?.elements?.find(({ action_id: id }) => id === action);
    const payload = {
      type: 'block_actions',
      // Each press has its own, so that two within a second are two requests.
      trigger_id: randomUUID(),
      user: { id: user, team_id: 'T01' },
      team: { id: 'T01' },
      container: { type: 'message', message_ts: message.ts, channel_id: message.channel },
      response_url: 'https://hooks.slack.invalid/actions',
      actions: [{ type: 'button', action_id: action, block_id: block?.block_id, value: button?.value }],
    };
    const body = new URLSearchParams({ payload: JSON.stringify(payload) }).toString();
    const time = String(Math.floor(atMs / 1000));
    const mac = createHmac('sha256', this.signingSecret).update(`v0:${time}:${body}`).digest('hex');
    return {
      body,
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        'x-slack-request-timestamp': time,
        'x-slack-signature': `v0=${mac}`,
      },
    };
  }
}

function argumentsOf(body: string, type: string): Record<string, string> {
  if (type.startsWith('application/json')) return JSON.parse(body) as Record<string, string>;
  return Object.fromEntries(new URLSearchParams(body));
}

function blocksOf({ blocks }: Record<string, string>): Block[] {
  return (typeof blocks === 'string' ? JSON.parse(blocks) : (blocks ?? [])) as Block[];
}
