/**
 * Commands whose output is known, or its form is, from their words alone: so that `$(date +%F)` in a path is no hole in what is
 * known of it, and `$(echo cat)` no way round it.
 */
import { constant, type Glob, literal, NUMBER, SEGMENT } from './glob.ts';
import type { Scope } from './scope.ts';
import { type Field, OPEN } from './words.ts';

const TEXT_MAX = 4096;
const SEQUENCE_MAX = 256;

/** @returns what the command may print, without line breaks at its end; null: not known. */
export function knownOutput(words: readonly Field[], scope: Scope): readonly Glob[] | null {
  const texts: string[] = [];
  for (const word of words) {
    const text = word === OPEN ? null : constant(word);
    if (text === null || text.length > TEXT_MAX) return null;
    texts.push(text);
  }
  const [program = '', first, second] = texts;
  const args = texts.slice(1);
  const name = program.slice(program.lastIndexOf('/') + 1);
  switch (name) {
    case 'echo': {
      const plain = first === '-n' ? args.slice(1) : args;
      // Backslashes are read by some shells' echo and not by others'; options come only at the start.
      if (plain.some(each => each.includes('\\')) || plain[0]?.startsWith('-') === true) return null;
      return [trimmed(plain.join(' '))];
    }
    case 'printf':
      if (first === undefined || first.startsWith('-') || (first.includes('\\') && !/^[^\\%]*(?:%s)?(?:\\n)?$/.test(first))) return null;
      if (!first.includes('%') && args.length === 1)
        return first.includes('\\') ? [trimmed(first.replaceAll('\\n', '\n'))] : [trimmed(first)];
      return /^[^\\%]*%s(?:\\n)?$/.test(first) && args.length === 2 && second !== undefined
        ? [trimmed(first.replace(/%s(?:\\n)?$/, () => second))]
        : null;
    case 'date':
      return args.length === 1 && first !== undefined && /^\+(?:[A-Za-z0-9_:.-]|%[YmdHMSsjuwFTyNVGIpaAbBzZ])+$/.test(first)
        ? [[SEGMENT]]
        : null;
    case 'whoami':
    case 'hostname':
    case 'logname':
    case 'arch':
      return args.length === 0 || (args.length === 1 && first === '-s') || (args.length === 1 && first === '-f') ? [[SEGMENT]] : null;
    case 'seq': {
      const [from, step, to] = args.length === 1 ? ['1', '1', first] : args.length === 2 ? [first, '1', second] : args;
      if (args.length > 3 || ![from, step, to].every(each => each !== undefined && /^-?\d{1,9}$/.test(each))) return null;
      const [start, by, end] = [Number(from), Number(step), Number(to)];
      if (by === 0 || Math.abs((end - start) / by) > SEQUENCE_MAX) return null;
      const numbers: number[] = [];
      for (let at = start; by > 0 ? at <= end : at >= end; at += by) numbers.push(at);
      return [literal(numbers.join('\n'))];
    }
    case 'nproc':
      return args.length === 0 ? [[NUMBER]] : null;
    case 'uname':
      return args.length === 0 || (args.length === 1 && /^-[srnm]$/.test(first ?? '')) ? [[SEGMENT]] : null;
    case 'id':
      return args.length === 1 && /^-[ug]$/.test(first ?? '')
        ? [[NUMBER]]
        : args.length === 1 && /^-(?:un|gn|nu|ng)$/.test(first ?? '')
          ? [[SEGMENT]]
          : null;
    case 'wc':
      return args.length === 1 && /^-[lcwm]$/.test(first ?? '') ? [[NUMBER]] : null;
    case 'mktemp':
      if (scope.variables.has('TMPDIR')) return null;
      return args.length === 0 || (args.length === 1 && first === '-d') ? [[...literal('/tmp/tmp.'), SEGMENT]] : null;
    case 'pwd':
      return args.length === 0 ? scope.directories : null;
    case 'basename':
      return args.length === 1 && first !== undefined && !first.startsWith('-')
        ? [literal(first.replace(/\/+$/, '').split('/').at(-1) ?? '')]
        : null;
    case 'dirname':
      return args.length === 1 && first !== undefined && /^\/?[\w.-]+(?:\/[\w.-]+)+$/.test(first) && !first.startsWith('-')
        ? [literal(first.slice(0, first.lastIndexOf('/')) || '/')]
        : null;
    default:
      return null;
  }
}

function trimmed(text: string): Glob {
  return literal(text.replace(/\n+$/, ''));
}
