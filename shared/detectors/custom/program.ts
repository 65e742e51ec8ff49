/**
 * Runs a parsed pattern over bytes in time linear in the input: a lazily built deterministic automaton says whether there is a
 * match, and Pike's simulation finds where it and its groups are (leftmost, then by the pattern's own preferences).
 *
 * No backtracking. The automaton's cache is bounded and emptied when full; the program's size bounds the cost of one byte.
 * @see https://swtch.com/~rsc/regexp/regexp2.html
 * @see https://swtch.com/~rsc/regexp/regexp3.html
 */
import { GatewayError } from '../../errors.ts';
import { type Assertion, type ByteSet, type Node, type ParsedPattern, parsePattern } from './syntax.ts';

const PROGRAM_MAX = 20_000;
const STATES_MAX = 1_024;

type Instruction =
  | { op: 'byte'; set: ByteSet; next: number }
  | { op: 'split'; first: number; second: number }
  | { op: 'save'; slot: number; next: number }
  | { op: 'assert'; assertion: Assertion; next: number }
  | { op: 'jump'; next: number }
  | { op: 'match' };

export interface PatternMatch {
  start: number;
  end: number;
  /** start and end of each group, -1 where it took no part; group n is at 2n and 2n + 1, group 0 the whole. */
  slots: Int32Array;
}

class Compiler {
  readonly program: Instruction[] = [];
  readonly #source: string;
  readonly #withoutAssertions: boolean;

  constructor(source: string, withoutAssertions: boolean) {
    this.#source = source;
    this.#withoutAssertions = withoutAssertions;
  }

  #emit(instruction: Instruction): number {
    if (this.program.length >= PROGRAM_MAX) {
      throw new GatewayError(
        'PATTERN_TOO_LARGE',
        'invalid',
        `the pattern ${JSON.stringify(this.#source.slice(0, 80))} repeats too much: make its counts smaller`,
      );
    }
    return this.program.push(instruction) - 1;
  }

  compile(node: Node): void {
    switch (node.kind) {
      case 'empty':
        return;
      case 'bytes': {
        const at = this.#emit({ op: 'byte', set: node.set, next: 0 });
        (this.program[at] as { next: number }).next = at + 1;
        return;
      }
      case 'assert': {
        if (this.#withoutAssertions) return;
        const at = this.#emit({ op: 'assert', assertion: node.assertion, next: 0 });
        (this.program[at] as { next: number }).next = at + 1;
        return;
      }
      case 'concat':
        for (const part of node.parts) this.compile(part);
        return;
      case 'alternate': {
        const jumps: number[] = [];
        node.parts.forEach((part, index) => {
          if (index === node.parts.length - 1) {
            this.compile(part);
            return;
          }
          const split = this.#emit({ op: 'split', first: 0, second: 0 });
          this.compile(part);
          jumps.push(this.#emit({ op: 'jump', next: 0 }));
          this.program[split] = { op: 'split', first: split + 1, second: this.program.length };
        });
        for (const jump of jumps) this.program[jump] = { op: 'jump', next: this.program.length };
        return;
      }
      case 'group': {
        if (node.index < 0) {
          this.compile(node.part);
          return;
        }
        this.#save(node.index * 2);
        this.compile(node.part);
        this.#save(node.index * 2 + 1);
        return;
      }
      case 'repeat':
        this.#repeat(node);
        return;
    }
  }

  #save(slot: number): void {
    const at = this.#emit({ op: 'save', slot, next: 0 });
    this.program[at] = { op: 'save', slot, next: at + 1 };
  }

  #repeat({ part, min, max, greedy }: { part: Node; min: number; max: number; greedy: boolean }): void {
    for (let i = 0; i < min; i++) this.compile(part);
    const split = (at: number, into: number, past: number): void => {
      this.program[at] = greedy ? { op: 'split', first: into, second: past } : { op: 'split', first: past, second: into };
    };
    if (max === Number.POSITIVE_INFINITY) {
      const loop = this.#emit({ op: 'split', first: 0, second: 0 });
      this.compile(part);
      this.#emit({ op: 'jump', next: loop });
      split(loop, loop + 1, this.program.length);
      return;
    }
    const splits: number[] = [];
    for (let i = min; i < max; i++) {
      splits.push(this.#emit({ op: 'split', first: 0, second: 0 }));
      this.compile(part);
    }
    for (const at of splits) split(at, at + 1, this.program.length);
  }

  finish(): Instruction[] {
    this.#emit({ op: 'match' });
    return this.program;
  }
}

const EDGE = 0;
const NEWLINE = 1;
const WORD = 2;
const OTHER = 3;

function contextOf(byte: number): number {
  if (byte === 10) return NEWLINE;
  const isWord = (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122) || byte === 95;
  return isWord ? WORD : OTHER;
}

function holds(assertion: Assertion, before: number, after: number): boolean {
  switch (assertion) {
    case 'start':
      return before === EDGE;
    case 'end':
      return after === EDGE;
    case 'line-start':
      return before === EDGE || before === NEWLINE;
    case 'line-end':
      return after === EDGE || after === NEWLINE;
    case 'word':
      return (before === WORD) !== (after === WORD);
    case 'not-word':
      return (before === WORD) === (after === WORD);
  }
}

interface State {
  /** Instructions that wait for the next byte or an assertion, in order of preference. */
  kernel: number[];
  before: number;
  /** Transition by byte, or the end (256): a state, or MATCHED. */
  next: (State | undefined)[];
  matched: boolean;
}

/** A compiled pattern. Not to be shared between threads. */
export class Pattern {
  readonly groups: number;
  readonly #program: Instruction[];
  #states = new Map<string, State>();
  readonly #matched: State = { kernel: [], before: OTHER, next: [], matched: true };

