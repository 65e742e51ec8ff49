import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXAMPLES } from './help-examples.ts';
import { COMMANDS, run } from './main.ts';
import { manPage } from './man-page.ts';
import { watchedTerminal } from './watched-terminal.testing.ts';

const entries = COMMANDS.flatMap(({ entries: each }) => each);
/** They parse their own arguments. */
const programs = new Set(['control-plane', 'agent']);

/** The words of the example's own command, without what the shell does around it. */
function wordsOf(example: string): string[] {
  const start = example.indexOf('sallyport ');
  const own = example.slice(start + 'sallyport '.length).replace(/( \||\)).*$/, '');
  return own.match(/"[^"]*"|\S+/g) ?? [];
}

test('every example names a command, flags and arguments that there are', async () => {
  for (const [name, examples] of Object.entries(EXAMPLES)) {
    assert.ok(examples.length > 0, name);
    for (const example of examples) {
      const words = wordsOf(example);
      const entry = entries.find(each => each.name === words[0]);
      assert.ok(entry !== undefined, example);
      if (programs.has(entry.name)) continue;
      let command = (await entry.load()).define(watchedTerminal(), () => undefined, []);
      const given: string[] = [];
      for (let i = 1; i < words.length && words[i] !== '--'; i++) {
        const word = words[i] ?? '';
        const below = command.commands.find(each => each.name() === word);
        const option = command.options.find(each => each.long === word || each.short === word);
        if (below !== undefined && given.length === 0) command = below;
        else if (option !== undefined) i += option.required ? 1 : 0;
        else given.push(word);
      }
      assert.ok(!given.some(word => word.startsWith('-')), `${example}: ${given.join(' ')}`);
      const needed = command.registeredArguments.filter(({ required }) => required).length;
      assert.ok(given.length >= needed && given.length <= command.registeredArguments.length, `${example}: ${given.join(' ')}`);
    }
  }
});

test('help shows examples, the manual page has every command, and nothing of it is read as a request of roff', async () => {
  const terminal = watchedTerminal();
  assert.equal(await run(['history', '--help'], terminal), 0);
  assert.match(terminal.outLines.join('\n'), /Examples:\n {2}sallyport history role support\n/);
  const page = await manPage(COMMANDS, terminal, '1.0');
  for (const { name } of entries) assert.ok(page.includes(`.SS sallyport ${name.replaceAll('-', '\\-')}`), name);
  for (const line of page.split('\n')) assert.match(line, /^(\.(TH|SH|SS|B|I|TP|PP|nf|fi)\b|[^.'])|^$/, line);
});
