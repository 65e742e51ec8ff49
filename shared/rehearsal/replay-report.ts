/** Counts what a replay comes to: by change and rule, by principal, with examples. Bounded, whatever was recorded. */
import type { ChangeKind, FormOutcome, RecordedForm, UndecidedCode } from './replay.ts';

export interface ReplayExample {
  sessionId: string;
  seq: number;
  at: string;
  resource: string;
  principal: string;
  text: string; // as recorded, cut
  recorded: { decision: string; rule: string };
  reason: string;
}

export interface ReplayChange {
  change: ChangeKind;
  rule: string;
  commands: number;
  /** The most frequent first. */
  principals: { name: string; commands: number }[];
  columns: string[];
  examples: ReplayExample[];
}

export interface ReplayUndecided {
  code: UndecidedCode;
  commands: number;
  examples: ReplayExample[];
}

export interface PrincipalTotals extends Record<ChangeKind, number> {
  name: string;
  kind: 'person' | 'workload';
  commands: number;
}

export interface ReplayReport {
  commands: number;
  unchanged: number;
  /** Commands with at least one change. */
  changed: number;
  undecidedCommands: number;
  totals: Record<ChangeKind, number>;
  changes: ReplayChange[];
  undecided: ReplayUndecided[];
  /** Those for whom something would change, the most changes first. */
  principals: PrincipalTotals[];
}

const EXAMPLES_MAX = 5;
const TEXT_MAX = 500;
const GROUPS_MAX = 1000;
const PRINCIPALS_MAX = 5000;
const PRINCIPALS_SHOWN = 20;

interface Group {
  commands: number;
  principals: Map<string, number>;
  columns: Set<string>;
  examples: ReplayExample[];
}

export class ReplayTally {
  #commands = 0;
  #unchanged = 0;
  #changed = 0;
  readonly #changes = new Map<string, Group & { change: ChangeKind; rule: string }>();
  readonly #undecided = new Map<UndecidedCode, Group>();
  readonly #principals = new Map<string, PrincipalTotals>();
  readonly #totals = noChanges();

  add(form: RecordedForm, outcome: FormOutcome): void {
    this.#commands += form.count;
    switch (outcome.kind) {
      case 'unchanged':
        this.#unchanged += form.count;
        return;
      case 'undecided': {
        let group = this.#undecided.get(outcome.code);
        if (group === undefined) {
          group = emptyGroup();
          this.#undecided.set(outcome.code, group);
        }
        note(group, form, outcome.detail);
        return;
      }
      case 'changed':
        this.#changed += form.count;
        for (const { change, rule, reason, columns } of outcome.changes) {
          this.#totals[change] += form.count;
          const principal = this.#principal(form);
          if (principal !== null) principal[change] += form.count;
          const key = `${change} ${rule}`;
          let group = this.#changes.get(key);
          // Rules are few; a bound all the same, since records could name anything.
          if (group === undefined && this.#changes.size < GROUPS_MAX) {
            group = { ...emptyGroup(), change, rule };
            this.#changes.set(key, group);
          }
          if (group !== undefined) note(group, form, reason, columns);
        }
    }
  }

  report(): ReplayReport {
    const order: readonly ChangeKind[] = ['denied', 'held', 'unmasked', 'masked', 'allowed'];
    return {
      commands: this.#commands,
      unchanged: this.#unchanged,
      changed: this.#changed,
      undecidedCommands: [...this.#undecided.values()].reduce((sum, group) => sum + group.commands, 0),
      totals: { ...this.#totals },
      changes: [...this.#changes.values()]
        .sort((a, b) => order.indexOf(a.change) - order.indexOf(b.change) || b.commands - a.commands)
        .map(({ change, rule, commands, principals, columns, examples }) => ({
          change,
          rule,
          commands,
          principals: [...principals]
            .map(([name, count]) => ({ name, commands: count }))
            .sort((a, b) => b.commands - a.commands)
            .slice(0, PRINCIPALS_SHOWN),
          columns: [...columns],
          examples,
        })),
      undecided: [...this.#undecided]
        .map(([code, { commands, examples }]) => ({ code, commands, examples }))
        .sort((a, b) => b.commands - a.commands),
      principals: [...this.#principals.values()].sort((a, b) => sum(b) - sum(a)),
    };
  }

  #principal({ principal, count }: RecordedForm): PrincipalTotals | null {
    const { name, kind } = principal;
    const key = `${kind} ${name}`;
    let totals = this.#principals.get(key);
    if (totals === undefined) {
      if (this.#principals.size >= PRINCIPALS_MAX) return null;
      totals = { name, kind, commands: 0, ...noChanges() };
      this.#principals.set(key, totals);
    }
    totals.commands += count;
    return totals;
  }
}

function noChanges(): Record<ChangeKind, number> {
  return { denied: 0, held: 0, allowed: 0, masked: 0, unmasked: 0 };
}

function sum({ denied, held, allowed, masked, unmasked }: PrincipalTotals): number {
  return denied + held + allowed + masked + unmasked;
}

function emptyGroup(): Group {
  return { commands: 0, principals: new Map(), columns: new Set(), examples: [] };
}

function note(group: Group, form: RecordedForm, reason: string, columns: readonly string[] = []): void {
  group.commands += form.count;
  const { name } = form.principal;
  if (group.principals.has(name) || group.principals.size < PRINCIPALS_MAX)
    group.principals.set(name, (group.principals.get(name) ?? 0) + form.count);
  for (const column of columns) if (group.columns.size < GROUPS_MAX) group.columns.add(column);
  if (group.examples.length >= EXAMPLES_MAX || group.examples.some(example => example.text === cut(form.text))) return;
  group.examples.push({
    ...form.example,
    resource: form.resource,
    principal: name,
    text: cut(form.text),
    recorded: { decision: form.decision, rule: form.rule },
    reason: cut(reason),
  });
}

function cut(text: string): string {
  return text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX - 1)}…`;
}
