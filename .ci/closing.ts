/** A reporter of the closing counts alone, to stand beside the dots. */
import type { TestEvent } from 'node:test/reporters';

export default async function* closing(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source)
    if (event.type === 'test:diagnostic' && /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) /.test(event.data.message))
      yield `\n# ${event.data.message}`;
  yield '\n';
}
