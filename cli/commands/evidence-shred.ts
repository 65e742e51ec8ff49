/** `sallyport evidence shred`: makes what came back in a person's sessions unreadable. One asks, another confirms. */
import type { Command } from 'commander';
import { administratorRequest, type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { printable, table } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';

interface Request {
  id: string;
  person: string;
  reason: string;
  askedBy: string;
  askedAt: string;
}

interface Done extends Omit<Request, 'askedAt'> {
  confirmedBy: string;
  through: string;
  sessions: number;
}

interface Counted {
  sessions: number;
  readable: number;
}

type Options = ConnectionOptions & { person?: string; reason?: string; confirm?: string; now?: true; json?: true };

export function addShred(evidence: Command, terminal: Terminal): void {
  const { out, err, errStyle } = terminal;
  withConnectionOptions(evidence.command('shred'))
    .description(
      'Makes responses, bind parameters and terminal output of a person’s sessions unreadable, where an audit policy said `erasable`. Without options, lists.',
    )
    .option('--person <NAME>', 'ask for it: sessions of this person or workload (role admin)')
    .option('--reason <TEXT>', 'why, for the record')
    .option('--confirm <ID>', 'confirm what somebody else asked for (role auditor)')
    .option('--now', 'with --confirm: destroy keys at once that late agents may still seal to')
    .option('--json', 'print JSON')
    .action(async (options: Options) => {
      const { person, reason, confirm } = options;
      if (person !== undefined && confirm !== undefined) throw new UsageError('give either --person or --confirm');
      if ((person === undefined) !== (reason === undefined)) throw new UsageError('--person and --reason belong together');
      if (options.now && confirm === undefined) throw new UsageError('--now goes with --confirm');
      const connection = await findConnection(options, terminal);
      const warn = ({ readable }: Counted) => {
        if (readable > 0)
          err(
            `${errStyle.yellow('warning:')} ${readable} sessions were recorded while no audit policy said erasable: their contents stay readable until their retention is over`,
          );
      };
      if (person !== undefined) {
        const asked = (await administratorRequest(connection, 'POST', '/v1/evidence/shreds', { person, reason })) as Request & Counted;
        out(options.json ? JSON.stringify(asked, null, 2) : asked.id);
        warn(asked);
        if (!options.json)
          err(`${asked.sessions} sessions of ${printable(person)}; an auditor confirms: sallyport evidence shred --confirm ${asked.id}`);
        return;
      }
      if (confirm !== undefined) {
        const path = `/v1/evidence/shreds/${encodeURIComponent(confirm)}/confirm`;
        const body = options.now ? { now: true } : {};
        const done = (await administratorRequest(connection, 'POST', path, body)) as Done & Counted & { finalAt: string };
        if (options.json) out(JSON.stringify(done, null, 2));
        else {
          out(`the contents of ${done.sessions} sessions of ${printable(done.person)} can be read no more`);
          out(`copies of the log cannot be opened by anybody from ${done.finalAt} on`);
        }
        warn(done);
        return;
      }
      list(
        (await administratorRequest(connection, 'GET', '/v1/evidence/shreds')) as { waiting: Request[]; done: Done[] },
        options,
        terminal,
      );
    });
}

function list(answer: { waiting: Request[]; done: Done[] }, options: Options, { out, style }: Terminal): void {
  if (options.json) {
    out(JSON.stringify(answer, null, 2));
    return;
  }
  const rows = [
    ...answer.waiting.map(each => ({ ...each, confirmedBy: 'waits', at: each.askedAt, sessions: '' })),
    ...answer.done.map(each => ({ ...each, at: each.through, sessions: String(each.sessions) })),
  ];
  out(
    table(
      rows,
      [
        { title: 'ID', value: ({ id }) => id },
        { title: 'PERSON', value: ({ person }) => person },
        { title: 'AT', value: ({ at }) => at.slice(0, 19) },
        { title: 'SESSIONS', value: ({ sessions }) => sessions, align: 'right' },
        { title: 'ASKED BY', value: ({ askedBy }) => askedBy },
        { title: 'CONFIRMED BY', value: ({ confirmedBy }) => confirmedBy },
        { title: 'REASON', value: ({ reason }) => reason },
      ],
      style,
      'nothing was shredded',
    ),
  );
}