  constructor(parsed: ParsedPattern, source: string, withoutAssertions = false) {
    const compiler = new Compiler(source, withoutAssertions);
    compiler.compile(parsed.root);
    this.#program = compiler.finish();
    this.groups = parsed.groups;
  }

  /** Follows everything that needs no byte. Returns the waiting instructions; a match is the last of them. */
  #closure(kernel: readonly number[], before: number, after: number): { waiting: number[]; matched: boolean } {
    const seen = new Set<number>();
    const waiting: number[] = [];
    const stack = kernel.toReversed();
    while (stack.length > 0) {
      const pc = stack.pop() as number;
      if (seen.has(pc)) continue;
      seen.add(pc);
      const instruction = this.#program[pc] as Instruction;
      switch (instruction.op) {
        case 'byte':
          waiting.push(pc);
          break;
        case 'match':
          return { waiting, matched: true };
        case 'split':
          stack.push(instruction.second, instruction.first);
          break;
        case 'assert':
          if (holds(instruction.assertion, before, after)) stack.push(instruction.next);
          break;
        case 'save':
        case 'jump':
          stack.push(instruction.next);
          break;
      }
    }
    return { waiting, matched: false };
  }

  #state(kernel: number[], before: number): State {
    const id = `${before}:${kernel.join(',')}`;
    let state = this.#states.get(id);
    if (state === undefined) {
      if (this.#states.size >= STATES_MAX) this.#states = new Map();
      state = { kernel, before, next: new Array<State | undefined>(257), matched: false };
      this.#states.set(id, state);
    }
    return state;
  }

  #step(state: State, byte: number): State {
    const after = byte === 256 ? EDGE : contextOf(byte);
    // A match may begin at every position: the program's start is always in the kernel.
    const { waiting, matched } = this.#closure([...state.kernel, 0], state.before, after);
    let next: State;
    if (matched || byte === 256) next = matched ? this.#matched : state;
    else {
      const kernel: number[] = [];
      for (const pc of waiting) {
        const instruction = this.#program[pc] as Instruction & { op: 'byte' };
        if (instruction.set[byte] === 1 && !kernel.includes(instruction.next)) kernel.push(instruction.next);
      }
      next = this.#state(kernel, after);
    }
    state.next[byte] = next;
    return next;
  }

  /** Whether the pattern matches anywhere in [start, end). */
  test(bytes: Uint8Array, start: number, end: number): boolean {
    let state = this.#state([], EDGE);
    for (let i = start; i < end; i++) {
      const byte = bytes[i] as number;
      state = state.next[byte] ?? this.#step(state, byte);
      if (state.matched) return true;
    }
    return (state.next[256] ?? this.#step(state, 256)).matched;
  }

  /** The leftmost match that begins at `from` or later; assertions see the window [start, end). */
  find(bytes: Uint8Array, start: number, end: number, from: number): PatternMatch | undefined {
    const program = this.#program;
    const slotCount = (this.groups + 1) * 2;
    let current: { pc: number; slots: Int32Array }[] = [];
    let upcoming: { pc: number; slots: Int32Array }[] = [];
    const seen = new Int32Array(program.length).fill(-1); // position at which an instruction was last added
    let best: Int32Array | undefined;

    const add = (
      list: { pc: number; slots: Int32Array }[],
      startPc: number,
      startSlots: Int32Array,
      at: number,
      before: number,
      after: number,
    ): void => {
      const stack: { pc: number; slots: Int32Array }[] = [{ pc: startPc, slots: startSlots }];
      while (stack.length > 0) {
        const { pc, slots } = stack.pop() as { pc: number; slots: Int32Array };
        if (seen[pc] === at) continue;
        seen[pc] = at;
        const instruction = program[pc] as Instruction;
        switch (instruction.op) {
          case 'byte':
          case 'match':
            list.push({ pc, slots });
            break;
          case 'split':
            stack.push({ pc: instruction.second, slots }, { pc: instruction.first, slots });
            break;
          case 'jump':
            stack.push({ pc: instruction.next, slots });
            break;
          case 'save': {
            const saved = slots.slice();
            saved[instruction.slot] = at;
            stack.push({ pc: instruction.next, slots: saved });
            break;
          }
          case 'assert':
            if (holds(instruction.assertion, before, after)) stack.push({ pc: instruction.next, slots });
            break;
        }
      }
    };

    const context = (at: number): number => (at < start || at >= end ? EDGE : contextOf(bytes[at] as number));
    for (let at = from; at <= end; at++) {
      const before = context(at - 1);
      const after = context(at);
      if (best === undefined) {
        const slots = new Int32Array(slotCount).fill(-1);
        slots[0] = at;
        add(current, 0, slots, at, before, after);
      } else if (current.length === 0) break;
      upcoming = [];
      const following = context(at + 1);
      for (const { pc, slots } of current) {
        const instruction = program[pc] as Instruction;
        if (instruction.op === 'match') {
          best = slots.slice();
          best[1] = at;
          break; // what follows is of lower preference
        }
        if (instruction.op === 'byte' && at < end && instruction.set[bytes[at] as number] === 1) {
          add(upcoming, instruction.next, slots, at + 1, after, following);
        }
      }
      current = upcoming;
    }
    return best === undefined ? undefined : { start: best[0] as number, end: best[1] as number, slots: best };
  }
}

/** Parses and compiles. @throws {GatewayError} PATTERN_INVALID, PATTERN_TOO_LARGE. */
export function compilePattern(source: string): { pattern: Pattern; withoutAssertions: Pattern; parsed: ParsedPattern } {
  const parsed = parsePattern(source);
  return { pattern: new Pattern(parsed, source), withoutAssertions: new Pattern(parsed, source, true), parsed };
}
