/**
 * Judges texts as a session would, without one: the same analysis, the same flow, the same `decide`. Used by `policy explain`,
 * `policy test` and `policy simulate`.
 *
 * What a live session knows and this does not (the catalog when none is given, the planner's estimate, what was prepared before,
 * temporary tables) is not guessed at: it is told as a limit of the judgement, and the decision beside it is the strict one.
 */
import type { SessionPolicy } from '../policy/decide.ts';
import type { Decision } from '../policy/decision.ts';
import type { CommandFacts } from '../policy/facts.ts';
import { analyseShell } from '../shell/analyse.ts';
import { type Analysis, parseText, StatementAnalyser, withPrepared } from '../sql/analyse.ts';
import { FlowAnalyser } from '../sql/flow/analyse-flow.ts';
import { combineDecisions } from '../sql/flow/combine.ts';
import { type FlowJudgement, judgeFlow } from '../sql/flow/judge-flow.ts';
import { NO_SESSION } from '../sql/flow/session.ts';
import type { CatalogView } from './catalog-file.ts';

/** Why a decision may be another one in a real session. */
export type LimitCode =
  | 'catalog-missing' // column rules apply, and the catalog that they are judged by was not given
  | 'names-missing' // it names what the catalog does not hold: temporary, dropped since, or never there
  | 'estimate-missing' // a rule asks for the planner's estimate
  | 'prepared-missing' // EXECUTE of a statement that was prepared earlier
  | 'text-incomplete' // only a part of its text is known
  | 'not-a-text'; // what it did on a host is not a line of shell

export interface Limit {
  code: LimitCode;
  detail: string; // for people
}

export interface TextJudgement {
  /** null for hosts. */
  analysis: Analysis | null;
  facts: CommandFacts;
  /** null: no column rule applies, the catalog is missing, or the text does not parse. */
  flow: FlowJudgement | null;
  decision: Decision;
  limits: Limit[];
}

export interface TextAsked {
  text: string;
  now: Date;
  /** The planner's estimate, when it is known or supposed. */
  estimatedRows?: number;
  /** A shell text's kind; absent: a command. */
  shellKind?: 'ssh-exec' | 'ssh-line';
  /** The account on the host, for shell texts. */
  account?: string;
}

const CACHE_ENTRIES = 1024;

/** One for each session policy and catalog. `loadParser()` of shared/sql/parser.ts must have been awaited for postgres. */
export class TextJudge {
  readonly #protocol: 'postgres' | 'ssh';
  readonly #policy: SessionPolicy;
  readonly #catalog: CatalogView | null;
  readonly #analyser = new StatementAnalyser({ cacheEntries: CACHE_ENTRIES });
  readonly #flow: FlowAnalyser | null;

  constructor(protocol: 'postgres' | 'ssh', policy: SessionPolicy, catalog: CatalogView | null) {
    this.#protocol = protocol;
    this.#policy = policy;
    this.#catalog = catalog;
    this.#flow =
      catalog === null || !policy.hasColumnRules
        ? null
        : new FlowAnalyser(catalog.snapshot, (schema, table, column) => policy.column(schema, table, column) !== null);
  }

  judge(asked: TextAsked): TextJudgement {
    return this.#protocol === 'ssh' ? this.#shell(asked) : this.#sql(asked);
  }

  #shell({ text, now, account, shellKind = 'ssh-exec' }: TextAsked): TextJudgement {
    const shell = analyseShell(text);
    const facts: CommandFacts = {
      statements: [shellKind],
      objects: [],
      columnsRead: [],
      functions: [],
      where: 'notApplicable',
      multiStatement: shell.commands.length > 1,
      writes: true,
      opaque: shell.opaque.map(each => each.reason),
      inferences: [],
      ...(shell.error === undefined ? {} : { unparseable: shell.error }),
      shell,
      ...(account === undefined ? {} : { account }),
    };
    return { analysis: null, facts, flow: null, decision: this.#policy.decide(facts, now), limits: [] };
  }

  #sql({ text, now, estimatedRows }: TextAsked): TextJudgement {
    const limits: Limit[] = [];
    const analysis = this.#analyser.analyse(text, { standardConformingStrings: true });
    let textFacts = withPrepared(analysis, name => preparedIn(analysis, name));
    if (textFacts.opaque.length > analysis.facts.opaque.length) {
      limits.push({ code: 'prepared-missing', detail: `what EXECUTE runs (${analysis.executes.join(', ')}) was prepared elsewhere` });
    }
    if (estimatedRows !== undefined) textFacts = { ...textFacts, estimatedRows };
    const flow = this.#judgeFlow(text, analysis, textFacts, limits);
    const facts = flow?.facts ?? textFacts;
    const guard = this.#policy.decide(facts, now);
    if (estimatedRows === undefined && this.#policy.needsEstimates) {
      const few = this.#policy.decide({ ...facts, estimatedRows: 0 }, now);
      if (few.action !== guard.action || few.rule !== guard.rule) {
        limits.push({
          code: 'estimate-missing',
          detail: `rule ${guard.rule} has \`maxRows\`: without the planner’s estimate it counts as exceeded`,
        });
      }
    }
    return { analysis, facts, flow, decision: combineDecisions(guard, flow), limits };
  }

  #judgeFlow(text: string, analysis: Analysis, facts: CommandFacts, limits: Limit[]): FlowJudgement | null {
    if (!this.#policy.hasColumnRules || analysis.error !== undefined) return null;
    if (this.#flow === null || this.#catalog === null) {
      if (facts.objects.length > 0 || facts.functions.length > 0) {
        limits.push({ code: 'catalog-missing', detail: 'which columns it reads, and what is masked, takes the database’s catalog' });
      }
      return null;
    }
    const parsed = parseText(Buffer.from(text));
    if (!parsed.ok) return null;
    const nodes = parsed.statements.map(({ node }) => node);
    const results = this.#flow.analyseCommand(nodes, { ...NO_SESSION, searchPath: this.#catalog.searchPath });
    const flow = judgeFlow(nodes, results, facts, this.#policy);
    const earlier = results.flatMap(result => result.unknown).find(({ code }) => code === 'cursor-missing');
    if (earlier !== undefined) limits.push({ code: 'prepared-missing', detail: `the cursor was declared elsewhere: ${earlier.detail}` });
    if (flow.namesMissing) {
      const names = new Set(results.flatMap(result => result.unknown.map(reason => reason.detail)));
      limits.push({ code: 'names-missing', detail: `${[...names].join('; ')} (in the catalog of ${this.#catalog.readAt})` });
    }
    return flow;
  }
}

/** What the same text prepares under the name. */
function preparedIn(analysis: Analysis, name: string): CommandFacts | undefined {
  for (const statement of analysis.statements) {
    for (const effect of statement.effects) if (effect.type === 'prepare' && effect.name === name) return effect.facts;
  }
  return undefined;
}
