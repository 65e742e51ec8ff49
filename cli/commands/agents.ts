/** `sallyport agents list|invite|revoke`. */
import { Command } from 'commander';
import { administratorRequest, allPages, type ConnectionOptions, findConnection, readText, withConnectionOptions } from '../connection.ts';
import { span } from '../doctor/finding.ts';
import { requestJson } from '../http-client.ts';
import { pairs, printable, table } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';
import { watchable, watchFlag } from '../watch.ts';
import { durationSeconds } from './ticket.ts';

interface Agent {
  id: string;
  name: string;
  status: string;
  health?: string;
  leaseIssuedAt?: string;
  roundTripMs?: number;
  spoolRecords?: number;
  labels: Record<string, string>;
  version: string;
  lastSeenAt?: string;
  sessions: number;
  /** Resource → host:port; and why others are not served. */
  listeners: Record<string, string>;
  problems: Record<string, string>;
  revokedBecause?: string;
  copySeenAt?: string;
  copySeenFrom?: string;
}

interface Options extends ConnectionOptions {
  watch?: true;
  json?: true;
}

export function define(terminal: Terminal): Command {
  const agents = new Command('sallyport agents').description('Agents: the processes that stand in front of resources.');
  withConnectionOptions(agents.command('list'))
    .description('Lists agents.')
    .option(...watchFlag)
    .option('--json', 'print JSON')
    .action(watchable(terminal, 'agent', listAgents));
  withConnectionOptions(agents.command('invite'))
    .description('Prints a join token: it enrols one agent, once.')
    .option('--label <KEY=VALUE>', 'label that the agent gets; may be repeated', label, {})
    .option('--network <CIDR>', 'only an agent that comes from there may join; may be repeated', collected)
    .option('--expires-in <DURATION>', 'how long it is good for (default 1h)', durationSeconds)
    .option('--json', 'print JSON')
    .action(async (options: Options & { label: Record<string, string>; network?: string[]; expiresIn?: number }) => {
      const connection = await findConnection(options, terminal);
      const answer = (await administratorRequest(connection, 'POST', '/v1/agents/invitations', {
        labels: options.label,
        ...(options.network === undefined ? {} : { networks: options.network }),
        ...(options.expiresIn === undefined ? {} : { expiresInSeconds: options.expiresIn }),
      })) as { token: string; expiresAt: string };
      if (options.json) return terminal.out(JSON.stringify(answer, null, 2));
      terminal.out(answer.token);
      const grpc = connection.endpoints?.grpc ?? 'HOST:PORT';
      terminal.err(
        terminal.errStyle.dim(`Good once, until ${answer.expiresAt}:  sallyport agent --join TOKEN --control-plane ${grpc} --data DIR`),
      );
    });
  withConnectionOptions(agents.command('join-token'))
    .description(
      'Trades the token of a workload for a join token, where its service account has `joins`. Each token is good for one: --join "$(sallyport agents join-token …)".',
    )
    .requiredOption('--token-file <FILE>', "file with the issuer's token, as a build system or a cluster mounts it")
    .action(async ({ tokenFile, ...options }: Options & { tokenFile: string }) => {
      const { api } = await findConnection(options, terminal);
      const own = (await readText(tokenFile, 'the token')).trim();
      const { token } = (await requestJson({ ...api, token: own }, 'POST', '/v1/agents/join-tokens', {})) as { token: string };
      terminal.out(token);
    });
  withConnectionOptions(agents.command('log-level'))
    .description('Has an agent’s log say more or less for a while; it is back by itself.')
    .argument('<id>', 'id of the agent, see `agents list`')
    .argument('<level>', 'debug, info, warn or error')
    .option('--for <DURATION>', 'how long, a day at most (default 10m); 0s: back at once', durationSeconds)
    .option('--reason <TEXT>', 'why, for the record')
    .action(async (id: string, level: string, options: Options & { for?: number; reason?: string }) => {
      if (!['debug', 'info', 'warn', 'error'].includes(level))
        throw new UsageError(`a level is debug, info, warn or error, not \`${level}\``);
      const body = {
        ...{ level },
        ...(options.for === undefined ? {} : { forSeconds: options.for }),
        ...(options.reason === undefined ? {} : { reason: options.reason }),
      };
      const path = `/v1/agents/${encodeURIComponent(id)}/log-level`;
      const { until } = (await administratorRequest(await findConnection(options, terminal), 'POST', path, body)) as { until: string };
      terminal.out(`agent ${id} logs ${level} until ${until}`);
    });
  withConnectionOptions(agents.command('drain'))
    .description('Lets an agent take no new sessions; those that live go on until the deadline. It serves again after a restart.')
    .argument('<id>', 'id of the agent, see `agents list`')
    .option('--within <DURATION>', 'how long live sessions may go on (default 10m)', durationSeconds)
    .option('--reason <TEXT>', 'why, for the record')
    .action(async (id: string, options: Options & { within?: number; reason?: string }) => {
      const body = {
        ...(options.within === undefined ? {} : { withinSeconds: options.within }),
        ...(options.reason === undefined ? {} : { reason: options.reason }),
      };
      await administratorRequest(await findConnection(options, terminal), 'POST', `/v1/agents/${encodeURIComponent(id)}/drain`, body);
      terminal.out(`agent ${id} takes no new sessions`);
    });
  withConnectionOptions(agents.command('revoke'))
    .description('Takes an agent its certificate and its leases.')
    .argument('<id>', 'id of the agent, see `agents list`')
    .action(async (id: string, options: Options) => {
      await administratorRequest(await findConnection(options, terminal), 'POST', `/v1/agents/${encodeURIComponent(id)}/revoke`, {});
      terminal.out(`agent ${id} is revoked`);
    });
  return agents;
}

