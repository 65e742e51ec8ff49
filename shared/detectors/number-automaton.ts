/**
 * The automaton that says where a number may end: one that a form describes, an IBAN, an IPv4 address, a telephone number, or a
 * date or UUID that is to be stepped over.
 *
 * It reads two bytes at a time, as one of 64 pairs of classes, wherever words begin; what it reports is looked at by forms.ts, so
 * that it may report too much and never too little. It is made once from the forms' own automaton by the subset construction.
 */
import { ALPHA, CLASS, DIGIT, HEX_LOWER, HEX_UPPER } from './bytes.ts';

/** Classes of bytes: digits, letters of hexadecimal numbers, other letters, the four separators, anything else. */
const DIGIT_CLASS = 0;
const HEX_LETTER_CLASS = 1;
const LETTER_CLASS = 2;
const FIRST_SEPARATOR_CLASS = 3;
const SEPARATORS = ' -./';
const HYPHEN_CLASS = FIRST_SEPARATOR_CLASS + SEPARATORS.indexOf('-');
const DOT_CLASS = FIRST_SEPARATOR_CLASS + SEPARATORS.indexOf('.');
const OTHER_CLASS = 7;
const CLASSES = 8;

/** Byte → its class. */
export const numberClass: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => {
  const kind = CLASS[byte] as number;
  if ((kind & DIGIT) !== 0) return DIGIT_CLASS;
  if ((kind & (HEX_LOWER | HEX_UPPER)) !== 0) return HEX_LETTER_CLASS;
  if ((kind & ALPHA) !== 0) return LETTER_CLASS;
  const separator = SEPARATORS.indexOf(String.fromCharCode(byte));
  return separator < 0 ? OTHER_CLASS : FIRST_SEPARATOR_CLASS + separator;
});

/** What ends (or, of an IBAN, begins) where something is reported: what needs a keyword nearby, two letters and two digits, the rest. */
export const WEAK_EVENT = 1;
export const IBAN_EVENT = 2;
export const STRONG_EVENT = 4;
/** Greatest length of what is reported as weak: six groups of digits, or a form. A longer form is strong. */
export const WEAK_LENGTH_MAX = 19;
/** While the automaton is made the events stand above the state's number. */
const EVENT_SHIFT = 16;
const STATES_MAX = 0x8000;
/** The state before a word; also that of a new window. */
export const BEFORE_WORD = 0;

/** The forms' automaton: from word starts on, a byte at a time; 0 is the dead state. */
export interface FormSteps {
  /** `next(state, kind, separator)`: kind 0 a digit, 1 a letter, 2 a separator (its index in ` -./`). */
  next(state: number, kind: 0 | 1 | 2, separator: number): number;
  /** What ends where a run ends in this state: 0, WEAK_EVENT when all of its rules need a keyword, else STRONG_EVENT. */
  ends(state: number): number;
  root: number;
  states: number;
}

export interface NumberWants {
  forms: FormSteps;
  /** The countries that have one; none to leave IBANs out. */
  iban: readonly string[];
  ipv4: boolean;
  phone: boolean;
}

export interface NumberAutomaton {
  /** `step[state << 6 | class of the first byte << 3 | class of the second]`: the next state. */
  step: Uint16Array;
  /** States from this one on say that something may end at one of the two bytes, or right before them. */
  eventsFrom: number;
  /** For each of them: WEAK_EVENT, IBAN_EVENT, STRONG_EVENT. */
  events: Uint8Array;
  /** What an IBAN begins with. */
  countries: readonly string[];
}

/** Digits of a telephone number, at least. */
const PHONE_DIGITS = 7;
const UUID_HYPHENS = [8, 13, 18, 23];
const UUID_LENGTH = 36;
const NONE = -1;

/** One automaton more, from word starts on: its state after a byte, or NONE; `reports` when the byte completes something. */
interface Chain {
  next(state: number, kind: number): number;
  reports(state: number, kind: number): number;
  /** Whether the byte completes what nothing of ours is inside of. */
  settles?(state: number, kind: number): boolean;
}

const isHex = (kind: number): boolean => kind === DIGIT_CLASS || kind === HEX_LETTER_CLASS;
const isWord = (kind: number): boolean => kind < FIRST_SEPARATOR_CLASS;

/**
 * A UUID. Where it ends, or a date, whatever else was begun is dropped: nothing of ours is inside of them, and they are most of the
 * digits that pass.
 */
const UUID: Chain = {
  next(at, kind) {
    const wanted = UUID_HYPHENS.includes(at) ? kind === HYPHEN_CLASS : isHex(kind);
    return wanted && at + 1 < UUID_LENGTH ? at + 1 : NONE;
  },
  reports: () => 0,
  settles: (at, kind) => at === UUID_LENGTH - 1 && isHex(kind),
};

/** `2025-03-14`. */
const DATE: Chain = {
  next: (at, kind) => (kind === (at === 4 || at === 7 ? HYPHEN_CLASS : DIGIT_CLASS) && at < 9 ? at + 1 : NONE),
  reports: () => 0,
  settles: (at, kind) => at === 9 && kind === DIGIT_CLASS,
};

/** Two letters and two digits. */
const IBAN: Chain = {
  next: (at, kind) =>
    at < 2 ? (kind === LETTER_CLASS || kind === HEX_LETTER_CLASS ? at + 1 : NONE) : at === 2 && kind === DIGIT_CLASS ? 3 : NONE,
  reports: (at, kind) => (at === 3 && kind === DIGIT_CLASS ? IBAN_EVENT : 0),
};

