/**
 * Replays recorded commands under another policy: what would newly be denied, held, allowed or masked, and what cannot be known.
 *
 * Compared is what was recorded with what the new policy says, so a command that an older policy allowed counts against that. The new
 * policy is asked with the recorded text, principal and time, by the code that agents judge with. What records do not hold (values,
 * for detectors; temporary tables; the planner's estimates; budgets) is not guessed at: where the outcome hangs on it, the command
 * is counted as undecided, with the reason.
 */
import type { CompiledPolicy } from '../policy/compile.ts';
import { admit, sessionPolicy } from '../policy/decide.ts';
import { EVERY_DEPTH } from '../policy/enforcement-depth.ts';
import type { Principal } from '../policy/model.ts';
import type { CatalogView } from './catalog-file.ts';
import { type LimitCode, type TextAsked, TextJudge, type TextJudgement } from './text-judge.ts';

/** Recorded commands that are alike in all that policy looks at. */
export interface RecordedForm {
  /** How many there were. */
  count: number;
  /** The newest of them. */
  example: { sessionId: string; seq: number; at: string };
  resource: string;
  principal: Principal;
  /** The protocol's own word: `query`, `execute`, `ssh-exec` … */
  kind: string;
  text: string;
  textTruncated: boolean;
  columnsRead: readonly string[];
  decision: 'allow' | 'deny' | 'hold';
  rule: string;
  /** Protected columns that were masked in its result. */
  masked: readonly string[];
  /** It returned rows: otherwise nothing could be masked. */
  hasRows: boolean;
}

export type ChangeKind = 'denied' | 'held' | 'allowed' | 'masked' | 'unmasked';

/** `names-differ`: the recorded command read other columns than the text reads now, under the account's own search_path. */
export type UndecidedCode = LimitCode | 'names-differ' | 'resource-missing';

export type FormOutcome =
  | { kind: 'unchanged' }
  | { kind: 'undecided'; code: UndecidedCode; detail: string }
  | { kind: 'changed'; changes: FormChange[] };

export interface FormChange {
  change: ChangeKind;
  /** By which rule: of the new policy; for `allowed` the one that was recorded; for `unmasked` the columns. */
  rule: string;
  reason: string;
  /** With `masked` and `unmasked`: the protected columns. */
  columns?: string[];
}

const JUDGES_MAX = 512;
/** The rule of a refusal at the door. */
const ADMISSION = 'admission';

export interface ReplaySubject {
  policy: CompiledPolicy;
  /** The policy in force: what it masks is not newly masked, though records show no mask where a value was NULL. */
  inForce?: CompiledPolicy;
  /** By resource; null: it could not be read, and why is in `catalogProblems`. */
  catalogs: ReadonlyMap<string, CatalogView>;
  catalogProblems?: ReadonlyMap<string, string>;
}

/** Judges forms one after the other. `loadParser()` of shared/sql/parser.ts must have been awaited. */
export class Replay {
  readonly #subject: ReplaySubject;
  /** By resource and principal. */
  readonly #judges = new Map<string, TextJudge>();

  constructor(subject: ReplaySubject) {
    this.#subject = subject;
  }

