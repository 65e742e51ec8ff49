import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldLines } from './field-lines.ts';
import { hardLines } from './hard-lines.ts';
import { score } from './score.ts';

test('what is hard is found with its exact span, and what only looks like it is not', () => {
  const wrong: string[] = [];
  const lines = hardLines(3);
  score(lines, (line, what) => wrong.push(`${what}: ${line.text.slice(0, 200)}`));
  assert.deepEqual(wrong, []);
  assert.ok(lines.length > 1000 && lines.filter(({ spans }) => spans.length > 0).length > 400);
});

test('what stands in files, logs and dumps is found with its exact span, and nothing else is', () => {
  const wrong: string[] = [];
  const lines = [1, 2].flatMap(fieldLines);
  score(lines, (line, what) => wrong.push(`${what}: ${line.text.slice(0, 200)}`));
  assert.deepEqual(wrong, []);
  assert.ok(lines.length > 1000 && lines.filter(({ spans }) => spans.length > 0).length > 500);
});
