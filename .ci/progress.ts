/** A reporter for whoever runs tests: what begins (`>`) and ends (`<`), as it happens, and the closing counts (`#`). */
import type { TestEvent } from 'node:test/reporters';

export default async function* progress(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const { type, data } of source) {
    if (type === 'test:dequeue') yield `> ${data.file ?? ''} ${data.name}\n`;
    else if (type === 'test:complete') yield `< ${data.file ?? ''} ${data.name}\n`;
    else if (type === 'test:diagnostic' && /^(tests|suites|pass|fail|cancelled|skipped|todo) /.test(data.message))
      yield `# ${data.message}\n`;
  }
}
