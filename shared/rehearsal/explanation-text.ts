/** An explanation as lines for people. What is in it is explanation.ts's. */
import type { ExplainedColumn, Explanation } from './explanation.ts';

/** How words are set off; plain text where they are not. */
export interface Emphasis {
  bold: (text: string) => string;
  dim: (text: string) => string;
  red: (text: string) => string;
  green: (text: string) => string;
  yellow: (text: string) => string;
}

/** @returns lines without control characters other than those of `style`. */
export function explanationLines(explanation: Explanation, style: Emphasis): string[] {
  const { as, resource, admission, statements, facts, columns, inferences, sinks, detectors, exemptFrom, rules, decision, limits } =
    explanation;
  const lines: string[] = [];
  const field = (name: string, value: string) => lines.push(`${style.dim(name.padEnd(12))}${value}`);
  field('principal', `${line(as.name)} (${as.kind}${as.groups.length === 0 ? ', no groups' : `; ${line(as.groups.join(', '))}`})`);
  field(
    'resource',
    `${resource} (${explanation.protocol})${admission.admitted ? `, admitted by role ${admission.role}` : `, ${style.red('not admitted')}: ${line(admission.reason)}`}`,
  );
  if (facts.unparseable !== undefined) field('parse', style.red(line(facts.unparseable)));
  for (const [i, { kind, text }] of statements.entries()) field(i === 0 ? 'parse' : '', `${kind}  ${style.dim(clipped(line(text), 90))}`);
  field('facts', factsLine(explanation));
  for (const { program, argv, reads, writes } of facts.shell?.commands ?? []) {
    const uses = [...reads.map(path => `reads ${path}`), ...writes.map(path => `writes ${path}`)].join(', ');
    field('', `${line(program)}  ${style.dim(clipped(line(argv.join(' ')), 60))}${uses === '' ? '' : `  ${line(uses)}`}`);
  }
  if (columns !== null) {
    const width = Math.max(...columns.map(column => clipped(line(column.name), 30).length));
    for (const [i, column] of columns.entries())
      field(i === 0 ? 'result' : '', `${clipped(line(column.name), 30).padEnd(width)}  ${columnText(column, style)}`);
  }
  for (const { column, kind, action } of inferences) field('inference', `rows depend on ${line(column)} (${kind}): ${action}`);
  for (const { detail, labels } of sinks) field('sink', style.red(`${line(labels.join(', ') || 'values')} into ${line(detail)}`));
  if (detectors.names.length > 0) field('detectors', `${detectors.names.length} look into text values (${detectors.mask})`);
  if (exemptFrom.length > 0) field('exempt', `from ${exemptFrom.join(', ')}`);
  const covering = rules.filter(rule => rule.matches);
  for (const [i, { rule, action, condition }] of covering.entries())
    field(i === 0 ? 'rules' : '', `${rule} (${action})${condition === null ? '' : `, when: ${condition}`}`);
  const paint = { allow: style.green, hold: style.yellow, deny: style.red }[decision.action];
  field('decision', `${style.bold(paint(decision.action))} by ${decision.rule}: ${line(decision.reason)}`);
  if (decision.action !== 'allow') field('message', line(decision.message));
  if (decision.action === 'hold') {
    const { from, quorum, expiresInMs } = decision.approval;
    field('approval', `${quorum} of each of ${line(from.groups.join(', '))}, within ${Math.round(expiresInMs / 60_000)} min`);
  }
  for (const { detail } of limits) field('not certain', style.yellow(line(detail)));
  return lines;
}

function factsLine({ facts }: Explanation): string {
  const parts = [
    ...(facts.objects.length > 0 ? [`objects ${facts.objects.join(', ')}`] : []),
    ...(facts.columnsRead.length > 0 ? [`reads ${facts.columnsRead.join(', ')}`] : []),
    ...(facts.functions.length > 0 ? [`calls ${facts.functions.join(', ')}`] : []),
    ...(facts.where === 'notApplicable' ? [] : [`where ${facts.where}`]),
    ...(facts.multiStatement ? ['several statements'] : []),
    facts.writes ? 'may write' : 'only reads',
    ...(facts.estimatedRows === undefined ? [] : [`${facts.estimatedRows} rows estimated`]),
    ...(facts.opaque.length > 0 ? [`not known: ${facts.opaque.join('; ')}`] : []),
  ];
  return line(parts.join('; '));
}

function columnText({ outcome, labels, mask, whole, rules }: ExplainedColumn, style: Emphasis): string {
  if (outcome === 'clear') return style.green('in clear');
  const from = `${whole === true ? 'computed from' : 'is'} ${line(labels.join(', '))}`;
  const by = rules.length === 0 ? '' : ` by ${line(rules.join(', '))}`;
  return outcome === 'denied' ? `${style.red('denied')}  ${from}${by}` : `${style.yellow(`masked (${mask})`)}  ${from}${by}`;
}

/** One line: nothing that a text holds can move the reader's cursor. */
function line(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, '·');
}

function clipped(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
