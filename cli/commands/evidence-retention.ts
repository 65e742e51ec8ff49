/** `sallyport evidence retention` and `sallyport evidence hold …`: how long evidence is kept, and what is kept longer. */
import type { Command } from 'commander';
import { administratorRequest, type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { printable, table } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';

interface Due {
  resource: string;
  policies: string[];
  retentionMs: number | null;
  before: string | null;
  sessions: number;
  held: number;
  open: number;
  next: string | null;
}

interface Hold {
  id: string;
  person?: string;
  resource?: string;
  session?: string;
  reason: string;
  placedAt: string;
}

type Subject = Pick<Hold, 'person' | 'resource' | 'session'>;

const DAY_MS = 86_400_000;

export function addRetention(evidence: Command, terminal: Terminal): void {
  withConnectionOptions(evidence.command('retention'))
    .description('Shows how long sessions are kept, and how many are due to be deleted. They go within the hour.')
    .option('--run', 'delete what is due now')
    .option('--json', 'print JSON')
    .action(async (options: ConnectionOptions & { run?: true; json?: true }) => {
      const connection = await findConnection(options, terminal);
      const path = `/v1/evidence/retention${options.run ? '/run' : ''}`;
      const answer = (await administratorRequest(connection, options.run ? 'POST' : 'GET', path)) as { resources: Due[] };
      if (options.json) {
        terminal.out(JSON.stringify(answer, null, 2));
        return;
      }
      terminal.out(
        table(
          answer.resources,
          [
            { title: 'RESOURCE', value: ({ resource }) => resource },
            { title: 'KEPT', value: ({ retentionMs }) => (retentionMs === null ? 'for ever' : `${retentionMs / DAY_MS} days`) },
            { title: 'BY', value: ({ policies }) => policies.join(', ') },
            { title: options.run ? 'DELETED' : 'DUE', value: ({ sessions }) => sessions, align: 'right' },
            { title: 'ON HOLD', value: ({ held }) => held, align: 'right' },
            { title: 'NO END', value: ({ open }) => open, align: 'right' },
            { title: 'NEXT', value: ({ next }) => next?.slice(0, 10) ?? '' },
          ],
          terminal.style,
          'no sessions yet',
        ),
      );
    });
  addHold(evidence, terminal);
}

function addHold(evidence: Command, terminal: Terminal): void {
  const hold = evidence.command('hold').description('Legal holds: sessions that are kept whatever audit policies say.');
  withConnectionOptions(hold.command('list'))
    .description('Lists legal holds.')
    .option('--json', 'print JSON')
    .action(async (options: ConnectionOptions & { json?: true }) => {
      const connection = await findConnection(options, terminal);
      const answer = (await administratorRequest(connection, 'GET', '/v1/evidence/holds')) as { holds: Hold[] };
      if (options.json) {
        terminal.out(JSON.stringify(answer, null, 2));
        return;
      }
      terminal.out(
        table(
          answer.holds,
          [
            { title: 'HOLD', value: ({ id }) => id },
            { title: 'ABOUT', value: each => about(each) },
            { title: 'SINCE', value: ({ placedAt }) => placedAt.slice(0, 10) },
            { title: 'REASON', value: ({ reason }) => reason },
          ],
          terminal.style,
          'no legal holds',
        ),
      );
    });
  withConnectionOptions(hold.command('place'))
    .description('Keeps sessions until the hold is released; all that is given must match.')
    .option('--person <NAME>', 'sessions of this person or workload')
    .option('--resource <NAME>', 'sessions on this resource')
    .option('--session <ID>', 'this session')
    .requiredOption('--reason <TEXT>', 'why, for the record')
    .action(async ({ person, resource, session, reason, ...options }: ConnectionOptions & Subject & { reason: string }) => {
      if (person === undefined && resource === undefined && session === undefined)
        throw new UsageError('give --person, --resource or --session');
      const connection = await findConnection(options, terminal);
      const body = { person, resource, session, reason };
      const placed = (await administratorRequest(connection, 'POST', '/v1/evidence/holds', body)) as Hold;
      terminal.out(placed.id);
      terminal.err(`sessions of ${printable(about(placed))} are kept until this hold is released`);
    });
  withConnectionOptions(hold.command('release'))
    .description('Releases a hold: what is due is deleted within the hour.')
    .argument('<hold>', 'its id')
    .requiredOption('--reason <TEXT>', 'why, for the record')
    .action(async (id: string, options: ConnectionOptions & { reason: string }) => {
      const connection = await findConnection(options, terminal);
      await administratorRequest(connection, 'POST', `/v1/evidence/holds/${encodeURIComponent(id)}/release`, { reason: options.reason });
      terminal.err('released');
    });
}

function about({ person, resource, session }: Subject): string {
  return Object.entries({ person, resource, session })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}
