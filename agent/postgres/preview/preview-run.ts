/**
 * Finds out what a held command would change, by making the change on the client's own session and taking it back.
 *
 *     resolving names ──▶ looking for what may not roll back ──▶ changing, and rolling back ──▶ done
 *          └──────────────────────────┴──── why there is no preview ────────────────────────────▲
 *
 * The rollback is sent in the same breath as the change: locks are held for the change's own time, which lock_timeout and
 * statement_timeout bound, and an agent that dies leaves nothing applied. Values are masked as records hold them: the approver
 * sees what auditors will.
 */

import { PREVIEW_BYTES_MAX, PREVIEW_LIMITS, type Preview, type RowSample } from '@sallyport/shared/policy/preview.ts';
import { ByteReader } from '@sallyport/shared/wire/bytes.ts';
import type { PolicyInForce } from '../../session/lease-state.ts';
import { CommandRun } from '../command-run.ts';
import { reducedText } from '../errors.ts';
import { type Judged, verdictOf } from '../judge.ts';
import { type ErrorField, encodeDescribe, errorField, type FieldDescription, textResults } from '../messages.ts';
import { Expected, Kind, type Portal, type Statement } from '../pipeline.ts';
import type { Relay } from '../relay.ts';
import { planRows, type RowPlan } from '../row-plan.ts';
import { Output, rewriteRow } from '../rows.ts';
import { type OwnStatement, ownStatements, ownSync, plain, undoable } from './exchange.ts';
import { arrayLiteral, impurity, PURITY_PATH_SQL, PURITY_SQL, RESOLVE_SQL } from './purity.ts';
import { impurityOfExpression, type PreviewStatements, previewStatements } from './statement.ts';

export interface PreviewSubject {
  text: Buffer;
  judged: Judged;
  /** Extended protocol: the statement as the database has it, and the values that are bound. */
  bound: { statement: Statement; portal: Portal; values: Buffer } | null;
  /** A transaction is open: its savepoints are used. */
  inTransaction: boolean;
  /** Nothing is sent before this record is on disk. */
  gate: number;
}

const TEXT_ARRAY = 1009;
const OID_ARRAY = 1028;
const BOOLEAN = 16;
const LIMITS = plain(
  `SET LOCAL lock_timeout TO ${PREVIEW_LIMITS.lockTimeoutMs}`,
  `SET LOCAL statement_timeout TO ${PREVIEW_LIMITS.statementTimeoutMs}`,
);

interface Sample {
  columns: string[];
  rows: (string | null)[][];
  plan: RowPlan | null;
}

/** What is shown when there is no preview. */
export function withoutPreview(unavailable: string): Preview {
  return { rowCount: null, unavailable, before: null, after: null, notes: [], limits: { ...PREVIEW_LIMITS } };
}

export class PreviewRun {
  readonly #relay: Relay;
  readonly #subject: PreviewSubject;
  readonly #done: (preview: Preview) => void;
  readonly #undoable: ReturnType<typeof undoable>;
  readonly #notes: string[] = [];
  #parameterTypes: number[] = [];

  /** @param done called once, never before the constructor returns; not at all when the session ends. */
  constructor(relay: Relay, subject: PreviewSubject, done: (preview: Preview) => void) {
    this.#relay = relay;
    this.#subject = subject;
    this.#done = done;
    this.#undoable = undoable(subject.inTransaction);
    const composed = previewStatements(subject.text, PREVIEW_LIMITS.rows);
    const { clientEncoding } = relay.judge.settings;
    if (clientEncoding !== 'UTF8' && clientEncoding !== 'UNICODE') this.#later(withoutPreview('the client’s encoding is not UTF8'));
    else if (composed.ok) this.#resolve(composed.statements);
    else this.#later(withoutPreview(composed.reason));
  }

  #later(preview: Preview): void {
    queueMicrotask(() => this.#done(preview));
  }

