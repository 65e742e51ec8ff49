import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { KINDS } from './kinds.ts';
import { parseManifests } from './manifests.ts';
import { fillPage } from './reference-page.ts';

const page = (name: string) => readFileSync(new URL(`../../docs/${name}.md`, import.meta.url), 'utf8');

for (const name of ['reference/manifests', 'reference/facts', 'reference/policy-tests']) {
  test(`docs/${name}.md says what the code does (node shared/policy/generate-reference.ts)`, () =>
    assert.equal(fillPage(page(name)), page(name)));
}

test('every kind has its table', () => {
  for (const kind of KINDS) assert.match(page('reference/manifests'), new RegExp(`<!-- generated: ${kind} -->\\n\\n\\| field`));
});

test('every example on the pages is valid', () => {
  for (const name of ['reference/manifests', 'reference/facts', 'reference/detectors', 'guides/policy']) {
    const examples = [...page(name).matchAll(/```yaml\n([\s\S]*?)```/g)].map(match => match[1] ?? '');
    assert.ok(examples.length > 0, name);
    for (const [index, text] of examples.entries()) {
      const { problems } = parseManifests([{ path: `${name}.md, example ${index + 1}`, text }], {
        readFile: name =>
          name.endsWith('.toml')
            ? '[[rules]]\nid = "a-key"\nregex = "a-[0-9]{9}"'
            : '-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----',
      });
      // An example may refer to what is on another page.
      assert.deepEqual(
        problems.filter(problem => !problem.message.startsWith('there is no Credential')),
        [],
      );
    }
  }
});
