/**
 * The `sallyport` command: finds the command's module, runs it, and turns whatever happens into an exit code and at most one
 * line of error. Modules are loaded only when their command is called: `sallyport ticket` stands in people's connection
 * strings and has to start fast.
 *
 * Exit codes: 0 done, 1 refused or failed, 2 usage.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { errorText } from '@sallyport/shared/errors.ts';
import { type Command, CommanderError } from 'commander';
import { EXAMPLES } from './help-examples.ts';
import { ManifestProblems } from './manifest-problems.ts';
import { printable } from './table.ts';
import { processTerminal, type Terminal } from './terminal.ts';
import { UsageError } from './usage-error.ts';

/** A command's module. The command's action throws what goes wrong, and returns the exit code when that is not 0. */
export interface CommandModule {
  /** `rest` is what follows the command's name, for those that parse it themselves. */
  define(terminal: Terminal, exit: (code: number) => void, rest: readonly string[]): Command;
}

export interface Entry {
  name: string;
  summary: string;
  load(): Promise<CommandModule>;
}

export const COMMANDS: readonly { title: string; entries: readonly Entry[] }[] = [
  {
    title: 'Run',
    entries: [
      { name: 'up', summary: 'start everything on this machine; --demo adds a sample database', load: () => import('./commands/up.ts') },
      { name: 'control-plane', summary: 'start a control plane', load: () => import('./commands/control-plane.ts') },
      { name: 'agent', summary: 'start an agent', load: () => import('./commands/agent.ts') },
    ],
  },
  {
    title: 'Connect',
    entries: [
      { name: 'login', summary: 'sign in with the browser', load: () => import('./commands/login.ts') },
      { name: 'logout', summary: 'forget the login', load: () => import('./commands/logout.ts') },
      { name: 'token', summary: "print the identity provider's token", load: () => import('./commands/token.ts') },
      { name: 'ticket', summary: 'print a short-lived password for one resource', load: () => import('./commands/ticket.ts') },
      { name: 'tickets', summary: 'list and revoke tickets', load: () => import('./commands/tickets.ts') },
      { name: 'connect', summary: "run a resource's own client, set up for it", load: () => import('./commands/connect.ts') },
      { name: 'ssh', summary: 'certificates for SSH, and whom it trusts', load: () => import('./commands/ssh.ts') },
      { name: 'ssh-key', summary: 'register public keys that open sessions by SSH', load: () => import('./commands/ssh-key.ts') },
    ],
  },
  {
    title: 'Configure',
    entries: [
      { name: 'apply', summary: 'make manifests so', load: () => import('./commands/apply.ts') },
      { name: 'plan', summary: 'show what apply would change', load: () => import('./commands/plan.ts') },
      { name: 'changes', summary: 'review changes of policy that others propose', load: () => import('./commands/changes.ts') },
      { name: 'get', summary: 'show what is configured, now or at a time', load: () => import('./commands/get.ts') },
      { name: 'history', summary: 'show who changed what, when and why', load: () => import('./commands/history.ts') },
      { name: 'policy', summary: 'explain, test and simulate policy', load: () => import('./commands/policy.ts') },
      {
        name: 'service-accounts',
        summary: 'make, list and revoke secrets of service accounts',
        load: () => import('./commands/service-accounts.ts'),
      },
      { name: 'agents', summary: 'list, invite and revoke agents', load: () => import('./commands/agents.ts') },
    ],
  },
  {
    title: 'Look',
    entries: [
      { name: 'sessions', summary: 'list, show, end and replay sessions', load: () => import('./commands/sessions.ts') },
      { name: 'evidence', summary: "ask the auditors' questions", load: () => import('./commands/evidence.ts') },
      { name: 'outputs', summary: 'send evidence to a SIEM', load: () => import('./commands/outputs.ts') },
      { name: 'review', summary: 'who has what, and whether they use it', load: () => import('./commands/review.ts') },
      { name: 'approvals', summary: 'list, approve and deny held commands', load: () => import('./commands/approvals.ts') },
      { name: 'request', summary: 'ask for access to a resource for a time', load: () => import('./commands/request.ts') },
      { name: 'detect', summary: 'find secrets and personal data in text', load: () => import('./commands/detect-command.ts') },
      { name: 'doctor', summary: 'check this machine and a running Sallyport', load: () => import('./commands/doctor.ts') },
    ],
  },
  {
    title: 'This machine',
    entries: [
      { name: 'profile', summary: 'names for several installations', load: () => import('./commands/profile.ts') },
      { name: 'completion', summary: 'make the shell complete commands and names', load: () => import('./commands/completion.ts') },
      { name: 'man', summary: 'print the manual page', load: async () => (await import('./commands/man.ts')).manModule(COMMANDS, version) },
    ],
  },
];

