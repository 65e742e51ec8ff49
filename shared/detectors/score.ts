/** Scores the built-in detectors on the labelled set and prints the Markdown table of docs/reference/detectors.md. */
import { compileDetectors } from './engine.ts';
import { type LabelledLine, labelledSet } from './labelled-set.ts';
import { DETECTOR_NAMES } from './names.ts';

export interface Score {
  detector: string;
  expected: number;
  /** Found with the right name and the exact span. */
  exact: number;
  /** Found with the right name; the span overlaps. */
  found: number;
  /** Findings of that name where nothing, or something else, was to be found. */
  wrong: number;
}

/** @param report is told about every line that is not as expected. */
export function score(lines: readonly LabelledLine[], report?: (line: LabelledLine, what: string) => void): Score[] {
  const set = compileDetectors(['all']);
  const scores = new Map<string, Score>();
  const of = (detector: string): Score => {
    let entry = scores.get(detector);
    if (entry === undefined) {
      entry = { detector, expected: 0, exact: 0, found: 0, wrong: 0 };
      scores.set(detector, entry);
    }
    return entry;
  };
  for (const line of lines) {
    const spans = set.scanText(line.text);
    const matched = new Set<number>();
    for (const [start, end, detector] of line.spans) {
      const entry = of(detector);
      entry.expected++;
      const index = spans.findIndex((span, i) => !matched.has(i) && span.detector === detector && span.start < end && span.end > start);
      if (index < 0) {
        report?.(line, `missed ${detector}`);
        continue;
      }
      matched.add(index);
      entry.found++;
      const span = spans[index];
      if (span?.start === start && span.end === end) entry.exact++;
      else report?.(line, `span of ${detector} is ${span?.start}-${span?.end} instead of ${start}-${end}`);
    }
    spans.forEach((span, i) => {
      if (matched.has(i)) return;
      of(span.detector).wrong++;
      report?.(line, `wrong ${span.detector}: ${line.text.slice(span.start, span.end)}`);
    });
  }
  return [...scores.values()].toSorted((a, b) => a.detector.localeCompare(b.detector));
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '–' : `${((100 * part) / whole).toFixed(1)} %`;
}

/** The table, one row a detector. */
export function table(scores: readonly Score[]): string {
  const rows = scores.map(
    ({ detector, expected, exact, found, wrong }) =>
      `| ${detector} | ${expected} | ${percent(found, found + wrong)} | ${percent(found, expected)} | ${percent(exact, expected)} |`,
  );
  const sum = (key: 'expected' | 'exact' | 'found' | 'wrong'): number => scores.reduce((total, entry) => total + entry[key], 0);
  rows.push(
    `| **all** | ${sum('expected')} | ${percent(sum('found'), sum('found') + sum('wrong'))} | ${percent(sum('found'), sum('expected'))} | ${percent(sum('exact'), sum('expected'))} |`,
  );
  return ['| detector | labelled | precision | recall | exact span |', '|---|---|---|---|---|', ...rows].join('\n');
}

if (import.meta.main) {
  const verbose = process.argv.includes('--verbose');
  const seed = Number(process.argv.find(argument => argument.startsWith('--seed='))?.slice(7) ?? 1);
  const lines = labelledSet(4_000, seed);
  const scores = score(
    lines,
    verbose ? (line, what) => process.stderr.write(`${line.id}: ${what}\n    ${JSON.stringify(line.text.slice(0, 200))}\n`) : undefined,
  );
  process.stdout.write(`${table(scores)}\n`);
  process.stderr.write(
    `${lines.length} lines, ${lines.filter(line => line.spans.length === 0).length} with nothing to find; ${DETECTOR_NAMES.length} detectors\n`,
  );
}
