/** Programs that ask questions of data, with values among their words that are data themselves: jq. */
import { applyProgram } from './effects.ts';
import { constant } from './glob.ts';
import type { Special } from './host.ts';
import { programCalled } from './programs.ts';
import { type Field, OPEN } from './words.ts';

/** `--arg NAME VALUE`: neither is a file. Files of `--slurpfile NAME FILE` stay among the operands, which are read. */
const jq: Special = (host, words, context) => {
  const program = programCalled('jq');
  if (program === undefined) return;
  const kept: Field[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at];
    if (word === undefined) break;
    const text = word === OPEN ? null : constant(word);
    const [name, value] = [words[at + 1], words[at + 2]];
    if (text === '--') {
      kept.push(...words.slice(at));
      break;
    }
    const isPair = text === '--arg' || text === '--argjson';
    if (isPair && name !== undefined && name !== OPEN && value !== undefined && value !== OPEN) at += 2;
    else kept.push(word);
  }
  applyProgram(host, program, kept, context, words);
};

export const QUERY_TOOLS: readonly [string, Special][] = [['jq', jq]];
