/**
 * From shell text to facts: the way in. Pure and synchronous; bounded in the size of the text, in steps and in results.
 * What is promised of the facts, and what is not, is in docs/shell.md.
 */
import { Machine, TooComplex } from './evaluate.ts';
import type { ShellAnalysis } from './facts.ts';
import { format, type Glob, HOME, parseGlob } from './glob.ts';
import { historyExpansion } from './history-expansion.ts';
import { Scope } from './scope.ts';
import { parseShell } from './syntax.ts';

export type { ShellAnalysis, ShellCommand } from './facts.ts';

export interface AnalyseOptions {
  /** A line of a terminal: earlier lines may have set anything, `!` recalls history, programs may ask for more. */
  readonly interactive?: boolean;
  /** The folders, any of which the shell may be in, as an earlier analysis gave them; null: not known. Absent: the home. */
  readonly directories?: readonly string[] | null;
}

/**
 * @param text what a shell is given: `bash -c text`, or a line of a terminal with those that it continues.
 * @returns facts of every simple command that it may run. Never throws on what a text says.
 */
export function analyseShell(text: string, options: AnalyseOptions = {}): ShellAnalysis {
  const interactive = options.interactive === true;
  const directories: readonly Glob[] | null = options.directories === undefined ? [[HOME]] : (options.directories?.map(parseGlob) ?? null);
  const unknown = (error: string, incomplete = false): ShellAnalysis => ({
    commands: [],
    opaque: [],
    error,
    ...(incomplete ? { incomplete } : {}),
    directories: null,
  });
  const parsed = parseShell(text);
  if (parsed.script === null) return unknown(parsed.error ?? 'it does not parse');
  if (parsed.error !== null && !parsed.incomplete) return unknown(parsed.error);
  const scope = new Scope();
  scope.directories = directories;
  scope.positionals = interactive ? null : [];
  const machine = new Machine(scope, interactive);
  if (interactive && historyExpansion(text)) machine.opaque('a line of the history is put in', text);
  try {
    machine.run(parsed.script);
  } catch (error) {
    if (error instanceof TooComplex) return unknown('it is too complex to be judged');
    if (error instanceof RangeError) return unknown('it is nested too deep');
    throw error;
  }
  const { directories: after } = machine.scope;
  return {
    commands: [...machine.commands.values()],
    opaque: [...machine.opaqueParts.values()],
    ...(parsed.error === null ? {} : { error: parsed.error, incomplete: true }),
    directories: after?.map(format) ?? null,
  };
}
