/**
 * From a command's text to a decision, once per form of statement: analysis (cached by text without literals), decision, and the
 * part of its record that does not change from run to run are kept together.
 *
 * It decides nothing itself: `decide` does, and information flow (flow.ts). It adds one refusal of the protocol's own: a text in an
 * encoding that cannot be read.
 */
import type { Decision } from '@sallyport/shared/policy/decision.ts';
import type { CommandFacts } from '@sallyport/shared/policy/facts.ts';
import { commandPart } from '@sallyport/shared/records/encode.ts';
import { type AnalysedStatement, type Analysis, mergeFacts, StatementAnalyser, withPrepared } from '@sallyport/shared/sql/analyse.ts';
import { combineDecisions } from '@sallyport/shared/sql/flow/combine.ts';
import type { PolicyInForce } from '../session/lease-state.ts';
import { type FlowJudgement, type ResultVerdict, UNKNOWN_RESULT } from './flow.ts';
import type { FlowScope, SessionFlow } from './session-flow.ts';

/** Statements whose analysis is kept, by worker. */
const CACHE_ENTRIES = 4096;
/** Decisions kept by session. */
const DECISIONS_MAX = 512;

/** Everything known of a command's form; shared by all its runs in a session. */
export interface Judged {
  readonly inForce: PolicyInForce;
  /** What the text alone says. */
  readonly textFacts: CommandFacts;
  /** With what flow analysis adds. */
  readonly facts: CommandFacts;
  /** null: no column rule applies, or the text does not parse. */
  readonly flow: FlowJudgement | null;
  /** What `flow` holds for. */
  readonly scope: FlowScope | null;
  /**
   * The parser, or the catalog, does not know something in it, and that is why it is refused: the server's own error is shown
   * if it has one.
   */
  readonly unresolved: boolean;
  /** Its decision hangs on how many rows the planner expects, and until that is asked it is the strict one. */
  readonly wantsEstimate: boolean;
  readonly decision: Decision;
  /** Fields of its Command record that are always the same. */
  readonly recordPart: Uint8Array;
  readonly fingerprint: string;
  readonly touchesProtected: boolean;
  /** It inserts rows of the client's own and changes none that is there. */
  readonly ownRows: boolean;
  /** It names a table that is protected for others: this principal is exempt, its records are not. */
  readonly touchesRecordProtected: boolean;
  /** It names a table with columns that may not be read at all. */
  readonly touchesDenied: boolean;
  readonly hasEffects: boolean;
  /** Its success may change names or settings: what is judged after it must wait for that. */
  readonly changesNames: boolean;
  /** COPY … TO STDOUT is among its statements. */
  readonly copiesOut: boolean;
  readonly statements: readonly AnalysedStatement[];
}

let analyser: StatementAnalyser | null = null;

function sharedAnalyser(): StatementAnalyser {
  analyser ??= new StatementAnalyser({ cacheEntries: CACHE_ENTRIES });
  return analyser;
}

export interface JudgeSettings {
  standardConformingStrings: boolean;
  /** PostgreSQL's name of the client's encoding. */
  clientEncoding: string;
}

/** Which tables have protected columns, as far as names tell; set once the catalog is known. */
export type ProtectedTables = (object: string) => boolean;

export class Judge {
  readonly settings: JudgeSettings = { standardConformingStrings: true, clientEncoding: 'UTF8' };
  /** Answers for what EXECUTE names. */
  preparedFacts: (name: string) => CommandFacts | undefined = () => undefined;
  isProtected: ProtectedTables = () => false;
  hasDenied: ProtectedTables = () => false;
  isRecordProtected: ProtectedTables = () => false;
  readonly #database: string;
  /** There when column rules may apply. */
  flow: SessionFlow | null = null;
  readonly #decisions = new Map<CommandFacts, Judged>();
  #inForce: PolicyInForce | null = null;

  constructor(database: string) {
    this.#database = database;
  }

  /** Forgets what was decided, e.g. because the catalog or the search path changed. */
  reset(): void {
    this.#decisions.clear();
  }

