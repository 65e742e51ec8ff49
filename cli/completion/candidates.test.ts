import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COMMANDS } from '../main.ts';
import { watchedTerminal } from '../watched-terminal.testing.ts';
import { candidates } from './candidates.ts';

const entries = COMMANDS.flatMap(({ entries: each }) => each);

test('completion: commands, subcommands, flags, kinds and choices; nothing where nothing is known', async () => {
  const terminal = watchedTerminal({ HOME: '/nowhere', SALLYPORT_DATA: '/nowhere' });
  const found = (...words: string[]) => candidates(words, entries, terminal);
  assert.deepEqual(await found('sess'), ['sessions']);
  assert.ok((await found('')).includes('doctor'));
  assert.deepEqual(await found('sessions', 't'), ['tail']);
  assert.deepEqual(await found('sessions', 'list', '--li'), ['--limit', '--live']);
  assert.deepEqual(await found('get', 'access'), ['accesspolicy']);
  assert.deepEqual(await found('completion', ''), ['bash', 'fish', 'zsh']);
  assert.deepEqual(await found('help', 'doc'), ['doctor']);
  assert.deepEqual(await found('connect', ''), [], 'nothing runs there');
  for (const words of [['nothing', ''], ['connect', 'crm', '--', ''], ['sessions', 'list', '--limit', ''], ['man', ''], []]) {
    if (words.length > 0) assert.deepEqual(await found(...words), [], words.join(' '));
  }
  assert.equal(terminal.errLines.length, 0);
});