  outcome(form: RecordedForm): FormOutcome {
    const { policy } = this.#subject;
    const resource = policy.resources.get(form.resource);
    if (resource === undefined) return undecided('resource-missing', `the new policy has no resource ${form.resource}`);
    const now = new Date(form.example.at);
    const admission = admit(policy, form.principal, form.resource, EVERY_DEPTH, now);
    // What was refused stays refused: at the door or behind it makes no difference to whoever asked.
    if (!admission.admitted)
      return form.decision === 'deny'
        ? { kind: 'unchanged' }
        : { kind: 'changed', changes: [{ change: 'denied', rule: ADMISSION, reason: admission.reason }] };
    const { protocol } = resource.spec;
    if (protocol === 'ssh' && form.kind !== 'ssh-exec' && form.kind !== 'ssh-line') {
      return undecided('not-a-text', `what a ${form.kind} did is recorded as names, and not as facts that rules can be asked about`);
    }
    if (form.textTruncated) return undecided('text-incomplete', 'its text was longer than records hold');
    const asked: TextAsked = {
      text: form.text,
      now,
      ...(form.kind === 'ssh-line' || form.kind === 'ssh-exec' ? { shellKind: form.kind } : {}),
    };
    const judgement = this.#judge(policy, form).judge(asked);
    const { inForce } = this.#subject;
    const maskedNow = (): ReadonlySet<string> =>
      inForce?.resources.has(form.resource) === true ? maskedLabels(this.#judge(inForce, form).judge(asked)) : new Set();
    return compare(form, judgement, this.#subject.catalogProblems?.get(form.resource), maskedNow);
  }

  #judge(policy: CompiledPolicy, { resource, principal }: RecordedForm): TextJudge {
    const { catalogs, inForce } = this.#subject;
    const key = JSON.stringify([policy === inForce, resource, principal]);
    let judge = this.#judges.get(key);
    if (judge === undefined) {
      const protocol = policy.resources.get(resource)?.spec.protocol ?? 'postgres';
      judge = new TextJudge(protocol, sessionPolicy(policy, principal, resource), catalogs.get(resource) ?? null);
      if (this.#judges.size >= JUDGES_MAX) this.#judges.clear();
      this.#judges.set(key, judge);
    }
    return judge;
  }
}

function compare(
  form: RecordedForm,
  judgement: TextJudgement,
  catalogProblem: string | undefined,
  maskedInForce: () => ReadonlySet<string>,
): FormOutcome {
  const { decision, facts, flow, limits } = judgement;
  // A text that was understood when it came, and is not now, lost something when secrets in it were masked for the record.
  if (facts.unparseable !== undefined && form.rule !== 'unknown' && form.decision !== 'deny')
    return undecided('text-incomplete', 'a part of its text was masked when it was recorded, and the rest cannot be parsed');
  const sameDecision = decision.action === form.decision && decision.rule === form.rule;
  for (const { code, detail } of limits) {
    const certain = code === 'catalog-missing' ? decision.action === 'deny' : sameDecision;
    if (!certain)
      return undecided(code, code === 'catalog-missing' && catalogProblem !== undefined ? `${detail}. ${catalogProblem}` : detail);
  }
  const readThen = [...form.columnsRead].sort();
  const readNow = [...facts.columnsRead].sort();
  if (flow !== null && readThen.length > 0 && form.decision !== 'deny' && JSON.stringify(readThen) !== JSON.stringify(readNow)) {
    return undecided('names-differ', `it read ${listed(readThen)}; the same text reads ${listed(readNow)} now`);
  }
  const changes: FormChange[] = [];
  if (decision.action !== form.decision) {
    const change = decision.action === 'deny' ? 'denied' : decision.action === 'hold' ? 'held' : 'allowed';
    // What is allowed newly is so because the recorded rule no longer speaks against it.
    changes.push({
      change,
      rule: change === 'allowed' && decision.rule === 'default' ? form.rule : decision.rule,
      reason: decision.reason,
    });
  }
  if (form.hasRows && form.decision === 'allow' && decision.action !== 'deny') changes.push(...maskChanges(form, judgement, maskedInForce));
  return changes.length === 0 ? { kind: 'unchanged' } : { kind: 'changed', changes };
}

/** Protected columns that reach a masked column of the result. */
function maskedLabels({ flow }: TextJudgement): ReadonlySet<string> {
  const labels = new Set<string>();
  for (const { verdict } of flow?.statements ?? []) {
    if (verdict.kind !== 'columns') continue;
    for (const { mask } of verdict.columns)
      if (!('denied' in mask) && mask.mask !== null) for (const label of mask.labels) labels.add(label);
  }
  return labels;
}

function maskChanges(form: RecordedForm, judgement: TextJudgement, maskedInForce: () => ReadonlySet<string>): FormChange[] {
  const { flow } = judgement;
  const then = new Set(form.masked);
  const now = maskedLabels(judgement);
  let inForce: ReadonlySet<string> | undefined;
  const rules = new Set<string>();
  const added = new Set<string>();
  for (const { verdict } of flow?.statements ?? []) {
    if (verdict.kind !== 'columns') continue;
    for (const { mask } of verdict.columns) {
      if ('denied' in mask || mask.mask === null) continue;
      // Records name one of the columns that reach a computed value.
      if (mask.labels.some(label => then.has(label))) continue;
      inForce ??= maskedInForce();
      if (mask.labels.every(label => inForce?.has(label) === true)) continue;
      for (const label of mask.labels) added.add(label);
      for (const rule of mask.rules) rules.add(rule);
    }
  }
  const removed = [...then].filter(label => !now.has(label));
  return [
    ...(added.size > 0
      ? [{ change: 'masked' as const, rule: [...rules].join(', '), reason: `${listed([...added])} would be masked`, columns: [...added] }]
      : []),
    ...(removed.length > 0
      ? [
          {
            change: 'unmasked' as const,
            rule: removed.toSorted().join(', '),
            reason: `${listed(removed)} would come in clear`,
            columns: removed,
          },
        ]
      : []),
  ];
}

function undecided(code: UndecidedCode, detail: string): FormOutcome {
  return { kind: 'undecided', code, detail };
}

const LISTED_MAX = 6;

function listed(names: readonly string[]): string {
  return names.length <= LISTED_MAX
    ? names.join(', ') || 'no column'
    : `${names.slice(0, LISTED_MAX).join(', ')} and ${names.length - LISTED_MAX} more`;
}
