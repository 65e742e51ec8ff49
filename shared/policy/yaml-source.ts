/**
 * Reads YAML text into a plain tree of mappings, sequences and scalars that know their line and column. It knows nothing of
 * manifests.
 *
 * Stricter than YAML: no merge keys, no tags, no duplicate keys, no keys but text; aliases are followed within a bound, so a
 * short file cannot unfold into a large one. The text, its depth and the number of its nodes are bounded.
 */
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type ParsedNode, parseAllDocuments } from 'yaml';

export interface Problem {
  file: string;
  line: number; // 1-based
  column: number; // 1-based, UTF-16 code units
  message: string;
}

export interface Position {
  line: number;
  column: number;
}

export type YamlNode = Position &
  (
    | { type: 'mapping'; entries: readonly YamlEntry[] }
    | { type: 'sequence'; items: readonly YamlNode[] }
    | {
        type: 'scalar';
        value: string | number | boolean | null /** Where the first character of a one-line text stands, or null. */;
        textAt: Position | null;
      }
  );

export interface YamlEntry {
  key: string;
  keyAt: Position;
  value: YamlNode;
}

export const FILE_LENGTH_MAX = 262_144; // UTF-16 code units; the parser needs about a second for the worst text of this length
const NODES_MAX = 50_000;
const DEPTH_MAX = 32;
const PROBLEMS_MAX = 20;

const CORE_TAGS: ReadonlySet<string> = new Set(
  ['str', 'int', 'float', 'bool', 'null', 'map', 'seq'].map(name => `tag:yaml.org,2002:${name}`),
);

/**
 * @returns one tree per document that is not empty, and what is wrong. A document with a problem has no tree.
 */