  /**
   * Judges the text at bytes[start, end).
   * @param usesFlow false where the server will refuse the text whatever it says (a failed transaction).
   */
  text(bytes: Buffer, start: number, end: number, inForce: PolicyInForce, usesFlow = true): Judged {
    if (this.#inForce !== inForce) {
      this.#inForce = inForce;
      this.#decisions.clear();
    }
    const text = this.#readable(bytes.subarray(start, end));
    const analysis = text === null ? UNREADABLE : sharedAnalyser().analyseBytes(text, this.settings);
    const flow = usesFlow && columnRules(inForce) !== null && text !== null && analysis.error === undefined ? this.flow : null;
    const scope = flow?.scope ?? null;
    const known = this.#decisions.get(analysis.facts);
    if (
      known !== undefined &&
      known.scope === scope &&
      analysis.executes.length === 0 &&
      !inForce.policy.decisionDependsOnTime &&
      sameStatements(known.statements, analysis.statements)
    ) {
      return known;
    }
    let textFacts = analysis.facts;
    if (analysis.executes.length > 0) textFacts = withPrepared(analysis, name => this.#preparedIn(analysis, name));
    const judgement = flow === null || text === null ? null : flow.judge(text, textFacts, columnRules(inForce) ?? inForce, false);
    const judged = this.#decide({
      textFacts,
      fingerprint: analysis.fingerprint,
      statements: analysis.statements,
      inForce,
      flow: judgement,
      scope,
      unparsed: text !== null && analysis.error !== undefined,
    });
    if (analysis.executes.length === 0 && judgement?.literalSensitive !== true) {
      if (this.#decisions.size >= DECISIONS_MAX) {
        for (const oldest of this.#decisions.keys()) {
          this.#decisions.delete(oldest);
          break;
        }
      }
      this.#decisions.set(analysis.facts, judged);
    }
    return judged;
  }

  /** Something that is refused before it can be judged, for its record. */
  refusal(reason: string, rule: string, inForce: PolicyInForce): Judged {
    const textFacts: CommandFacts = { ...UNREADABLE.facts, unparseable: reason };
    const judged = this.#decide({ textFacts, fingerprint: '', statements: [], inForce, flow: null, scope: null, unparsed: false });
    return {
      ...judged,
      wantsEstimate: false,
      decision: { action: 'deny', rule, reason, message: reason },
      recordPart: commandPart({ decision: 'deny', rule, reason, policyVersion: inForce.version, database: this.#database }),
    };
  }

  /** What was judged, refused for a reason outside of it: its record keeps the facts. */
  overruled(judged: Judged, rule: string, reason: string): Judged {
    const { facts, fingerprint, inForce } = judged;
    return {
      ...judged,
      wantsEstimate: false,
      decision: { action: 'deny', rule, reason, message: reason },
      recordPart: commandPart({
        ...recordedFacts(facts),
        fingerprint,
        decision: 'deny',
        rule,
        reason,
        policyVersion: inForce.version,
        database: this.#database,
      }),
    };
  }

  /** What was judged, with what the planner says of its rows. */
  estimated(judged: Judged, known: Pick<CommandFacts, 'estimatedRows' | 'notEstimated'>): Judged {
    const { fingerprint, statements, inForce, scope } = judged;
    const flow = judged.flow === null ? null : { ...judged.flow, facts: { ...judged.flow.facts, ...known } };
    const textFacts = { ...judged.textFacts, ...known };
    return this.#decide({ textFacts, fingerprint, statements, inForce, flow, scope, unparsed: false });
  }

  /** What PostgreSQL will not plan, for its record: it fails by itself, and nobody has to refuse it. */
  notPlanned(judged: Judged): Judged {
    const { facts, fingerprint, inForce } = judged;
    const reason = 'PostgreSQL does not plan it, so that it fails';
    return {
      ...judged,
      wantsEstimate: false,
      decision: { action: 'allow', rule: 'default', reason },
      recordPart: commandPart({
        ...recordedFacts(facts),
        fingerprint,
        decision: 'allow',
        rule: 'default',
        reason,
        policyVersion: inForce.version,
        database: this.#database,
      }),
    };
  }

  /** Judges facts that were found inside of another statement (PREPARE). */
  ofFacts(textFacts: CommandFacts, inForce: PolicyInForce): Judged {
    return this.#decide({ textFacts, fingerprint: '', statements: [], inForce, flow: null, scope: null, unparsed: false });
  }

  /** Does a judgement hold at Execute, when names were settled at Bind? */
  holdsAtExecute(judged: Judged, inForce: PolicyInForce): boolean {
    return judged.inForce === inForce && !inForce.policy.decisionDependsOnTime;
  }

  /**
   * Judges again what was judged under another policy, at another time, or while names meant something else.
   * @param text of the statement, where flow matters; of a PREPARE, what it prepares is meant.
   */
  again(judged: Judged, inForce: PolicyInForce, text: Buffer | null): Judged {
    const rules = columnRules(inForce);
    const flow = rules === null ? null : this.flow;
    const same = judged.inForce === inForce;
    if (text === null && flow !== null && inForce.policy.hasColumnRules) {
      // A cursor that SQL declared: what it reads was settled then, under the policy of then.
      if (same) return judged;
      return this.refusal('the policy has changed since this cursor was declared; declare it again', 'protocol/policy-changed', inForce);
    }
    const scope = flow?.scope ?? null;
    if (same && !inForce.policy.decisionDependsOnTime && judged.scope === scope) return judged;
    const { textFacts, fingerprint, statements } = judged;
    const judgement = flow === null || text === null ? null : flow.judge(text, textFacts, rules ?? inForce, true);
    return this.#decide({ textFacts, fingerprint, statements, inForce, flow: judgement, scope, unparsed: false });
  }

  /** PREPARE and EXECUTE in one string: all that the string prepares under the name, and what the session has. */
  #preparedIn(analysis: Analysis, name: string): CommandFacts | undefined {
    let facts = this.preparedFacts(name);
    for (const statement of analysis.statements) {
      for (const effect of statement.effects) {
        if (effect.type === 'prepare' && effect.name === name) facts = facts === undefined ? effect.facts : mergeFacts(facts, effect.facts);
      }
    }
    return facts;
  }

  #decide(input: {
    textFacts: CommandFacts;
    fingerprint: string;
    statements: readonly AnalysedStatement[];
    inForce: PolicyInForce;
    flow: FlowJudgement | null;
    scope: FlowScope | null;
    unparsed: boolean;
  }): Judged {
    const { textFacts, fingerprint, statements, inForce, flow, scope } = input;
    const facts = flow?.facts ?? textFacts;
    // For somebody who is exempt, flow says what they read and inferred, for their records; it decides nothing.
    const decides = inForce.policy.hasColumnRules;
    const judgedBy = decides ? facts : { ...textFacts, columnsRead: facts.columnsRead };
    const now = new Date();
    let decision = inForce.policy.decide(judgedBy, now);
    const { estimatedRows, notEstimated } = judgedBy;
    const wantsEstimate =
      inForce.policy.needsEstimates &&
      estimatedRows === undefined &&
      notEstimated === undefined &&
      inForce.policy.hangsOnEstimate(judgedBy, now) &&
      (!decides || combineDecisions(FREE, flow).action !== 'deny');
    if (decides) decision = combineDecisions(decision, flow);
    return {
      inForce,
      textFacts,
      facts,
      flow,
      scope,
      decision,
      fingerprint,
      statements,
      wantsEstimate,
      unresolved: decision.action !== 'allow' && decision.rule === 'unknown' && (input.unparsed || flow?.namesMissing === true),
      touchesRecordProtected: inForce.recording?.policy.hasColumnRules === true && facts.objects.some(this.isRecordProtected),
      touchesDenied: decides && flow === null && facts.objects.some(this.hasDenied),
      touchesProtected:
        decides && (flow?.touchesProtected === true || (flow?.touchesSettled !== true && facts.objects.some(this.isProtected))),
      ownRows: flow?.ownRows === true,
      hasEffects: statements.some(statement => statement.effects.length > 0),
      changesNames:
        facts.functions.some(isSetConfig) ||
        statements.some(statement => statement.effects.some(effect => NAMING.has(effect.type))) ||
        flow?.statements.some(({ result, makes }) => result.changesCatalog || result.effects.length > 0 || makes !== undefined) === true,
      copiesOut: statements.some(statement => statement.effects.some(effect => effect.type === 'copy' && effect.direction === 'out')),
      recordPart: commandPart({
        ...recordedFacts(facts),
        fingerprint,
        decision: decision.action,
        rule: decision.rule,
        reason: decision.reason,
        policyVersion: inForce.version,
        database: this.#database,
      }),
    };
  }

  /** The text as UTF-8; null when the client's encoding cannot be read with certainty. */
  #readable(bytes: Buffer): Uint8Array | null {
    const encoding = this.settings.clientEncoding;
    if (encoding === 'UTF8' || encoding === 'UNICODE') return bytes;
    // Every client encoding has ASCII below 0x80, and none that has it also as a second byte comes without a first one above.
    for (let i = 0; i < bytes.length; i++) {
      if ((bytes[i] as number) >= 0x80) return toUtf8(bytes, encoding);
    }
    return bytes;
  }
}