  /** Runs statements, and takes back whatever they did. @param then gets the error that ended them, after everything is as before. */
  #tried(statements: readonly OwnStatement[], then: (error: readonly ErrorField[] | null) => void, more: () => Buffer[] = () => []): void {
    const { pipeline } = this.#relay;
    let error: readonly ErrorField[] | null = null;
    const onError = (fields: readonly ErrorField[]): void => {
      error ??= fields;
    };
    const bytes: Buffer[] = [];
    if (pipeline.segmentOpen) bytes.push(ownSync(pipeline));
    bytes.push(...ownStatements(pipeline, [...this.#undoable.begin, ...LIMITS, ...statements], { onError }));
    bytes.push(...more(), ownSync(pipeline), ...ownStatements(pipeline, this.#undoable.undo));
    bytes.push(
      ownSync(pipeline, () => {
        this.#keepPortal();
        then(error);
      }),
    );
    this.#relay.sendUp(Buffer.concat(bytes), this.#subject.gate);
  }

  /** The Sync has taken the client's portal away, where no transaction held it. It is bound again when it is executed. */
  #keepPortal(): void {
    const portal = this.#subject.bound?.portal;
    if (portal === undefined || this.#subject.inTransaction) return;
    portal.lost = true;
    this.#relay.pipeline.portals.set(portal.name, portal);
  }

  #resolve(statements: PreviewStatements): void {
    const oids: (string | null)[] = [];
    const { bound } = this.#subject;
    const describe = (): Buffer[] => {
      if (bound === null) return [];
      const entry = new Expected(Kind.DescribeStatement, true);
      entry.hooks = {
        quiet: true,
        onParameterTypes: types => {
          this.#parameterTypes = types;
        },
        onError: () => undefined,
      };
      this.#relay.pipeline.push(entry);
      return [encodeDescribe('S', bound.statement.name)];
    };
    this.#tried(
      [
        {
          text: RESOLVE_SQL,
          types: [TEXT_ARRAY],
          values: [arrayLiteral(statements.named.relations)],
          onRow: ([oid]) => oids.push(oid ?? null),
        },
      ],
      error => {
        if (error === null) this.#look(statements, oids);
        else this.#done(this.#failed(error));
      },
      describe,
    );
  }

  #look(statements: PreviewStatements, oids: readonly (string | null)[]): void {
    const found: (string | null)[][] = [];
    const { functions, operators, attributes, types } = statements.named;
    // The table that is changed comes first, also when it is not known.
    const [target = null, ...others] = oids;
    this.#tried(
      [
        ...plain(PURITY_PATH_SQL),
        {
          text: PURITY_SQL,
          types: [OID_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, BOOLEAN, OID_ARRAY],
          values: [
            arrayLiteral([target, ...others.filter(oid => oid !== null)]),
            ...[functions, operators, attributes, types].map(arrayLiteral),
            String(statements.usesDefaults),
            arrayLiteral(this.#parameterTypes.map(String)),
          ],
          onRow: row => found.push(row),
        },
      ],
      error => {
        const reason = error === null ? impurity(found, impurityOfExpression) : null;
        if (error !== null) this.#done(this.#failed(error));
        else if (reason !== null) this.#done(withoutPreview(`it cannot be tried out: ${reason}`));
        else this.#change(statements);
      },
    );
  }

  #change({ kind, before, effect, counted }: PreviewStatements): void {
    const bound = this.#subject.bound === null ? {} : { types: this.#parameterTypes, bound: textResults(this.#subject.bound.values) };
    const samples: { before: Sample | null; effect: Sample | null } = { before: null, effect: null };
    let rowCount = 0;
    const statements: OwnStatement[] = [];
    const sampled = (which: 'before' | 'effect', text: string): OwnStatement => ({
      text,
      ...bound,
      onFields: fields => {
        samples[which] = { columns: fields.map(field => field.name), rows: [], plan: this.#plan(text, fields) };
      },
      onRowFrame: (buffer, start, end) => {
        const sample = samples[which];
        if (which === 'effect') rowCount = Number(firstValue(buffer, start, end));
        if (sample?.plan != null && sample.rows.length < PREVIEW_LIMITS.rows) sample.rows.push(this.#row(sample.plan, buffer, start, end));
      },
    });
    if (before !== null) statements.push(sampled('before', before));
    statements.push(
      counted
        ? sampled('effect', effect)
        : {
            text: effect,
            ...bound,
            onTag: tag => {
              rowCount = rowsOfTag(tag) ?? 0;
            },
          },
    );
    this.#tried(statements, error => {
      if (error !== null) {
        this.#done(this.#failed(error));
        return;
      }
      const changed = withoutCount(samples.effect);
      if (kind === 'merge') this.#notes.push('the rows of a MERGE are counted, not shown');
      const preview: Preview = {
        rowCount,
        unavailable: '',
        before: kind === 'delete' ? changed : shown(samples.before),
        after: kind === 'delete' ? null : changed,
        notes: [...new Set(this.#notes)],
        limits: { ...PREVIEW_LIMITS },
      };
      this.#done(bounded(preview));
    });
  }

  #failed(error: readonly ErrorField[]): Preview {
    const code = errorField(error, 'C');
    const { judged } = this.#subject;
    if (code === '55P03')
      return withoutPreview(
        `rows that it needs are locked by others, and a preview waits no longer than ${PREVIEW_LIMITS.lockTimeoutMs} ms`,
      );
    if (code === '57014') return withoutPreview(`it takes longer than the ${PREVIEW_LIMITS.statementTimeoutMs} ms that a preview may take`);
    const text =
      judged.touchesProtected || judged.touchesRecordProtected
        ? reducedText(code)
        : this.#relay.recordText(errorField(error, 'M')).slice(0, 500);
    return withoutPreview(`it fails as things are now: ${text} (${code})`);
  }

  /** How the rows are masked: as for somebody whom nothing is shown that is not in the records. null: they are not shown. */
  #plan(text: string, fields: FieldDescription[]): RowPlan | null {
    const relay = this.#relay;
    const { inForce } = relay.session;
    const { recording } = inForce;
    const view: PolicyInForce = recording === null ? inForce : { ...inForce, ...recording, recording: null };
    const { flow } = relay;
    if (view.policy.hasColumnRules && flow?.ready !== true) {
      this.#notes.push('rows are not shown: what protects their columns is not known now');
      return null;
    }
    const bytes = Buffer.from(text);
    const verdict = verdictOf(view.policy.hasColumnRules ? relay.judge.text(bytes, 0, bytes.length, view) : null, 0);
    if (view.policy.hasColumnRules && verdict.kind !== 'columns') {
      this.#notes.push('rows are not shown: it cannot be told where their values come from');
      return null;
    }
    const outcome = planRows(fields, verdict, {
      inForce: view,
      catalog: relay.index,
      maskKey: relay.session.resource.maskKey,
      utf8: true,
      tablesSettled: true,
      ownTables: flow?.hasTemporary === true,
      withholdsDenied: true,
      onConflict: () => {
        relay.gateway.metrics.witnessConflicts++;
      },
    });
    return outcome.kind === 'plan' ? outcome.plan : null;
  }

