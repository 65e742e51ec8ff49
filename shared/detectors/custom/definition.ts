/** What a detector of users' own is: plain data, as manifests, leases and gitleaks configurations give it. */

/** A detector as a manifest or a gitleaks configuration gives it. */
export interface CustomDetector {
  /** Lower-case words joined by hyphens; the name in records and in `DataPolicy.detectors`. */
  name: string;
  /** RE2 syntax. */
  pattern: string;
  /** Without case; the pattern is run when one of them is in the value. None: found out from the pattern, or always. */
  keywords?: readonly string[];
  /** Least Shannon entropy of the secret, in bits a character. */
  entropy?: number;
  /** The capturing group that is the secret; 0 is the whole match. Default: the first group that took part, else the whole. */
  secretGroup?: number;
  allow?: readonly Allowance[];
}

/** What is no finding although it matches. */
export interface Allowance {
  patterns: readonly string[];
  stopWords: readonly string[];
  target: 'secret' | 'match' | 'line';
  /** All of the kinds given must agree, instead of any. */
  all?: boolean;
}
