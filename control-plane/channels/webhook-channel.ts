/**
 * Tells one webhook where approvals stand: that somebody waits, that one of several has approved, how it ended.
 *
 *     state of approvals ──▶ what the far side has not been told ──▶ POST, signed ──▶ noted on disk
 *
 * It compares instead of following events: what is told is an approval's present state, once, in order of the approvals' ids. After
 * a restart, or when the far side was away, it is told what is true then; states in between are left out. A message that was sent
 * and not noted is sent again under the same delivery id. With several replicas of the control plane each tells.
 */
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorText } from '@sallyport/shared/errors.ts';
import type { Logger } from 'pino';
import type { ApprovalState } from '../aggregates/approval.ts';
import { post } from '../outputs/post.ts';
import { SIGNATURE_HEADER, sign } from './signature.ts';

export interface WebhookTarget {
  url: string;
  secret: Uint8Array;
  /** Only approvals that one of these answers; absent: all. */
  groups?: readonly string[] | undefined;
}

export interface Approvals {
  pending(): [id: string, state: ApprovalState][];
  approval(id: string): ApprovalState;
  /** As the API shows it. */
  shown(id: string, state: ApprovalState): unknown;
}

export interface WebhookChannelOptions {
  name: string;
  target: WebhookTarget;
  approvals: Approvals;
  cursorFile: string;
  logger: Logger;
  clock: () => number;
  retryMs?: { first: number; longest: number };
}

/** Of one message; then it is left out, and said so in the log. */
const ATTEMPTS_MAX = 30;
const RETRY_MS = { first: 1000, longest: 300_000 };

export class WebhookChannel {
  readonly #options: WebhookChannelOptions;
  /** What the far side was told last of each approval that had not ended then. */
  #told: Map<string, string> | null = null;
  #running: Promise<void> | null = null;
  #again = false;
  #attempts = 0;
  #timer: NodeJS.Timeout | null = null;
  readonly #stopped = new AbortController();

  constructor(options: WebhookChannelOptions) {
    this.#options = options;
  }

  /** Something about approvals may have changed. */
  look(): void {
    if (this.#stopped.signal.aborted || this.#timer !== null) return;
    this.#again = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
      if (this.#again && this.#timer === null) this.look();
    });
  }

  async close(): Promise<void> {
    this.#stopped.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#running;
  }

  async #run(): Promise<void> {
    const { name, logger } = this.#options;
    try {
      this.#told ??= await readCursor(this.#options.cursorFile);
      while (this.#again && !this.#stopped.signal.aborted) {
        this.#again = false;
        for (const { id, state, standing } of this.#untold(this.#told)) await this.#tell(this.#told, id, state, standing);
      }
    } catch (error) {
      if (this.#stopped.signal.aborted) return;
      const { first, longest } = this.#options.retryMs ?? RETRY_MS;
      const waitMs = Math.min(longest, first * 2 ** Math.min(20, this.#attempts));
      this.#attempts++;
      logger.warn({ channel: name, err: errorText(error), attempt: this.#attempts, retryMs: waitMs }, 'a channel could not be told');
      this.#timer = setTimeout(() => {
        this.#timer = null;
        this.look();
      }, waitMs);
    }
  }

  #untold(told: ReadonlyMap<string, string>): { id: string; state: ApprovalState; standing: string }[] {
    const { approvals, target } = this.#options;
    const ids = new Set([...told.keys(), ...approvals.pending().map(([id]) => id)]);
    return [...ids].sort().flatMap(id => {
      const state = approvals.approval(id);
      if (state.status === 'unknown') return [];
      if (target.groups !== undefined && !state.question.groups.some(group => target.groups?.includes(group))) return [];
      const standing = state.status === 'pending' ? `pending:${state.approvers.length}` : state.status;
      return told.get(id) === standing ? [] : [{ id, state, standing }];
    });
  }

  async #tell(told: Map<string, string>, id: string, state: ApprovalState, standing: string): Promise<void> {
    const { approvals, target, clock, cursorFile, logger, name } = this.#options;
    const delivery = `${id}:${standing}`;
    const body = Buffer.from(JSON.stringify({ version: 1, event: 'approval', delivery, approval: approvals.shown(id, state) }));
    try {
      await post(target.url, body, {
        headers: {
          'content-type': 'application/json',
          'sallyport-delivery': delivery,
          [SIGNATURE_HEADER]: sign(target.secret, body, clock()),
        },
        signal: this.#stopped.signal,
      });
    } catch (error) {
      if (this.#stopped.signal.aborted || this.#attempts < ATTEMPTS_MAX) throw error;
      logger.error({ channel: name, delivery, err: errorText(error) }, 'a message was left out: its channel does not take it');
    }
    this.#attempts = 0;
    if (state.status === 'pending') told.set(id, standing);
    else told.delete(id);
    await writeCursor(cursorFile, told);
  }
}

/** With a cursor that is lost or spoilt what waits is told again, under the delivery ids of before; what has ended is not. */
async function readCursor(file: string): Promise<Map<string, string>> {
  try {
    const { told } = JSON.parse(await readFile(file, 'utf8')) as { told: Record<string, string> };
    return new Map(Object.entries(told));
  } catch {
    return new Map();
  }
}

async function writeCursor(file: string, told: ReadonlyMap<string, string>): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const handle = await open(`${file}.next`, 'w', 0o600);
  try {
    await handle.writeFile(JSON.stringify({ told: Object.fromEntries(told) }));
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${file}.next`, file);
}