const FREE: Decision = { action: 'allow', rule: 'default', reason: '' };

const exemptViews = new WeakMap<PolicyInForce, PolicyInForce>();

/** The policy whose column rules flow analysis goes by: the session's, or for somebody exempt the one that their records go by. */
function columnRules(inForce: PolicyInForce): PolicyInForce | null {
  if (inForce.policy.hasColumnRules) return inForce;
  if (inForce.recording?.policy.hasColumnRules !== true) return null;
  let view = exemptViews.get(inForce);
  if (view === undefined) {
    view = { ...inForce, policy: inForce.recording.policy };
    exemptViews.set(inForce, view);
  }
  return view;
}

function recordedFacts({ statements, objects, columnsRead, inferences }: CommandFacts) {
  return { statements, objects, columnsRead, inferences: inferences.map(({ column }) => column) };
}

const NAMING = new Set(['set', 'reset-all', 'prepare', 'deallocate', 'discard', 'declare-cursor', 'close-cursor']);

function isSetConfig(name: string): boolean {
  return name === 'set_config' || name.endsWith('.set_config');
}

/** Encodings whose conversion here is the server's, byte for byte. */
const DECODABLE: Readonly<Record<string, string>> = {
  WIN1250: 'windows-1250',
  WIN1251: 'windows-1251',
  WIN1253: 'windows-1253',
  WIN1254: 'windows-1254',
  WIN1257: 'windows-1257',
  LATIN2: 'iso-8859-2',
  KOI8R: 'koi8-r',
  KOI8U: 'koi8-u',
};

