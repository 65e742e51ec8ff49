/** The three forms in which detectors are written: by a literal, by a form of digits, or for every `@`. */
import type { Scan } from './span.ts';

/**
 * A matcher looks at the window around an anchor and adds what it finds. It must be linear in a bounded window: greedy runs of
 * byte classes and comparisons, no backtracking, and no search that an earlier anchor may already have paid for.
 */
export type Matcher = (scan: Scan, at: number) => void;

/** Runs when `literal` (three ASCII bytes or more) stands at `at`. */
export interface LiteralRule {
  detector: string;
  literal: string;
  /** Matches in any case; the literal is then given in lower case. */
  fold?: boolean;
  match: Matcher;
}

/**
 * Runs on a phrase of words (runs of letters and digits) joined by single separators. A form names the words by the lengths of
 * their runs of digits and letters (`d3` three digits, `a2` two letters) and the separators between them:
 * `d3-d2-d4`, `d9`, `d4 d4 d4 d4`, `a5d4a1`.
 */
export interface FormRule {
  detector: string;
  forms: readonly string[];
  /** Digits of the phrase as numbers, in order; letters are left out. Only read during the call. */
  check: (phrase: Phrase) => boolean;
  /** In wire mode the check is still run: it must not look outside of the phrase. Context is looked up in the wire bytes. */
  context?: ContextWords;
  priority: number;
}

/** What a form rule judges. */
export interface Phrase {
  scan: Scan;
  start: number;
  end: number;
  digits: number[];
  form: string;
  /** The letters and digits of the phrase without separators, upper case. */
  text: string;
}

/** Keywords of which one must stand before (or shortly after) a value of weak form. Lower case. */
export type ContextWords = readonly string[];
