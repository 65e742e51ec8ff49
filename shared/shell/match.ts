/**
 * Does a guard's `match` cover a shell text?
 *
 * Every key is compared with one command and gives yes, no or could: `could` is what an unknown word or a path glob gives.
 * A rule that refuses or holds takes `could` as a match and needs one command; a rule that allows needs `yes` for every
 * command, and a text without opaque parts.
 */
import type { ShellAnalysis, ShellCommand, ShellMatch } from './facts.ts';
import { covers, type Glob, intersects, literal, parseGlob, UNKNOWN } from './glob.ts';
import { placesOf } from './paths.ts';

export type Verdict = 'yes' | 'no' | 'could';

/** A `match` made quick to compare. */
export interface CompiledShellMatch {
  programs: readonly { glob: Glob; path: boolean }[] | null;
  arguments: readonly Glob[] | null;
  reads: readonly Glob[] | null;
  writes: readonly Glob[] | null;
  network: readonly string[] | null;
  privilege: readonly string[] | null;
  opaque: boolean | null;
}

/** @returns null when it gives none of the keys about shells. */
export function compileShellMatch(match: ShellMatch): CompiledShellMatch | null {
  const { programs, reads, writes, network, privilege, opaque } = match;
  if ([programs, match.arguments, reads, writes, network, privilege, opaque].every(each => each === undefined)) return null;
  return {
    programs: programs?.map(each => ({ glob: parseGlob(each), path: each.includes('/') })) ?? null,
    // Arguments are texts, not paths: a star may take slashes.
    arguments:
      match.arguments?.map(each =>
        parseGlob(each).map(token =>
          token === '\uf07e' ? '~' : typeof token === 'object' && token.kind === 'segment' ? ({ kind: 'any' } as const) : token,
        ),
      ) ?? null,
    reads: reads?.flatMap(pathPatterns) ?? null,
    writes: writes?.flatMap(pathPatterns) ?? null,
    network: network ?? null,
    privilege: privilege ?? null,
    opaque: opaque ?? null,
  };
}

/** `/x/**` means `/x` as well; `~/x` means every home. */
function pathPatterns(text: string): Glob[] {
  const own = parseGlob(text);
  const all = text.endsWith('/**') && text.length > 3 ? [own, parseGlob(text.slice(0, -3))] : [own];
  return all.flatMap(placesOf);
}

/** @param action `allow` must cover all of the text, for certain; the others need one part that may match. */
export function matchCompiled(analysis: ShellAnalysis, match: CompiledShellMatch, action: string): boolean {
  const opaque = analysis.opaque.length > 0 || analysis.error !== undefined;
  const allows = action === 'allow';
  if (match.opaque !== null && match.opaque !== opaque) return false;
  const onlyOpaque = Object.entries(match).every(([key, value]) => key === 'opaque' || value === null);
  if (onlyOpaque) return true;
  if (allows && opaque) return false;
  // What is not understood may hold any command at all.
  if (analysis.error !== undefined && analysis.incomplete !== true) return true;
  const verdicts = analysis.commands.map(command => matchCommand(command, match));
  if (allows) return verdicts.length > 0 && verdicts.every(verdict => verdict === 'yes');
  return verdicts.some(verdict => verdict !== 'no');
}

/** The weakest of what its keys say. */
export function matchCommand(command: ShellCommand, match: CompiledShellMatch): Verdict {
  let verdict: Verdict = 'yes';
  const and = (next: Verdict): boolean => {
    if (next === 'no' || verdict === 'yes') verdict = next;
    return next !== 'no';
  };
  if (match.programs !== null) {
    const name = parse(command.program);
    const path = parse(command.path);
    const unknown = command.program === '**';
    const each = match.programs.map(pattern => (unknown ? 'could' : compare(pattern.glob, pattern.path ? path : name)));
    if (!and(best(each))) return 'no';
  }
  if (match.arguments !== null) {
    const words = command.argv.slice(1).map(parse);
    const each = match.arguments.flatMap(pattern => words.map(word => compare(pattern, word)));
    if (!and(command.open && best(each) === 'no' ? 'could' : best(each))) return 'no';
  }
  if (match.reads !== null && !and(paths(match.reads, command.reads))) return 'no';
  if (match.writes !== null && !and(paths(match.writes, command.writes))) return 'no';
  if (match.network !== null && !and(command.network.some(use => match.network?.includes(use.kind)) ? 'yes' : 'no')) return 'no';
  if (match.privilege !== null && !and(command.privilege.some(each => match.privilege?.includes(each)) ? 'yes' : 'no')) return 'no';
  return verdict;
}

function paths(patterns: readonly Glob[], words: readonly string[]): Verdict {
  const places = words.map(word => placesOf(parsePath(word)));
  // A path under `~` is surely matched when all the places it may be are.
  const each = places.map(options => {
    const verdicts = options.map(option => best(patterns.map(pattern => compare(pattern, option))));
    return verdicts.includes('yes') ? 'yes' : best(verdicts);
  });
  const matched = best(each);
  // For a rule that allows: one path outside makes the command one that is not covered.
  return matched === 'yes' && each.some(verdict => verdict !== 'yes') ? 'could' : matched;
}

function compare(pattern: Glob, word: Glob): Verdict {
  if (!intersects(pattern, word)) return 'no';
  return covers(pattern, word) ? 'yes' : 'could';
}

function best(verdicts: readonly Verdict[]): Verdict {
  if (verdicts.includes('yes')) return 'yes';
  return verdicts.includes('could') ? 'could' : 'no';
}

const cache = new Map<string, Glob>();
const CACHE_MAX = 2000;
const CACHED_LENGTH_MAX = 200;

function parsePath(text: string): Glob {
  const found = cache.get(text);
  if (found !== undefined) return found;
  const glob = text === '**' ? UNKNOWN : parseGlob(text);
  if (text.length <= CACHED_LENGTH_MAX) {
    if (cache.size >= CACHE_MAX) cache.clear();
    cache.set(text, glob);
  }
  return glob;
}

/** Words are not paths: a `~` at their start is one only in facts about paths. */
function parse(text: string): Glob {
  const glob = parsePath(text);
  return glob[0] === '\uf07e' ? [...literal('~'), ...glob.slice(1)] : glob;
}
