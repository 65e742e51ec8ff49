/**
 * Lists of shell lines for tests, as they lie in `fixtures/`: what stands before the first `## ` is a comment, `## ` begins a category,
 * `⏎` stands for a line break. Lines with `@R` in them speak of a scratch folder where they are run, and of the root where they are judged.
 */
export interface FixtureLine {
  readonly category: string;
  readonly text: string;
}

/** @param content of a whole file. */
export function fixtureLines(content: string): FixtureLine[] {
  const lines: FixtureLine[] = [];
  let category: string | null = null;
  for (const line of content.split('\n')) {
    if (line.startsWith('## ')) category = line.slice(3);
    else if (line !== '' && category !== null) lines.push({ category, text: line.replaceAll('⏎', '\n') });
  }
  return lines;
}

/** As it is judged: the scratch folder is the root. */
export function asJudged(text: string): string {
  return text.replaceAll('@R', '');
}