/** Three groups of one to three digits and dots, and a digit: states 4 × group + digits. */
const IPV4: Chain = {
  next(at, kind) {
    const digits = at & 3;
    if (kind === DIGIT_CLASS) return digits < 3 && at < 12 ? at + 1 : NONE;
    return kind === DOT_CLASS && digits > 0 && at < 12 ? (at & ~3) + 4 : NONE;
  },
  reports: (at, kind) => (at === 12 && kind === DIGIT_CLASS ? STRONG_EVENT : 0),
};

/** `415-555-2671`, which is a telephone number without any keyword. */
const NORTH_AMERICAN: Chain = {
  next(at, kind) {
    const wanted = at === 3 || at === 7 ? kind === HYPHEN_CLASS || kind === DOT_CLASS : kind === DIGIT_CLASS;
    return wanted && at < 11 ? at + 1 : NONE;
  },
  reports: (at, kind) => (at === 11 && kind === DIGIT_CLASS ? STRONG_EVENT : 0),
};

/** Builds the automaton. @throws {RangeError} for more states than a row of the table can name. */
export function buildNumberAutomaton({ forms, iban, ipv4, phone }: NumberWants): NumberAutomaton {
  const chains: Chain[] = [DATE, UUID];
  if (iban.length > 0) chains.push(IBAN);
  if (ipv4) chains.push(IPV4);
  if (phone) chains.push(NORTH_AMERICAN);
  /** An item is a state of the forms (from `formBase` on) or of a chain (64 for each). */
  const formBase = chains.length * 64;
  const starts = [...chains.map((_, index) => index * 64), formBase + forms.root];

  interface Subset {
    items: readonly number[];
    /** Digits of the groups of digits up to here, at most PHONE_DIGITS; NONE within a word that has letters. */
    digits: number;
  }
  const ids = new Map<string, number>();
  const subsets: Subset[] = [];
  const idOf = (subset: Subset): number => {
    const key = `${subset.digits}:${subset.items.join(',')}`;
    let id = ids.get(key);
    if (id === undefined) {
      id = subsets.push(subset) - 1;
      ids.set(key, id);
    }
    return id;
  };
  idOf({ items: starts, digits: 0 });
  /** One byte at a time: next state, and the events above it. */
  const single: number[] = [];
  for (let id = 0; id < subsets.length; id++) {
    const { items, digits } = subsets[id] as Subset;
    for (let kind = 0; kind < CLASSES; kind++) {
      const word = isWord(kind);
      const isSeparator = !word && kind !== OTHER_CLASS;
      const next = new Set<number>();
      let settled = false;
      let event = phone && !word && digits === PHONE_DIGITS ? WEAK_EVENT : 0;
      for (const item of items) {
        if (item < formBase) {
          const chain = chains[item >>> 6] as Chain;
          event |= chain.reports(item & 63, kind);
          if (chain.settles?.(item & 63, kind) === true) settled = true;
          const state = chain.next(item & 63, kind);
          if (state !== NONE) next.add((item & ~63) | state);
          continue;
        }
        const state = item - formBase;
        if (!word) event |= forms.ends(state);
        if (kind === OTHER_CLASS) continue;
        const target = forms.next(state, word ? (kind === DIGIT_CLASS ? 0 : 1) : 2, kind - FIRST_SEPARATOR_CLASS);
        if (target !== 0) next.add(formBase + target);
      }
      if (settled) {
        next.clear();
        event = 0;
      }
      if (!word) for (const start of starts) next.add(start);
      let count = 0;
      if (phone) {
        if (settled) count = NONE;
        else if (kind === DIGIT_CLASS) count = digits === NONE ? NONE : Math.min(PHONE_DIGITS, digits + 1);
        else if (word) count = NONE;
        else if (isSeparator && digits > 0) count = digits;
      }
      single.push(idOf({ items: Array.from(next).sort((a, b) => a - b), digits: count }) | (event << EVENT_SHIFT));
    }
    if (subsets.length >= STATES_MAX) throw new RangeError('the forms make too many states');
  }
  // A state that is reached with something to report is a state of its own, with the same row.
  const rows: number[] = subsets.map((_, id) => id);
  const events: number[] = [];
  const reported = new Map<number, number>();
  const target = (first: number, second: number): number => {
    const id = second & (STATES_MAX - 1);
    const event = (first | second) >> EVENT_SHIFT;
    if (event === 0) return id;
    const key = id | (event << EVENT_SHIFT);
    let twin = reported.get(key);
    if (twin === undefined) {
      twin = rows.push(id) - 1;
      events.push(event);
      reported.set(key, twin);
    }
    return twin;
  };
  const step: number[] = [];
  for (let state = 0; state < rows.length; state++) {
    for (let first = 0; first < CLASSES; first++) {
      const middle = single[(rows[state] as number) * CLASSES + first] as number;
      const row = (middle & (STATES_MAX - 1)) * CLASSES;
      for (let second = 0; second < CLASSES; second++) step.push(target(middle, single[row + second] as number));
    }
  }
  return { step: Uint16Array.from(step), eventsFrom: subsets.length, events: Uint8Array.from(events), countries: iban };
}
