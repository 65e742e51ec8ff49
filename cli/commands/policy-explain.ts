/** `sallyport policy explain`: what policy decides of one command and why, offline from manifests or by a running installation. */
import { readFileSync } from 'node:fs';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { didYouMean } from '@sallyport/shared/policy/nearest.ts';
import type { Explanation } from '@sallyport/shared/rehearsal/explanation.ts';
import { explanationLines } from '@sallyport/shared/rehearsal/explanation-text.ts';
import type { Command } from 'commander';
import { administratorRequest, type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { readCatalog, readPolicyFolder } from '../policy-folder.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';

interface Options extends ConnectionOptions {
  resource: string;
  as: string;
  groups?: string[];
  kind?: 'person' | 'workload';
  rows?: number;
  config?: string;
  catalog?: string;
  json?: true;
}

export function addExplain(policy: Command, terminal: Terminal): void {
  withConnectionOptions(policy.command('explain'))
    .description('Explains what policy decides of a command, and why. The command is not run. Exit code 0 whatever the decision is.')
    .argument('<text>', 'the command, e.g. "SELECT email FROM customers"; `-` reads it from standard input')
    .requiredOption('--resource <NAME>', 'the resource it is for')
    .requiredOption('--as <NAME>', 'who asks: a person, or a service account')
    .option('--groups <NAMES>', 'their groups, with commas; absent: as of their last session, or as the service account says', groupList)
    .option('--kind <KIND>', 'person or workload; absent: workload when there is such a service account', kindOf)
    .option('--rows <N>', 'suppose that the planner estimates so many rows', rowCount)
    .option('--config <DIR>', 'offline: the policy of these manifests, with the *.catalog.json beside them')
    .option('--catalog <FILE>', 'with --config: the catalog, as `policy catalog` wrote it')
    .option('--json', 'print JSON')
    .action(async (text: string, options: Options) => {
      const command = text === '-' ? readFileSync(0, 'utf8') : text;
      const explanation =
        options.config === undefined ? await ask(command, options, terminal) : await offline(command, options, options.config);
      if (options.json) terminal.out(JSON.stringify(explanation, null, 2));
      else terminal.out(explanationLines(explanation, terminal.style).join('\n'));
    });
}

async function ask(text: string, options: Options, terminal: Terminal): Promise<Explanation> {
  if (options.catalog !== undefined)
    throw new UsageError('--catalog goes with --config: a running installation reads the catalog by itself');
  const { resource, as: name, groups, kind, rows } = options;
  const connection = await findConnection(options, terminal);
  return (await administratorRequest(connection, 'POST', '/v1/policy/explain', {
    resource,
    as: { name, ...(groups === undefined ? {} : { groups }), ...(kind === undefined ? {} : { kind }) },
    text,
    ...(rows === undefined ? {} : { estimatedRows: rows }),
  })) as Explanation;
}

async function offline(text: string, options: Options, config: string): Promise<Explanation> {
  const [{ explain }, { loadParser }, { principalNamed }] = await Promise.all([
    import('@sallyport/shared/rehearsal/explanation.ts'),
    import('@sallyport/shared/sql/parser.ts'),
    import('@sallyport/shared/rehearsal/principal-named.ts'),
  ]);
  await loadParser();
  const { policy, manifests, catalogs } = await readPolicyFolder(config);
  if (!policy.resources.has(options.resource)) {
    const known = [...policy.resources.keys()];
    throw new GatewayError(
      'RESOURCE_UNKNOWN',
      'notFound',
      `${config} has no resource ${options.resource}${didYouMean(options.resource, known) || `; it has ${known.join(', ') || 'none'}`}.`,
    );
  }
  const catalog = options.catalog === undefined ? (catalogs.get(options.resource) ?? null) : (await readCatalog(options.catalog)).view;
  return explain({
    policy,
    resource: options.resource,
    principal: principalNamed(options.as, { kind: options.kind, groups: options.groups }, manifests),
    text,
    catalog,
    now: new Date(),
    ...(options.rows === undefined ? {} : { estimatedRows: options.rows }),
  });
}

function groupList(value: string): string[] {
  return value
    .split(',')
    .map(each => each.trim())
    .filter(each => each !== '');
}

function kindOf(value: string): 'person' | 'workload' {
  if (value === 'person' || value === 'workload') return value;
  throw new UsageError(`--kind is person or workload, not \`${value}\``);
}

function rowCount(value: string): number {
  const rows = Number(value);
  if (!/^\d{1,15}$/.test(value)) throw new UsageError(`--rows is a whole number, not \`${value}\``);
  return rows;
}
