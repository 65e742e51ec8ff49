/**
 * Asks the planner on the client's own session, unseen by the client: EXPLAIN under names that nobody can guess, with the
 * parameters that are bound.
 *
 * In a simple Query's place it is a segment of its own. Before an Execute it stands in the client's segment, whose transaction
 * it must see: an error there is the client's, because PostgreSQL skips to the client's Sync behind it.
 */
import { asOfStatement, type Estimate, type Question, rowsOfPlan } from './estimate.ts';
import { type ErrorField, encodeBind, encodeBindTail, encodeClose, encodeExecute, encodeParseTail, encodeSync } from './messages.ts';
import { TRIAL_NAME } from './names.ts';
import { Expected, type Hooks, Kind, type KindOf, type Pipeline } from './pipeline.ts';

export interface Asked {
  question: Extract<Question, { kind: 'ask' }>;
  /** Of the extended protocol: types that the client gave for parameters, and what its Bind says behind the names, all results as text. */
  bound: { types: readonly number[]; values: Buffer } | null;
  /** Extended: the error ends the client's own segment. @returns what the client is told. */
  asClients: Hooks['asClients'] | undefined;
}

/**
 * Puts the question into the pipeline.
 *
 * @param done called once, unless the session ends.
 * @returns the bytes to send.
 */
export function askPlanner(pipeline: Pipeline, { question, bound, asClients }: Asked, done: (estimate: Estimate) => void): Buffer[] {
  let plan = '';
  let settled = false;
  const settle = (estimate: Estimate): void => {
    if (settled) return;
    settled = true;
    done(estimate);
  };
  const failed = (fields: readonly ErrorField[]): void => settle({ kind: 'failed', fields: asOfStatement(fields, question.skipped) });
  const bytes: Buffer[] = [];
  const push = (kind: KindOf, message: Buffer, hooks: Hooks = {}): void => {
    const entry = new Expected(kind, true);
    entry.hooks = {
      ...hooks,
      quiet: true,
      onDropped: () => settle({ kind: 'none', why: 'an earlier message of the pipeline failed' }),
      ...(bound === null
        ? { onError: failed }
        : {
            asClients: fields => {
              failed(fields);
              return asClients?.(asOfStatement(fields, question.skipped)) ?? null;
            },
          }),
    };
    pipeline.push(entry);
    bytes.push(message);
  };
  // One that has failed was not closed behind itself.
  push(Kind.Close, encodeClose('P', TRIAL_NAME));
  push(Kind.Close, encodeClose('S', TRIAL_NAME));
  const types = bound?.types ?? [];
  const tail = Buffer.alloc(3 + 4 * types.length);
  tail.writeUInt16BE(types.length, 1);
  for (const [i, type] of types.entries()) tail.writeInt32BE(type | 0, 3 + 4 * i);
  push(Kind.Parse, encodeParseTail(TRIAL_NAME, Buffer.concat([question.text, tail])));
  push(Kind.Bind, bound === null ? encodeBind(TRIAL_NAME, TRIAL_NAME) : encodeBindTail(TRIAL_NAME, TRIAL_NAME, bound.values));
  push(Kind.Execute, encodeExecute(TRIAL_NAME, 0), {
    onRow: ([line]) => {
      plan += `${line ?? ''}\n`;
    },
  });
  push(Kind.Close, encodeClose('P', TRIAL_NAME));
  push(Kind.Close, encodeClose('S', TRIAL_NAME), {
    onAnswered: () => {
      const rows = rowsOfPlan(plan);
      settle(rows === null ? { kind: 'none', why: 'the planner’s answer cannot be read' } : { kind: 'rows', rows });
    },
  });
  if (bound !== null) return bytes;
  const sync = new Expected(Kind.Sync, true);
  sync.hooks = { quiet: true };
  pipeline.skipping = false;
  pipeline.push(sync);
  pipeline.endSegment();
  bytes.push(encodeSync());
  return bytes;
}
