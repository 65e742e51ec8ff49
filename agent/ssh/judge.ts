/**
 * From what a client asks of a host to a decision. It makes facts; `decide` judges them.
 *
 * Shell texts are analysed by shared/shell. What is not a shell text (a file, a connection, a shell that begins) is put into the
 * same form, so that a guard about paths or the network covers all ways to the same thing.
 */
import { createHash } from 'node:crypto';
import type { Decision } from '@sallyport/shared/policy/decision.ts';
import type { CommandFacts } from '@sallyport/shared/policy/facts.ts';
import { analyseShell } from '@sallyport/shared/shell/analyse.ts';
import type { NetworkUse, ShellAnalysis, ShellCommand } from '@sallyport/shared/shell/facts.ts';
import { format, literal } from '@sallyport/shared/shell/glob.ts';
import type { LiveSession } from '../session/live-session.ts';
import { type Destination, shownDestination } from './destinations.ts';

export type FileKind = 'sftp-list' | 'sftp-read' | 'sftp-write' | 'sftp-change';

export interface Judged {
  readonly facts: CommandFacts;
  readonly decision: Decision;
  /** For the record: programs and paths. */
  readonly objects: readonly string[];
}

const OBJECTS_MAX = 64;

const NOTHING: Pick<CommandFacts, 'objects' | 'columnsRead' | 'functions' | 'where' | 'inferences'> = {
  objects: [],
  columnsRead: [],
  functions: [],
  where: 'notApplicable',
  inferences: [],
};

export class Judge {
  readonly #session: LiveSession;
  readonly account: string;

  constructor(session: LiveSession, account: string) {
    this.#session = session;
    this.account = account;
  }

