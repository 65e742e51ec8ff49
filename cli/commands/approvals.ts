/** `sallyport approvals list|show|approve|deny|revoke`: what waits for people, and access that they gave. Answers need a person who is signed in. */
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Preview, RowSample } from '@sallyport/shared/policy/preview.ts';
import { Command } from 'commander';
import { administratorRequest, type Connection, type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { type IdentityOptions, identityToken, withIdentityOptions } from '../identity/token-source.ts';
import { printable, shortened, table } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { watchable, watchFlag } from '../watch.ts';

export interface Approval {
  id: string;
  kind: 'command' | 'access';
  access: {
    role: string;
    seconds: number;
    reason: string;
    until: string | null;
    ended: { why: string; by: string; reason: string } | null;
  } | null;
  state: string;
  resource: string;
  sessionId: string;
  rule: string;
  message: string;
  text: string;
  parameters: string[];
  preview: Preview | null;
  principal: { kind: string; name: string; delegation: string[] };
  groups: string[];
  quorum: number;
  expiresAt: string;
  approvedBy: string[];
  reason: string;
}

const ANSWERS = {
  approve: 'Approves a command or a request; never one of your own.',
  deny: 'Denies a command or a request.',
  revoke: 'Ends access that was given, or takes your own request back.',
} as const;

interface Options extends ConnectionOptions, IdentityOptions {
  watch?: true;
  json?: true;
}

export function define(terminal: Terminal): Command {
  const approvals = new Command('sallyport approvals').description(
    'Approvals: commands that wait until people release them, and requests for access.',
  );
  const withOptions = (command: Command): Command => withIdentityOptions(withConnectionOptions(command));
  withOptions(approvals.command('list'))
    .description('Lists what waits for an approval which you may see.')
    .option(...watchFlag)
    .option('--json', 'print JSON')
    .action(watchable(terminal, 'approval', listApprovals, personConnection));
  withOptions(approvals.command('show'))
    .description('Shows one approval.')
    .argument('<id>', 'id of the approval')
    .option('--json', 'print JSON')
    .action(async (id: string, options: Options) => {
      const connection = await personConnection(options, terminal);
      const approval = (await administratorRequest(connection, 'GET', `/v1/approvals/${encodeURIComponent(id)}`)) as Approval;
      print(terminal, approval, options);
    });
  for (const answer of ['approve', 'deny', 'revoke'] as const) {
    withOptions(approvals.command(answer))
      .description(ANSWERS[answer])
      .argument('<id>', 'id of the approval')
      .option('--reason <TEXT>', 'why, for the record')
      .option('--json', 'print JSON')
      .action(async (id: string, options: Options & { reason?: string }) => {
        const connection = await personConnection(options, terminal);
        const body = options.reason === undefined ? {} : { reason: options.reason };
        const approval = await administratorRequest(connection, 'POST', `/v1/approvals/${encodeURIComponent(id)}/${answer}`, body);
        print(terminal, approval as Approval, options);
      });
  }
  return approvals;
}

async function listApprovals(options: Options, terminal: Terminal): Promise<void> {
  const connection = await personConnection(options, terminal);
  const answer = (await administratorRequest(connection, 'GET', '/v1/approvals')) as { approvals: Approval[] };
  if (options.json) return terminal.out(JSON.stringify(answer, null, 2));
  terminal.out(
    table(
      answer.approvals,
      [
        { title: 'APPROVAL', value: approval => approval.id },
        { title: 'RESOURCE', value: approval => approval.resource },
        { title: 'PRINCIPAL', value: approval => approval.principal.name },
        { title: 'RULE', value: approval => approval.rule },
        { title: 'GROUPS', value: approval => approval.groups.join(',') },
        { title: 'UNTIL', value: approval => approval.expiresAt },
        { title: 'COMMAND', value: approval => shortened(printable(approval.text), 60) },
      ],
      terminal.style,
      'nothing waits for an approval',
    ),
  );
}

/** People answer as themselves: as whom they are signed in goes before the administrator's token, which may look. */
export async function personConnection(options: ConnectionOptions & IdentityOptions, terminal: Terminal): Promise<Connection> {
  const connection = await findConnection(options, terminal);
  try {
    return { ...connection, api: { ...connection.api, token: await identityToken(options, terminal) } };
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'NOT_SIGNED_IN' && connection.api.token !== undefined) return connection;
    throw error;
  }
}

export function print(terminal: Terminal, approval: Approval, options: { json?: true }): void {
  if (options.json) {
    terminal.out(JSON.stringify(approval, null, 2));
    return;
  }
  const by = approval.approvedBy.length === 0 ? '' : ` by ${approval.approvedBy.join(', ')}`;
  terminal.out(`${approval.id}: ${approval.state}${printable(by)}`);
  terminal.out(
    `  ${printable(approval.principal.name)} on ${printable(approval.resource)}, rule ${printable(approval.rule)}, until ${approval.expiresAt}`,
  );
  if (approval.message !== '') terminal.out(`  because: ${printable(approval.message)}`);
  terminal.out(`  ${approval.quorum} of each of: ${printable(approval.groups.join(', '))}`);
  if (approval.reason !== '') terminal.out(`  ${printable(approval.reason)}`);
  if (approval.access !== null) {
    const { reason, until, ended } = approval.access;
    terminal.out(`  because: ${printable(reason)}`);
    if (until !== null && ended === null) terminal.out(`  given until ${until}`);
    if (ended !== null) terminal.out(`  ${ended.why}${ended.by === '' ? '' : printable(` by ${ended.by}`)}: ${printable(ended.reason)}`);
  }
  for (const line of approval.text.split('\n')) terminal.out(`  | ${printable(line)}`);
  for (const [i, value] of approval.parameters.entries()) terminal.out(`  $${i + 1} = ${printable(value)}`);
  if (approval.preview !== null) printPreview(terminal, approval.preview);
}

function printPreview(terminal: Terminal, preview: Preview): void {
  const { rowCount, unavailable, before, after, notes, replaces } = preview;
  if (replaces !== undefined)
    terminal.out(
      `  asks again: approval ${printable(replaces.approvalId)} was given for ${rows(replaces.rowCount)}, and it had another effect by then`,
    );
  if (rowCount === null) terminal.out(`  no preview: ${printable(unavailable)}`);
  else terminal.out(`  changes ${rows(rowCount)}`);
  for (const note of notes) terminal.out(`  ${printable(note)}`);
  for (const [title, sample] of [['before', before] as const, ['after', after] as const]) {
    if (sample === null || sample.rows.length === 0) continue;
    const part = rowCount !== null && sample.rows.length < rowCount ? ` (${sample.rows.length} of ${rowCount})` : '';
    terminal.out(`  ${title}${part}:`);
    for (const line of sampleTable(terminal, sample).split('\n')) terminal.out(`    ${line}`);
  }
}

function rows(count: number): string {
  return count === 1 ? '1 row' : `${count} rows`;
}

function sampleTable(terminal: Terminal, sample: RowSample): string {
  const columns = sample.columns.map((name, i) => ({
    title: printable(name),
    value: (row: (string | null)[]) => shortened(printable(row[i] ?? 'NULL'), 40),
  }));
  return table(sample.rows, columns, terminal.style, 'no rows');
}