/**
 * Runs one command line.
 *
 * @param argv without the program's own name, e.g. `['ticket', 'crm']`.
 * @returns the exit code. Never throws.
 */
export async function run(argv: readonly string[], terminal: Terminal = processTerminal()): Promise<number> {
  const [name = '--help'] = argv;
  if (name === '--version' || name === '-V') {
    terminal.out(version());
    return 0;
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    const asked = name === 'help' && argv[1] ? find(argv[1]) : undefined;
    if (asked) return run([asked.name, '--help'], terminal);
    terminal.out(overview(terminal));
    return argv.length === 0 ? 2 : 0;
  }
  if (name === '__complete') {
    const { candidates } = await import('./completion/candidates.ts');
    const found = await candidates(
      argv.slice(1),
      COMMANDS.flatMap(({ entries }) => entries),
      terminal,
    );
    if (found.length > 0) terminal.out(found.join('\n'));
    return 0;
  }
  const entry = find(name);
  if (!entry) {
    const { didYouMean } = await import('@sallyport/shared/policy/nearest.ts');
    const near = didYouMean(
      name,
      COMMANDS.flatMap(({ entries }) => entries.map(known => known.name)),
    );
    return complain(terminal, `there is no command \`${name}\`${near || '; `sallyport --help` lists them'}`, 2);
  }
  let exitCode = 0;
  try {
    const module = await entry.load();
    const command = module.define(
      terminal,
      code => {
        exitCode = code;
      },
      argv.slice(1),
    );
    settle(command, terminal);
    withExamples(command, command.name());
    await command.parseAsync(argv.slice(1), { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0; // --help has been printed
      return complain(terminal, `${error.message.replace(/^error: /, '')}. \`sallyport ${entry.name} --help\` shows how`, 2);
    }
    if (error instanceof ManifestProblems) {
      for (const line of error.lines) terminal.err(line);
      return 1;
    }
    if (error instanceof UsageError) return complain(terminal, error.message, 2);
    if (terminal.env.SALLYPORT_DEBUG && error instanceof Error) terminal.err(error.stack ?? '');
    return complain(terminal, errorText(error), 1);
  }
}

function complain(terminal: Terminal, message: string, code: number): number {
  terminal.err(`${terminal.errStyle.red('error:')} ${printable(message)}`);
  return code;
}

/** commander must neither end the process nor print errors by itself, in the command and all below it. */
function settle(command: Command, terminal: Terminal): void {
  command.exitOverride();
  command.configureOutput({ writeOut: text => terminal.out(text.trimEnd()), writeErr: () => {} });
  for (const below of command.commands) settle(below, terminal);
}

/** Under the help of a command stand examples of it. */
function withExamples(command: Command, name: string): void {
  const examples = EXAMPLES[name.replace(/^sallyport /, '')];
  if (examples !== undefined) command.addHelpText('after', ['', 'Examples:', ...examples.map(each => `  ${each}`)].join('\n'));
  for (const below of command.commands) withExamples(below, `${name} ${below.name()}`);
}

function find(name: string): Entry | undefined {
  return COMMANDS.flatMap(({ entries }) => entries).find(entry => entry.name === name);
}

function overview({ style }: Terminal): string {
  const width = Math.max(...COMMANDS.flatMap(({ entries }) => entries.map(({ name }) => name.length)));
  return [
    `${style.bold('sallyport')}: an access gateway. Usage: sallyport COMMAND [options]`,
    ...COMMANDS.flatMap(({ title, entries }) => [
      '',
      style.bold(title),
      ...entries.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    ]),
    '',
    '`sallyport COMMAND --help` says more. Start with `sallyport up --demo`.',
  ].join('\n');
}

export function version(): string {
  const { version: text } = JSON.parse(readFileSync(path.join(import.meta.dirname, 'package.json'), 'utf8')) as { version: string };
  return text;
}
