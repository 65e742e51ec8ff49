/** Several lines, where every other error is one. */
export class ManifestProblems extends Error {
  readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    super(lines.join('\n'));
    this.name = 'ManifestProblems';
    this.lines = lines;
  }
}
