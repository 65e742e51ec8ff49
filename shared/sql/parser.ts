/**
 * PostgreSQL's own grammar (libpg-query, version 18, WebAssembly), made safe to keep in a process that must not stop:
 *
 * - bounded: text over `PARSE_BYTES_MAX` is refused before the parser sees it;
 * - an instance that traps (native stack exhausted by deep nesting, out of memory) has undefined memory, so it is thrown away
 *   and a spare takes over in the same call; the next spare is made in the background;
 * - WebAssembly memory never shrinks, so an instance that one huge statement has blown up is retired too.
 *
 * It works on UTF-8 bytes and gives byte offsets. It does not judge anything, and does not cache: analyse.ts does.
 *
 * @see https://github.com/pganalyze/libpg_query
 */
import type { Node } from 'libpg-query';
import createModule, { type LibpgQueryModule } from 'libpg-query/wasm/libpg-query.js';
import { errorText, GatewayError } from '../errors.ts';

/** The longest text that is parsed; a longer one is unparseable. */
export const PARSE_BYTES_MAX = 1024 * 1024;

/** Memory of one instance over which it is retired once a spare is there. */
const INSTANCE_BYTES_MAX = 192 * 1024 * 1024;

const SPARES = 2;

export interface RawStatement {
  node: Node;
  start: number; // byte offset of its first token, or of white space before it
  end: number; // byte offset behind its last token
}

export type ParseOutcome =
  | { ok: true; statements: RawStatement[] }
  | { ok: false; cause: 'syntax' | 'size' | 'nesting' | 'engine'; reason: string; position?: number };

let live: LibpgQueryModule | undefined;
const spares: LibpgQueryModule[] = [];
let filling: Promise<void> | undefined;
let retired = 0;
let lastFault = '';

/** Loads the parser; once per thread, before anything else here. Later calls return at once. */
export async function loadParser(): Promise<void> {
  live ??= await createModule();
  await refill();
}

/** What the parser went through, for metrics. */
export function parserStats(): { retired: number; memoryBytes: number; lastFault: string } {
  return { retired, memoryBytes: live?.HEAPU8.length ?? 0, lastFault };
}

function refill(): Promise<void> {
  filling ??= (async () => {
    try {
      while (spares.length < SPARES) spares.push(await createModule());
      live ??= spares.pop();
    } catch (error) {
      // The statement that found no parser was refused; the next one that finds none tries again.
      lastFault = errorText(error);
    } finally {
      filling = undefined;
    }
  })();
  return filling;
}

function retire(): void {
  retired++;
  live = spares.pop();
  void refill();
}

function instance(): LibpgQueryModule | undefined {
  if (live === undefined) {
    if (retired === 0)
      throw new GatewayError('SQL_PARSER_NOT_LOADED', 'internal', 'the SQL parser is not loaded: await loadParser() first');
    live = spares.pop();
    void refill();
  }
  return live;
}

const decoder = new TextDecoder();

function stringAt(module: LibpgQueryModule, pointer: number): string {
  const heap = module.HEAPU8;
  const end = heap.indexOf(0, pointer);
  return decoder.decode(heap.subarray(pointer, end));
}

/** Puts bytes and a NUL into the instance's memory. */
function store(module: LibpgQueryModule, bytes: Uint8Array): number {
  const pointer = module._malloc(bytes.length + 1);
  if (pointer === 0) throw new Error('out of memory');
  module.HEAPU8.set(bytes, pointer);
  module.HEAPU8[pointer + bytes.length] = 0;
  return pointer;
}

/** Runs one call of the engine; whatever it throws makes the instance unusable. */
function call<T>(
  bytes: Uint8Array,
  work: (module: LibpgQueryModule, text: number) => T,
): { ok: true; value: T } | Extract<ParseOutcome, { ok: false }> {
  if (bytes.length > PARSE_BYTES_MAX) {
    return { ok: false, cause: 'size', reason: `the text has ${bytes.length} bytes; at most ${PARSE_BYTES_MAX} are parsed` };
  }
  // The parser would stop at a NUL and not see what follows it.
  if (bytes.includes(0)) return { ok: false, cause: 'syntax', reason: 'the text holds a NUL byte' };
  const module = instance();
  if (module === undefined) return { ok: false, cause: 'engine', reason: 'the SQL parser is restarting; try again' };
  try {
    const text = store(module, bytes);
    const value = work(module, text);
    module._free(text);
    if (module.HEAPU8.length > INSTANCE_BYTES_MAX && spares.length > 0) retire();
    return { ok: true, value };
  } catch (error) {
    lastFault = errorText(error);
    retire();
    const nesting = error instanceof RangeError;
    return {
      ok: false,
      cause: nesting ? 'nesting' : 'engine',
      reason: nesting ? 'the statement is nested too deeply' : `the SQL parser failed: ${lastFault}`,
    };
  }
}

