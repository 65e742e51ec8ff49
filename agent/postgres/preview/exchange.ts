/**
 * Statements of the gateway's own on the client's session, unseen by the client: each a Parse, Bind, Execute under names that
 * nobody can guess, in segments that a Sync ends. An error ends its segment; the next one runs all the same.
 */
import {
  encodeBindTail,
  encodeBindTexts,
  encodeClose,
  encodeDescribe,
  encodeExecute,
  encodeParseTyped,
  encodeSync,
  type FieldDescription,
} from '../messages.ts';
import { TRIAL_NAME } from '../names.ts';
import { Expected, type Hooks, Kind, type KindOf, type Pipeline } from '../pipeline.ts';

export interface OwnStatement {
  text: string;
  types?: readonly number[];
  values?: readonly (string | null)[];
  /** In place of `values`: what a Bind says behind its names. */
  bound?: Uint8Array;
  onFields?: (fields: FieldDescription[]) => void;
  onRow?: (values: (string | null)[]) => void;
  onRowFrame?: (buffer: Buffer, start: number, end: number) => void;
  onTag?: (tag: string) => void;
}

/**
 * Puts statements into the pipeline.
 *
 * @param errors who takes the error that ended them; absent: the client gets it.
 * @returns the bytes to send.
 */
export function ownStatements(
  pipeline: Pipeline,
  statements: readonly OwnStatement[],
  errors: Pick<Hooks, 'onError' | 'asClients'> = {},
): Buffer[] {
  const bytes: Buffer[] = [];
  const push = (kind: KindOf, message: Buffer, hooks: Hooks = {}): void => {
    const entry = new Expected(kind, true);
    entry.hooks = { ...hooks, ...errors, quiet: true };
    pipeline.push(entry);
    bytes.push(message);
  };
  for (const { text, types, values, bound, onFields, onRow, onRowFrame, onTag } of statements) {
    // One that has failed was not closed behind itself.
    push(Kind.Close, encodeClose('P', TRIAL_NAME));
    push(Kind.Close, encodeClose('S', TRIAL_NAME));
    push(Kind.Parse, encodeParseTyped(TRIAL_NAME, text, types ?? []));
    push(
      Kind.Bind,
      bound === undefined ? encodeBindTexts(TRIAL_NAME, TRIAL_NAME, values ?? []) : encodeBindTail(TRIAL_NAME, TRIAL_NAME, bound),
    );
    if (onFields !== undefined) push(Kind.DescribePortal, encodeDescribe('P', TRIAL_NAME), { onFields });
    push(Kind.Execute, encodeExecute(TRIAL_NAME, 0), {
      ...(onRow === undefined ? {} : { onRow }),
      ...(onRowFrame === undefined ? {} : { onRowFrame }),
      ...(onTag === undefined ? {} : { onTag }),
    });
  }
  // The session's list of prepared statements is the client's to read.
  push(Kind.Close, encodeClose('P', TRIAL_NAME));
  push(Kind.Close, encodeClose('S', TRIAL_NAME));
  return bytes;
}

/** A Sync whose ReadyForQuery the client does not get. @param onAnswered everything before it has been answered then. */
export function ownSync(pipeline: Pipeline, onAnswered?: () => void): Buffer {
  const entry = new Expected(Kind.Sync, true);
  entry.hooks = { quiet: true, ...(onAnswered === undefined ? {} : { onAnswered }) };
  pipeline.skipping = false;
  pipeline.push(entry);
  pipeline.endSegment();
  return encodeSync();
}

/** SHOW, BEGIN and the like. */
export function plain(...texts: string[]): OwnStatement[] {
  return texts.map(text => ({ text }));
}

const SAVEPOINT = `${TRIAL_NAME}_savepoint`;

/** What makes a change that can be taken back, inside of a transaction and outside. */
export function undoable(inTransaction: boolean) {
  return inTransaction
    ? {
        begin: plain(`SAVEPOINT ${SAVEPOINT}`),
        keep: plain(`RELEASE SAVEPOINT ${SAVEPOINT}`),
        undo: plain(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`, `RELEASE SAVEPOINT ${SAVEPOINT}`),
      }
    : { begin: plain('BEGIN'), keep: plain('COMMIT'), undo: plain('ROLLBACK') };
}
