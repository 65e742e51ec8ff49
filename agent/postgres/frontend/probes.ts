/**
 * What only the server can say of a statement before it runs: whether it knows a text that the grammar or the catalog does not, and
 * which columns its rows come from. Asked by Parse and Describe under names that nobody can use, unseen by the client.
 */
import { type CopyTarget, type CopyTargetOutcome, copyTarget, EMBEDS_ASCII } from '../copy-out.ts';
import { SqlState } from '../errors.ts';
import type { ResultVerdict } from '../flow.ts';
import { type Judged, verdictOf } from '../judge.ts';
import { type ErrorField, encodeClose, encodeDescribe, encodeParse, encodeParseTail, encodeSync, errorField } from '../messages.ts';
import { PROBE_NAME } from '../names.ts';
import { Expected, Kind, type ProbeOutcome, type RecordableText, type Replacement } from '../pipeline.ts';
import type { Relay } from '../relay.ts';
import type { Admission } from './admission.ts';
import type { ClientFrames, Outcome } from './frames.ts';

export class Probes {
  readonly #relay: Relay;
  readonly #frames: ClientFrames;
  readonly #admission: Admission;
  readonly #awaitFlow: (frameStart: number) => Outcome | null;
  /** What the round trip for a simple Query has found. */
  #probeOutcome: ProbeOutcome | null = null;
  #probeTarget: CopyTarget | null = null;
  #parseProbed = false;
  /** The catalog was read again for the statement in hand. */
  #rereadFor = false;

  /** @param awaitFlow see `FrontendStream`. */
  constructor(relay: Relay, frames: ClientFrames, admission: Admission, awaitFlow: (frameStart: number) => Outcome | null) {
    this.#relay = relay;
    this.#frames = frames;
    this.#admission = admission;
    this.#awaitFlow = awaitFlow;
  }