function collected(value: string, before: string[] = []): string[] {
  return [...before, value];
}

async function listAgents(options: Options, terminal: Terminal): Promise<void> {
  const answer = { agents: await allPages<Agent>(await findConnection(options, terminal), '/v1/agents', 'agents') };
  if (options.json) return terminal.out(JSON.stringify(answer, null, 2));
  terminal.out(
    table(
      answer.agents,
      [
        { title: 'ID', value: agent => agent.id },
        { title: 'NAME', value: agent => agent.name },
        { title: 'STATUS', value: agent => agent.status },
        { title: 'HEALTH', value: agent => agent.health },
        { title: 'VERSION', value: agent => agent.version },
        { title: 'LABELS', value: agent => pairs(agent.labels) },
        { title: 'SESSIONS', value: agent => agent.sessions, align: 'right' },
        { title: 'LEASE AGE', value: agent => age(agent.leaseIssuedAt), align: 'right' },
        { title: 'SPOOL', value: agent => agent.spoolRecords, align: 'right' },
        { title: 'RTT', value: agent => (agent.roundTripMs === undefined ? '' : `${agent.roundTripMs} ms`), align: 'right' },
        { title: 'SERVES', value: agent => Object.keys(agent.listeners).join(',') },
        { title: 'LAST SEEN', value: agent => agent.lastSeenAt },
      ],
      terminal.style,
      'no agent has enrolled yet; `sallyport agents invite` makes a join token for one',
    ),
  );
  for (const agent of answer.agents) {
    const warn = (text: string) => terminal.err(`${terminal.errStyle.yellow('warning:')} ${agent.name || agent.id} ${printable(text)}`);
    if (agent.copySeenAt !== undefined) {
      warn(
        `has a copy: a second process with its keys came from ${agent.copySeenFrom ?? 'somewhere'} at ${agent.copySeenAt} and was refused`,
      );
    }
    if (agent.status === 'revoked' && agent.revokedBecause !== undefined) warn(`is revoked: ${agent.revokedBecause}`);
    for (const [resource, reason] of Object.entries(agent.problems)) {
      terminal.err(`${terminal.errStyle.yellow('warning:')} ${agent.name} does not serve ${resource}: ${printable(reason)}`);
    }
  }
}

/** How long ago, in the largest unit that fits. */
function age(iso: string | undefined): string {
  return iso === undefined ? '' : span(Math.max(0, Date.now() - Date.parse(iso)));
}

function label(text: string, labels: Record<string, string>): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new UsageError(`a label is KEY=VALUE, not \`${text}\``);
  return { ...labels, [text.slice(0, at)]: text.slice(at + 1) };
}
