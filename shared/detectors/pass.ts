/**
 * The inner loop of the first pass, as WebAssembly: four bytes a round through the prefilter's table and the numbers' automaton, and
 * a second look at what they report, so that little of it is left for JavaScript.
 *
 * - A literal's three or four bytes are looked up in a table of hashes.
 * - A colon is reported where an IPv6 address may have one: beside another, or with two more at no more than four digits' distance.
 * - A number whose every rule asks for a keyword is reported where the beginning of one stands near it, an IBAN where its country has
 *   one.
 *
 * It reports where something is to be looked at, and looks at nothing itself; too much may be reported, never too little. The module
 * is assembled here from its instructions (assembler.ts); no tool and no file is needed.
 */
import {
  add,
  and,
  assembleModule,
  atLeast,
  atMost,
  bytesEqual,
  type Code,
  call,
  constant,
  equal,
  finish,
  get,
  global,
  isZero,
  lessThan,
  load,
  load8,
  load16,
  loopWhile,
  lowestBit,
  multiply,
  or,
  type Procedure,
  set,
  shl,
  shr,
  store,
  subtract,
  when,
} from './assembler.ts';
import {
  CONTEXT_AFTER,
  CONTEXT_BEFORE,
  CONTEXT_FILTER_ENTRIES,
  type ContextFilter,
  LONG_TAIL,
  LONG_WORD,
  letterCode,
  SHORT_WORD,
} from './context.ts';
import { IBAN_EVENT, type NumberAutomaton, STRONG_EVENT, WEAK_EVENT, WEAK_LENGTH_MAX } from './number-automaton.ts';
import {
  CLASSES_SHIFT,
  COLON_BIT,
  EARLY_MASK,
  FOLLOW_SHIFT,
  HASH_BITS,
  HASH_EARLY,
  HASH_FACTOR,
  HASH_LATE,
  HASH_QUAD,
  KINDS,
  LATE_MASK,
  LITERAL_BITS,
  QUAD_MASK,
} from './prefilter.ts';

/** Bytes that one call takes. */
export const CHUNK_BYTES = 32_768;
/** Bytes before and behind a chunk that the second look may read. */
export const BEFORE_BYTES = 128;
export const BEHIND_BYTES = 64;
/** Flag of a report, above the kinds of candidates: the automaton reports the end of a number. */
export const NUMBER_REPORT = KINDS + 1;
/** Flag beside it: the automaton reports the beginning of an IBAN, of which the fourth byte is one of the pair's. */
export const IBAN_REPORT = 2 * NUMBER_REPORT;
/** Position of a report: from this bit on. */
export const REPORT_SHIFT = 14;

const TABLE_AT = 0;
const TABLE_BYTES = 65_536 * 4;
const REPORTS_AT = TABLE_AT + TABLE_BYTES;
/** Every pair of the chunk, and the padding's. */
const REPORTS_BYTES = (CHUNK_BYTES / 2 + 4) * 4;
const BEFORE_AT = REPORTS_AT + REPORTS_BYTES;
const TEXT_AT = BEFORE_AT + BEFORE_BYTES;
const STATE_AT = TEXT_AT + CHUNK_BYTES + BEHIND_BYTES;
const HASHES_AT = STATE_AT + 16;
const COUNTRIES_AT = HASHES_AT + (1 << HASH_BITS);
const CONTEXT_AT = COUNTRIES_AT + 1_024;
const WORDS_AT = CONTEXT_AT + CONTEXT_FILTER_ENTRIES * 4;
const LETTERS_AT = WORDS_AT + CONTEXT_FILTER_ENTRIES;
const EVENTS_AT = LETTERS_AT + 256;
/** More states than any automaton has that report something. */
const EVENTS_MAX = 4_096;
const STEPS_AT = EVENTS_AT + EVENTS_MAX;
const PAGE = 65_536;
const ROW_SHIFT = 7;

/** One set's tables, and the loop over them. */
export interface Pass {
  /** The prefilter's table and its hashes of literals; the caller fills them. */
  table: Int32Array;
  hashes: Uint8Array;
  /** The numbers' automaton. */
  steps: Uint16Array;
  /**
   * BEFORE_BYTES that stand before the chunk, its bytes, and up to BEHIND_BYTES that follow. The caller leaves two zero bytes before
   * a window and eight behind it; what else is not the window's makes more reports, never fewer.
   */
  text: Uint8Array;
  /**
   * What the last call has reported: position in the chunk << REPORT_SHIFT | IBAN_REPORT | NUMBER_REPORT | kinds of the candidate that
   * begins two bytes before.
   */
  reports: Int32Array;
  /** The state behind the last call's bytes: the automaton's, and the table's entry of the last pair. */
  after: Int32Array;
  /** Runs over `bytes` bytes (a multiple of four) of the chunk; returns the number of reports. */
  run: (this: void, bytes: number, state: number, entry: number) => number;
}

/**
 * @param numbers the automaton (number-automaton.ts).
 * @param context the filter of the keywords that its weak ends ask for (context.ts).
 */
