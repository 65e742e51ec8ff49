/**
 * When snapshots are taken, and whether one may stand for the beginning of a log: its entries must be those of the log. That is asked of
 * the last of them and of some at random; a log that was rolled back, restored or replaced has others.
 */
import { randomInt } from 'node:crypto';
import { errorText } from '@sallyport/shared/errors.ts';
import type { Logger } from 'pino';
import { type ControlLog, decodeEvent } from '../aggregates/control-log.ts';
import { type ControlTree, leafOfEntry } from '../evidence/control-tree.ts';
import type { LogReader } from '../log/event-log.ts';
import { readSnapshot, type Snapshot, shapeOfState, writeSnapshot } from './snapshot-file.ts';

export interface SnapshotsOptions {
  file: string;
  key: Uint8Array;
  logger: Logger;
  /** A log that grew by less is read in no time: default 2,000 entries. */
  everyEntries?: number;
  lookEveryMs?: number;
}

const EVERY_ENTRIES = 2_000;
const LOOK_EVERY_MS = 60_000;
const SAMPLES = 4;

export class Snapshots {
  readonly #options: SnapshotsOptions;
  readonly #shape = shapeOfState();
  #saved = 0n;
  #timer: NodeJS.Timeout | null = null;
  #saving: Promise<void> = Promise.resolve();

  constructor(options: SnapshotsOptions) {
    this.#options = options;
  }

  /** @returns a snapshot of this log's beginning, restored into the tree; null: the log is to be read from its beginning. */
  async load(log: LogReader, tree: ControlTree): Promise<Pick<Snapshot, 'position' | 'state'> | null> {
    const { file, key, logger } = this.#options;
    const read = await readSnapshot(file, key, this.#shape);
    if (read === null) return null;
    const problem = 'problem' in read ? read.problem : await this.#mismatch(read, log, tree);
    if (problem !== null || 'problem' in read) {
      logger.warn({ file, why: problem }, 'the snapshot is not used: the control log is read from its beginning');
      return null;
    }
    this.#saved = read.position;
    return read;
  }

  /** Takes snapshots from now on. */
  start(control: ControlLog, tree: ControlTree): void {
    this.#timer = setInterval(() => this.#saveIfGrown(control, tree), this.#options.lookEveryMs ?? LOOK_EVERY_MS);
    this.#timer.unref();
  }

  /** Takes a last one, so that the next start is short. */
  async close(control: ControlLog, tree: ControlTree): Promise<void> {
    if (this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
    this.#saveIfGrown(control, tree);
    await this.#saving;
  }

  #saveIfGrown(control: ControlLog, tree: ControlTree): void {
    const { file, key, logger, everyEntries = EVERY_ENTRIES } = this.#options;
    const { position } = control;
    if (position - this.#saved < BigInt(everyEntries)) return;
    this.#saved = position;
    // One after another; the state is that of the moment when the writing begins.
    this.#saving = this.#saving.then(async () => {
      try {
        await writeSnapshot(file, { position: control.position, state: control.state.save(), tree: tree.save() }, key, this.#shape);
      } catch (error) {
        logger.warn({ err: errorText(error) }, 'no snapshot could be written: the next start reads the whole control log');
      }
    });
  }

  /** Why the snapshot is not of this log; null: it is. The tree has its entries then. */
  async #mismatch({ position, tree: saved }: Snapshot, log: LogReader, tree: ControlTree): Promise<string | null> {
    const count = Number(position);
    if (count === 0 || position > (await log.endOffset())) return 'it is of more entries than the log has';
    const wrong = tree.restore(saved);
    if (wrong !== null) return wrong;
    if (tree.size !== count) {
      tree.clear();
      return 'its tree has another number of entries';
    }
    const samples = new Set([count - 1, 0]);
    for (let n = 0; n < SAMPLES; n++) samples.add(randomInt(count));
    // In their order: in files a read goes on from the one before, or has to begin with the segment.
    for (const index of [...samples].sort((a, b) => a - b)) {
      const [entry] = await log.read(BigInt(index), 1);
      const isSame = entry !== undefined && Buffer.compare(tree.tree.leaf(index), leafOfEntry(entry.value, decodeEvent(entry))) === 0;
      if (!isSame || !tree.isSound(index)) {
        tree.clear();
        return `entry ${index} of the log is not the one that it was made from`;
      }
    }
    return null;
  }
}
