/**
 * What happens to each column of a result, by its description and by what flow analysis says of the statement; kept for the next
 * result of the same shape.
 */
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { ResultVerdict } from '../flow.ts';
import { decodeRowDescription, type FieldDescription } from '../messages.ts';
import type { Relay } from '../relay.ts';
import { type PlanOutcome, planRows, type RowPlan } from '../row-plan.ts';

const PLANS_MAX = 128;
const VERDICTS_MAX = 256;

const NOTHING = Buffer.alloc(0);

export class ResultPlans {
  readonly #relay: Relay;
  /** By what flow analysis says, then by the bytes of RowDescription. */
  readonly #kept = new Map<ResultVerdict, Map<string, RowPlan>>();
  /** The last one, which the next result most often is. */
  #lastVerdict: ResultVerdict | null = null;
  #lastBytes: Buffer = NOTHING;
  #lastPlan: RowPlan | null = null;
  #madeFor: object | null = null;
  #madeAt: object | null = null;
  #madeIn = '';
  #tablesSettled = false;

  constructor(relay: Relay) {
    this.#relay = relay;
  }

  /** The plan for a RowDescription frame; null: a table is not known and is being looked up. */
  of(buffer: Buffer, start: number, end: number, verdict: ResultVerdict): RowPlan | null {
    const relay = this.#relay;
    const { inForce } = relay.session;
    const { index } = relay;
    const { clientEncoding } = relay.judge.settings;
    if (this.#madeFor !== inForce || this.#madeAt !== index || this.#madeIn !== clientEncoding) {
      this.#kept.clear();
      this.#lastPlan = null;
      this.#madeFor = inForce;
      this.#madeAt = index;
      this.#madeIn = clientEncoding;
    }
    if (
      this.#lastPlan !== null &&
      this.#lastVerdict === verdict &&
      this.#lastBytes.length === end - start &&
      buffer.compare(this.#lastBytes, 0, this.#lastBytes.length, start, end) === 0
    )
      return this.#lastPlan;
    let plans = this.#kept.get(verdict);
    if (plans === undefined) {
      if (this.#kept.size >= VERDICTS_MAX) this.#kept.clear();
      plans = new Map();
      this.#kept.set(verdict, plans);
    }
    const key = buffer.toString('latin1', start + 5, end);
    const known = plans.get(key);
    if (known !== undefined) return this.#keep(known, buffer, start, end, verdict);
    const outcome = this.#planFields(decodeRowDescription(buffer, start + 5, end), verdict);
    if (outcome.kind === 'unknownTable') {
      this.#lookUpTables();
      return null;
    }
    if (outcome.kind === 'denied') {
      throw new GatewayError('COLUMN_DENIED', 'denied', `the result holds a column that may not be read (${outcome.rule})`);
    }
    // What was masked because its table is not known yet may be known the next time.
    if (this.#tablesSettled) {
      this.#tablesSettled = false;
      return outcome.plan;
    }
    if (plans.size >= PLANS_MAX) plans.clear();
    plans.set(key, outcome.plan);
    return this.#keep(outcome.plan, buffer, start, end, verdict);
  }

  #keep(plan: RowPlan, buffer: Buffer, start: number, end: number, verdict: ResultVerdict): RowPlan {
    this.#lastVerdict = verdict;
    this.#lastBytes = Buffer.from(buffer.subarray(start, end));
    this.#lastPlan = plan;
    return plan;
  }

  /** What would happen to the rows of a statement that is only described; null: as above. */
  ofProbe(fields: FieldDescription[], verdict: ResultVerdict): Exclude<PlanOutcome, { kind: 'unknownTable' }> | null {
    const outcome = this.#planFields(fields, verdict);
    if (outcome.kind === 'unknownTable') {
      this.#lookUpTables();
      return null;
    }
    this.#tablesSettled = false;
    return outcome;
  }

  #lookUpTables(): void {
    const relay = this.#relay;
    const { catalog } = relay;
    const settle = () => {
      this.#tablesSettled = true;
      relay.resumeBackend();
    };
    if (catalog === null) {
      queueMicrotask(settle);
      return;
    }
    catalog.refresh().then(settle, (error: unknown) => {
      relay.gateway.report(
        error instanceof GatewayError ? error : new GatewayError('PG_CATALOG_UNREADABLE', 'unavailable', errorText(error)),
      );
      settle();
    });
  }

  #planFields(fields: FieldDescription[], verdict: ResultVerdict): PlanOutcome {
    const relay = this.#relay;
    const { clientEncoding } = relay.judge.settings;
    return planRows(fields, verdict, {
      inForce: relay.session.inForce,
      catalog: relay.index,
      maskKey: relay.session.resource.maskKey,
      utf8: clientEncoding === 'UTF8' || clientEncoding === 'UNICODE',
      tablesSettled: this.#tablesSettled,
      ownTables: relay.judge.flow?.hasTemporary === true,
      onConflict: () => {
        relay.gateway.metrics.witnessConflicts++;
      },
    });
  }
}