  /** @see copyTarget; refused, too, where rows would have to be taken apart whose separators may be parts of characters. */
  copyTarget(judged: Judged, text: Buffer): CopyTargetOutcome {
    const target = copyTarget(text);
    const { settings } = this.#relay.judge;
    if (!target.ok || target.target.format === 'binary' || !EMBEDS_ASCII.has(settings.clientEncoding)) return target;
    const verdict = verdictOf(judged, 0);
    const isPlain =
      verdict.kind === 'columns' && verdict.rest === null && verdict.columns.every(({ mask }) => 'mask' in mask && mask.mask === null);
    if (isPlain && this.#relay.session.inForce.detectors === null) return target;
    return { ok: false, reason: `COPY under client_encoding ${settings.clientEncoding} cannot be checked; use UTF8 or the binary format` };
  }

  /**
   * A simple Query whose rows must be known before it runs: its statement is described first, in a round trip of the gateway's
   * own. That is every COPY TO STDOUT where rules apply, and whatever names a table with columns that may not be read.
   *
   * @returns null when the Query can be handled now.
   */
  ofQuery(judged: Judged, frameStart: number, start: number, textEnd: number, entry: Expected): Outcome | null {
    const { pipeline, session, judge } = this.#relay;
    const refuse = (reason: string, rule: string) => {
      const refusal = judge.refusal(reason, rule, session.inForce);
      entry.replacement = this.#admission.admit(refusal, entry, 'query', this.#relay.recordable(this.#frames.buffer, start, textEnd));
      return null;
    };
    const outcome = this.#probeOutcome;
    if (outcome !== null) {
      const target = this.#probeTarget;
      this.#probeOutcome = null;
      this.#probeTarget = null;
      if (outcome.kind === 'denied') return refuse(outcome.reason, outcome.rule);
      if (outcome.kind === 'plan' && target !== null) entry.copy = { ...target, rows: outcome.plan };
      if (judged.unresolved && outcome.kind !== 'failed') {
        // The server knows what the catalog does not: it is new, or the grammar is. The catalog is read again, once.
        const again = judged.flow?.namesMissing === true && !this.#rereadFor;
        this.#rereadFor = again;
        if (!again) return null;
        this.#relay.flow?.catalog.changed();
        return this.#awaitFlow(frameStart);
      }
      // Outside of a transaction nothing has failed but the probe: the statement itself says best what is wrong with it.
      if (outcome.kind === 'failed' && judged.decision.action === 'allow' && this.#relay.transactionStatus === 'I') return null;
      if (outcome.kind === 'failed') {
        entry.replacement = this.#asProbed(judged, entry, this.#relay.recordable(this.#frames.buffer, start, textEnd), outcome.fields);
      }
      return null;
    }
    if (judged.statements.length !== 1 && !judged.unresolved)
      return refuse(
        'this statement must be checked against its columns before it runs; send it by itself, not together with others in one string',
        'protocol/multi-statement',
      );
    if (pipeline.length > 0) return this.#frames.stall(() => pipeline.length === 0);
    let text = this.#frames.buffer.toString('utf8', start, textEnd);
    let format: 0 | 1 | null = null;
    if (judged.copiesOut) {
      const target = this.copyTarget(judged, this.#frames.buffer.subarray(start, textEnd));
      if (!target.ok) return refuse(target.reason, 'protocol/copy');
      this.#probeTarget = target.target;
      text = target.target.probe;
      format = target.target.format === 'binary' ? 1 : 0;
    }
    this.#frames.cut(frameStart);
    this.#frames.append(
      ...this.describe(
        text,
        format,
        verdictOf(judged, 0),
        answer => {
          this.#probeOutcome ??= answer;
        },
        true,
      ),
      encodeSync(),
    );
    pipeline.push(new Expected(Kind.Sync, true));
    pipeline.segment++;
    pipeline.segmentOpen = false;
    return this.#frames.stall(() => this.#probeOutcome !== null && pipeline.length === 0);
  }

  /**
   * Parse of a text that the parser or the catalog does not know: the server is asked whether it does, by a Parse of the same
   * text under a name that nobody can use. Its error is the client's.
   * @returns null when the answer is known, and the Parse is to be refused.
   */
  ofParse(judged: Judged, frameStart: number, textStart: number, frameEnd: number, text: RecordableText): Outcome | null {
    const { pipeline, flow } = this.#relay;
    if (this.#parseProbed) {
      this.#parseProbed = false;
      const again = judged.flow?.namesMissing === true && !this.#rereadFor;
      this.#rereadFor = again;
      if (!again || flow === null) return null;
      flow.catalog.changed();
      return this.#awaitFlow(frameStart);
    }
    const entry = new Expected(Kind.Parse, true);
    entry.judged = judged;
    entry.statement = {
      name: '',
      judged,
      text,
      parameterTypes: [],
      segment: 0,
      confirmed: false,
      weight: 0,
      raw: null,
      copy: null,
      missing: null,
      probed: null,
      mustProbe: false,
    };
    const close = new Expected(Kind.Close, true);
    close.hooks = {
      onAnswered: () => {
        this.#parseProbed = true;
      },
    };
    pipeline.push(entry);
    pipeline.push(close);
    this.#frames.put(frameStart, encodeParseTail(PROBE_NAME, this.#frames.buffer.subarray(textStart, frameEnd)));
    this.#frames.append(encodeClose('S', PROBE_NAME));
    pipeline.segmentOpen = true;
    return this.#frames.stall(() => this.#parseProbed || pipeline.skipping || pipeline.length === 0);
  }

  /** Parse, Describe and Close of a text. @param keepsError an error is told to `done` alone, not to the client. */
  describe(
    text: string,
    format: 0 | 1 | null,
    verdict: ResultVerdict,
    done: (outcome: ProbeOutcome) => void,
    keepsError: boolean,
  ): Buffer[] {
    const { pipeline } = this.#relay;
    const describe = new Expected(Kind.DescribeStatement, true);
    for (const entry of [new Expected(Kind.Parse, true), describe, new Expected(Kind.Close, true)]) {
      entry.hooks = {
        ...(entry === describe ? { probe: { verdict, format, done } } : {}),
        ...(keepsError ? { onError: (fields: readonly ErrorField[]) => done({ kind: 'failed', fields }) } : {}),
      };
      pipeline.push(entry);
    }
    return [encodeParse(PROBE_NAME, text), encodeDescribe('S', PROBE_NAME), encodeClose('S', PROBE_NAME)];
  }

  /** The transaction has failed. @returns the error, when it is the probe's own that has failed it: then it is the statement's. */
  inFailed(judged: Judged, entry: Expected, text: RecordableText): Replacement | null {
    const outcome = this.#probeOutcome;
    this.#probeOutcome = null;
    this.#probeTarget = null;
    return outcome?.kind === 'failed' ? this.#asProbed(judged, entry, text, outcome.fields) : null;
  }

  /** PostgreSQL would fail the statement for the same reason, so its words stand here; it is made to fail all the same. */
  #asProbed(judged: Judged, entry: Expected, text: RecordableText, fields: readonly ErrorField[]): Replacement {
    const recorded = this.#admission.admit(judged, entry, 'query', text);
    if (recorded?.code === SqlState.diskFull) return recorded;
    return { code: errorField(fields, 'C'), message: errorField(fields, 'M'), refused: false, fields };
  }
}
