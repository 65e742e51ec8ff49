/** `sallyport changes list|show|approve|reject|withdraw`: changes of policy that somebody proposed, for somebody else to approve. */
import { Command } from 'commander';
import { administratorRequest, type ConnectionOptions, withConnectionOptions } from '../connection.ts';
import { type IdentityOptions, withIdentityOptions } from '../identity/token-source.ts';
import type { ChangeReport } from '../manifest-changes.ts';
import { printable, shortened, table } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { watchable, watchFlag } from '../watch.ts';
import { personConnection } from './approvals.ts';

export interface ProposedChange {
  id: string;
  state: string;
  author: { kind: string; name: string };
  reason: string;
  proposedAt: string;
  changes: ChangeReport['changes'];
  answer: { by: string; reason: string; at: string } | null;
  moved: string[];
}

const ANSWERS = {
  approve: 'Approves a change of somebody else\u2019s, and applies it.',
  reject: 'Rejects a change of somebody else\u2019s.',
  withdraw: 'Takes a change of your own back.',
} as const;

const PLANNED = { created: 'created', configured: 'changed', unchanged: 'unchanged', deleted: 'deleted' } as const;

interface Options extends ConnectionOptions, IdentityOptions {
  watch?: true;
  json?: true;
  all?: true;
}

export function define(terminal: Terminal): Command {
  const changes = new Command('sallyport changes').description('Changes of policy that wait for a second person.');
  const withOptions = (command: Command): Command => withIdentityOptions(withConnectionOptions(command));
  withOptions(changes.command('list'))
    .description('Lists changes that wait for a review.')
    .option('--all', 'those that are over as well')
    .option(...watchFlag)
    .option('--json', 'print JSON')
    .action(watchable(terminal, 'change', listChanges, personConnection));
  withOptions(changes.command('show'))
    .description('Shows what a change would make of the manifests.')
    .argument('<id>', 'id of the change')
    .option('--json', 'print JSON')
    .action(async (id: string, options: Options) => {
      const connection = await personConnection(options, terminal);
      const change = await administratorRequest(connection, 'GET', `/v1/changes/${encodeURIComponent(id)}`);
      printChange(terminal, change as ProposedChange, options);
    });
  for (const answer of ['approve', 'reject', 'withdraw'] as const) {
    withOptions(changes.command(answer))
      .description(ANSWERS[answer])
      .argument('<id>', 'id of the change')
      .option('--reason <TEXT>', 'why, for the record')
      .option('--json', 'print JSON')
      .action(async (id: string, options: Options & { reason?: string }) => {
        const connection = await personConnection(options, terminal);
        const body = options.reason === undefined ? {} : { reason: options.reason };
        const change = await administratorRequest(connection, 'POST', `/v1/changes/${encodeURIComponent(id)}/${answer}`, body);
        printChange(terminal, change as ProposedChange, options);
      });
  }
  return changes;
}

async function listChanges(options: Options, terminal: Terminal): Promise<void> {
  const connection = await personConnection(options, terminal);
  const answer = (await administratorRequest(connection, 'GET', `/v1/changes${options.all ? '?state=all' : ''}`)) as {
    changes: ProposedChange[];
  };
  if (options.json) return terminal.out(JSON.stringify(answer, null, 2));
  terminal.out(
    table(
      answer.changes,
      [
        { title: 'CHANGE', value: change => change.id },
        { title: 'STATE', value: change => stateOf(change) },
        { title: 'BY', value: change => change.author.name },
        { title: 'WHEN', value: change => change.proposedAt },
        { title: 'WHAT', value: change => shortened(printable(change.changes.map(({ kind, name }) => `${kind}/${name}`).join(', ')), 50) },
        { title: 'REASON', value: change => shortened(printable(change.reason), 50) },
      ],
      terminal.style,
      'no change waits for a review',
    ),
  );
}

export function printChange(terminal: Terminal, change: ProposedChange, options: { json?: true }): void {
  if (options.json) {
    terminal.out(JSON.stringify(change, null, 2));
    return;
  }
  const { id, author, reason, proposedAt, answer, moved } = change;
  terminal.out(`${id}: ${stateOf(change)}`);
  terminal.out(`  proposed by ${printable(author.name)}, ${proposedAt}: ${printable(reason)}`);
  if (answer !== null)
    terminal.out(`  answered by ${printable(answer.by)}, ${answer.at}${answer.reason === '' ? '' : printable(`: ${answer.reason}`)}`);
  if (moved.length > 0) terminal.out(`  changed meanwhile, so it is not applied any more: ${printable(moved.join(', '))}`);
  const { style } = terminal;
  for (const { kind, name, change: what, diff } of change.changes) {
    terminal.out(`${kind}/${printable(name)} ${PLANNED[what]}`);
    // Nothing is cut: who approves answers for all of it.
    for (const { path, before, after } of diff ?? []) {
      if (before !== undefined) terminal.out(style.red(`  - ${textOf(path, before)}`));
      if (after !== undefined) terminal.out(style.green(`  + ${textOf(path, after)}`));
    }
  }
}

function textOf(path: string, value: unknown): string {
  return printable(`${path === '' ? '' : `${path}: `}${JSON.stringify(value)}`);
}

function stateOf({ state, moved }: ProposedChange): string {
  return state === 'proposed' && moved.length > 0 ? 'stale' : state;
}
