/**
 * Imports a gitleaks configuration (TOML): its rules become custom detectors.
 *
 * What is about files and commits (`path`, `paths`, `commits`) has no meaning for values on a wire and is left out with a
 * warning; so is `[extend]`, because the built-in detectors stand in for the default rules, and so are rules that only serve
 * others (`skipReport`), because what others require nearby (`required`) is not asked for.
 * @see https://github.com/gitleaks/gitleaks#configuration
 */
import { parse } from 'smol-toml';
import { errorText, GatewayError } from '../../errors.ts';
import { type Allowance, type CustomDetector, compileAllowance, compileCustomDetector } from './custom-detector.ts';

export interface ImportedConfig {
  detectors: CustomDetector[];
  /** One line each: what was left out and why. */
  warnings: string[];
}

const CONFIG_BYTES_MAX = 4_194_304;

/**
 * @param file name for messages.
 * @throws {GatewayError} GITLEAKS_CONFIG_INVALID when the file is no gitleaks configuration. A rule that cannot be run in linear
 *   time is left out with a warning.
 */
export function parseGitleaksConfig(text: string, file: string): ImportedConfig {
  const invalid = (what: string, cause?: unknown): GatewayError =>
    new GatewayError('GITLEAKS_CONFIG_INVALID', 'invalid', `${file} is no usable gitleaks configuration: ${what}`, { cause });
  if (text.length > CONFIG_BYTES_MAX) throw invalid(`it is larger than ${CONFIG_BYTES_MAX} bytes`);
  let document: Record<string, unknown>;
  try {
    document = parse(text);
  } catch (error) {
    throw invalid(errorText(error), error);
  }
  const rules = tables(document.rules);
  if (rules === undefined || rules.length === 0) throw invalid('it has no [[rules]]');
  const warnings: string[] = [];
  if (document.extend !== undefined) warnings.push(`${file}: [extend] is left out; choose the built-in detectors by name instead`);
  const globals = [document.allowlist, document.allowlists]
    .flatMap(value => tablesOf(value))
    .flatMap(table => {
      const list = usable(allowances(table), `${file}: a global allowlist`, warnings);
      return [{ list, targets: strings(table.targetRules) }];
    });
  const detectors: CustomDetector[] = [];
  for (const rule of rules) {
    const name =
      string(rule.id) ??
      string(rule.description)
        ?.toLowerCase()
        .replace(/[^a-z0-9]+/g, '-');
    if (name === undefined) throw invalid('a rule has no id');
    const pattern = string(rule.regex);
    if (pattern === undefined) {
      warnings.push(`${file}: rule ${name} is left out: it has no regex, and paths have no meaning here`);
      continue;
    }
    if (rule.skipReport === true) {
      warnings.push(`${file}: rule ${name} is left out: it is not reported by itself (skipReport)`);
      continue;
    }
    if (Array.isArray(rule.required) && rule.required.length > 0)
      warnings.push(`${file}: \`required\` of rule ${name} is ignored; the rule holds by itself`);
    if (rule.path !== undefined) warnings.push(`${file}: the path of rule ${name} is ignored; the rule holds for every value`);
    const own = usable([...allowances(rule.allowlist), ...allowances(rule.allowlists)], `${file}: an allowlist of rule ${name}`, warnings);
    const least = number(rule.entropy);
    const group = number(rule.secretGroup);
    const detector: CustomDetector = {
      name,
      pattern,
      keywords: strings(rule.keywords),
      allow: [...own, ...globals.filter(({ targets }) => targets.length === 0 || targets.includes(name)).flatMap(({ list }) => list)],
      ...(least === undefined || least === 0 ? {} : { entropy: least }),
      ...(group === undefined || group === 0 ? {} : { secretGroup: group }),
    };
    try {
      compileCustomDetector(detector);
      detectors.push(detector);
    } catch (error) {
      warnings.push(`${file}: rule ${name} is left out: ${errorText(error)}`);
    }
  }
  return { detectors, warnings };
}

function usable(list: readonly Allowance[], where: string, warnings: string[]): Allowance[] {
  return list.filter(allowance => {
    try {
      compileAllowance(allowance);
      return true;
    } catch (error) {
      warnings.push(`${where} is left out: ${errorText(error)}`);
      return false;
    }
  });
}

function allowances(value: unknown): Allowance[] {
  return tablesOf(value).flatMap(table => {
    const patterns = strings(table.regexes);
    const stopWords = strings(table.stopwords);
    const all = string(table.condition)?.toUpperCase() === 'AND';
    // A path or a commit can never agree here: with AND nothing is allowed.
    if (all && (strings(table.paths).length > 0 || strings(table.commits).length > 0)) return [];
    if (patterns.length === 0 && stopWords.length === 0) return [];
    const target = string(table.regexTarget);
    return [{ patterns, stopWords, target: target === 'match' || target === 'line' ? target : 'secret', all }];
  });
}

function tablesOf(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? (tables(value) ?? []) : isTable(value) ? [value] : [];
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function tables(value: unknown): Record<string, unknown>[] | undefined {
  return Array.isArray(value) ? value.filter(isTable) : undefined;
}

function string(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(item => typeof item === 'string') : [];
}