function toUtf8(bytes: Buffer, encoding: string): Uint8Array | null {
  // The Encoding standard's `latin1` is Windows-1252; PostgreSQL's LATIN1 is ISO 8859-1, as Node's is.
  if (encoding === 'LATIN1') return Buffer.from(bytes.toString('latin1'));
  const label = DECODABLE[encoding];
  if (label === undefined) return null;
  try {
    return Buffer.from(new TextDecoder(label, { fatal: true }).decode(bytes));
  } catch {
    return null;
  }
}

const UNREADABLE: Analysis = {
  statements: [],
  facts: {
    statements: ['unknown'],
    objects: [],
    columnsRead: [],
    functions: [],
    where: 'notApplicable',
    multiStatement: false,
    writes: true,
    opaque: [],
    unparseable: 'the text is not ASCII, and the client\u2019s encoding is none that the gateway reads',
    inferences: [],
  },
  fingerprint: '',
  executes: [],
};

function sameStatements(a: readonly AnalysedStatement[], b: readonly AnalysedStatement[]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    // Offsets matter only where effects do.
    if (a[i]?.effects !== b[i]?.effects) return false;
  }
  return true;
}

/** What flow analysis says of the rows of a command's statement. */
export function verdictOf(judged: Judged | null, statement: number): ResultVerdict {
  return judged?.flow?.statements[statement]?.verdict ?? UNKNOWN_RESULT;
}