  /** A command. */
  text(kind: 'ssh-exec', text: string): Judged {
    const shell = analyseShell(text);
    const opaque = shell.opaque.map(each => each.reason);
    const judged = this.#decide({
      ...NOTHING,
      statements: [kind],
      multiStatement: shell.commands.length > 1,
      writes: true,
      opaque,
      ...(shell.error === undefined ? {} : { unparseable: shell.error }),
      shell,
    });
    // A host reads a text up to its first NUL, and would run another one than was judged.
    return text.includes('\0') ? this.refusal(judged, 'unknown', 'the command holds a NUL') : judged;
  }

  /**
   * A line of a terminal, with those that it continues.
   * @param directories where the shell may be, as the line before gave it; undefined: in its home.
   * @returns `incomplete`: the shell will ask for more of it; what can be seen so far is judged.
   */
  line(text: string, directories: ShellAnalysis['directories'] | undefined): { judged: Judged; incomplete: boolean } {
    const shell = withTerminal(analyseShell(text, { interactive: true, ...(directories === undefined ? {} : { directories }) }));
    const incomplete = shell.error !== undefined && shell.incomplete === true;
    const judged = this.#decide({
      ...NOTHING,
      statements: ['ssh-line'],
      multiStatement: shell.commands.length > 1,
      writes: true,
      opaque: shell.opaque.map(each => each.reason),
      ...(shell.error === undefined || incomplete ? {} : { unparseable: shell.error }),
      shell,
    });
    return { judged, incomplete };
  }

  /** What no rule was asked about. */
  withoutRules(kind: 'ssh-line' | 'ssh-remote-forward' | 'ssh-watch', rule: string, reason: string): Judged {
    const facts: CommandFacts = { ...NOTHING, statements: [kind], multiStatement: false, writes: true, opaque: [], account: this.account };
    return { facts, decision: { action: 'allow', rule, reason }, objects: [] };
  }

  /** A line that the gateway is not certain of. */
  uncertainLine(reason: string): Judged {
    return this.#decide({
      ...NOTHING,
      statements: ['ssh-line'],
      multiStatement: false,
      writes: true,
      opaque: [reason],
      shell: { commands: [], opaque: [{ reason, text: '' }], directories: null },
    });
  }

  /** A text of bytes that are no characters: what is judged must be what runs, and nobody can say what would. */
  unreadable(): Judged {
    const reason = 'the command is not UTF-8';
    return this.refusal(this.text('ssh-exec', ''), 'unknown', reason);
  }

  /** The first key of a host that pins none. */
  hostKey(): Judged {
    return this.#plain('ssh-host-key', [], false);
  }

  shell(): Judged {
    return this.#plain('ssh-shell', [], true);
  }

  /** Of sftp each operation is judged by itself. Nothing is known of what others do: a guard must allow them by name. */
  subsystem(name: string): Judged {
    const judged = this.#plain('ssh-subsystem', [command(name, {})], true);
    if (name === 'sftp') {
      const isOff = judged.decision.action !== 'deny' && this.#session.sshAccess?.sftp === false;
      return isOff ? this.refusal(judged, 'role', 'your role moves no files') : judged;
    }
    if (judged.decision.action !== 'allow' || judged.decision.rule !== 'default') return judged;
    return this.refusal(judged, 'subsystems', `the subsystem ${JSON.stringify(name.slice(0, 64))} is not offered`);
  }

  /**
   * A file operation.
   * @param reads absolute paths, resolved. @param trees those of them with which all below goes.
   */
  file(kind: FileKind, reads: readonly string[], writes: readonly string[], trees: readonly string[] = []): Judged {
    const named = (paths: readonly string[]) =>
      paths.flatMap(path => {
        const fact = format(literal(path));
        return trees.includes(path) ? [fact, `${fact === '/' ? '' : fact}/**`] : [fact];
      });
    const isChange = kind === 'sftp-write' || kind === 'sftp-change';
    return this.#plain(kind, [command('sftp', { reads: named(reads), writes: named(writes) })], isChange);
  }

  /** A connection through the host. */
  forward(to: Destination): Judged {
    return this.#connection('ssh-forward', 'connect', to);
  }

  /** The host listens for the client. */
  remoteForward(on: Destination): Judged {
    return this.#connection('ssh-remote-forward', 'listen', on);
  }

  #connection(statement: 'ssh-forward' | 'ssh-remote-forward', kind: NetworkUse['kind'], to: Destination): Judged {
    const address = format(literal(shownDestination(to)));
    return this.#plain(
      statement,
      [
        command('ssh', {
          network: [
            { kind, address },
            { kind: 'tunnel', address },
          ],
        }),
      ],
      true,
    );
  }

  /** What the protocol or the role refuses whatever the guards say. */
  refusal(judged: Judged, rule: string, reason: string): Judged {
    return { ...judged, decision: { action: 'deny', rule, reason, message: reason } };
  }

  #plain(kind: string, commands: ShellCommand[], writes: boolean): Judged {
    const shell: ShellAnalysis = { commands, opaque: [], directories: null };
    return this.#decide({ ...NOTHING, statements: [kind], multiStatement: false, writes, opaque: [], shell });
  }

  #decide(facts: CommandFacts): Judged {
    const complete = { ...facts, account: this.account };
    const decided = this.#session.inForce.policy.decide(complete, new Date());
    const { budget } = this.#session;
    const isSpent = decided.action !== 'deny' && budget?.spent === true && !facts.statements.includes('ssh-host-key');
    const decision: Decision = isSpent
      ? { action: 'deny', rule: `role/${budget.role}/budget`, reason: 'the budget is spent', message: budget.describe() }
      : decided;
    const objects = new Set<string>();
    for (const each of facts.shell?.commands ?? []) {
      for (const object of [each.program, ...each.reads, ...each.writes, ...each.network.map(use => use.address)]) {
        if (objects.size < OBJECTS_MAX) objects.add(object);
      }
    }
    return { facts: complete, decision, objects: [...objects] };
  }
}

/** What turns the shell's line editor or the echo off takes away what the next lines are known by. */
function withTerminal(shell: ShellAnalysis): ShellAnalysis {
  const blinding = shell.commands.find(({ program, argv }) =>
    program === 'stty'
      ? argv.slice(1).some(word => !/^(?:-a|--all|-g|--save|size|speed|sane)$/.test(word))
      : program === 'set' && argv.some(word => /emacs|vi/.test(word)),
  );
  if (blinding === undefined) return shell;
  return {
    ...shell,
    opaque: [...shell.opaque, { reason: 'it changes how the terminal shows what is typed', text: blinding.argv.join(' ').slice(0, 200) }],
  };
}

function command(
  program: string,
  uses: { reads?: readonly string[]; writes?: readonly string[]; network?: readonly NetworkUse[] },
): ShellCommand {
  return {
    program,
    path: program,
    argv: [program],
    open: false,
    wrappers: [],
    privilege: [],
    reads: uses.reads ?? [],
    writes: uses.writes ?? [],
    network: uses.network ?? [],
  };
}

/** What an approval is bound to: the kind, the account and the very text. */
export function bindingOf(kind: string, account: string, text: string): Uint8Array {
  return createHash('sha256')
    .update(JSON.stringify([kind, account, text]))
    .digest();
}
