/**
 * The inner loop of the first pass, as WebAssembly: four bytes a round through the prefilter's table and the numbers' automaton.
 *
 * It is the loop that the short values' path has in engine.ts, and only that: it reports where something is to be looked at, and
 * looks at nothing itself. It is written in WebAssembly because the loop is all loads, and those of JavaScript check their bounds.
 * The module is assembled here from its instructions; no tool and no file is needed.
 *
 * @see https://webassembly.github.io/spec/core/binary/
 */
import { CLASSES_SHIFT, FOLLOW_SHIFT, KINDS } from './prefilter.ts';

/** Bytes that one call takes. */
export const CHUNK_BYTES = 32_768;
/** Flag of a report, above the kinds of candidates: the automaton reports the end of a number. */
export const NUMBER_REPORT = KINDS + 1;
/** Position of a report: from this bit on. */
export const REPORT_SHIFT = 13;

const TABLE_AT = 0;
const TABLE_BYTES = 65_536 * 4;
const REPORTS_AT = TABLE_AT + TABLE_BYTES;
/** Every pair of the chunk, and the padding's. */
const REPORTS_BYTES = (CHUNK_BYTES / 2 + 4) * 4;
const TEXT_AT = REPORTS_AT + REPORTS_BYTES;
const STATE_AT = TEXT_AT + CHUNK_BYTES + 16;
const STEPS_AT = STATE_AT + 16;
const PAGE = 65_536;
const ROW_SHIFT = 7;

/** One set's tables, and the loop over them. */
export interface Pass {
  /** The prefilter's table; the caller fills it. */
  table: Int32Array;
  /** The numbers' automaton. */
  steps: Uint16Array;
  /** The chunk's bytes. Behind the last chunk of a window the caller leaves eight zero bytes. */
  text: Uint8Array;
  /** What the last call has reported: position in the chunk << REPORT_SHIFT | NUMBER_REPORT | kinds of the candidate 2 bytes before. */
  reports: Int32Array;
  /** The state behind the last call's bytes: the automaton's, and the table's entry of the last pair. */
  after: Int32Array;
  /** Runs over `bytes` bytes (a multiple of four) of the chunk; returns the number of reports. */
  run: (this: void, bytes: number, state: number, entry: number) => number;
}

/**
 * @param steps the automaton (number-automaton.ts): rows of 64 states.
 * @param eventsFrom states from this one on are to be reported.
 */
export function createPass(steps: Uint16Array, eventsFrom: number): Pass {
  const { WebAssembly: wasm } = globalThis as unknown as { WebAssembly: WebAssemblyInterface };
  const memory = new wasm.Memory({ initial: Math.ceil((STEPS_AT + steps.byteLength) / PAGE) });
  compiled ??= new wasm.Module(assemble());
  const { exports } = new wasm.Instance(compiled, { pass: { memory, eventsFrom } });
  const { buffer } = memory;
  const view = new Uint16Array(buffer, STEPS_AT, steps.length);
  view.set(steps);
  return {
    table: new Int32Array(buffer, TABLE_AT, TABLE_BYTES / 4),
    steps: view,
    text: new Uint8Array(buffer, TEXT_AT, CHUNK_BYTES + 16),
    reports: new Int32Array(buffer, REPORTS_AT, REPORTS_BYTES / 4),
    after: new Int32Array(buffer, STATE_AT, 2),
    run: exports['run'] as Pass['run'],
  };
}

/** The part of WebAssembly's interface that is used here; its types come with those of browsers only. */
interface WebAssemblyInterface {
  Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer };
  Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  Instance: new (module: object, imports: Record<string, Record<string, unknown>>) => { readonly exports: Record<string, unknown> };
}

let compiled: object | undefined;

/** Signed LEB128, which the binary format has for constants. */
function signed(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; ) {
    const low = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}

