/** A reporter of nothing but the files in which a test failed, one to a line, for whoever runs them again. */
import type { TestEvent } from 'node:test/reporters';

export default async function* failedFiles(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const said = new Set<string>();
  for await (const event of source) {
    if (event.type !== 'test:fail' || event.data.file === undefined || said.has(event.data.file)) continue;
    said.add(event.data.file);
    yield `${event.data.file}\n`;
  }
}
