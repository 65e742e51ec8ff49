/** `sallyport review`: who has what, and whether they use it. */
import { Command } from 'commander';
import { administratorRequest, type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { moment } from '../moment.ts';
import { table } from '../table.ts';
import type { Terminal } from '../terminal.ts';

interface Used {
  lastUsedAt: string | null;
  sessions: number;
}

interface Secret {
  id: string;
  account: string;
  expiresAt: string;
  lastUsedAt: string | null;
  tickets: number;
}

interface SshKey extends Used {
  id: string;
  fingerprint: string;
  label: string;
  principal: string;
  expiresAt: string;
}

interface Review {
  since: string;
  grants: ({ role: string; member: string; kind: string; resources: string[] } & Used)[];
  serviceAccounts: ({ name: string } & Used)[];
  secrets: Secret[];
  sshKeys: SshKey[];
  credentials: ({ name: string; resources: string[] } & Used)[];
}

interface Row extends Omit<Used, 'sessions'> {
  /** Absent: what is counted is not sessions. */
  sessions?: number;
  what: string;
  name: string;
  resources: string[];
}

export function define(terminal: Terminal): Command {
  return withConnectionOptions(new Command('sallyport review'))
    .description(
      'Reviews access: every member of every role, every service account, credential and registered SSH key, with the last session that needed it.',
    )
    .option('--since <TIME>', 'how far to look, e.g. 30d or 2026-01-01 (default 90d)', text => moment(text))
    .option('--unused', 'only what nobody has used since then')
    .option('--json', 'print JSON')
    .action(async (options: ConnectionOptions & { since?: string; unused?: true; json?: true }) => {
      const query = options.since === undefined ? '' : `?since=${encodeURIComponent(options.since)}`;
      const connection = await findConnection(options, terminal);
      const all = (await administratorRequest(connection, 'GET', `/v1/access-review${query}`)) as Review;
      const isShown = ({ sessions }: Used) => !options.unused || sessions === 0;
      const review: Review = {
        since: all.since,
        grants: all.grants.filter(isShown),
        serviceAccounts: all.serviceAccounts.filter(isShown),
        secrets: all.secrets.filter(({ lastUsedAt }) => !options.unused || lastUsedAt === null || lastUsedAt < all.since),
        sshKeys: all.sshKeys.filter(({ lastUsedAt }) => !options.unused || lastUsedAt === null || lastUsedAt < all.since),
        credentials: all.credentials.filter(isShown),
      };
      if (options.json) return terminal.out(JSON.stringify(review, null, 2));
      terminal.out(
        table(
          rowsOf(review),
          [
            { title: 'WHAT', value: row => row.what },
            { title: 'NAME', value: row => row.name },
            { title: 'RESOURCES', value: row => row.resources.join(',') },
            { title: 'SESSIONS', value: row => row.sessions, align: 'right' },
            {
              title: 'LAST USED',
              value: row => row.lastUsedAt?.slice(0, 16).replace('T', ' ') ?? `not since ${review.since.slice(0, 10)}`,
            },
          ],
          terminal.style,
          options.unused ? 'everything has been used' : 'nobody has access to anything',
        ),
      );
    });
}

function rowsOf({ grants, serviceAccounts, secrets, sshKeys, credentials }: Review): Row[] {
  return [
    ...grants.map(grant => ({ ...grant, what: `role ${grant.role}`, name: `${kinds[grant.kind] ?? grant.kind} ${grant.member}` })),
    ...serviceAccounts.map(account => ({ ...account, what: 'service account', resources: [] })),
    ...secrets.map(({ id, account, expiresAt, lastUsedAt }) => ({
      ...{ what: `secret of ${account}`, name: `${id.slice(0, 8)}, ends ${expiresAt.slice(0, 10)}`, resources: [], lastUsedAt },
    })),
    ...sshKeys.map(({ fingerprint, label, principal, expiresAt, lastUsedAt, sessions }) => ({
      what: `ssh key of ${principal}`,
      ...{
        name: `${label === '' ? fingerprint.slice(0, 19) : label}, ends ${expiresAt.slice(0, 10)}`,
        resources: [],
        lastUsedAt,
        sessions,
      },
    })),
    ...credentials.map(credential => ({ ...credential, what: 'credential' })),
  ];
}

const kinds: Readonly<Record<string, string>> = { group: 'group', person: 'person', serviceAccount: 'account' };