export function createPass(numbers: NumberAutomaton, context: ContextFilter): Pass {
  const { step, events, eventsFrom, countries } = numbers;
  if (events.length > EVENTS_MAX) throw new RangeError('the forms have too many ends');
  const { WebAssembly: wasm } = globalThis as unknown as { WebAssembly: WebAssemblyInterface };
  const memory = new wasm.Memory({ initial: Math.ceil((STEPS_AT + step.byteLength) / PAGE) });
  const variant = events.length > 0 ? 'numbers' : 'plain';
  compiled[variant] ??= new wasm.Module(assemble(variant));
  const { exports } = new wasm.Instance(compiled[variant], { pass: { memory, eventsFrom } });
  const { buffer } = memory;
  const view = new Uint16Array(buffer, STEPS_AT, step.length);
  view.set(step);
  new Uint8Array(buffer, EVENTS_AT, EVENTS_MAX).set(events);
  new Int32Array(buffer, CONTEXT_AT, CONTEXT_FILTER_ENTRIES).set(context.fourth);
  new Uint8Array(buffer, WORDS_AT, CONTEXT_FILTER_ENTRIES).set(context.flags);
  new Uint8Array(buffer, LETTERS_AT, 256).set(letterCode);
  const openings = new Uint8Array(buffer, COUNTRIES_AT, 1_024);
  for (const country of countries) openings[((country.charCodeAt(0) & 31) << 5) | (country.charCodeAt(1) & 31)] = 1;
  return {
    table: new Int32Array(buffer, TABLE_AT, TABLE_BYTES / 4),
    hashes: new Uint8Array(buffer, HASHES_AT, 1 << HASH_BITS),
    steps: view,
    text: new Uint8Array(buffer, BEFORE_AT, BEFORE_BYTES + CHUNK_BYTES + BEHIND_BYTES),
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

/** `plain` where no form of number is looked for: without the automaton, whose steps wait for each other, it takes half of the time. */
type Variant = 'numbers' | 'plain';

const compiled: Partial<Record<Variant, object>> = {};

const COLON = 58;
const BACKSLASH = 92;
/** Most bytes from a colon of an address to the next. */
const GROUP_BYTES = 5;
const NEAR = 0;
const CONFIRM = 1;
const low5 = (value: Code): Code => and(value, constant(31));

/** `near(place)`: whether a keyword may begin where it counts for a number that ends at the place (from BEFORE_AT on) or one behind. */
function near(): Procedure {
  const [place, at, end, three, fourth, words] = [0, 1, 2, 3, 4, 5];
  const byte = (offset: number): Code => load8(get(at), BEFORE_AT + offset);
  const letter = (offset: number): Code => load8(byte(offset), LETTERS_AT);
  const letters = (offset: number): Code =>
    or(or(shl(letter(offset), constant(10)), shl(letter(offset + 1), constant(5))), letter(offset + 2));
  const isLetter = (code: Code): Code => lessThan(subtract(or(code, constant(32)), constant(97)), constant(26));
  const isWord: Code = [
    ...set(words, load8(get(three), WORDS_AT)),
    ...when(and(get(words), constant(LONG_WORD)), when(and(load8(letters(4), WORDS_AT), constant(LONG_TAIL)), finish(constant(1)))),
    // It begins a word: not behind a letter, or with a capital, or the letter belongs to an escape.
    ...when(
      and(get(words), constant(SHORT_WORD)),
      when(
        or(or(isZero(isLetter(byte(-1))), isZero(and(byte(0), constant(32)))), equal(byte(-2), constant(BACKSLASH))),
        finish(constant(1)),
      ),
    ),
  ];
  const body: Code = [
    ...set(at, subtract(get(place), constant(CONTEXT_BEFORE + WEAK_LENGTH_MAX))),
    ...set(end, add(get(place), constant(CONTEXT_AFTER + 1))),
    ...set(three, or(shl(letter(0), constant(5)), letter(1))),
    ...set(fourth, letter(2)),
    ...loopWhile(
      lessThan(get(at), get(end)),
      set(three, and(or(shl(get(three), constant(5)), get(fourth)), constant(CONTEXT_FILTER_ENTRIES - 1))),
      set(fourth, letter(3)),
      when(and(shr(load(shl(get(three), constant(2)), CONTEXT_AT), get(fourth)), constant(1)), isWord),
      set(at, add(get(at), constant(1))),
    ),
    ...constant(0),
  ];
  return { parameters: 1, locals: 5, body };
}

/** `confirm(place, kinds, state)`: what is left of a report. The candidate's four bytes begin two before the place. */
function confirm(): Procedure {
  const [place, kinds, state, word, event] = [0, 1, 2, 3, 4];
  const before = (bytes: number): number => BEFORE_AT - bytes;
  const clear = (bits: number): Code => set(kinds, and(get(kinds), constant(~bits)));
  const lacks = (bytes: Code, letterCases: number, flag: number): Code =>
    isZero(
      and(
        load8(shr(multiply(or(bytes, constant(letterCases)), constant(HASH_FACTOR)), constant(32 - HASH_BITS)), HASHES_AT),
        constant(flag),
      ),
    );
  const three = (bytes: Code): Code => and(bytes, constant(0xffffff));
  const country = (bytes: number): Code =>
    load8(or(shl(low5(load8(get(place), before(bytes))), constant(5)), low5(load8(get(place), before(bytes - 1)))), COUNTRIES_AT);
  const report = (flag: number): Code => set(kinds, or(get(kinds), constant(flag)));
  const body: Code = [
    ...when(
      and(get(kinds), constant(LITERAL_BITS)),
      set(word, load(get(place), before(2))),
      when(lacks(get(word), 0x20202020, HASH_QUAD), clear(QUAD_MASK)),
      when(lacks(three(get(word)), 0x202020, HASH_EARLY), clear(EARLY_MASK)),
      when(lacks(three(load(get(place), before(1))), 0x202020, HASH_LATE), clear(LATE_MASK)),
    ),
    ...when(
      and(get(kinds), constant(COLON_BIT)),
      // Places of colons from the first of the candidate's on: 0, and two more.
      set(word, subtract(get(place), add(constant(1), equal(load8(get(place), before(2)), constant(COLON))))),
      set(event, and(bytesEqual(get(word), BEFORE_AT, COLON), constant(~1))),
      when(
        isZero(
          or(
            or(equal(load8(get(word), before(1)), constant(COLON)), and(get(event), constant(2))),
            and(
              atMost(lowestBit(get(event)), constant(GROUP_BYTES)),
              atMost(subtract(lowestBit(and(get(event), subtract(get(event), constant(1)))), lowestBit(get(event))), constant(GROUP_BYTES)),
            ),
          ),
        ),
        clear(COLON_BIT),
      ),
    ),
    ...when(
      atLeast(get(state), global(0)),
      set(event, load8(subtract(get(state), global(0)), EVENTS_AT)),
      when(and(get(event), constant(STRONG_EVENT)), report(NUMBER_REPORT)),
      when(and(get(event), constant(IBAN_EVENT)), when(or(country(3), country(2)), report(IBAN_REPORT))),
      when(
        and(get(event), constant(WEAK_EVENT)),
        when(isZero(and(get(kinds), constant(NUMBER_REPORT))), when(call(NEAR, get(place)), report(NUMBER_REPORT))),
      ),
    ),
    ...get(kinds),
  ];
  return { parameters: 3, locals: 2, body };
}

/** `run(bytes, state, entry)`: the loop. */
function run(variant: Variant): Procedure {
  const [end, state, before, at, out, four, one, two, middle, next, report] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  const follows = (first: Code, second: Code): Code => and(and(first, shr(second, constant(FOLLOW_SHIFT))), constant(KINDS));
  const step = (from: Code, entry: Code): Code =>
    load16(add(shl(from, constant(ROW_SHIFT)), shr(entry, constant(CLASSES_SHIFT - 1))), STEPS_AT);
  const isEvent = (reached: Code): Code => atLeast(reached, global(0));
  const hasNumbers = variant === 'numbers';
  const orEvent = (candidate: Code, ...reached: number[]): Code =>
    hasNumbers ? reached.reduce((either, local) => or(either, isEvent(get(local))), candidate) : candidate;
  const reportPair = (first: number, second: number, reached: number, offset: number): Code => [
    ...set(report, follows(get(first), get(second))),
    ...when(
      orEvent(get(report), reached),
      set(report, call(CONFIRM, add(get(at), constant(BEFORE_BYTES + offset)), get(report), get(reached))),
      when(
        get(report),
        store(get(out), or(get(report), shl(add(get(at), constant(offset)), constant(REPORT_SHIFT))), REPORTS_AT),
        set(out, add(get(out), constant(4))),
      ),
    ),
  ];
  const body: Code = [
    ...loopWhile(
      lessThan(get(at), get(end)),
      set(four, load(get(at), TEXT_AT)),
      set(one, load(shl(and(get(four), constant(0xffff)), constant(2)), TABLE_AT)),
      set(two, load(and(shr(get(four), constant(14)), constant(0x3fffc)), TABLE_AT)),
      ...(hasNumbers ? [set(middle, step(get(state), get(one))), set(next, step(get(middle), get(two)))] : []),
      when(
        orEvent(or(follows(get(before), get(one)), follows(get(one), get(two))), middle, next),
        reportPair(before, one, middle, 0),
        reportPair(one, two, next, 2),
      ),
      set(before, get(two)),
      ...(hasNumbers ? [set(state, get(next))] : []),
      set(at, add(get(at), constant(4))),
    ),
    ...store(constant(0), get(state), STATE_AT),
    ...store(constant(0), get(before), STATE_AT + 4),
    ...shr(get(out), constant(2)),
  ];
  return { parameters: 3, locals: 8, body };
}

function assemble(variant: Variant): Uint8Array<ArrayBuffer> {
  return assembleModule([near(), confirm(), run(variant)], { from: 'pass', memory: 'memory', number: 'eventsFrom' });
}