  #row(plan: RowPlan, buffer: Buffer, start: number, end: number): (string | null)[] {
    const output = new Output();
    const { policy } = this.#relay.session.inForce;
    const counting = new CommandRun(0, 0, policy.audit, {
      touchesProtected: false,
      touchesRecordProtected: true,
      ownRows: false,
    });
    const changed = rewriteRow(buffer, start, end, plan, counting, output);
    const reader = changed ? new ByteReader(output.buffer, 5, output.length) : new ByteReader(buffer, start + 5, end);
    const values = new Array<string | null>(reader.uint16());
    for (let i = 0; i < values.length; i++) {
      const length = reader.int32();
      values[i] = length < 0 ? null : cut(reader.bytes(length).toString('utf8'));
    }
    return values;
  }
}

function firstValue(buffer: Buffer, start: number, end: number): string {
  const reader = new ByteReader(buffer, start + 7, end);
  const length = reader.int32();
  return length < 0 ? '' : reader.bytes(length).toString('latin1');
}

/** Rows that a command's tag says it changed; null: it says nothing of rows. */
export function rowsOfTag(tag: string): number | null {
  const last = tag.split(' ').at(-1) ?? '';
  return /^[0-9]{1,15}$/.test(last) ? Number(last) : null;
}

function cut(value: string): string {
  const max = PREVIEW_LIMITS.valueCharacters;
  if (value.length <= max) return value;
  return `${value.slice(0, max).toWellFormed()}…`;
}

function shown(sample: Sample | null): RowSample | null {
  return sample?.plan == null ? null : { columns: sample.columns, rows: sample.rows };
}

/** The first column is the gateway's own. */
function withoutCount(sample: Sample | null): RowSample | null {
  const rows = shown(sample);
  return rows === null ? null : { columns: rows.columns.slice(1), rows: rows.rows.map(row => row.slice(1)) };
}

/** As much of it as may travel. */
function bounded(preview: Preview): Preview {
  let { before, after } = preview;
  const notes = [...preview.notes];
  for (let rows: number = PREVIEW_LIMITS.rows; ; rows = Math.floor(rows / 2)) {
    const fits = { ...preview, before, after, notes };
    if (Buffer.byteLength(JSON.stringify(fits)) <= PREVIEW_BYTES_MAX) return fits;
    if (rows === 0) return { ...preview, before: null, after: null, notes: ['rows are not shown: one alone is too large'] };
    before = first(before, rows);
    after = first(after, rows);
    if (notes.length === preview.notes.length) notes.push('fewer rows are shown than the limit allows: they are large');
  }
}

function first(sample: RowSample | null, rows: number): RowSample | null {
  return sample === null ? null : { columns: sample.columns, rows: sample.rows.slice(0, rows) };
}
