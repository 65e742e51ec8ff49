/**
 * How many rows the planner expects of the command in hand, for rules that depend on it: asked on the client's own connection,
 * with the values that are bound, unseen by the client.
 */
import { isAscii } from 'node:buffer';
import { reducedText } from '../errors.ts';
import { type Estimate, type Question, questionOf } from '../estimate.ts';
import { type Asked, askPlanner } from '../estimate-run.ts';
import type { Judged } from '../judge.ts';
import { type ErrorField, errorField, textResults } from '../messages.ts';
import { Expected, type Hooks, Kind, type Portal, type Replacement } from '../pipeline.ts';
import type { Relay } from '../relay.ts';
import type { Admission } from './admission.ts';
import type { ClientFrames, Outcome } from './frames.ts';

export class Estimates {
  readonly #relay: Relay;
  readonly #frames: ClientFrames;
  readonly #admission: Admission;
  /** Of the command in hand; kept while its frame is handled again, until it is forwarded or dropped. */
  #estimate: Estimate | null = null;

  constructor(relay: Relay, frames: ClientFrames, admission: Admission) {
    this.#relay = relay;
    this.#frames = frames;
    this.#admission = admission;
  }

  get current(): Estimate | null {
    return this.#estimate;
  }

  forget(): void {
    this.#estimate = null;
  }

  /** Takes what is known of a portal, and keeps with it what has been found out. */
  takeFrom(portal: Portal): void {
    this.#estimate = portal.estimate ?? this.#estimate;
    if (this.#estimate?.kind === 'rows') portal.estimate = this.#estimate;
  }

  /** Of a simple Query's text. @returns null when `current` is known. */
  ofQuery(frameStart: number, start: number, textEnd: number): Outcome | null {
    const { pipeline, transactionStatus } = this.#relay;
    if (this.#estimate !== null) return null;
    if (pipeline.length > 0) return this.#frames.stall(() => pipeline.length === 0);
    const question = this.#question(this.#frames.buffer.subarray(start, textEnd));
    if (question.kind === 'ask' && transactionStatus === 'E') this.#estimate = { kind: 'none', why: 'the transaction has failed' };
    else if (question.kind === 'ask' && pipeline.segmentOpen)
      this.#estimate = { kind: 'none', why: 'messages of the extended protocol stand before it without a Sync' };
    return this.#ask(frameStart, question, null, null, () => this.#estimate !== null && pipeline.length === 0);
  }

  /** Of what a portal executes, with its values. @returns null when `current` is known, or the server skips what comes. */
  ofPortal(frameStart: number, portal: Portal, judged: Judged): Outcome | null {
    const { pipeline } = this.#relay;
    if (this.#estimate !== null) return null;
    const { statement, bound } = portal;
    const { raw } = statement ?? { raw: null };
    let question: Question;
    if (raw === null || statement === null) question = { kind: 'cannot', why: 'its text was not kept; prepare it again' };
    else question = this.#question(raw);
    if (question.kind === 'ask' && bound === null) question = { kind: 'cannot', why: 'its parameters are too large to be kept' };
    const asClients: Hooks['asClients'] = fields => {
      const entry = new Expected(Kind.Execute, false);
      const failing = this.#relay.judge.notPlanned(judged);
      const unrecorded = this.#admission.record(failing, entry, {
        kind: 'execute',
        text: statement?.text ?? { text: '', truncated: false },
        parameters: portal.parameters,
        preparedName: statement?.name,
      });
      return { fields: unrecorded === null ? fields : errorFields(unrecorded), run: entry.run };
    };
    const { parameterTypes } = statement ?? { parameterTypes: [] };
    const values = bound === null ? null : { types: parameterTypes, values: textResults(bound) };
    return this.#ask(frameStart, question, values, asClients, () => this.#estimate !== null || pipeline.skipping);
  }

  #question(text: Buffer): Question {
    const { clientEncoding } = this.#relay.judge.settings;
    if (clientEncoding !== 'UTF8' && clientEncoding !== 'UNICODE' && !isAscii(text))
      return { kind: 'cannot', why: 'the client’s encoding is not UTF8' };
    return questionOf(text);
  }

  /** @param until what the answer is waited for by. @returns null when `#estimate` is known. */
  #ask(
    frameStart: number,
    question: Question,
    bound: Asked['bound'],
    asClients: Asked['asClients'] | null,
    until: () => boolean,
  ): Outcome | null {
    const { pipeline } = this.#relay;
    if (this.#estimate !== null) return null;
    switch (question.kind) {
      case 'known':
        this.#estimate = { kind: 'rows', rows: question.rows };
        return null;
      case 'cannot':
        this.#estimate = { kind: 'none', why: question.why };
        return null;
      case 'cursor': {
        const portal = pipeline.portals.get(Buffer.from(question.name).toString('latin1'));
        const rows = portal?.estimate?.kind === 'rows' ? portal.estimate.rows : portal?.judged.facts.estimatedRows;
        this.#estimate =
          rows === undefined ? { kind: 'none', why: 'nothing was estimated when the cursor was opened' } : { kind: 'rows', rows };
        return null;
      }
      case 'ask':
    }
    this.#frames.cut(frameStart);
    this.#frames.append(
      ...askPlanner(pipeline, { question, bound, asClients: asClients ?? undefined }, estimate => {
        this.#estimate = estimate;
      }),
    );
    return this.#frames.stall(until);
  }

  /** The judgement with what is known of the command in hand. */
  applied(judged: Judged): Judged {
    const { judge } = this.#relay;
    const estimate = this.#estimate;
    if (estimate === null) return judged;
    switch (estimate.kind) {
      case 'rows':
        return judge.estimated(judged, { estimatedRows: estimate.rows });
      case 'none':
        return judge.estimated(judged, { notEstimated: estimate.why });
      case 'failed':
        return judge.notPlanned(judged);
    }
  }

  /** PostgreSQL's error about the plan stands in the place of the statement's, which would have been the same. */
  notPlanned(judged: Judged, fields: readonly ErrorField[]): Replacement {
    const code = errorField(fields, 'C');
    const message = errorField(fields, 'M');
    const reduced = reducedText(code);
    if (judged.touchesProtected) return { code, message: reduced, refused: false };
    return {
      code,
      message,
      refused: false,
      fields,
      recorded: judged.touchesRecordProtected ? reduced : this.#relay.recordText(message).slice(0, 4096),
    };
  }
}

function errorFields({ code, message }: Replacement): ErrorField[] {
  return [
    ['S', 'ERROR'],
    ['V', 'ERROR'],
    ['C', code],
    ['M', message],
  ];
}
