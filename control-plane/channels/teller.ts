/**
 * Tells one far side where approvals stand: that somebody waits, that one of several has approved, how it ended.
 *
 *     state of approvals ──▶ what the far side has not been told ──▶ told ──▶ noted on disk
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

export type KnownState = Exclude<ApprovalState, { status: 'unknown' }>;

export interface Approvals {
  pending(): [id: string, state: ApprovalState][];
  approval(id: string): ApprovalState;
}

export interface Message {
  id: string;
  state: KnownState;
  /** Names the approval and where it stands. */
  delivery: string;
  /** What telling of this approval before has left to be noted; null: it was not told, or left nothing. */
  note: string | null;
  signal: AbortSignal;
}

export interface TellerOptions {
  name: string;
  /** Only approvals that one of these answers; absent: all. */
  groups?: readonly string[] | undefined;
  approvals: Approvals;
  cursorFile: string;
  logger: Logger;
  /** @returns what is to be noted. @throws when it was not taken; it is tried again. */
  tell: (message: Message) => Promise<string | null>;
  retryMs?: { first: number; longest: number };
}

/** Of one message; then it is left out, and said so in the log. */
const ATTEMPTS_MAX = 30;
const RETRY_MS = { first: 1000, longest: 300_000 };

interface Told {
  standing: string;
  note: string | null;
}

export class Teller {
  readonly #options: TellerOptions;
  /** What the far side was told last of each approval that had not ended then. */
  #told: Map<string, Told> | null = null;
  #running: Promise<void> | null = null;
  #again = false;
  #attempts = 0;
  #timer: NodeJS.Timeout | null = null;
  readonly #stopped = new AbortController();

  constructor(options: TellerOptions) {
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

  #untold(told: ReadonlyMap<string, Told>): { id: string; state: KnownState; standing: string }[] {
    const { approvals, groups } = this.#options;
    const ids = new Set([...told.keys(), ...approvals.pending().map(([id]) => id)]);
    return [...ids].sort().flatMap(id => {
      const state = approvals.approval(id);
      if (state.status === 'unknown') return [];
      if (groups !== undefined && !state.question.groups.some(group => groups.includes(group))) return [];
      const standing = state.status === 'pending' ? `pending:${state.approvers.length}` : state.status;
      return told.get(id)?.standing === standing ? [] : [{ id, state, standing }];
    });
  }

  async #tell(told: Map<string, Told>, id: string, state: KnownState, standing: string): Promise<void> {
    const { cursorFile, logger, name, tell } = this.#options;
    const delivery = `${id}:${standing}`;
    let note = told.get(id)?.note ?? null;
    try {
      note = await tell({ id, state, delivery, note, signal: this.#stopped.signal });
    } catch (error) {
      if (this.#stopped.signal.aborted || this.#attempts < ATTEMPTS_MAX) throw error;
      logger.error({ channel: name, delivery, err: errorText(error) }, 'a message was left out: its channel does not take it');
    }
    this.#attempts = 0;
    if (state.status === 'pending') told.set(id, { standing, note });
    else told.delete(id);
    await writeCursor(cursorFile, told);
  }
}

/** With a cursor that is lost or spoilt what waits is told again, under the delivery ids of before; what has ended is not. */
async function readCursor(file: string): Promise<Map<string, Told>> {
  try {
    const { told, notes = {} } = JSON.parse(await readFile(file, 'utf8')) as {
      told: Record<string, string>;
      notes?: Record<string, string>;
    };
    return new Map(Object.entries(told).map(([id, standing]) => [id, { standing, note: notes[id] ?? null }]));
  } catch {
    return new Map();
  }
}

async function writeCursor(file: string, told: ReadonlyMap<string, Told>): Promise<void> {
  const notes = Object.fromEntries([...told].flatMap(([id, { note }]) => (note === null ? [] : [[id, note]])));
  const standings = Object.fromEntries([...told].map(([id, { standing }]) => [id, standing]));
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const handle = await open(`${file}.next`, 'w', 0o600);
  try {
    await handle.writeFile(JSON.stringify({ told: standings, ...(Object.keys(notes).length === 0 ? {} : { notes }) }));
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${file}.next`, file);
}