const word = (module: LibpgQueryModule, pointer: number): number => module.HEAPU32[pointer >>> 2] ?? 0;

interface ParseJson {
  stmts?: { stmt?: Node; stmt_location?: number; stmt_len?: number }[];
}

/**
 * Parses a text of any number of statements.
 *
 * @param bytes valid UTF-8 without NUL; not kept.
 * @returns the statements in order, none for an empty text; or why not. Never throws for what is in the text.
 * @throws {GatewayError} SQL_PARSER_NOT_LOADED before loadParser() has finished.
 */
export function parse(bytes: Uint8Array): ParseOutcome {
  if (bytes.length === 0) return { ok: true, statements: [] };
  const outcome = call(bytes, (module, text) => {
    const result = module._wasm_parse_query_raw(text);
    if (result === 0) throw new Error('out of memory');
    const error = word(module, result + 8);
    const tree = word(module, result);
    const value =
      error !== 0
        ? { error: stringAt(module, word(module, error)), position: word(module, error + 16) }
        : { tree: tree === 0 ? '' : stringAt(module, tree) };
    module._wasm_free_parse_result(result);
    return value;
  });
  if (!outcome.ok) return outcome;
  const { error, position, tree } = outcome.value;
  if (error !== undefined) {
    return {
      ok: false,
      cause: error.startsWith('memory exhausted') ? 'nesting' : 'syntax',
      reason: error,
      position: Math.max(0, position - 1),
    };
  }
  let json: ParseJson;
  try {
    json = JSON.parse(tree) as ParseJson;
  } catch (fault) {
    return { ok: false, cause: 'nesting', reason: `the parse tree cannot be read: ${errorText(fault)}` };
  }
  const statements: RawStatement[] = [];
  for (const { stmt, stmt_location = 0, stmt_len } of json.stmts ?? []) {
    if (stmt === undefined) continue;
    statements.push({ node: stmt, start: stmt_location, end: stmt_len === undefined ? bytes.length : stmt_location + stmt_len });
  }
  return { ok: true, statements };
}

/**
 * libpg_query's fingerprint: 16 hex digits that are equal for statements which differ in literals only.
 *
 * @returns '' when the text has none (it does not parse).
 */
export function fingerprint(bytes: Uint8Array): string {
  const outcome = call(bytes, (module, text) => takeString(module, module._wasm_fingerprint(text)));
  return outcome.ok && /^[0-9a-f]{16}$/.test(outcome.value) ? outcome.value : '';
}

function takeString(module: LibpgQueryModule, pointer: number): string {
  if (pointer === 0) throw new Error('out of memory');
  const text = stringAt(module, pointer);
  module._wasm_free_string(pointer);
  return text;
}

export interface ScanToken {
  start: number; // bytes
  end: number;
  text: string;
  tokenType: number;
  keywordKind: number;
}

/** PostgreSQL's own scanner, slow: what tests check the lexer against. Undefined when it refuses the text. */
export function scan(bytes: Uint8Array): ScanToken[] | undefined {
  const outcome = call(bytes, (module, text) => takeString(module, module._wasm_scan(text)));
  if (!outcome.ok || !outcome.value.startsWith('{')) return undefined;
  return (JSON.parse(outcome.value) as { tokens: ScanToken[] }).tokens;
}

/**
 * Parses the body of a PL/pgSQL function.
 *
 * @param createFunction the text of a whole CREATE FUNCTION … LANGUAGE plpgsql.
 * @returns PL/pgSQL's tree as JSON; undefined when it does not parse.
 */
export function parsePlpgsql(createFunction: string): unknown {
  const outcome = call(Buffer.from(createFunction), (module, text) => takeString(module, module._wasm_parse_plpgsql(text)));
  if (!outcome.ok || !outcome.value.startsWith('{')) return undefined;
  try {
    return JSON.parse(outcome.value);
  } catch {
    return undefined; // its JSON is not always well-formed for exotic statements: as good as unparseable
  }
}
