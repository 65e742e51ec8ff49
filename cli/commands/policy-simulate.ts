/** `sallyport policy simulate`: what proposed manifests would have done to the commands that were recorded. Nothing is changed. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { inlineCertificates } from '@sallyport/shared/policy/inline-certificates.ts';
import type { ChangeKind } from '@sallyport/shared/rehearsal/replay.ts';
import type { ReplayChange, ReplayReport } from '@sallyport/shared/rehearsal/replay-report.ts';
import type { Command } from 'commander';
import { type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { problemError, requestLines } from '../http-client.ts';
import { readManifestFiles } from '../manifest-files.ts';
import { printable, shortened, table } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';

interface Report extends ReplayReport {
  since: string;
  until: string;
  proposed: { kind: string; name: string }[];
  leftOut: number;
  notReplayed: string[];
}

type Line = { progress: { done: number; total: number } } | { report: Report } | { problem: { status?: number } };

interface Options extends ConnectionOptions {
  file?: string;
  since: string;
  json?: true;
  failOn?: ChangeKind[];
}

const CHANGES: readonly ChangeKind[] = ['denied', 'held', 'unmasked', 'masked', 'allowed'];

export function addSimulate(policy: Command, terminal: Terminal): void {
  withConnectionOptions(policy.command('simulate'))
    .description(
      'Replays recorded commands under proposed manifests: what would newly be denied, held, masked or allowed. Nothing is changed.',
    )
    .argument('[path]', 'a manifest, or a folder of them; those in force that they do not name stay')
    .option('-f, --file <PATH>', 'the same')
    .option('--since <TIME>', 'how far back: a duration such as 7d, or a time (default 7d)', '7d')
    .option('--fail-on <CHANGES>', `exit code 1 when there are such changes: ${CHANGES.join(', ')}, with commas`, changeList)
    .option('--json', 'print JSON')
    .action(async (given: string | undefined, options: Options) => {
      const source = given ?? options.file;
      if (source === undefined || (given !== undefined && options.file !== undefined))
        throw new UsageError('give the manifests once, as PATH or with --file');
      const files = await readManifestFiles(source);
      const { api } = await findConnection(options, terminal);
      const manifests = files.map(file => {
        try {
          return inlineCertificates(file, (name, from) => readFileSync(path.resolve(path.dirname(from), name), 'utf8'));
        } catch {
          return file; // the control plane says what is wrong with it, and where
        }
      });
      let report: Report | undefined;
      let problem: Error | undefined;
      let shownAtMs = performance.now();
      await requestLines(
        api,
        '/v1/policy/simulate',
        { manifests: manifests.map(({ path: file, text }) => ({ file, text })), since: options.since },
        each => {
          const line = each as Line;
          if ('report' in line) report = line.report;
          else if ('problem' in line) problem = problemError(line.problem);
          else if (performance.now() - shownAtMs > PROGRESS_MS) {
            shownAtMs = performance.now();
            const { done, total } = line.progress;
            terminal.err(terminal.errStyle.dim(`${done} of ${total} commands (${Math.floor((100 * done) / Math.max(1, total))} %)`));
          }
        },
      );
      if (problem !== undefined) throw problem;
      if (report === undefined)
        throw new GatewayError('DOWNLOAD_BROKEN', 'unavailable', 'the answer broke off before the report. Try again.');
      if (options.json) terminal.out(JSON.stringify(report, null, 2));
      else show(report, terminal);
      const { totals } = report;
      const found = (options.failOn ?? []).filter(change => totals[change] > 0);
      if (found.length > 0)
        throw new GatewayError(
          'SIMULATION_FOUND',
          'invalid',
          `there would be changes: ${found.map(change => `${totals[change]} ${WORDS[change]}`).join(', ')}.`,
        );
    });
}

const PROGRESS_MS = 1000;

const WORDS: Readonly<Record<ChangeKind, string>> = {
  denied: 'newly denied',
  held: 'newly held',
  unmasked: 'no longer masked',
  masked: 'newly masked',
  allowed: 'newly allowed',
};

const CODES: Readonly<Record<string, string>> = {
  'catalog-missing': 'the catalog is missing',
  'names-missing': 'it names what the catalog does not hold',
  'names-differ': 'its names meant something else then',
  'estimate-missing': 'the planner’s estimate decides',
  'prepared-missing': 'it was prepared or declared earlier',
  'text-incomplete': 'its text is not complete',
  'not-a-text': 'it is not a line of shell',
  'resource-missing': 'the resource is not there any more',
};

function show(report: Report, { out, style }: Terminal): void {
  const { commands, unchanged, totals, undecidedCommands, changes, undecided, principals, leftOut, notReplayed, proposed, since, until } =
    report;
  out(
    `${commands} commands from ${since} to ${until}, under ${proposed.length === 0 ? 'manifests that change nothing' : proposed.map(each => `${each.kind} ${each.name}`).join(', ')}`,
  );
  for (const change of CHANGES) if (totals[change] > 0) out(`  ${paint(change, style)(`${totals[change]} ${WORDS[change]}`)}`);
  out(`  ${unchanged} unchanged`);
  if (undecidedCommands > 0) out(`  ${style.yellow(`${undecidedCommands} cannot be decided`)}`);
  if (leftOut > 0) out(`  ${style.yellow(`${leftOut} left out: too many different commands at one time`)}`);
  for (const change of changes) showChange(change, { out, style });
  for (const { code, commands: count, examples } of undecided) {
    out(`\n${style.yellow(`${count} cannot be decided: ${CODES[code] ?? code}`)}`);
    for (const example of examples.slice(0, EXAMPLES))
      out(`  ${style.dim(`${example.sessionId} ${example.seq}`)}  ${oneLine(example.text)}  ${style.dim(oneLine(example.reason))}`);
  }
  if (principals.length > 0) {
    out('');
    out(
      table(
        principals.slice(0, PRINCIPALS),
        [
          { title: 'PRINCIPAL', value: each => each.name },
          { title: 'DENIED', value: each => each.denied, align: 'right' },
          { title: 'HELD', value: each => each.held, align: 'right' },
          { title: 'UNMASKED', value: each => each.unmasked, align: 'right' },
          { title: 'MASKED', value: each => each.masked, align: 'right' },
          { title: 'ALLOWED', value: each => each.allowed, align: 'right' },
        ],
        style,
        '',
      ),
    );
    if (principals.length > PRINCIPALS) out(`… and ${principals.length - PRINCIPALS} more (--json)`);
  }
  if (notReplayed.length > 0) out(`\n${style.dim(`Not replayed: ${notReplayed.join('; ')}.`)}`);
}

const EXAMPLES = 3;
const PRINCIPALS = 20;

function showChange(
  { change, rule, commands, principals, columns, examples }: ReplayChange,
  { out, style }: Pick<Terminal, 'out' | 'style'>,
): void {
  const who = principals.slice(0, EXAMPLES).map(({ name, commands: count }) => `${printable(name)} ${count}`);
  const more = principals.length > EXAMPLES ? ' …' : '';
  out(
    `\n${style.bold(paint(change, style)(`${commands} ${WORDS[change]}`))} ${change === 'allowed' ? 'where it was' : change === 'unmasked' ? 'of' : 'by'} ${printable(rule)}  (${who.join(', ')}${more})`,
  );
  if (columns.length > 0 && change !== 'unmasked') out(`  ${printable(columns.join(', '))}`);
  for (const { sessionId, seq, text, recorded } of examples.slice(0, EXAMPLES))
    out(`  ${style.dim(`${sessionId} ${seq}`)}  ${oneLine(text)}  ${style.dim(`was ${recorded.decision} by ${printable(recorded.rule)}`)}`);
}

function paint(change: ChangeKind, style: Terminal['style']): (text: string) => string {
  return change === 'denied' || change === 'unmasked' ? style.red : change === 'allowed' ? style.green : style.yellow;
}

function oneLine(text: string): string {
  return shortened(printable(text), 90);
}

function changeList(value: string): ChangeKind[] {
  return value.split(',').map(each => {
    const change = CHANGES.find(known => known === each.trim());
    if (change === undefined) throw new UsageError(`--fail-on takes ${CHANGES.join(', ')}, not \`${each.trim()}\``);
    return change;
  });
}