export function readYaml(file: string, text: string): { documents: YamlNode[]; problems: Problem[] } {
  if (text.length > FILE_LENGTH_MAX) {
    return {
      documents: [],
      problems: [{ file, line: 1, column: 1, message: `the file is longer than ${FILE_LENGTH_MAX} characters; split it` }],
    };
  }
  const lines = new LineCounter();
  const problems: Problem[] = [];
  const positionOf = (offset: number): Position => {
    const { line, col } = lines.linePos(Math.max(0, offset));
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const report = (offset: number, message: string): void => {
    if (problems.length < PROBLEMS_MAX) problems.push({ file, ...positionOf(offset), message });
  };
  let parsed: Document.Parsed[];
  try {
    // Duplicate keys are found below: the library's own check compares every key with every other.
    const found = parseAllDocuments(text, {
      lineCounter: lines,
      uniqueKeys: false,
      merge: false,
      prettyErrors: false,
      strict: true,
      logLevel: 'silent',
    });
    parsed = Array.isArray(found) ? found : [];
  } catch (error) {
    const reason = error instanceof Error ? firstLine(error.message) : 'unknown reason';
    return { documents: [], problems: [{ file, line: 1, column: 1, message: `not readable as YAML: ${reason}` }] };
  }
  const budget = { nodes: NODES_MAX };
  const documents: YamlNode[] = [];
  for (const document of parsed) {
    const before = problems.length;
    for (const error of document.errors) report(error.pos[0], `not readable as YAML: ${reasonOf(error)}`);
    if (document.errors.length > 0 || document.contents === null) continue;
    const root = new TreeReader(budget, positionOf, report).read(document.contents, 0);
    if (root === null || problems.length > before) continue;
    if (root.type === 'scalar' && root.value === null) continue; // nothing but comments
    documents.push(root);
  }
  return { documents, problems };
}

class TreeReader {
  readonly #anchors = new Map<string, { node: ParsedNode; open: boolean }>();
  readonly #budget: { nodes: number };
  readonly #positionOf: (offset: number) => Position;
  readonly #report: (offset: number, message: string) => void;

  constructor(budget: { nodes: number }, positionOf: (offset: number) => Position, report: (offset: number, message: string) => void) {
    this.#budget = budget;
    this.#positionOf = positionOf;
    this.#report = report;
  }

  /** @returns null when a problem was reported and there is nothing to go on with. */
  read(node: ParsedNode, depth: number): YamlNode | null {
    const offset = node.range[0];
    this.#budget.nodes -= 1;
    if (this.#budget.nodes < 0) {
      if (this.#budget.nodes === -1) this.#report(offset, `the file has more than ${NODES_MAX} values (aliases count each time); split it`);
      return null;
    }
    if (depth > DEPTH_MAX) {
      this.#report(offset, `nested deeper than ${DEPTH_MAX} levels`);
      return null;
    }
    if (isAlias(node)) return this.#readAlias(node.source, offset, depth);
    if (node.tag !== undefined && !CORE_TAGS.has(node.tag)) {
      this.#report(offset, `tags are not supported (\`${printable(node.tag)}\`)`);
      return null;
    }
    if (node.anchor === undefined) return this.#readPlain(node, offset, depth);
    const anchor = { node, open: true };
    this.#anchors.set(node.anchor, anchor);
    const read = this.#readPlain(node, offset, depth);
    anchor.open = false;
    return read;
  }

  /** An alias stands for the last node so called before it; its position is where the alias is, its contents' their own. */
  #readAlias(name: string, offset: number, depth: number): YamlNode | null {
    const anchor = this.#anchors.get(name);
    if (anchor === undefined || anchor.open) {
      this.#report(offset, anchor === undefined ? `nothing is called \`&${name}\` before this` : `\`*${name}\` contains itself`);
      return null;
    }
    const read = this.#readPlain(anchor.node, anchor.node.range[0], depth);
    return read === null ? null : { ...read, ...this.#positionOf(offset) };
  }

  #readPlain(node: ParsedNode, offset: number, depth: number): YamlNode | null {
    const at = this.#positionOf(offset);
    if (isMap(node)) {
      const entries: YamlEntry[] = [];
      const seen = new Map<string, Position>();
      for (const { key, value } of node.items) {
        const keyOffset = key.range[0];
        const keyAt = this.#positionOf(keyOffset);
        if (!isScalar(key) || typeof key.value !== 'string') {
          this.#report(keyOffset, 'a field name must be text');
          continue;
        }
        const name = key.value;
        if (name === '<<') {
          this.#report(keyOffset, 'merge keys (`<<`) are not supported; write the fields out');
          continue;
        }
        const first = seen.get(name);
        if (first !== undefined) {
          this.#report(keyOffset, `\`${printable(name)}\` is given twice; first in line ${first.line}`);
          continue;
        }
        seen.set(name, keyAt);
        const read: YamlNode | null =
          value === null ? { type: 'scalar', value: null, textAt: null, ...keyAt } : this.read(value, depth + 1);
        if (read === null) continue;
        // A value that is not written stands where its name does.
        const written = read.type !== 'scalar' || read.value !== null || (isScalar(value) && value.source !== '');
        entries.push({ key: name, keyAt, value: written ? read : { ...read, ...keyAt } });
      }
      return { type: 'mapping', entries, ...at };
    }
    if (isSeq(node)) {
      const items = node.items.map(item => this.read(item, depth + 1)).filter(item => item !== null);
      return { type: 'sequence', items, ...at };
    }
    if (isScalar(node)) {
      const { value } = node;
      if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
        return { type: 'scalar', value, textAt: this.#textAt(node.source, value, node.range, offset), ...at };
      }
    }
    this.#report(offset, 'this kind of YAML value is not supported');
    return null;
  }

  /** Known only where the text stands in the file as it is: on one line, without escapes. */
  #textAt(source: string | undefined, value: unknown, range: readonly [number, number, number], offset: number): Position | null {
    if (typeof value !== 'string' || source !== value) return null;
    const quotes = range[1] - range[0] - value.length;
    return quotes === 0 || quotes === 2 ? this.#positionOf(offset + quotes / 2) : null;
  }
}

/** The parser goes down one call per level and reports an exhausted stack like any other error. */
function reasonOf(error: Error): string {
  return error.message.includes('call stack') ? 'it is nested too deep' : firstLine(error.message);
}

function firstLine(message: string): string {
  const line = message.split('\n', 1)[0] ?? '';
  return line.length <= 200 ? line : `${line.slice(0, 200)}…`;
}

function printable(text: string): string {
  const clipped = text.length <= 80 ? text : `${text.slice(0, 80)}…`;
  return clipped.replaceAll(/\p{Cc}/gu, ' ');
}
