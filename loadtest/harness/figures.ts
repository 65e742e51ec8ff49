/**
 * What every benchmark prints: one JSON line per figure on standard output, a table for people on standard error.
 * Absolute times drift on shared machines; only subjects alternated in one run are compared, by medians.
 */
export interface Figure {
  bench: string;
  case: string;
  subject: string;
  value: number;
  unit: string;
  ratios: Record<string, number>;
  target: string | null;
  met: boolean | null;
}

const printed: Figure[] = [];

/** Prints one figure. `target` says in words what was asked, `met` whether it was reached; null where nothing was asked. */
export function figure(one: Omit<Figure, 'ratios' | 'target' | 'met'> & Partial<Pick<Figure, 'ratios' | 'target' | 'met'>>): void {
  const round = (x: number) => Number(x.toPrecision(4));
  const full: Figure = {
    bench: one.bench,
    case: one.case,
    subject: one.subject,
    value: round(one.value),
    unit: one.unit,
    ratios: Object.fromEntries(Object.entries(one.ratios ?? {}).map(([name, x]) => [name, round(x)])),
    target: one.target ?? null,
    met: one.met ?? null,
  };
  printed.push(full);
  console.log(JSON.stringify(full));
}

/** The table of everything printed so far. */
export function table(): void {
  const rows = printed.map(f => [
    f.case,
    f.subject,
    `${f.value} ${f.unit}`,
    Object.entries(f.ratios)
      .map(([name, x]) => `${x} × ${name}`)
      .join(', '),
    f.target ?? '',
    f.met === null ? '' : f.met ? 'met' : 'NOT MET',
  ]);
  rows.unshift(['case', 'subject', 'median', 'ratio', 'target', '']);
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0))) ?? [];
  for (const row of rows) console.error(row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/**
 * Measures every subject once per round, in turn, and starts each round one subject further on, so that what drifts meets all.
 * @returns subject → its values, one per round.
 */
export async function alternate<S extends { name: string }>(
  subjects: readonly S[],
  rounds: number,
  measure: (subject: S, round: number) => Promise<number>,
): Promise<Map<string, number[]>> {
  const values = new Map<string, number[]>(subjects.map(subject => [subject.name, []]));
  for (let round = 0; round < rounds; round++)
    for (let i = 0; i < subjects.length; i++) {
      const subject = subjects[(i + round) % subjects.length];
      if (!subject) continue;
      const value = await measure(subject, round);
      values.get(subject.name)?.push(value);
      console.error(`  round ${round + 1}/${rounds} ${subject.name}: ${value.toPrecision(4)}`);
    }
  return values;
}