/** Unsigned LEB128: lengths, indices, offsets. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

type Code = readonly number[];
const I32 = 0x7f;
const VOID = 0x40;
const constant = (value: number): Code => [0x41, ...signed(value)];
const get = (local: number): Code => [0x20, local];
const set = (local: number, ...value: Code[]): Code => [...value.flat(), 0x21, local];
const binary =
  (opcode: number) =>
  (a: Code, b: Code): Code => [...a, ...b, opcode];
const add = binary(0x6a);
const and = binary(0x71);
const or = binary(0x72);
const shl = binary(0x74);
const shr = binary(0x76);
const lessThan = binary(0x49);
const atLeast = binary(0x4f);
/** Loads and stores: the address, and a fixed offset to it. */
const load = (address: Code, offset: number): Code => [...address, 0x28, 2, ...unsigned(offset)];
const load16 = (address: Code, offset: number): Code => [...address, 0x2f, 1, ...unsigned(offset)];
const store = (address: Code, value: Code, offset: number): Code => [...address, ...value, 0x36, 2, ...unsigned(offset)];
const when = (condition: Code, ...then: Code[]): Code => [...condition, 0x04, VOID, ...then.flat(), 0x0b];
const loopWhile = (condition: Code, ...body: Code[]): Code => [0x03, VOID, ...body.flat(), ...condition, 0x0d, 0, 0x0b];
const section = (id: number, ...content: Code[]): Code => [id, ...unsigned(content.flat().length), ...content.flat()];
const name = (text: string): Code => [text.length, ...Array.from(text, character => character.charCodeAt(0))];

function assemble(): Uint8Array<ArrayBuffer> {
  // Parameters, then locals.
  const [end, state, before, at, out, four, one, two, middle, next, report] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  const eventsFrom: Code = [0x23, 0];
  const follows = (first: Code, second: Code): Code => and(and(first, shr(second, constant(FOLLOW_SHIFT))), constant(KINDS));
  const step = (from: Code, entry: Code): Code =>
    load16(add(shl(from, constant(ROW_SHIFT)), shr(entry, constant(CLASSES_SHIFT - 1))), STEPS_AT);
  const isEvent = (reached: Code): Code => atLeast(reached, eventsFrom);
  const reportPair = (first: number, second: number, reached: number, offset: number): Code => [
    ...set(report, or(follows(get(first), get(second)), shl(isEvent(get(reached)), constant(Math.log2(NUMBER_REPORT))))),
    ...when(
      get(report),
      store(get(out), or(get(report), shl(add(get(at), constant(offset)), constant(REPORT_SHIFT))), REPORTS_AT),
      set(out, add(get(out), constant(4))),
    ),
  ];
  const body: Code = [
    ...loopWhile(
      lessThan(get(at), get(end)),
      set(four, load(get(at), TEXT_AT)),
      set(one, load(shl(and(get(four), constant(0xffff)), constant(2)), TABLE_AT)),
      set(two, load(and(shr(get(four), constant(14)), constant(0x3fffc)), TABLE_AT)),
      set(middle, step(get(state), get(one))),
      set(next, step(get(middle), get(two))),
      when(
        or(or(follows(get(before), get(one)), follows(get(one), get(two))), or(isEvent(get(middle)), isEvent(get(next)))),
        reportPair(before, one, middle, 0),
        reportPair(one, two, next, 2),
      ),
      set(before, get(two)),
      set(state, get(next)),
      set(at, add(get(at), constant(4))),
    ),
    ...store(constant(0), get(state), STATE_AT),
    ...store(constant(0), get(before), STATE_AT + 4),
    ...shr(get(out), constant(2)),
  ];
  const code: Code = [1, 8, I32, ...body, 0x0b];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 3, I32, I32, I32, 1, I32]),
    ...section(2, [2], name('pass'), name('memory'), [2, 0, 1], name('pass'), name('eventsFrom'), [3, I32, 0]),
    ...section(3, [1, 0]),
    ...section(7, [1], name('run'), [0, 0]),
    ...section(10, [1], unsigned(code.length), code),
  ]);
}
